"""`tradewind replay`: decide a journal's every view again, or suggest a search's every probe."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.control.replay import replay
from tradewind.session.advise import replay_advice
from tradewind.session.advise_records import RECORDS
from tradewind.session.report.reading import journal_in


@terminal.verb("tradewind replay runs/latest/journal.sqlite")
@click.argument("journal", type=click.Path(path_type=Path))
def command(*, journal: Path, as_json: bool) -> None:
    """Decide every view of a journal again and compare.

    JOURNAL is a run's folder or its journal.sqlite, or the folder of a search for machines. Fails at the
    first decision that differs from the recorded one, and says both; fails too if a row was altered.
    """
    if (journal / RECORDS).exists():
        count = replay_advice(journal)
        if as_json:
            terminal.show({"journal": str(journal / RECORDS), "suggestions": count, "equal": True})
        else:
            click.echo(f"{count} suggestions, all the same again")
        return
    found = journal_in(journal)
    done = replay(found)
    if as_json:
        terminal.show(
            {
                "journal": str(found),
                "policy": done.header.policy,
                "decisions": done.decisions,
                "digest": done.digest,
                "equal": True,
                "seconds": done.seconds,
            }
        )
        return
    click.echo(
        f"{done.decisions:,} decisions of {done.header.policy}, all the same again, in {done.seconds:.2f} s"
    )
    click.echo(f"digest {done.digest}")
