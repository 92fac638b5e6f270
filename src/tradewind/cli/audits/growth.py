"""`tradewind audit growth`: how a code base and its releases grew."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind import __version__, clock
from tradewind.audit.growth.history import count_growth
from tradewind.audit.growth.indexes import distributions_at
from tradewind.audit.growth.releases import releases
from tradewind.cli import terminal
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.audit.growing import growth_section, write_growth_files
from tradewind.session.report.audit.data import AuditReport, Subject, sized
from tradewind.session.report.audit.page import write_audit_page

PYPI = "https://pypi.org/simple"


@terminal.verb("tradewind audit growth . --only '*.py' --to growth")
@click.argument("repository", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--branch", default="HEAD", show_default=True, help="What is followed.")
@click.option("--interval", default="7d", show_default=True, help="At least so long between two samples.")
@click.option("--only", multiple=True, help="Count files that match, as '*.py'; may be given again.")
@click.option("--ignore", multiple=True, help="Leave out files that match; may be given again.")
@click.option("--project", default="", help="A package, whose releases are measured too.")
@click.option("--index", default=PYPI, show_default=True, help="An index, a saved page of one, or a folder.")
@click.option("--to", type=click.Path(path_type=Path), help="A folder for the page, and to go on from.")
def command(
    *,
    repository: Path | None,
    branch: str,
    interval: str,
    only: tuple[str, ...],
    ignore: tuple[str, ...],
    project: str,
    index: str,
    to: Path | None,
    as_json: bool,
) -> int:
    """How a code base or a package grew: lines by year of origin, size by release.

    REPOSITORY is a clone; its history is read once, on one core, and every line belongs to the commit that
    `git blame` names. With --project the releases of a package are measured as well, or alone.
    """
    if repository is None and not project:
        raise Misuse(
            "there is nothing to measure", field="REPOSITORY", fix="Name a clone, or --project NAME."
        )
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
    growth = None
    if repository is not None:
        with terminal.counting("commits", silent=as_json) as counted:
            growth = count_growth(
                repository, branch=branch, only=only, ignore=ignore,
                interval=durations.seconds(interval, source="--interval", field=""),
                checkpoint=to / "growth.safetensors" if to else None,
                told=lambda progress: counted(progress.commits, progress.of),
            )  # fmt: skip
    found = releases(distributions_at(index, project), project) if project else []
    where = str(repository.absolute()) if repository else project
    section = growth_section(growth, where, found, project)
    if to is not None:
        if growth is not None:
            write_growth_files(growth, to)
        total = sum(curve.bytes[-1] for curve in growth.curves["cohort"]) if growth else 0
        report = AuditReport(
            title=f"Growth of {Path(where).name}", version=__version__, made=clock.wall(),
            subject=Subject(where, "history" if growth else "releases", growth.head if growth else "", total),
            growth=section,
        )  # fmt: skip
        write_audit_page(report, to / "growth.html")
    if as_json:
        terminal.show({"growth": growth, "releases": found, "folder": str(to) if to else None})
        return 0
    if growth is not None:
        last = [(c.label, c.lines[-1], c.bytes[-1]) for c in growth.curves["cohort"] if c.lines[-1]]
        rows = [(label, f"{lines:,}", sized(size)) for label, lines, size in last]
        rows.append(("all", f"{sum(row[1] for row in last):,}", sized(sum(row[2] for row in last))))
        terminal.table(("written in", "lines now", "size"), rows, numbers=(1, 2))
    if found:
        terminal.table(
            ("release", "file", "size"),
            [(each.version, each.chosen.file, sized(each.chosen.size)) for each in found],
            numbers=(2,),
        )
    if to is not None:
        click.echo(f"Page: {to / 'growth.html'}")
    return 0
