"""`tradewind audit model`: model files, judged before anything loads them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.data.durable_files import write_durably
from tradewind.data.model_files.allowed.lists import allowed_from
from tradewind.data.model_files.allowed.making import make_list
from tradewind.data.model_files.conversion import convert
from tradewind.data.model_files.findings import EXIT_CODES, Scan, Verdict
from tradewind.data.model_files.sarif import sarif
from tradewind.data.model_files.scanner import every_rule, scan_file, scan_folder
from tradewind.errors import Misuse
from tradewind.session.report.audit.data import sized

_SHOWN = 10
"""Findings of a file that are shown."""


@terminal.verb("tradewind audit model model.pkl weights/ --sarif findings.sarif")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--allow", type=click.Path(path_type=Path, exists=True), multiple=True,
              help="A list made for another library, or a folder of them; may be given again.")  # fmt: skip
@click.option("--make-list", "libraries", metavar="LIBRARY", multiple=True,
              help="Import an installed library that you trust, and write the list of what files may do with "
              "its classes; may be given again.")  # fmt: skip
@click.option("--lists", "folder", type=click.Path(path_type=Path, file_okay=False), default=".",
              show_default=True, help="The folder that --make-list writes into.")  # fmt: skip
@click.option("--sarif", "log", type=click.Path(path_type=Path), help="Write the findings for code scanning.")
@click.option("--convert", "target", type=click.Path(path_type=Path),
              help="Write a clean file's tensors as safetensors.")  # fmt: skip
def command(
    *,
    paths: tuple[Path, ...],
    allow: tuple[Path, ...],
    libraries: tuple[str, ...],
    folder: Path,
    log: Path | None,
    target: Path | None,
    as_json: bool,
) -> int:
    """Judge model files before anything loads them; nothing in them is run.

    PATHS are files, or folders whose every file is judged. Formats are told by the bytes, never by names.
    Names that a pickle uses are allowed one by one, by lists for known libraries; `--make-list` writes one
    for another library, which `--allow` takes. Exit codes: 0 only if all is clean, 1 if anything is blocked,
    2 if anything could not be decided.
    """
    if not paths and not libraries:
        raise Misuse(
            "no file is given", source="the command line", field="PATHS", fix="Give files or folders."
        )
    if target is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise Misuse("one file is converted at a time", source="the command line", field="--convert")
    made = [make_list(library, folder) for library in libraries]
    lists = [{"path": str(path), "names": count} for path, count in made]
    if not as_json:
        for path, count in made:
            click.echo(f"{path}: {count:,} names; read it, then allow it with --allow {path}")
    if not paths:
        if as_json:
            terminal.show({"lists": lists})
        return 0
    allowed = allowed_from(*allow, *(path for path, _ in made))
    scans: list[Scan] = []
    for path in paths:
        if path.is_dir():
            scans += scan_folder(path, allowed=allowed)
        else:
            scans.append(scan_file(path, allowed=allowed))
    rules = every_rule()
    if log is not None:
        write_durably(log, json.dumps(sarif(scans, rules), indent=2).encode())
    verdicts = {scan.verdict for scan in scans}
    worst: Verdict = "blocked" if "blocked" in verdicts else "undecided"
    if scans and verdicts == {"clean"}:
        worst = "clean"
    code = EXIT_CODES[worst]
    converted = convert(paths[0], target, allowed=allowed) if target is not None else None
    if as_json:
        told = [{"path": s.path, "verdict": s.verdict, "scan": s} for s in scans]
        terminal.show({"verdict": worst, "files": told, "converted": converted, "lists": lists})
        return code
    for scan in scans:
        click.echo(f"{scan.path}: {scan.verdict} ({scan.format}, {sized(scan.size)})")
        for finding in scan.findings[:_SHOWN]:
            place = ", ".join(
                part
                for part in (
                    finding.where,
                    f"byte {finding.offset}" if finding.offset is not None else "",
                    finding.opcode,
                )
                if part
            )
            click.echo(
                f"  {finding.level}: {finding.message} [{finding.rule}{'; ' + place if place else ''}]"
            )
            if finding.preview:
                click.echo(f"    {finding.preview}")
        if len(scan.findings) > _SHOWN:
            click.echo(f"  and {len(scan.findings) - _SHOWN} more")
        fixes = dict.fromkeys(
            rules[f.rule].fix for f in scan.findings if f.rule in rules and f.level != "note"
        )
        for fix in list(fixes)[:2]:
            if fix:
                click.echo(f"  {fix}")
    if not scans:
        click.echo("There is no file here; nothing is decided.")
    if converted is not None:
        click.echo(f"Written: {converted.path}, {converted.tensors} tensors, {sized(converted.size)}")
    return code
