"""`tradewind audit report`: everything on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tradewind.audit.vulnerabilities.gate import exit_code, fails, threshold
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.data.model_files.scanner import scan_file
from tradewind.session.audit.models_inside import models_in
from tradewind.session.audit.moving import times_of
from tradewind.session.audit.slim_folder import slim_folder
from tradewind.session.audit.subject import open_subject
from tradewind.session.audit.telling import audit_report
from tradewind.session.audit.vulnerable import vulnerable
from tradewind.session.report.audit.data import CheckLine
from tradewind.session.report.audit.page import write_audit_page


@terminal.verb("tradewind audit report image.oci --profile audit-profile --to audit.html --fail-on high")
@options.image
@options.profile
@click.option("--to", type=click.Path(path_type=Path), default=Path("audit.html"), show_default=True,
              help="The file to write.")  # fmt: skip
@click.option(
    "--slim", "target", type=click.Path(path_type=Path),
    help="What slim or heal wrote: pulls of both are timed, and what was healed is told.",
)  # fmt: skip
@options.fleet
@click.option(
    "--model", "models", type=click.Path(path_type=Path), multiple=True, help="A model file to judge."
)
@click.option("--sm", type=int, help="The capability of the GPU that it runs on, as 90.")
@click.option(
    "--fail-on", help="Exit with 1 from this severity on, as for vulns; a blocked model fails always."
)
def command(
    *,
    image: str,
    profile: Path,
    to: Path,
    target: Path | None,
    models: tuple[Path, ...],
    sm: int | None,
    fail_on: str | None,
    as_json: bool,
    **used: Any,
) -> int:
    """Write all that is known of an image into one HTML file.

    Packages, bloat and the graph of who brought what, runs and what each added, the proof, vulnerabilities
    before and after, the model files inside and those that are named; pages, where bloat measured them. The
    file needs nothing but itself.
    """
    limit = threshold(fail_on) if fail_on else None
    fleet = options.fleet_of(target, used)
    with open_subject(image, options.existing(profile)) as subject:
        found = vulnerable(subject)
        scans = [*models_in(subject.files, subject.inventory), *(scan_file(path) for path in models)]
        slimmed = moved = None
        if target is not None and subject.profile is not None:
            slimmed = slim_folder(target, subject.profile.name)
            # Plain folders are not pulled; who asks for a month's cost all the same is told so.
            if slimmed.form == "layout" or fleet.replicas:
                moved = times_of(subject, target, fleet)
        blocked = [scan.path for scan in scans if scan.verdict != "clean"]
        gate = []
        if limit is not None:
            failing = fails(found.findings, limit)
            gate.append(
                CheckLine("vulnerabilities", fail_on or "", f"{len(failing)}", "bad" if failing else "good")
            )
        if scans:
            gate.append(
                CheckLine("model files", "clean", f"{len(blocked)} not clean", "bad" if blocked else "good")
            )
        report = audit_report(
            subject, found=found, models=scans, moving=moved, slimmed=slimmed, target_sm=sm, gate=gate
        )
    write_audit_page(report, to)
    code = 1 if blocked else exit_code(found, limit)
    if as_json:
        terminal.show({"page": str(to), "exit_code": code, "report": report})
    else:
        for line in gate:
            click.echo(f"{line.what}: {line.after} ({line.before} asked for)")
        click.echo(f"Page: {to}")
    return code
