"""`tradewind audit heal`: runs a workload on a slim image with its side-car, and heals what it misses."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from tradewind.audit.slimming.healing import Canary
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.errors import Misuse
from tradewind.session.audit.healing import heal
from tradewind.session.audit.spec import DEFAULT_BACKEND
from tradewind.session.audit.subject import open_subject
from tradewind.session.report.audit.data import sized


@terminal.verb("tradewind audit heal --slim slim --run 'python3 /app/predict.py --all' --to slim-2")
@options.image
@click.option("--slim", "target", type=click.Path(path_type=Path), required=True, help="What slim wrote.")
@options.workloads
@options.profile
@click.option("--to", type=click.Path(path_type=Path),
              help="A folder to make for the healed version; without it misses are only told.")  # fmt: skip
@options.backend
@click.option("--name", help="What the run is called, with --run; a number is added where it is taken.")
@click.option(
    "--most", type=click.IntRange(1), default=25, show_default=True, help="Misses to show, the largest first."
)
def command(
    *,
    image: str,
    target: Path,
    spec: Path | None,
    line: str | None,
    profile: Path,
    to: Path | None,
    backend: str,
    name: str | None,
    most: int,
    as_json: bool,
) -> int:
    """Run a workload on a slim image with its side-car, and heal what it misses.

    The workload finds the whole image, so it works; each file that it takes from the side-car is a miss and
    told with its package. With --to a new version is written that has them, and the run joins the profile, so
    that verify repeats it. Without --to the exit code is 1 if anything is missed.
    """
    if to is not None and to.exists():
        raise Misuse("is there already", source=str(to), field="--to", fix="Name a new folder, or remove it.")
    asked = options.spec_of(spec, line)
    if line is not None:
        called = msgspec.structs.replace(asked.run[0], name="canary" if name is None else name)
        asked = msgspec.structs.replace(asked, run=(called,))
    if backend != DEFAULT_BACKEND:
        asked = msgspec.structs.replace(asked, backend=backend)

    def tell(done: Canary) -> None:
        if as_json:
            return
        header, missed = done.recorded.run.header, done.misses
        size = sized(sum(each.size for each in missed))
        count = f"{len(missed):,} miss{'es' if len(missed) > 1 else ''}"
        summary = f"{count}, {size}" if missed else "nothing missed"
        click.echo(f"{header.name}: {header.seconds:.2f} s, {summary} ({header.backend})")
        if missed:
            terminal.table(
                ("miss", "size", "package", "was"),
                [
                    (f"/{each.path}", sized(each.size), each.package or "unowned",
                     "opened" if each.opened else "asked for")
                    for each in sorted(missed, key=lambda miss: (not miss.opened, -miss.size))[:most]
                ],
                numbers=(1,),
            )  # fmt: skip
        if len(missed) > most:
            click.echo(f"and {len(missed) - most:,} more")

    with (
        open_subject(image or asked.image, profile) as subject,
        terminal.counting("bytes written", silent=as_json) as count,
    ):
        done = heal(subject, target, asked, to, told=tell, counted=options.adding(count))
    code = 1 if done.misses and to is None else 0
    if as_json:
        terminal.show(
            {
                "misses": done.misses, "healed": done.written is not None, "written": done.written,
                "dropped": done.dropped, "to": None if done.written is None else str(to),
                "exit_code": code,
            }
        )  # fmt: skip
        return code
    if done.written is not None:
        click.echo(
            f"Healed: {sized(done.written.bytes)} of {sized(done.written.original_bytes)}, container bloat "
            f"degree {done.written.degree:.3f}"
        )
        if done.dropped:
            click.echo(
                f"Note: the policy drops {len(done.dropped):,} of the missed paths, as {done.dropped[0]}"
            )
        click.echo(f"Written: {to}. Verify it: tradewind audit verify --slim {to} --profile {profile}")
    elif to is not None:
        click.echo(f"Nothing is written: {target} has all that was used")
    return code
