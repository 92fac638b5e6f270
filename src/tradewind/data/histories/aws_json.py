"""Answers of AWS to `describe-spot-price-history`, as JSON: one, a list of pages, or records one a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from tradewind.data.histories.moments import recorded_moment
from tradewind.errors import Misuse, suggestion
from tradewind.market.histories import PriceHistory
from tradewind.market.instances import Pool

_FIELDS = ("AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp")


def documents(source: str, text: str) -> Iterator[Any]:
    """The JSON values of a text: one, or several one after another, such as one a line.

    Raises Misuse that names `source` and the line where it breaks.
    """
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise Misuse(
                f"broken JSON: {error.msg}",
                source=f"{source}, line {error.lineno}",
                fix="Fetch the file again.",
            ) from error
        yield value


def prices_of_aws(source: str, answers: Sequence[Any], product: str) -> dict[Pool, PriceHistory]:
    """The prices of `product` in the answers, whatever their order: AWS lists the newest first.

    Raises Misuse that names `source`, the record and the field.
    """
    columns: dict[Pool, list[tuple[float, float, int]]] = {}
    products: set[str] = set()
    for number, record in enumerate(_records(source, answers), 1):
        where = f"{source}, record {number}"
        for field in _FIELDS:
            if not isinstance(record.get(field), str) or not record[field]:
                raise Misuse(
                    f"{record.get(field)!r}",
                    source=where,
                    field=field,
                    fix="Keep the records as describe-spot-price-history gives them.",
                )
        products.add(record["ProductDescription"])
        if record["ProductDescription"].removesuffix(" (Amazon VPC)") != product:
            continue
        try:
            moment = recorded_moment(record["Timestamp"])
        except ValueError:
            raise Misuse(
                f"{record['Timestamp']!r} is no moment",
                source=where,
                field="Timestamp",
                fix="Write it as 2020-01-31T12:00:00Z.",
            ) from None
        try:
            price = float(record["SpotPrice"])
        except ValueError:
            price = math.nan
        if not 0 < price < math.inf:
            raise Misuse(
                f"{record['SpotPrice']!r} is no price",
                source=where,
                field="SpotPrice",
                fix="Give dollars an hour, above 0.",
            )
        pool = Pool(record["InstanceType"], record["AvailabilityZone"])
        columns.setdefault(pool, []).append((moment, price, number))
    if not columns:
        if not products:
            raise Misuse("no record", source=source, field="SpotPriceHistory", fix="Ask AWS for more.")
        raise Misuse(
            f"no record of {product!r}",
            source=source,
            field="ProductDescription",
            fix=suggestion(product, products),
        )
    histories = {}
    for pool, records in columns.items():
        records.sort()
        for (moment, price, number), (after, other, later) in pairwise(records):
            if moment == after and price != other:
                raise Misuse(
                    f"another price than record {min(number, later)} for the same moment",
                    source=f"{source}, record {max(number, later)}",
                    field="SpotPrice",
                    fix="Keep one of them.",
                )
        unique = {moment: price for moment, price, _ in records}
        histories[pool] = PriceHistory(pool, list(unique), list(unique.values()))
    return histories


def _records(source: str, documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if isinstance(document, list):
            yield from _records(source, document)
        elif isinstance(document, dict) and isinstance(document.get("SpotPriceHistory"), list):
            yield from _records(source, document["SpotPriceHistory"])
        elif isinstance(document, dict) and ("SpotPrice" in document or "InstanceType" in document):
            yield document
        else:
            raise Misuse(
                "neither AWS's SpotPriceHistory nor sampled counts",
                source=source,
                fix="Give what aws ec2 describe-spot-price-history prints.",
            )
