"""`tradewind train`: estimate, confirm, run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tradewind.cli import terminal
from tradewind.cli.estimate import tell_estimate
from tradewind.cli.progress import Progress
from tradewind.cli.spec_options import spec_given, spec_options, tell_end
from tradewind.session.train import estimate, train


@terminal.verb("tradewind train adult.toml --deadline 2h --budget 5 --set learner.loss=hinge")
@spec_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask before the start.")
def command(*, spec: Path, sets: tuple[str, ...], yes: bool, as_json: bool, **options: Any) -> int:
    """Train what a spec says, through whatever the market does.

    SPEC is a TOML file. On a terminal it shows an estimate and asks first. Ctrl-C pauses: a snapshot is
    kept, every lease is released, and `tradewind resume` goes on. Exits with 0 only if training was done.
    """
    given = spec_given(spec, sets, options)
    if sys.stdin.isatty() and sys.stdout.isatty() and not (yes or as_json):
        tell_estimate(estimate(given))
        click.confirm("Begin?", default=True, abort=True)
    with Progress(given.name, budget=given.budget, silent=as_json) as progress:
        run = train(given, console=progress)
    return tell_end(run, as_json=as_json)
