"""`tradewind runs`: the runs so far, endpoints on rented machines among them."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind import clock
from tradewind.cli import terminal
from tradewind.data.runs import Run, RunIndex
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.report.page import dollars


@terminal.verb("tradewind runs --top 5")
@terminal.runs_folder
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Rows shown.")
def command(*, out: Path, top: int, as_json: bool) -> None:
    """The runs so far: how they stand and what they cost.

    The newest first. A run whose driver was killed shows as crashed; `tradewind resume` goes on with it.
    Endpoints on rented machines are among them, with their replicas and URLs; for those of a server with
    --endpoints see `tradewind endpoint list`.
    """
    if out.exists() and not out.is_dir():
        raise Misuse("is no folder", source=str(out), field="--out", fix="Name the folder of the runs.")
    # Looking must not make a folder where there was none.
    runs = RunIndex(out).list() if (out / "index.sqlite").exists() else []
    if as_json:
        terminal.show({"runs": runs})
        return
    if not runs:
        click.echo(f"no runs in {out} yet; begin one: tradewind train SPEC")
        return
    shown = runs[:top]
    serving = any(run.endpoint is not None for run in shown)
    terminal.table(
        (
            *("run", "name", "state", "began", "market time", "cost", "on demand", "quality", "folder"),
            *(("replicas", "URL") if serving else ()),
        ),
        [(*_cells(run), *(_serving(run) if serving else ())) for run in shown],
        numbers=(0, 4, 5, 6, *((9,) if serving else ())),
    )
    if len(runs) > top:
        click.echo(f"{len(runs) - top} older runs are not shown (--top {len(runs)} shows all)")


def _cells(run: Run) -> tuple[str, ...]:
    quality = "" if run.quality is None else f"{run.metric or 'quality'} {run.quality:.4f}"
    return (
        str(run.id),
        run.name,
        run.state,
        clock.iso(run.started),
        "" if run.seconds is None else durations.text(run.seconds),
        "" if run.cost is None else dollars(run.cost),
        "" if run.cost_on_demand is None else dollars(run.cost_on_demand),
        quality,
        Path(run.directory).name,
    )


def _serving(run: Run) -> tuple[str, str]:
    return ("", "") if run.endpoint is None else (str(run.endpoint.replicas), run.endpoint.url)
