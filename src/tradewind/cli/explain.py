"""`tradewind explain`: why each lease was taken and dropped."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.report import find_run
from tradewind.session.explanation import explain
from tradewind.session.explanation_words import Explanation, paragraph, summary
from tradewind.session.report.page import dollars


@terminal.verb("tradewind explain latest --lease s3")
@click.argument("run", default="latest")
@terminal.runs_folder
@click.option("--lease", help="Tell of this lease alone.")
def command(*, run: str, out: Path, lease: str | None, as_json: bool) -> None:
    """Why each lease was taken and dropped, in words.

    RUN is `latest`, a run's number, name or folder, or a journal; it may still be going on, or have been cut
    off. Leases that one decision took and that ended alike are told together.
    """
    told = explain(find_run(run, out), lease=lease)
    if as_json:
        terminal.show(told)
        return
    for line in summary(told):
        click.echo(line)
    if lease is None and told.pools:
        click.echo("")
        tell_pools(told)
    for story in told.stories:
        click.echo("")
        for line in paragraph(story):
            click.echo(line)


def tell_pools(told: Explanation) -> None:
    """Write where the money went as a table."""
    rows = [
        (
            line.pool,
            line.terms.replace("_", " "),
            str(line.leases),
            str(line.revoked),
            f"{line.hours:.2f}",
            f"{line.free_hours:.2f}",
            dollars(line.cost),
            f"{line.share:.0%}",
        )
        for line in told.pools
    ]
    heads = ("pool", "terms", "leases", "revoked", "hours", "of them free", "cost", "of the work")
    terminal.table(heads, rows, numbers=(2, 3, 4, 5, 6, 7))
