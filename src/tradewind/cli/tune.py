"""`tradewind tune`: search for the best setting of what a spec learns."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from tradewind.cli import terminal
from tradewind.cli.progress import Progress
from tradewind.cli.spec_options import changes_in, options_of
from tradewind.session import durations
from tradewind.session.report.page import dollars
from tradewind.session.tune import Tuned, tune
from tradewind.session.tune_spec import read_tune_spec

FIELDS: dict[str, tuple[str, Any, str]] = {
    "trials": ("tune.trials", int, "How many at most."),
    "budget": ("budget", float, "US dollars for the whole study."),
    "deadline": ("deadline", str, "Market time from the start, such as 2h."),
    "search": ("tune.search", str, "random, grid, sobol, gp, tpe, cmaes or pbt."),
    "stop": (
        "tune.stop",
        str,
        "median, asha, hyperband, decay_curve, early_curve, last_value, race or widening.",
    ),
    "machines": ("tune.machines", str, "cheapest_step, spottune or one_type."),
    "workers": ("workers.count", int, "Trials at once at most."),
    "name": ("tune.name", str, "Of the study; one of that name goes on."),
    "seed": ("seed", int, "Where chance comes from."),
    "runtime": ("runtime", str, "processes, inline or ray."),
}
"""The fields with an option of their own: option to (field, type, help)."""


@terminal.verb("tradewind tune adult.toml --trials 16 --budget 2 --stop race")
@options_of(FIELDS, "tune.space.l2.low=1e-6")
def command(*, spec: Path, sets: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Search for the best setting of what a spec learns.

    SPEC is a TOML file with a table `tune`; each trial runs on a leased machine of its own. A study that is
    there goes on. Ctrl-C pauses: what runs is checkpointed. Exits with 0 only if the study is done.
    """
    given = read_tune_spec(spec, changes_in(FIELDS, sets, options))
    with Progress(given.name, budget=given.budget, silent=as_json, what="steps", value="best") as progress:
        found = tune(given, console=progress)
    return _tell(found, spec, as_json=as_json)


def _tell(found: Tuned, spec: Path, *, as_json: bool) -> int:
    code = 0 if found.outcome == "done" else 1
    report = Path(found.directory) / "report.html"
    if as_json:
        terminal.show({**msgspec.to_builtins(found), "report": str(report)})
        return code
    click.echo(f"{found.outcome}: {found.reason}")
    ended = f"{found.completed} completed, {found.stopped} stopped early, {found.failed} failed"
    click.echo(f"{found.trials} trials: {ended}")
    if found.cost:
        passed = durations.text(found.seconds)
        click.echo(f"{dollars(found.cost)} in {passed} of market time, {found.revocations} revocations")
    if found.best is not None:
        click.echo(f"best: trial {found.best.number}, {found.metric} {found.best.final:.6g}".rstrip())
        for name, value in found.setting.items():
            click.echo(f"  {name} = {value!r}")
        sets = " ".join(f"--set {field}={value}" for field, value in found.fields.items())
        click.echo(f"train it with: tradewind train {shlex.quote(str(spec))} {sets}")
    click.echo(f"report: {report}")
    if code:
        click.echo(f"go on with: tradewind tune {shlex.quote(str(spec))}")
    return code
