"""`tradewind export`: a run's model for others."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.report import find_run
from tradewind.errors import Misuse
from tradewind.session.model_folders import model_folder
from tradewind.session.models import STEPS, export


@terminal.verb("tradewind export latest --onnx model.onnx")
@click.argument("run", default="latest")
@terminal.runs_folder
@click.option("--onnx", type=click.Path(path_type=Path), help="Write an ONNX file.")
@click.option(
    "--safetensors", type=click.Path(path_type=Path), help="Make a folder in the open layout, with the card."
)
def command(*, run: str, out: Path, onnx: Path | None, safetensors: Path | None, as_json: bool) -> None:
    """Write a finished run's model for others, as ONNX or in the open layout.

    RUN is `latest`, a run's number, name or folder, or a model's folder or file. An ONNX file answers as the
    model does, in float32. A folder in the open layout opens with numpy alone, see docs/models.md.
    """
    wanted = {"onnx": onnx, "safetensors": safetensors}
    if not any(wanted.values()):
        raise Misuse(
            "there is nothing to write", field="--onnx", fix="Give --onnx FILE or --safetensors FOLDER."
        )
    found = find_run(run, out)
    written = {
        format: str(export(found, target, format)) for format, target in wanted.items() if target is not None
    }
    steps = model_folder(found) / STEPS
    if as_json:
        terminal.show({"run": str(found), "written": written})
        return
    for each in written.values():
        click.echo(f"written: {each}")
    if onnx is not None and steps.is_dir():
        click.echo(f"The ONNX file takes rows that went through the steps in {steps}.")
