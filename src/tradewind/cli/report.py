"""`tradewind report`: one HTML file that tells a run, an endpoint, a study or a search for machines."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.advice.configuration.advisors import advisor
from tradewind.cli import terminal
from tradewind.data.runs import RunIndex
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.session.advise_records import RECORDS, history_in
from tradewind.session.report.advice.page import write_advice_page
from tradewind.session.report.advice.reading import advice_data
from tradewind.session.report.endpoint.data import shown
from tradewind.session.report.endpoint.page import write_endpoint_page
from tradewind.session.report.endpoint.reading import endpoint_data, is_endpoint
from tradewind.session.report.page import dollars, write_page
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
    """Write the report of a run, an endpoint, a study or a search for machines, one HTML file.

    RUN is `latest`, a run's number, name or folder, or a journal; the folder of an endpoint on rented
    machines; a study's folder or store; or the folder of a search for machines. It can be written while
    the run goes on.
    """
    store = Path(run) / STUDY if Path(run).is_dir() else Path(run)
    if study is not None or (store.name == STUDY and store.exists()):
        _tell_study(store, study, to, as_json=as_json)
        return
    folder = find_run(run, out)
    if (folder / RECORDS).exists():
        _tell_advice(folder, folder / "report.html" if to is None else to, as_json=as_json)
        return
    journal = journal_in(folder)
    target = journal.parent / "report.html" if to is None else to
    if is_endpoint(journal):
        _tell_endpoint(journal, target, as_json=as_json)
        return
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


def _tell_advice(folder: Path, target: Path, *, as_json: bool) -> None:
    history = history_in(folder)
    asked = history.asked.spec.advisor
    data = advice_data(history, advisor(asked.name, **asked.options))
    write_advice_page(data, target)
    if as_json:
        terminal.show({"report": str(target), "probes": len(data.probes)})
        return
    click.echo(f"{len(data.probes)} probes")
    click.echo(f"written: {target}")


def _tell_endpoint(journal: Path, target: Path, *, as_json: bool) -> None:
    data = endpoint_data(journal)
    write_endpoint_page(data, target)
    if as_json:
        terminal.show(
            {
                "report": str(target),
                "outcome": data.run.outcome,
                "requests": data.requests,
                "in_time": data.share,
                "kept": data.kept,
                "cost": data.run.cost,
                "cost_of_peak_on_demand": None if data.peak is None else data.peak.cost,
                "replicas": data.most_up,
                "revocations": data.run.revocations,
                "decisions": len(data.run.decisions),
            }
        )
        return
    share = f"{100 * data.objective.share:g}"
    click.echo(
        f"{data.run.title}: {data.run.outcome}; {data.requests:,.0f} requests, {data.share:.2%} in time, "
        f"p{share} {shown(data.tail)}; at most {data.most_up} machines, {data.run.revocations} taken away; "
        f"{dollars(data.run.cost)}"
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
