"""`tradewind prices`: what is cheapest, now or at a recorded moment."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct

from tradewind import clock
from tradewind.cli import terminal
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history as open_history
from tradewind.errors import Misuse, NoCapacity
from tradewind.market.catalog import Catalog, region_of
from tradewind.market.histories import MarketHistory
from tradewind.market.offers import Offer, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session import durations
from tradewind.session.report.data import PriceLine
from tradewind.session.report.pictures import price_picture

_LINES = 6
"""Pools in a plot: more cannot be told apart."""


class Row(Struct, frozen=True):
    """An offer as the table shows it."""

    instance_type: str
    zone: str
    terms: str
    per_hour: float
    """US dollars."""
    on_demand: float | None
    """US dollars an hour for the same type on demand in the region; None if the catalogue has no price."""
    saving: float | None
    """The share of the on-demand price that is saved."""
    vcpus: float
    memory_gib: float
    gpus: float
    gpu_kind: str
    available: int | None
    as_of: str
    """The day for which the catalogue states the on-demand price; empty if it has none."""


@terminal.verb("tradewind prices --vcpus 8 --region us-east-1 --at 2020-01-15")
@click.option("--vcpus", type=click.FloatRange(min=0), default=0.0, help="Hardware threads at least.")
@click.option("--memory", type=click.FloatRange(min=0), default=0.0, help="GiB of memory at least.")
@click.option("--gpus", type=click.FloatRange(min=0), default=0.0, help="GPUs at least.")
@click.option("--gpu-kind", default="", help="The GPU's market name, such as V100.")
@click.option("--region", default="", help="A region or a zone; every recorded one if not given.")
@click.option("--history", default="aws-2020", show_default=True, help="A recorded market: a name or a file.")
@click.option("--at", default="", help="The recorded moment; the last one if not given.")
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows shown.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw spot prices to this .svg or .png.")
@click.option("--span", default="30d", show_default=True, help="How far back the plot goes.")
def command(
    *,
    vcpus: float,
    memory: float,
    gpus: float,
    gpu_kind: str,
    region: str,
    history: str,
    at: str,
    top: int,
    plot: Path | None,
    span: str,
    as_json: bool,
) -> None:
    """What is cheapest, now or at a recorded moment.

    Prices come from a recorded market and from the catalogue; no account is asked. Without --at, it is the
    last moment at which every pool shown was recorded.
    """
    needed = Resources(vcpus=vcpus, memory_gib=memory, gpus=gpus, gpu_kind=gpu_kind)
    back = durations.seconds(span, source="the command line", field="--span")
    catalog = aws_catalog()
    recorded = open_history(history)
    if region:
        recorded = recorded.select(zones=(region,))
    moment = _moment(recorded, at)
    rows = cheapest(recorded, catalog, needed, moment)
    if not rows:
        raise NoCapacity(f"nothing in {recorded.name} had {_words(needed)} at {clock.iso(moment)}")
    if plot is not None:
        lines = _lines(recorded, rows, moment - back, moment)
        if not lines:
            raise Misuse(
                "none of the offers is a spot offer, and only those have a history",
                source="the command line",
                field="--plot",
                fix="Ask for less, or for another region.",
            )
        price_picture(lines, min(line.times[0] for line in lines), moment, plot)
    if as_json:
        terminal.show({"history": recorded.name, "at": clock.iso(moment), "offers": rows})
        return
    terminal.table(
        ("type", "zone", "terms", "$/hour", "saving", "vCPUs", "GiB", "GPUs", "available"),
        [_cells(row) for row in rows[:top]],
        numbers=(3, 4, 5, 6, 8),
        title=f"{_words(needed)} in {recorded.name}, recorded {clock.iso(moment)}",
    )
    days = sorted({row.as_of for row in rows if row.as_of})
    if days:
        click.echo(f"on demand: list prices as of {' to '.join(dict.fromkeys((days[0], days[-1])))}")
    if len(rows) > top:
        click.echo(f"{len(rows) - top} dearer offers are not shown (--top {len(rows)} shows all)")
    if plot is not None:
        click.echo(f"drawn: {plot}")


def cheapest(history: MarketHistory, catalog: Catalog, needed: Resources, at: float) -> list[Row]:
    """Every offer that has `needed` at the moment `at`, the cheapest first."""
    regions = sorted({region_of(pool.zone) for pool in history.pools} & set(catalog.regions))
    market = RecordedMarket(history, catalog, boot=0.0, on_demand=regions)
    rows = [_row(offer, catalog) for offer in market.offers(at) if offer.type.resources.covers(needed)]
    return sorted(rows, key=lambda row: (row.per_hour, row.instance_type, row.zone, row.terms))


def _row(offer: Offer, catalog: Catalog) -> Row:
    name, region, has = offer.type.name, region_of(offer.zone), offer.type.resources
    listed = catalog.listing(name, region) if catalog.sells(name, region) else None
    asked = None if listed is None else listed.per_hour
    price = offer.price.per_hour
    return Row(
        name,
        offer.zone,
        str(offer.terms),
        price,
        asked,
        1 - price / asked if asked and offer.terms is Terms.SPOT else None,
        has.vcpus,
        has.memory_gib,
        has.gpus,
        has.gpu_kind,
        offer.available,
        "" if listed is None else listed.as_of,
    )


def _moment(history: MarketHistory, at: str) -> float:
    if not at:
        return min(each.end for each in history.prices.values()) if history.prices else history.end
    try:
        moment = clock.moment(at)
    except Misuse as problem:
        raise Misuse(
            f"{at!r} is no moment",
            source="the command line",
            field="--at",
            fix="Write it as 2020-01-31T12:00:00Z.",
        ) from problem
    if not history.start <= moment <= history.end:
        raise Misuse(
            f"{at} was not recorded",
            source="the command line",
            field="--at",
            fix=f"{history.name} goes from {clock.iso(history.start)} to {clock.iso(history.end)}.",
        )
    return moment


def _lines(history: MarketHistory, rows: list[Row], start: float, end: float) -> list[PriceLine]:
    lines = []
    chosen = [row for row in rows if row.terms == Terms.SPOT][:_LINES]
    prices = {(pool.instance_type, pool.zone): line for pool, line in history.prices.items()}
    for row in chosen:
        window = prices[row.instance_type, row.zone].window(start, end)
        times = tuple(max(float(each), start) for each in window.times)
        lines.append(
            PriceLine(
                f"{row.instance_type}@{row.zone}", times, tuple(map(float, window.prices)), row.on_demand
            )
        )
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.instance_type,
        row.zone,
        row.terms.replace("_", " "),
        f"{row.per_hour:.4f}",
        "" if row.saving is None else f"{row.saving:.0%}",
        f"{row.vcpus:g}",
        f"{row.memory_gib:g}",
        f"{row.gpus:g} {row.gpu_kind}" if row.gpus else "",
        "" if row.available is None else str(row.available),
    )


def _words(needed: Resources) -> str:
    parts = [
        f"{needed.vcpus:g} vCPUs" if needed.vcpus else "",
        f"{needed.memory_gib:g} GiB" if needed.memory_gib else "",
        f"{needed.gpus:g} {needed.gpu_kind or 'GPUs'}".strip() if needed.gpus else needed.gpu_kind,
    ]
    told = ", ".join(part for part in parts if part)
    return f"at least {told}" if told else "any machine"
