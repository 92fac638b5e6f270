"""Recorded markets, read from the files in which others published them.

What a file is, its content says: price changes as CSV (`zone,instance_type,time,price`), AWS's own
`describe-spot-price-history` as JSON, pages of it or JSON lines, sampled counts of instances as JSON
(skypilot-org/spot-traces), and lives of instances as CSV (`milliseconds,add|remove,name`,
uclasystem/bamboo). Each may be compressed with gzip. Whatever is wrong is one Misuse that names the file,
the line and the field.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path

from msgspec import Struct

from tradewind.data.histories.aws_json import documents, prices_of_aws
from tradewind.data.histories.instance_counts import counts_of_json
from tradewind.data.histories.instance_lives import dealt, lives_of_csv, tells_lives
from tradewind.data.histories.price_csv import prices_of_csv
from tradewind.errors import Misuse, suggestion
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import Pool

DEMO_START = 1580515200.0
"""2020-02-01T00:00:00Z: where the demo's lives of instances are laid into the prices of 2020."""


def history(
    source: str | Path,
    *,
    types: Iterable[str] = (),
    zones: Iterable[str] = (),
    product: str = "Linux/UNIX",
    pools: Sequence[Pool] = (),
    start: float | None = None,
    notice: float = 120.0,
) -> MarketHistory:
    """The market recorded in a file, in the files of a directory, or shipped under a name (`names()`).

    `types` and `zones` (regions too) choose among the pools. `product` chooses among the rows of AWS's
    JSON. `pools` and `start` say where and when a trace belongs that does not say so itself: lives of
    instances, dealt out to the pools in turn, or counts in a file whose name is not the publisher's.
    `notice` is the seconds from a warning to the end of a lease.

    Raises Misuse for an unknown name or file, and for anything wrong in it.
    """
    if str(source) in _SHIPPED:
        market = _SHIPPED[str(source)]()
    else:
        path = Path(source)
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if _looks_recorded(each.name))
        elif path.is_file():
            files = [path]
        else:
            raise Misuse(
                f"no recorded market {str(source)!r}",
                source="history",
                fix=f"Give a file or a directory, or a name: {suggestion(str(source), _SHIPPED)}",
            )
        if not files:
            raise Misuse("no file of prices or capacity", source=str(path), fix="Put some there.")
        told = _Told(product, tuple(pools), start)
        market = _merged(path.name, [_read(each, told) for each in files], files, notice)
    types, zones = tuple(types), tuple(zones)
    return market.select(types, zones) if types or zones else market


def names() -> tuple[str, ...]:
    """The markets that the package carries."""
    return tuple(_SHIPPED)


def demo_history(start: float = DEMO_START, pools: Sequence[Pool] | None = None) -> MarketHistory:
    """The prices of 2020 of p2.xlarge and p3.2xlarge in us-east-1, with the lives of 177 real instances.

    The lives begin at `start` and are dealt out in turn to `pools` (all of those, if not given), so that
    each has a part of them and loses instances at other moments.
    """
    prices = _aws_2020().select(["p2.xlarge", "p3.2xlarge"], ["us-east-1"])
    chosen = prices.pools if pools is None else tuple(pools)
    name = "bamboo-p3.csv"
    capacities = dealt(name, lives_of_csv(name, _sample(name).decode()), chosen, start)
    end = capacities[0].end
    for pool in chosen:
        if not (prices.price(pool).covers(start) and prices.price(pool).covers(end)):
            raise Misuse(
                f"{pool} has no prices then",
                source="demo",
                field="start",
                fix=f"Choose a moment from {prices.price(pool).start:.0f} to {prices.price(pool).end:.0f}"
                f" less the {end - start:.0f} seconds of the lives.",
            )
    priced = MarketHistory("demo", {pool: prices.price(pool) for pool in chosen}, notice=120.0)
    return priced.with_capacity(capacities).window(start, end)


def _aws_2020() -> MarketHistory:
    name = "spot-prices-2019-2020.csv.gz"
    return MarketHistory("aws-2020", prices_of_csv(name, _text(name, _sample(name))))


_SHIPPED: dict[str, Callable[[], MarketHistory]] = {"aws-2020": _aws_2020, "demo": demo_history}


def _sample(name: str) -> bytes:
    return (resources.files("tradewind.data") / "samples" / name).read_bytes()


def _looks_recorded(name: str) -> bool:
    return name.removesuffix(".gz").endswith((".csv", ".json", ".jsonl")) and not name.startswith(".")


_Part = tuple[dict[Pool, PriceHistory], dict[Pool, CapacityHistory]]


class _Told(Struct, frozen=True):
    """What the caller says about files that do not say it themselves."""

    product: str
    pools: tuple[Pool, ...]
    start: float | None


def _merged(name: str, parts: Sequence[_Part], files: Sequence[Path], notice: float) -> MarketHistory:
    prices: dict[Pool, PriceHistory] = {}
    capacities: dict[Pool, CapacityHistory] = {}
    for (more_prices, more_capacities), file in zip(parts, files, strict=True):
        twice = (prices.keys() & more_prices.keys()) | (capacities.keys() & more_capacities.keys())
        if twice:
            raise Misuse(
                f"{min(twice)} is recorded in an earlier file too",
                source=str(file),
                fix="Give the files of one recording, or each by itself.",
            )
        prices |= more_prices
        capacities |= more_capacities
    return MarketHistory(name, prices, capacities, notice=notice)


def _read(path: Path, told: _Told) -> _Part:
    source = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Misuse(f"cannot be read: {error}", source=source, fix="Give a file that can be.") from error
    text = _text(source, content)
    first = text[:1].strip() or text.lstrip()[:1]
    if not first:
        raise Misuse("the file is empty", source=source, fix="Give one with records.")
    if first in "{[":
        answers = list(documents(source, text))
        if len(answers) == 1 and isinstance(answers[0], dict) and "data" in answers[0]:
            price, capacity = counts_of_json(
                source, path.name, answers[0], pools=told.pools, start=told.start
            )
            return {} if price is None else {price.pool: price}, {capacity.pool: capacity}
        return prices_of_aws(source, answers, told.product), {}
    if not tells_lives(text):
        return prices_of_csv(source, text), {}
    if not told.pools or told.start is None:
        raise Misuse(
            "lives of instances do not say where and when they were",
            source=source,
            field="start" if told.pools else "pools",
            fix="Give pools=(Pool(type, zone), ...) and start=moment.",
        )
    return {}, {each.pool: each for each in dealt(source, lives_of_csv(source, text), told.pools, told.start)}


def _text(source: str, content: bytes) -> str:
    try:
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as error:
        raise Misuse(f"broken gzip: {error}", source=source, fix="Fetch the file again.") from error
    except UnicodeDecodeError as error:
        raise Misuse(f"no text: {error}", source=source, fix="Give CSV or JSON in UTF-8.") from error
