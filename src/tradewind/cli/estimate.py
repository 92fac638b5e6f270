"""`tradewind estimate`: time and money before anything is rented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tradewind.cli import terminal
from tradewind.cli.spec_options import spec_given, spec_options
from tradewind.session import durations
from tradewind.session.estimation import Estimate
from tradewind.session.report.page import dollars
from tradewind.session.train import estimate


@terminal.verb("tradewind estimate adult.toml --policy on_demand")
@spec_options
def command(*, spec: Path, sets: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """What a spec would take and cost, before anything is rented.

    SPEC is a TOML file. A few batches are measured on this machine; then the policy is run in virtual time
    from moments of the market's past.
    """
    told = estimate(spec_given(spec, sets, options))
    if as_json:
        terminal.show(told)
    else:
        tell_estimate(told)


def tell_estimate(estimate: Estimate) -> None:
    """Write an estimate as a table, and where the run would begin."""
    rows = [
        (words, show(interval.low), show(interval.expected), show(interval.high))
        for words, interval, show in (
            ("market time", estimate.seconds, durations.text),
            ("cost", estimate.cost, dollars),
            ("cost on demand", estimate.on_demand_cost, dollars),
            ("rows a second on one core here", estimate.rows_per_second, "{:,.0f}".format),
        )
    ]
    terminal.table(("", "at least", "expected", "at most"), rows, numbers=(1, 2, 3))
    click.echo(f"it would begin with {estimate.plan}")
    if estimate.by_earlier_runs:
        click.echo("time and cost go by what earlier runs of the same learner on the same data took")
    elif estimate.past_runs:
        click.echo(
            f"time and cost are those of {estimate.past_runs} runs simulated on the market's past, "
            f"which had {estimate.revocations:.1f} revocations each"
        )
    else:
        click.echo("time and cost hold if nothing is revoked: the market's past is too short to try it on")
