"""`tradewind audit slim`: writes the part of an image that its runs need."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.writing import Form, SlimImage
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.errors import Misuse
from tradewind.session.audit.environment import is_environment, seen_in_part
from tradewind.session.audit.slim_together import Share, Together, slim_together
from tradewind.session.audit.spec import AuditSpec
from tradewind.session.audit.steps import record, settle, slim
from tradewind.session.audit.subject import open_subject
from tradewind.session.report.audit.data import sized


@terminal.verb("tradewind audit slim image.oci --run 'python3 /app/predict.py' --to slim")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@options.workloads
@click.option("--profile", "profiles", type=click.Path(path_type=Path), multiple=True,
              default=[options.PROFILE], show_default=True,
              help="The folder of the recorded runs; one for each image.")  # fmt: skip
@click.option("--to", type=click.Path(path_type=Path), required=True, help="A folder to make.")
@click.option("--form", type=click.Choice(["layout", "folders"]), default="layout", show_default=True,
              help="An OCI layout that keeps the layers, or plain folders.")  # fmt: skip
@click.option("--share", type=click.Choice(["auto", "all", "none"]), default="auto", show_default=True,
              help="Layers that several images go on sharing: where it pays, all, or none.")  # fmt: skip
def command(
    *,
    images: tuple[str, ...],
    spec: Path | None,
    line: str | None,
    profiles: tuple[Path, ...],
    to: Path,
    form: Form,
    share: Share,
    as_json: bool,
) -> int:
    """Write the part of an image that the recorded runs need, and the rest beside it.

    With --run or --spec the workloads are recorded first. What is written: the slim image, the side-car with
    all that was removed, the list of it, and the list of what to fetch first. The slim image's package
    databases tell of what it still has, and its bill of materials of what was removed too.

    Several images, each with a --profile of runs that are recorded already, are slimmed together: layers that
    they have in common stay common where all together save more by it than an image grows.
    """
    if to.exists():
        raise Misuse("is there already", source=str(to), field="--to", fix="Name a new folder, or remove it.")
    asked = options.spec_of(spec, line)
    if len(profiles) > 1 or len(images) > 1:
        return _together(images, profiles, asked, to, form, share, as_json)
    image, profile = images[0] if images else "", profiles[0]
    if asked.run:
        with open_subject(image or asked.image) as subject:
            if is_environment(subject.image):
                raise seen_in_part(subject.image.source)
            record(subject, profile, asked, settling=spec is not None)
    elif spec is not None:
        settle(profile, asked)
    with (
        open_subject(image or asked.image, profile) as subject,
        terminal.counting("bytes written", silent=as_json) as count,
    ):
        written, closure = slim(subject, to, form=form, told=options.adding(count))
    if as_json:
        terminal.show({"to": str(to), **_as_json(written, closure)})
        return 0
    _tell(written, closure)
    click.echo(f"Written: {to}. Verify it: tradewind audit verify --slim {to} --profile {profile}")
    return 0


def _together(
    images: tuple[str, ...], profiles: tuple[Path, ...], asked: AuditSpec, to: Path, form: Form,
    share: Share, as_json: bool,
) -> int:  # fmt: skip
    if asked != AuditSpec():
        raise Misuse("several images are slimmed by runs that are recorded", field="--run",
                     fix="Trace each first, into a profile of its own.")  # fmt: skip
    if images and len(images) != len(profiles):
        raise Misuse(
            f"there are {len(images)} images, and as many profiles are needed, not {len(profiles)}",
            field="--profile", fix="Give one for each image, in the same order.",
        )  # fmt: skip
    with ExitStack() as opened:
        chosen = images or ("",) * len(profiles)
        subjects = [
            opened.enter_context(open_subject(image, profile))
            for image, profile in zip(chosen, profiles, strict=True)
        ]
        count = opened.enter_context(terminal.counting("bytes written", silent=as_json))
        done = slim_together(subjects, to, share=share, form=form, told=options.adding(count))
    packed, in_common = done.packed
    if as_json:
        terminal.show(
            {
                "to": str(to), "shared_layers": done.shared, "saved_bytes": done.saved, "packed": packed,
                "packed_in_common": in_common, "common": done.common, "apart": done.apart,
                "images": {
                    name: _as_json(written, done.closures[name]) for name, written in done.images.items()
                },
            }
        )  # fmt: skip
        return 0
    for name, written in done.images.items():
        click.echo(f"{name}:")
        _tell(written, done.closures[name])
    _tell_sharing(done)
    for name, profile in zip(done.images, profiles, strict=True):
        click.echo(f"Verify {name}: tradewind audit verify --slim {to} --profile {profile}")
    return 0


def _tell_sharing(done: Together) -> None:
    common = {each.number for each in done.common}
    if not common:
        click.echo("The images have no layer in common")
        return
    grown = [f"{name} by {sized(done.closures[name].kept.bytes - size)}" for name, size in done.apart.items()]
    click.echo(f"{done.shared} of {len(common)} layers in common are shared")
    terminal.table(
        ("layer", "images", "kept apart", "kept together", "saved", "an image grows", ""),
        [
            (str(e.number), str(e.images), sized(e.apart), sized(e.together), sized(e.saved),
             sized(e.growth), "shared" if e.number < done.shared else "not shared")
            for e in done.common
        ],
        numbers=(0, 1, 2, 3, 4, 5),
    )  # fmt: skip
    packed, in_common = done.packed
    if done.shared:
        click.echo(f"Together {sized(done.saved)} smaller than apart; {', '.join(grown)} larger")
    if packed:
        click.echo(f"Packed {sized(packed)} in all, of which several have {sized(in_common)}")


def _as_json(written: SlimImage, closure: Closure) -> dict[str, object]:
    return {
        "bytes": written.bytes, "original_bytes": written.original_bytes, "degree": written.degree,
        "written": written, "probed": closure.only_probed, "unresolved": closure.unresolved,
        "dropped": closure.dropped,
    }  # fmt: skip


def _tell(written: SlimImage, closure: Closure) -> None:
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
