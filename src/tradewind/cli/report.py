"""`tradewind report`: one HTML file that tells a run or a study."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.data.runs import RunIndex
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.session.report.page import write_page
from tradewind.session.report.reading import journal_in, report_data
from tradewind.session.report.study.page import write_study_page
from tradewind.session.report.study.reading import study_data
from tradewind.session.tune import STUDY


@terminal.verb("tradewind report latest --to report.html")
@click.argument("run", default="latest")
@terminal.runs_folder
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="The file to write; report.html in the run's folder if not given.",
)
@click.option("--study", help="The study of that name, in the store that RUN is.")
def command(*, run: str, out: Path, to: Path | None, study: str | None, as_json: bool) -> None:
    """Write the report of a run or a study, one HTML file.

    RUN is `latest`, a run's number, name or folder, or a journal; or a study's folder or store. It can be
    written while the run goes on.
    """
    store = Path(run) / STUDY if Path(run).is_dir() else Path(run)
    if study is not None or (store.name == STUDY and store.exists()):
        _tell_study(store, study, to, as_json=as_json)
        return
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


def _tell_study(store: Path, study: str | None, to: Path | None, *, as_json: bool) -> None:
    if not store.exists():
        raise Misuse("there is no store", source=str(store), fix="Give the file that the study is kept in.")
    target = store.parent / "report.html" if to is None else to
    with TrialStore(store) as opened:
        names = [each.name for each in opened.studies()]
        if study is None and len(names) != 1:
            known = f"Give --study, of {', '.join(names) or 'none'}."
            raise Misuse("it is not said which study", source=str(store), field="study", fix=known)
        data = study_data(opened, names[0] if study is None else study)
    write_study_page(data, target)
    if as_json:
        terminal.show({"report": str(target), "study": data})
        return
    click.echo(f"written: {target}")


def find_run(run: str, out: Path) -> Path:
    """The folder or journal that a user means by `run`: a path, or a run of the record in `out`."""
    if Path(run).exists() or not (out / "index.sqlite").exists():
        return Path(run)
    return Path(RunIndex(out).find(run).directory)
