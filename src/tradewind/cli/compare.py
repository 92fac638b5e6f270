"""`tradewind compare`: policies from the same random starts in a recorded market."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tradewind import clock
from tradewind.cli import terminal
from tradewind.cli.spec_options import spec_given, spec_options
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.comparison import STARTS, compare
from tradewind.session.report.comparison_data import Comparison
from tradewind.session.report.comparison_page import COLUMNS, cells, method, summary

_SPARED = (5, 8, 10, 2, 4, 11)
"""Columns that a narrow terminal is spared, the first first."""
_EVERY = 5.0
"""Seconds of the wall's time between two lines where there is no terminal."""


@terminal.verb("tradewind compare adult.toml --policies cheapest_spot,checkpoint_restart --starts 50")
@spec_options
@click.option(
    "--policies",
    default="",
    metavar="NAME,...",
    help="Policies to compare, the first with the others; the spec's and every other if not given.",
)
@click.option(
    "--starts",
    type=click.IntRange(min=1),
    default=STARTS,
    show_default=True,
    help="Random starts, by --seed.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Processes at a time.")
@click.option("--work", type=float, help="vCPU-hours of the job; no data is read then.")
@click.option("--rate", type=float, help="Units of work a vCPU-second, in place of measuring it here.")
@click.option("--startup", help="Time from a lease's start until its worker works, such as 3m.")
@click.option("--forecaster", default="empirical", show_default=True, help="Forecasts that policies see.")
@click.option(
    "--refunds/--no-refunds", default=True, help="Whether what the tariff forgives is free; as in its year."
)
@click.option(
    "--to", "--out", "to", type=click.Path(path_type=Path), help="Write the page to this HTML file."
)
def command(
    *,
    spec: Path,
    sets: tuple[str, ...],
    policies: str,
    starts: int,
    jobs: int,
    work: float | None,
    rate: float | None,
    startup: str | None,
    forecaster: str,
    refunds: bool,
    to: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """What policies would have paid for a job, from random starts in a recorded market.

    SPEC is a TOML file; --history is a recorded market's name, its file, or its folder. The work is a speed
    model, measured here as by `estimate` unless --rate or --work say otherwise; prices, capacity and bills
    are recorded history, and the job is a price-taker. On demand and the clairvoyant bound are always in the
    table. Ctrl-C ends it with the starts that are done.
    """
    if to is not None and to.is_dir():
        raise Misuse("is a folder", source=str(to), field="--to", fix="Name an HTML file.")
    seconds = None
    if startup is not None:
        seconds = durations.seconds(startup, source="the command line", field="--startup")
    given = spec_given(spec, sets, options)
    with _Starts(silent=as_json) as progress:
        told = compare(
            given,
            [name.strip() for name in policies.split(",") if name.strip()],
            starts=starts,
            jobs=jobs,
            work=work,
            rate=rate,
            startup=seconds,
            forecaster=forecaster,
            refunds=refunds,
            to=to,
            told=progress.told,
        )
    if as_json:
        terminal.show(told)
    else:
        tell_comparison(told)
        if to is not None:
            click.echo(f"page: {to}")
    return 1 if told.interrupted else 0


def tell_comparison(told: Comparison) -> None:
    """Write the table, what it is made of, and who did not do the work and why."""
    rows = [cells(line) for line in told.lines]
    shown = _columns(rows)
    terminal.table(
        [COLUMNS[column] for column in shown],
        [[row[column] for column in shown] for row in rows],
        numbers=range(1, len(shown)),
        title=summary(told),
    )
    click.echo(f"differences to {told.policies[0]}, medians of times; {method(told)}")
    if len(shown) < len(COLUMNS):
        click.echo("a wider terminal, the page and --json show more")
    first, last = clock.iso(min(told.starts)), clock.iso(max(told.starts))
    click.echo(f"starts from {first} to {last}; the page and --json list every one")
    for line in told.lines:
        for reason, count in line.reasons:
            click.echo(f"{line.policy}, {count} of {line.starts} starts: {reason}")
    if told.interrupted:
        click.echo(f"interrupted: {len(told.starts)} of {told.asked} starts are done")


def _columns(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns that the terminal has room for, all of them where there is none."""
    shown = list(range(len(COLUMNS)))
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for column in _SPARED:
        if not sys.stdout.isatty() or sum(widths[each] + 2 for each in shown) <= terminal.console().width:
            break
        shown.remove(column)
    return shown


class _Starts:
    """Shows on stderr how many starts are done: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._bar: Progress | None = None
        self._task: Any = None
        self._elapsed = clock.stopwatch()
        self._next = _EVERY

    def __enter__(self) -> _Starts:
        if not self._silent and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("starts"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("Ctrl-C ends it with what is there", style="dim italic"),
                console=Console(stderr=True, highlight=False),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def told(self, done: int, total: int) -> None:
        """So many starts are done."""
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("starts", total=total)
            self._bar.update(self._task, completed=done)
        elif not self._silent and self._elapsed() >= self._next:
            self._next = self._elapsed() + _EVERY
            click.echo(f"{done} of {total} starts done", err=True)
