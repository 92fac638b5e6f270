"""`tradewind estimate`: time and money before anything is rented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from tradewind.cli import terminal
from tradewind.cli.spec_options import spec_given, spec_options
from tradewind.estimates.run_time import Interval
from tradewind.session import durations
from tradewind.session.report.page import dollars
from tradewind.session.train import estimate


@terminal.verb("tradewind estimate adult.toml --policy on_demand")
@spec_options
def command(*, spec: Path, sets: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """What a spec would take and cost, before anything is rented.

    SPEC is a TOML file. A few batches are measured on this machine; the interval comes from their spread and
    from the spread of the prices.
    """
    told = estimate(spec_given(spec, sets, options))
    if as_json:
        terminal.show(told)
    else:
        tell_estimate(told)


def tell_estimate(estimate: msgspec.Struct) -> None:
    """Write an estimate as a table: its intervals first, then whatever else it says."""
    fields = {name: getattr(estimate, name) for name in estimate.__struct_fields__}
    intervals = {name: value for name, value in fields.items() if isinstance(value, Interval)}
    rows = []
    for name, value in intervals.items():
        show = dollars if "cost" in name else durations.text if "seconds" in name else "{:g}".format
        words = name.replace("_", " ").replace("seconds", "time")
        rows.append((words, show(value.low), show(value.expected), show(value.high)))
    terminal.table(("", "at least", "expected", "at most"), rows, numbers=(1, 2, 3))
    for name, value in fields.items():
        if name not in intervals and isinstance(value, str | int | float) and value != "":
            click.echo(f"{name.replace('_', ' ')}: {value}")
