"""On-demand price lists, read from CSV: the package's own of AWS, or a user's."""

from __future__ import annotations

import csv
import io
import math
from functools import cache
from importlib import resources
from pathlib import Path

from tradewind.errors import Misuse, suggestion
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.instances import InstanceType
from tradewind.market.resources import Resources

COLUMNS = (
    "type",
    "vcpus",
    "memory_gib",
    "gpus",
    "gpu_kind",
    "burst_credits_per_hour",
    "bandwidth_gbps",
    "region",
    "price",
    "as_of",
    "source",
)
"""Of a price list, a row for each type and region: US dollars an hour; 0 for what is not stated."""
_AMOUNTS = ("vcpus", "memory_gib", "gpus", "burst_credits_per_hour", "bandwidth_gbps", "price")


@cache
def aws_catalog() -> Catalog:
    """The on-demand prices of AWS that the package carries, each with its date and source."""
    text = (resources.files("tradewind.market") / "books" / "aws-on-demand.csv").read_text("utf-8")
    return _catalog("aws-on-demand", text)


def read_catalog(path: str | Path) -> Catalog:
    """A price list from a CSV file with the columns `COLUMNS`.

    Raises Misuse that names the line and the field of whatever is wrong.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse(f"cannot be read: {error}", source=str(path), fix="Give a CSV file in UTF-8.") from error
    return _catalog(str(path), text)


def _catalog(name: str, text: str) -> Catalog:
    reader = csv.reader(io.StringIO(text), strict=True)
    header = next(reader, None)
    if header is None:
        raise Misuse("the file is empty", source=name, fix=f"Its first line is {','.join(COLUMNS)}.")
    for column in header:
        if column not in COLUMNS:
            raise Misuse("unknown column", source=name, field=column, fix=suggestion(column, COLUMNS))
    for column in COLUMNS:
        if column not in header:
            raise Misuse("the column is missing", source=name, field=column, fix="Add it.")
    prices = []
    try:
        for cells in reader:
            if len(cells) != len(header):
                raise Misuse(
                    f"{len(cells)} fields, not {len(header)}",
                    source=f"{name}, line {reader.line_num}",
                    fix="Give one for each column.",
                )
            prices.append(_price(dict(zip(header, cells, strict=True)), f"{name}, line {reader.line_num}"))
    except csv.Error as error:
        raise Misuse(str(error), source=f"{name}, line {reader.line_num}", fix="Mend the line.") from error
    return Catalog(name, prices)


def _price(row: dict[str, str], source: str) -> ListPrice:
    amounts = {}
    for column in _AMOUNTS:
        try:
            amounts[column] = float(row[column])
        except ValueError:
            amounts[column] = math.nan
        if not (math.isfinite(amounts[column]) and amounts[column] >= 0):
            raise Misuse(
                f"{row[column]!r} is no amount", source=source, field=column, fix="Give a number, 0 or more."
            )
    for column in ("type", "region", "as_of", "source"):
        if not row[column]:
            raise Misuse("nothing stated", source=source, field=column, fix="Say it.")
    price = amounts.pop("price")
    if not price:
        raise Misuse("'0' is no price", source=source, field="price", fix="Leave out what has no price.")
    kind = InstanceType(row["type"], Resources(gpu_kind=row["gpu_kind"], **amounts))
    return ListPrice(kind, row["region"], price, row["as_of"], row["source"])
