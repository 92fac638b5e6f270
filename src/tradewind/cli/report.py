"""`tradewind report`: one HTML file that tells a run."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.data.runs import RunIndex
from tradewind.session.report.page import write_page
from tradewind.session.report.reading import journal_in, report_data


@terminal.verb("tradewind report latest --to report.html")
@click.argument("run", default="latest")
@terminal.runs_folder
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="The file to write; report.html in the run's folder if not given.",
)
def command(*, run: str, out: Path, to: Path | None, as_json: bool) -> None:
    """Write a run's report, one HTML file.

    RUN is `latest`, a run's number, name or folder, or a journal. It can be written while the run goes on.
    """
    journal = journal_in(find_run(run, out))
    target = journal.parent / "report.html" if to is None else to
    data = report_data(journal)
    write_page(data, target)
    if as_json:
        terminal.show(
            {
                "report": str(target),
                "outcome": data.outcome,
                "cost": data.cost,
                "cost_on_demand": data.cost_on_demand,
                "revocations": data.revocations,
                "decisions": len(data.decisions),
            }
        )
        return
    click.echo(
        f"{data.title}: {data.outcome}; {len(data.decisions):,} decisions, {data.revocations} revocations"
    )
    click.echo(f"written: {target}")


def find_run(run: str, out: Path) -> Path:
    """The folder or journal that a user means by `run`: a path, or a run of the record in `out`."""
    if Path(run).exists() or not (out / "index.sqlite").exists():
        return Path(run)
    return Path(RunIndex(out).find(run).directory)
