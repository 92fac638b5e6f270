"""`tradewind audit trace`: runs a workload in an image and records what it touches."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import msgspec

from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.errors import Misuse
from tradewind.session.audit.environment import PARTIAL, is_environment
from tradewind.session.audit.spec import DEFAULT_BACKEND
from tradewind.session.audit.steps import record
from tradewind.session.audit.subject import open_subject
from tradewind.session.report.audit.data import sized
from tradewind.session.report.audit.reading import runs_section


@terminal.verb("tradewind audit trace image.oci --run 'python3 /app/predict.py'")
@options.image
@click.argument("words", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@options.workloads
@options.profile
@options.backend
@click.option("--name", help="What the run is called, with --run; a run of that name is replaced.")
def command(
    *,
    image: str,
    words: tuple[str, ...],
    spec: Path | None,
    line: str | None,
    profile: Path,
    backend: str,
    name: str | None,
    as_json: bool,
) -> int:
    """Run a workload in an image, confined, and record what it touches.

    The workload sees the image as its root, over which it may write, has no network and no privileges;
    nothing of it stays but the record. Several runs join: each tells what it added. In a virtual environment,
    which is no image, a command runs as it is, unconfined, and only what Python itself does is seen.
    """
    if words and line is not None:
        raise Misuse("there is a command already", source="the command line", field="--run",
                     fix="Leave one out.")  # fmt: skip
    line = shlex.join(words) if words else line
    asked = options.spec_of(spec, line)
    if name is not None and line is not None:
        asked = msgspec.structs.replace(asked, run=(msgspec.structs.replace(asked.run[0], name=name),))
    if backend != DEFAULT_BACKEND:
        asked = msgspec.structs.replace(asked, backend=backend)
    with open_subject(image or asked.image) as subject:
        environment = is_environment(subject.image)
        if environment:
            click.echo(f"Unconfined: {subject.image.source} is an environment, no image. {PARTIAL}", err=True)
            if line is not None:
                here = msgspec.structs.replace(asked.run[0], workdir=str(Path.cwd()))
                asked = msgspec.structs.replace(asked, run=(here,))
        kept = record(
            subject, profile, asked, settling=spec is not None,
            told=lambda workload, done: None if as_json else click.echo(
                f"{workload.name}: {done.outcome.seconds:.2f} s, exit code {done.outcome.exit_code}, "
                f"{len(done.run.touched.opened):,} files opened ({done.run.header.backend})"
            ),
        )  # fmt: skip
        section = runs_section(subject.inventory, kept.runs(subject.tree))
    if as_json:
        terminal.show({"profile": str(profile), "confined": not environment, "runs": section.runs})
        return 0
    terminal.table(
        ("run", "files", "size", "new files", "new size"),
        [
            (r.name, f"{r.files:,}", sized(r.bytes), f"{r.new_files:,}", sized(r.new_bytes))
            for r in section.runs
        ],
        numbers=(1, 2, 3, 4),
    )
    click.echo(f"Profile: {profile}")
    return 0
