"""What verbs have in common: their options, their tables, and their JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tradewind import clock

F = TypeVar("F", bound=Callable[..., Any])
_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


def verb(example: str) -> Callable[[F], click.Command]:
    """Make a function a verb: `--json` (passed as `as_json`), `--debug`, and an example in its help."""

    def make(function: F) -> click.Command:
        command = click.command(epilog=f"Example: {example}")(function)
        command.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="One JSON object instead of text."),
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, help="Tell errors with where they arose."
            ),
        ]
        return command

    return make


def runs_folder(function: F) -> F:
    """Give a verb the option `--out`, the folder of the runs."""
    return click.option(
        "--out",
        default="runs",
        show_default=True,
        type=click.Path(path_type=Path),
        help="The folder of the runs.",
    )(function)


def console() -> Console:
    """The terminal that we write to; plain text where it is none."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 200)


def show(value: Any) -> None:
    """Write `value` as one line of JSON."""
    click.echo(msgspec.json.encode(value).decode())


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), title: str = ""
) -> None:
    """Write a table: ruled on a terminal, columns of plain text elsewhere."""
    if sys.stdout.isatty():
        drawn = Table(
            title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False
        )
        for column, head in enumerate(heads):
            drawn.add_column(head, justify="right" if column in numbers else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*row)
        console().print(drawn)
        return
    if title:
        click.echo(title)
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


@contextmanager
def counting(what: str, *, silent: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """A function that shows how many of `what` are done, of how many where that is known; on stderr.

    A bar on a terminal, a line every few seconds elsewhere, nothing if `silent`.
    """
    if silent:
        yield lambda done, of: None
        return
    if sys.stderr.isatty():
        done = TextColumn("{task.completed:,.0f}")
        columns = (TextColumn("{task.description}"), BarColumn(), done, TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda count, of: bar.update(task, completed=count, total=of)
        return
    passed = clock.stopwatch()
    told = 0.0

    def tell(done: int, of: int | None) -> None:
        nonlocal told
        if passed() - told >= _EVERY:
            told = passed()
            click.echo(f"{done:,}{f' of {of:,}' if of else ''} {what}", err=True)

    yield tell
