"""The options by which the command line changes a spec, and how a run's end is told."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tradewind.cli import terminal
from tradewind.session import durations
from tradewind.session.assembly import policy_of
from tradewind.session.report.page import dollars
from tradewind.session.report.reading import JOURNAL, report_data
from tradewind.session.spec import TrainSpec, read_spec
from tradewind.session.spec_documents import override
from tradewind.session.stretch import Trained

F = TypeVar("F", bound=Callable[..., Any])

FIELDS: dict[str, tuple[str, Any, str]] = {
    "deadline": ("deadline", str, "Market time from the start, such as 2h, or a moment."),
    "budget": ("budget", float, "US dollars for the whole run."),
    "policy": ("policy", str, "cheapest_spot, checkpoint_restart or on_demand."),
    "workers": ("workers.count", int, "Instances for workers at most."),
    "seed": ("seed", int, "Where chance comes from."),
    "provider": ("provider", str, "local (real processes) or simulated (virtual time)."),
    "history": ("provider.history", str, "A recorded market: a name or a file."),
    "speed": ("provider.speed", float, "Market seconds in a second of the wall's."),
}
"""The fields with an option of their own: option to (field, type, help)."""


def spec_options(function: F) -> F:
    """Give a verb the argument SPEC, `--set`, and an option for each of `FIELDS`."""
    return options_of(FIELDS, "learner.loss=hinge")(function)


def options_of(fields: Mapping[str, tuple[str, Any, str]], example: str) -> Callable[[F], F]:
    """Give a verb the argument SPEC, `--set` with an example, and an option for each of some fields."""

    def give(function: F) -> F:
        for name, (_, kind, told) in reversed(list(fields.items())):
            function = click.option(f"--{name}", type=kind, help=told)(function)
        function = click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="FIELD=VALUE",
            help=f"Set any field, such as {example}; may be given again.",
        )(function)
        return click.argument("spec", type=click.Path(path_type=Path))(function)

    return give


def spec_given(spec: Path, sets: tuple[str, ...], options: Mapping[str, Any]) -> TrainSpec:
    """The spec in the file with what the command line changed; Misuse for whatever is wrong in either."""
    given = read_spec(spec, changes_in(FIELDS, sets, options))
    policy_of(given)  # an unknown policy is told before anything is read or measured
    return given


def changes_in(
    fields: Mapping[str, tuple[str, Any, str]], sets: tuple[str, ...], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What the command line changes: dotted fields to values, an option before `--set`."""
    changes = dict(map(override, sets))
    given = {field: options[name] for name, (field, _, _) in fields.items() if options[name] is not None}
    return {**changes, **given}


def tell_end(run: Trained, *, as_json: bool) -> int:
    """Tell how a run ended; the exit code."""
    directory = Path(run.directory)
    report = directory / "report.html"
    # A run that rented nothing has no journal.
    data = report_data(directory) if (directory / JOURNAL).exists() else None
    code = 0 if run.outcome == "done" else 1
    if as_json:
        terminal.show(
            {
                "outcome": run.outcome,
                "reason": "" if data is None else data.reason,
                "directory": str(directory),
                "report": str(report) if report.exists() else None,
                "cost": run.cost,
                "cost_on_demand": run.cost_on_demand,
                "market_seconds": run.seconds,
                "revocations": run.revocations,
                "quality": run.quality,
                "metric": run.metric,
                "estimates": [] if data is None else data.estimates,
            }
        )
        return code
    click.echo(run.outcome + (f": {data.reason}" if data is not None and data.reason else ""))
    if data is not None:
        money = f"{dollars(run.cost)} in {durations.text(run.seconds)} of market time, "
        money += f"{run.revocations} revocations"
        if run.cost_on_demand:
            money += f"; on demand would have cost {dollars(run.cost_on_demand)}"
        click.echo(money)
        for row in data.estimates:
            if row.actual is not None:
                show = dollars if row.unit == "dollars" else durations.text
                verdict = "inside" if row.low <= row.actual <= row.high else "outside"
                bounds = f"{show(row.low)} to {show(row.high)}"
                click.echo(f"{row.what}: {show(row.actual)}, {verdict} the estimate of {bounds}")
    if run.quality is not None:
        click.echo(f"{run.metric or 'quality'} {run.quality:.4f}")
    click.echo(f"report: {report}" if report.exists() else f"run: {directory}")
    if code:
        click.echo(f"go on with: tradewind resume {shlex.quote(str(directory))}")
    return code
