"""`tradewind advise`: which machine, and how many, for a command of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from tradewind.advice.measuring.interface import Quote
from tradewind.cli import terminal
from tradewind.cli.report import find_run
from tradewind.cli.spec_options import changes_in
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.advise import Advised, advise, booking_quotes, replay_advice, resume_advice
from tradewind.session.advise_outlook import Row, against_current, money, sentence
from tradewind.session.advise_spec import make_advise_spec, read_advise_spec
from tradewind.session.report.study.drawing import number

FIELDS: dict[str, tuple[str, Any, str]] = {
    "runs": ("runs", str, "A CSV file of past runs; without SPEC nothing is run."),
    "workload": ("workload", str, "Whose rows of it are this workload's own."),
    "current": ("current", str, "The candidate that runs now."),
    "minimize": ("objective.minimize", str, "cost or run_time."),
    "deadline": ("objective.deadline", str, "Within which a run must end, such as 5m."),
    "budget": ("budget", float, "US dollars that all probes together may cost."),
    "time_limit": ("time_limit", str, "After which any run is ended, such as 10m."),
    "probes": ("probes", int, "How many at most."),
    "recurrences": ("recurrences", float, "How often the workload will still be run."),
    "advisor": ("advisor", str, "tradewind, cherrypick, lynceus, random, ..."),
    "seed": ("seed", int, "Where chance comes from."),
}
"""The fields with an option of their own: option to (field, type, help)."""
_HEADS = (
    "",
    "configuration",
    "an hour",
    "probe",
    "known",
    "a run costs",
    "takes",
    "objective, 90 %",
    "works",
)
_SHOWN = 20
"""Candidates in the table, at least all that were probed."""


def _options(function: Any) -> Any:
    for name, (_, kind, words) in reversed(list(FIELDS.items())):
        function = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=words)(function)
    return function


@terminal.verb("tradewind advise job.toml --budget 1 --current small")
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option(
    "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Set any field; may be given again."
)
@_options
@terminal.runs_folder
@click.option("--resume", help="Go on with a run: latest, its number, name or folder.")
@click.option("--replay", help="Make a run's every suggestion again and compare.")
@click.option("--dry-run", is_flag=True, help="At EC2: what would be booked and its most; books nothing.")
def command(
    *,
    spec: Path | None,
    sets: tuple[str, ...],
    out: Path,
    resume: str | None,
    replay: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Which machine, and how many, for a command of your own.

    SPEC is a TOML file with a command, candidates and what is wanted: the command is run on the candidates
    that tell most, within their limits, until another probe would not pay. Without SPEC, past runs in a CSV
    file are asked, and nothing is run. Ctrl-C pauses.
    """
    given = [name for name, value in (("SPEC", spec), ("--resume", resume), ("--replay", replay)) if value]
    if len(given) > 1:
        raise Misuse(f"there is {given[0]} too", field=given[1], fix="Leave one of the two out.")
    if dry_run and (resume is not None or replay is not None):
        raise Misuse("nothing new is booked there", field="--dry-run", fix="Give a SPEC with it.")
    if replay is not None:
        count = replay_advice(_folder(replay, out))
        if as_json:
            terminal.show({"suggestions": count, "equal": True})
        else:
            click.echo(f"{count} suggestions, all the same again")
        return 0

    def tell(words: str) -> None:
        if not as_json:
            click.echo(words, err=True)

    changes = changes_in(FIELDS, sets, options)
    if resume is not None:
        if changes:
            raise Misuse("a run goes on as it was asked", field=next(iter(changes)), fix="Leave it out.")
        found = resume_advice(_folder(resume, out), console=tell)
    else:
        changes.setdefault("out", str(out))
        if spec is None:
            asked = make_advise_spec({}, source="the command line", overrides=changes)
        else:
            asked = read_advise_spec(spec, changes)
        if dry_run:
            return _show_quotes(booking_quotes(asked), as_json=as_json)
        found = advise(asked, console=tell)
    return _show(found, as_json=as_json)


def _show_quotes(found: tuple[Quote, ...], *, as_json: bool) -> int:
    """What would be booked for a probe of each candidate."""
    if as_json:
        terminal.show({"quotes": msgspec.to_builtins(found)})
        return 0
    heads = ("configuration", "instance", "terms", "an hour", "held at most", "costs at most")
    rows = [
        (
            each.candidate,
            f"{each.type}@{each.zone}",
            each.terms.replace("_", " "),
            money(each.per_hour),
            durations.text(each.seconds),
            money(each.most),
        )
        for each in found
    ]
    terminal.table(heads, rows, numbers=(3, 4, 5))
    click.echo("nothing was booked; EC2 has checked the requests, and an object went to the store and back")
    return 0


def _folder(run: str, out: Path) -> Path:
    found = find_run(run, out)
    return found.parent if found.is_file() else found


def _show(found: Advised, *, as_json: bool) -> int:
    code = 1 if found.outcome == "paused" else 0
    if as_json:
        terminal.show({**msgspec.to_builtins(found), "report": _report(found)})
        return code
    shown = [row for row in found.rows if row.status or row.current or row.recommended]
    more = [row for row in found.rows if row not in shown][: max(0, _SHOWN - len(shown))]
    terminal.table(_HEADS, [_cells(row) for row in [*shown, *more]], numbers=(2, 5, 6, 8))
    left = len(found.rows) - len(shown) - len(more)
    if left:
        click.echo(f"{left} more candidates are not shown (--json tells all)")
    click.echo(f"{found.outcome}: {found.reason}")
    if found.next is not None:
        click.echo(f"run next: {found.next}")
    best = found.recommendation
    if best is None:
        click.echo("nothing can be recommended: no candidate has done what is asked, and none is likely to")
    else:
        click.echo(f"recommended: {best.name}, {sentence(best, found.minimize)}")
        click.echo(against_current(best, found.rows, found.minimize))
        for warning in best.warnings:
            click.echo(f"note: {warning}")
        sets = " ".join(f"--set {shlex.quote(_setting(*each))}" for each in found.settings.items())
        click.echo(f"train on it with: tradewind train SPEC {sets}")
    for note in found.notes:
        if note:
            click.echo(f"({note})")
    if found.directory:
        click.echo(f"{found.probes} probes, {money(found.spent)} in all")
        click.echo(f"report: {_report(found)}")
        if code:
            click.echo(f"go on with: tradewind advise --resume {shlex.quote(found.directory)}")
    return code


def _setting(field: str, value: Any) -> str:
    return f'{field}=["{value[0]}"]' if isinstance(value, list) else f"{field}={value}"


def _report(found: Advised) -> str | None:
    return str(Path(found.directory) / "report.html") if found.directory else None


def _cells(row: Row) -> tuple[str, ...]:
    mark = ">" if row.recommended else "=" if row.current else ""
    known = row.status.replace("_", " ") or "believed"
    return (
        mark,
        row.name,
        money(row.per_hour),
        ", ".join(map(str, row.probes)),
        known,
        money(row.dollars),
        durations.text(row.seconds),
        f"{number(row.low)} to {number(row.high)}",
        f"{row.works:.2f}",
    )
