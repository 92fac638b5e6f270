"""A run as it goes: work done, loss, leases, and the money beside what on-demand would have cost."""

from __future__ import annotations

import sys
from collections import deque
from types import TracebackType

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tradewind import clock
from tradewind.control.records import Sample
from tradewind.session import durations
from tradewind.session.report.page import dollars

_EVENTS = 6
"""Events shown below the figures."""
_EVERY = 5.0
"""Seconds of the wall's time between two lines where there is no terminal."""


class Progress:
    """Watches a run: drawn anew in place on a terminal, a line now and then elsewhere, nothing if `silent`.

    All of it goes to stderr, so that stdout holds the result alone. Use it as a context manager.
    """

    def __init__(
        self, title: str, *, budget: float | None = None, silent: bool = False, what: str = "rows",
        value: str = "loss",
    ) -> None:  # fmt: skip
        self.title, self.budget, self.what, self.value = title, budget, what, value
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._silent = silent
        self._drawn = not silent and sys.stderr.isatty()
        self._elapsed = clock.stopwatch()
        self._told = -_EVERY
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if self._drawn:
            terminal = Console(stderr=True, highlight=False)
            self._live = Live(self._picture(), console=terminal, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, sample: Sample, event: str = "") -> None:
        """The run is at `sample`; `event` is what happened or comes next, in words."""
        self._first = self._first or sample
        self._last = sample
        if event:
            self.tell(event, at=sample.moment)
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
        elif not self._silent and not self._drawn and self._elapsed() - self._told >= _EVERY:
            self._told = self._elapsed()
            click.echo(self.line(sample), err=True)

    def tell(self, event: str, at: float | None = None) -> None:
        """Something happened, such as a revocation; `at` is its moment of market time."""
        line = event if at is None else f"{clock.iso(at)}  {event}"
        self._events.append(line)
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)
        elif not self._silent and not self._drawn:
            click.echo(line, err=True)

    def line(self, sample: Sample) -> str:
        """A sample as one line of plain text."""
        loss = "" if sample.loss is None else f"  {self.value} {sample.loss:.4f}"
        share = sample.done / sample.total if sample.total else 0.0
        beside = f"  on demand {dollars(sample.on_demand_spent)}" if sample.on_demand_spent else ""
        return (
            f"{clock.iso(sample.moment)}  {share:4.0%}{loss}  {sample.leases} leases  "
            f"spent {dollars(sample.spent)}{beside}"
        )

    def _picture(self) -> Group:
        sample, first = self._last, self._first
        if sample is None or first is None:
            return Group(Text(f"{self.title}: starting", style="bold"))
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column()
        saved = 1 - sample.spent / sample.on_demand_spent if sample.on_demand_spent > 0 else 0.0
        left = "" if self.budget is None else f" of {dollars(self.budget)}"
        loss = "" if sample.loss is None else f"{sample.loss:.4f}"
        grid.add_row(self.what, f"{sample.done:,.0f} of {sample.total:,.0f}", self.value, loss)
        grid.add_row("spent", f"{dollars(sample.spent)}{left}", "leases", str(sample.leases))
        saving = f"{saved:.0%} saved" if saved >= 0 else f"{-saved:.0%} more than that"
        if sample.on_demand_spent:
            grid.add_row("on demand", dollars(sample.on_demand_spent), "", Text(saving, style="green"))
        passed = durations.text(sample.moment - first.moment)
        grid.add_row("market time", clock.iso(sample.moment), "since the start", passed)
        bar = Table.grid()
        bar.add_row(ProgressBar(total=max(sample.total, 1.0), completed=sample.done, width=60))
        events = Text("\n".join(self._events), style="dim")
        hint = Text("Ctrl-C pauses", style="dim italic")
        return Group(Text(self.title, style="bold"), bar, grid, events, hint)
