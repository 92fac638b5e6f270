"""`tradewind audit bloat`: how much of an image the recorded runs need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tradewind.audit.bloat.degrees import measured
from tradewind.audit.bloat.pages import PageBloat
from tradewind.audit.bloat.tables import by_category, by_manager, by_state
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.session.audit.environment import PARTIAL
from tradewind.session.audit.moving import Moving, times_of
from tradewind.session.audit.paging import measure_pages, pages_of, write_prefetch
from tradewind.session.audit.subject import open_subject
from tradewind.session.report.audit.data import sized
from tradewind.session.report.audit.outlook import interval, times_less


@terminal.verb("tradewind audit bloat --profile audit-profile --pages")
@options.image
@options.profile
@click.option("--most", type=click.IntRange(1), default=25, show_default=True, help="Packages to show.")
@click.option("--pages", "paging", is_flag=True,
              help="Run all once more and tell which pages of the kept files are touched.")  # fmt: skip
@click.option("--prefetch", type=click.Path(path_type=Path),
              help="A file for the touched stretches of files, as lines of JSON.")  # fmt: skip
@click.option("--slim", "target", type=click.Path(path_type=Path),
              help="What slim wrote: pulls of both are timed, and a month's cost told.")  # fmt: skip
@options.fleet
def command(
    *,
    image: str,
    profile: Path,
    most: int,
    paging: bool,
    prefetch: Path | None,
    target: Path | None,
    as_json: bool,
    **used: Any,
) -> int:
    """How much of an image the recorded runs need, by package and by manager.

    Degrees are the share of bytes that the closure of the runs does not keep (MMLB, definitions 3.1 to 3.3),
    hard links counted once. With --pages, as root, the runs are made on a cold copy, and the kernel tells
    which pages of what is kept they touch; report tells it from then on. With --slim both images are
    unpacked and timed; prices are yours, in US dollars, and what has none is not counted.
    """
    fleet = options.fleet_of(target, used)
    with open_subject(image, profile) as subject:
        closure = subject.closure
        bloat, graph = measured(subject.inventory, closure.kept)
        if paging:
            measure_pages(subject, lambda why: click.echo(f"Note: {why}", err=True))
        stretches = write_prefetch(subject, prefetch) if prefetch is not None else 0
        pages = pages_of(subject)
        moved = times_of(subject, target, fleet) if target is not None else None
        partial = subject.profile is not None and subject.profile.about.environment
        if as_json:
            terminal.show(
                {
                    "bloat": bloat, "degree": bloat.degree, "graph": graph.as_json(), "pages": pages,
                    "moving": moved, "partial": PARTIAL if partial else "",
                }
            )  # fmt: skip
            return 0
        for heads, table in (
            ("manager", by_manager(bloat)),
            ("category", by_category(bloat)),
            ("state", by_state(bloat)),
        ):
            rows = [
                (row.name, str(row.packages), str(row.bloated), sized(row.share.bytes),
                 sized(row.share.kept_bytes), f"{row.share.degree:.3f}")
                for row in table.rows
            ]  # fmt: skip
            terminal.table(
                (heads, "packages", "not needed", "size", "kept", "degree"), rows, numbers=(1, 2, 3, 4, 5)
            )
            click.echo()
        biggest = sorted(bloat.packages, key=lambda each: (-each.share.removed_bytes, each.key))[:most]
        terminal.table(
            ("package", "version", "size", "kept", "degree", "why it is there"),
            [
                (each.key, each.version, sized(each.share.bytes), sized(each.share.kept_bytes),
                 f"{each.share.degree:.3f}",
                 _why(graph.chain(each.key), subject.inventory.packages[each.key].asked_for))
                for each in biggest
            ],
            numbers=(2, 3, 4),
        )  # fmt: skip
        if pages is not None:
            _show_pages(pages, most)
        if moved is not None:
            _show_moving(moved)
        click.echo(
            f"\nContainer bloat degree {bloat.degree:.3f}: {sized(bloat.whole.kept_bytes)} of "
            f"{sized(bloat.whole.bytes)} are needed."
        )
        if partial:
            click.echo(PARTIAL)
        if prefetch is not None:
            click.echo(f"To fetch ahead: {prefetch}, {stretches:,} stretches")
    return 0


def _show_pages(pages: PageBloat, most: int) -> None:
    for head, rows in (("kept", (*pages.kinds, pages.kept)), ("of package", pages.packages[:most])):
        click.echo()
        terminal.table(
            (head, "files", "size", "touched", "page degree"),
            [
                ("all" if row is pages.kept else row.name, f"{row.files:,}", sized(row.bytes),
                 sized(row.touched), f"{row.degree:.3f}")
                for row in rows
            ],
            numbers=(1, 2, 3, 4),
        )  # fmt: skip
    click.echo(
        f"\nPage degree {pages.kept.degree:.3f}: of {sized(pages.kept.bytes)} that are kept, "
        f"{sized(pages.kept.touched)} are touched. {pages.note}"
    )


def _show_moving(moved: Moving) -> None:
    click.echo()
    terminal.table(
        ("what", "before", "after", "times less", "at"),
        [
            (line.what, interval(line, line.before), interval(line, line.after), times_less(line), line.given)
            for line in moved.lines
        ],
        numbers=(1, 2, 3),
    )
    for note in moved.notes:
        click.echo(note)


def _why(chain: Sequence[str], asked_for: bool) -> str:
    """How a package came, in a cell of the table."""
    if len(chain) > 1:
        return " > ".join(chain)
    return "asked for by name" if asked_for else "no package asks for it"
