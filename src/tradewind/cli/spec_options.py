"""The options by which the command line changes a spec, and how a run's end is told."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tradewind.cli import terminal
from tradewind.session import durations
from tradewind.session.report.data import ReportData
from tradewind.session.report.page import dollars
from tradewind.session.report.reading import report_data
from tradewind.session.spec import TrainSpec, override, read_spec

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
    for name, (_, kind, told) in reversed(FIELDS.items()):
        function = click.option(f"--{name}", type=kind, help=told)(function)
    function = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Set any field, such as learner.loss=hinge; may be given again.",
    )(function)
    return click.argument("spec", type=click.Path(path_type=Path))(function)


def spec_given(spec: Path, sets: tuple[str, ...], options: Mapping[str, Any]) -> TrainSpec:
    """The spec in the file with what the command line changed; Misuse for whatever is wrong in either."""
    changes = dict(map(override, sets))
    changes |= {field: options[name] for name, (field, _, _) in FIELDS.items() if options[name] is not None}
    return read_spec(spec, changes)


def tell_end(directory: Path, *, as_json: bool) -> int:
    """Tell how the run in `directory` ended, from its journal; the exit code."""
    data = report_data(directory)
    report = directory / "report.html"
    code = 0 if data.outcome == "done" else 1
    if as_json:
        terminal.show(
            {
                "outcome": data.outcome,
                "reason": data.reason,
                "directory": str(directory),
                "report": str(report) if report.exists() else None,
                "policy": data.policy,
                "cost": data.cost,
                "cost_on_demand": data.cost_on_demand,
                "market_seconds": data.ended - data.started,
                "wall_seconds": data.wall_seconds,
                "revocations": data.revocations,
                "quality": data.quality,
                "metric": data.quality_name,
                "estimates": data.estimates,
            }
        )
        return code
    for line in _lines(data):
        click.echo(line)
    click.echo(f"report: {report}" if report.exists() else f"run: {directory}")
    if code:
        click.echo(f"go on with: tradewind resume {shlex.quote(str(directory))}")
    return code


def _lines(data: ReportData) -> list[str]:
    time = durations.text(data.ended - data.started)
    money = f"{dollars(data.cost)} in {time} of market time, {data.revocations} revocations"
    if data.cost_on_demand:
        money += f"; on demand would have cost {dollars(data.cost_on_demand)}"
    lines = [f"{data.outcome}" + (f": {data.reason}" if data.reason else ""), money]
    if data.quality is not None:
        lines.append(f"{data.quality_name or 'quality'} {data.quality:.4f}")
    for row in data.estimates:
        if row.actual is not None:
            show = dollars if row.unit == "dollars" else durations.text
            verdict = "inside" if row.low <= row.actual <= row.high else "outside"
            bounds = f"{show(row.low)} to {show(row.high)}"
            lines.append(f"{row.what}: {show(row.actual)}, {verdict} the estimate of {bounds}")
    return lines
