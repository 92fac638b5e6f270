"""`tradewind console`: a study, live in a browser."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

import click

from tradewind.cli import terminal
from tradewind.console.server import Console


@terminal.verb("tradewind console runs/grid/trials.sqlite --port 8800")
@click.argument("store")
@click.option("--study", help="The study to show first; the store's first if not given.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where it listens; a free port if 0.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address it listens at; one that is not loopback asks for a token.",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End when standard input does.")
def command(*, store: str, study: str | None, port: int, host: str, lifeline: bool, as_json: bool) -> int:
    """Show a study live in a browser, and kill trials there.

    STORE is the file of a study, or a URL of SQLAlchemy; whoever drives the study may be anywhere. Ends with
    Ctrl-C.
    """
    console = Console(store, study, host=host, port=port)
    try:
        if as_json:
            terminal.show({"url": console.link})
        else:
            click.echo(f"watching {console.store.url} at {console.link} (Ctrl-C ends)")
        sys.stdout.flush()
        if lifeline:
            threading.Thread(target=_end_with_input, daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            console.serve()
    finally:
        console.close()
    return 0


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
