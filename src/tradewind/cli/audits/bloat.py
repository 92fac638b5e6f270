"""`tradewind audit bloat`: how much of an image the recorded runs need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tradewind.audit.bloat.degrees import measured
from tradewind.audit.bloat.tables import by_category, by_manager, by_state
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.session.audit.subject import open_subject
from tradewind.session.report.audit.data import sized


@terminal.verb("tradewind audit bloat --profile audit-profile")
@options.image
@options.profile
@click.option("--most", type=click.IntRange(1), default=25, show_default=True, help="Packages to show.")
def command(*, image: str, profile: Path, most: int, as_json: bool) -> int:
    """How much of an image the recorded runs need, by package and by manager.

    Degrees are the share of bytes that the closure of the runs does not keep (MMLB, definitions 3.1 to 3.3),
    hard links counted once.
    """
    with open_subject(image, profile) as subject:
        closure = subject.closure
        bloat, graph = measured(subject.inventory, closure.kept)
        if as_json:
            terminal.show({"bloat": bloat, "degree": bloat.degree, "graph": graph.as_json()})
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
        click.echo(
            f"\nContainer bloat degree {bloat.degree:.3f}: {sized(bloat.whole.kept_bytes)} of "
            f"{sized(bloat.whole.bytes)} are needed."
        )
    return 0


def _why(chain: Sequence[str], asked_for: bool) -> str:
    """How a package came, in a cell of the table."""
    if len(chain) > 1:
        return " > ".join(chain)
    return "asked for by name" if asked_for else "no package asks for it"
