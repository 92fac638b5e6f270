"""`tradewind audit slim`: writes the part of an image that its runs need."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.errors import Misuse
from tradewind.session.audit.steps import record, settle, slim
from tradewind.session.audit.subject import open_subject
from tradewind.session.report.audit.data import sized


@terminal.verb("tradewind audit slim image.oci --run 'python3 /app/predict.py' --to slim")
@options.image
@options.workloads
@options.profile
@click.option("--to", type=click.Path(path_type=Path), required=True, help="A folder to make.")
@click.option("--form", type=click.Choice(["layout", "folders"]), default="layout", show_default=True,
              help="An OCI layout that keeps the layers, or plain folders.")  # fmt: skip
def command(
    *,
    image: str,
    spec: Path | None,
    line: str | None,
    profile: Path,
    to: Path,
    form: Literal["layout", "folders"],
    as_json: bool,
) -> int:
    """Write the part of an image that the recorded runs need, and the rest beside it.

    With --run or --spec the workloads are recorded first. What is written: the slim image, the side-car with
    all that was removed, the list of it, and the list of what to fetch first. The slim image's package
    databases tell of what it still has, and its bill of materials of what was removed too.
    """
    if to.exists():
        raise Misuse("is there already", source=str(to), field="--to", fix="Name a new folder, or remove it.")
    asked = options.spec_of(spec, line)
    if asked.run:
        with open_subject(image or asked.image) as subject:
            record(subject, profile, asked, settling=spec is not None)
    elif spec is not None:
        settle(profile, asked)
    with (
        open_subject(image or asked.image, profile) as subject,
        terminal.counting("bytes written", silent=as_json) as count,
    ):
        written, closure = slim(subject, to, form=form, told=options.adding(count))
    if as_json:
        terminal.show(
            {
                "to": str(to), "bytes": written.bytes, "original_bytes": written.original_bytes,
                "degree": written.degree, "written": written, "probed": closure.only_probed,
                "unresolved": closure.unresolved, "dropped": closure.dropped,
            }
        )  # fmt: skip
        return 0
    click.echo(
        f"{sized(written.original_bytes)} -> {sized(written.bytes)}: container bloat degree "
        f"{written.degree:.3f}; {written.removed_files:,} files removed"
    )
    if written.layers:
        click.echo(
            f"{len(written.layers)} layers, {written.kept_layers} of them as they were; "
            f"packed {sized(written.packed)}, the side-car {sized(written.side_car_packed)}"
        )
    if closure.only_probed:
        click.echo(f"{len(closure.only_probed):,} files were only asked for, never opened; they are kept")
    for path, name in closure.unresolved[:5]:
        click.echo(f"Note: {path} is linked with {name}, which the image has not")
    if closure.dropped:
        click.echo(f"Note: the policy dropped {len(closure.dropped)} paths that a run touched")
    click.echo(f"Written: {to}. Verify it: tradewind audit verify --slim {to} --profile {profile}")
    return 0
