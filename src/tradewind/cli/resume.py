"""`tradewind resume`: go on with a run."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.progress import Progress
from tradewind.cli.report import find_run
from tradewind.cli.spec_options import tell_end
from tradewind.session.train import resume


@terminal.verb("tradewind resume latest")
@click.argument("run", default="latest")
@terminal.runs_folder
@click.option("--workers", type=click.IntRange(min=1), help="Go on with another number of instances.")
@click.option("--budget", type=float, help="Another budget, US dollars for the whole run.")
def command(*, run: str, out: Path, workers: int | None, budget: float | None, as_json: bool) -> int:
    """Go on with a run that was paused or cut off.

    RUN is `latest`, a run's number, name or folder. It goes on from the last snapshot; what was learned up to
    it is kept, whatever happened to the machines.
    """
    found = find_run(run, out)
    directory = found.parent if found.is_file() else found
    with Progress(directory.name, silent=as_json) as progress:
        done = resume(directory, workers=workers, budget=budget, console=progress)
    return tell_end(done, as_json=as_json)
