"""`tradewind audit vulns`: known vulnerabilities, with evidence."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tradewind import __version__
from tradewind.audit.vulnerabilities.gate import exit_code, threshold, undecided
from tradewind.audit.vulnerabilities.results import COLUMNS, as_document, as_sarif, rows, unanswered
from tradewind.audit.vulnerabilities.sources import FRESH_DAYS
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.data.durable_files import write_durably
from tradewind.session.audit.subject import open_subject
from tradewind.session.audit.vulnerable import vulnerable

_UNKNOWN = 8
"""Reasons for what is unknown that are shown."""


@terminal.verb("tradewind audit vulns .venv --fail-on high --strict")
@options.image
@options.profile
@click.option("--advisories", type=click.Path(path_type=Path), help="The folder of imported advisories.")
@click.option("--import", "files", type=click.Path(path_type=Path), multiple=True,
              help="An OSV dump, or results of Grype, Trivy or pip-audit; may be given again.")  # fmt: skip
@click.option("--complete", multiple=True, help="An ecosystem of which the dump holds all, as PyPI.")
@click.option("--changelogs", is_flag=True, help="Ask Debian's archive, through apt of this machine.")
@click.option("--fresh", type=float, default=FRESH_DAYS, show_default=True, metavar="DAYS",
              help="Older sources clear nothing.")  # fmt: skip
@click.option(
    "--fail-on", help="Exit with 1 from this severity on: any, low, medium, high, critical; ,loaded ,rated."
)
@click.option("--strict", is_flag=True, help="Exit with 2 where anything is unknown.")
@click.option("--sarif", type=click.Path(path_type=Path), help="Write the findings for code scanning.")
def command(
    *,
    image: str,
    profile: Path,
    advisories: Path | None,
    files: tuple[Path, ...],
    complete: tuple[str, ...],
    changelogs: bool,
    fresh: float,
    fail_on: str | None,
    strict: bool,
    sarif: Path | None,
    as_json: bool,
) -> int:
    """Which known vulnerabilities are in an image, and whether their code is there and loaded.

    With a profile each is told before and after slimming: removed, metadata-only, present-untouched,
    present-loaded or unknown. A package that no fresh source speaks of is unknown, never clean.
    """
    limit = threshold(fail_on) if fail_on else None
    with open_subject(image, options.existing(profile), attributes=False) as subject:
        found = vulnerable(
            subject, folder=advisories, files=files, complete=complete, changelogs=changelogs, most_days=fresh
        )
    if sarif is not None:
        write_durably(sarif, json.dumps(as_sarif(found, __version__), indent=2).encode())
    code = exit_code(found, limit, strict=strict)
    if as_json:
        terminal.show({**as_document(found), "exit_code": code})
        return code
    if found.findings:
        terminal.table(COLUMNS, rows(found.findings))
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items() if number)
    click.echo(
        f"{len(found.findings)} findings{': ' + counts if counts else ''}; {found.cleared} packages cleared"
    )
    for why, number in list(unanswered(found).items())[:_UNKNOWN]:
        click.echo(f"Unknown: {number} packages: {why}")
    for source in found.matching.sources:
        age = source.days(found.matching.now)
        told = f"{age:.0f} days old" if age is not None else "without a date"
        click.echo(f"Source: {source.name}, {source.records:,} advisories, {source.trouble or told}")
    if strict and code == 2:
        click.echo(f"Not decided: {len(undecided(found)):,} things are unknown.")
    return code
