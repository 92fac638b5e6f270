"""How fast a job really goes: rows, loss and rate from one look at its state after another."""

from __future__ import annotations

from collections.abc import Callable

from tradewind.training.view import Progress

_WINDOW = 20
"""Looks that the loss is averaged over."""


class Meter:
    """What is known of a job's progress.

    `rows_done` turns the workers' clocks into rows, of `total`. `rate` (rows a vCPU-second) and `startup`
    (seconds) are estimates that hold until they are measured.
    """

    def __init__(
        self, total: float, rows_done: Callable[[tuple[int, ...]], float], rate: float, startup: float
    ) -> None:
        self.startup = startup
        self.saved = 0.0
        """Rows in the last snapshot."""
        self._total, self._rows_done, self._rate = total, rows_done, rate
        self._clocks: tuple[int, ...] = ()
        self._windows: list[tuple[float, float]] = []
        """Sum of losses and weight at recent looks."""
        self._done = self._done_before = 0.0
        """Rows that were read, and those of them in earlier stretches of the run."""
        self._vcpus = self._vcpu_seconds = self._looked_at = 0.0
        """What works now, what has worked so far, and when that was last added up."""

    def look(
        self, clocks: tuple[int, ...], losses: tuple[float, float], now: float, vcpus: float
    ) -> set[int]:
        """Take a look in, of a moment at which so many vCPUs work; the workers that moved since the last.

        `clocks` are batches by worker, `losses` the sum of all losses so far and their weight.
        """
        earlier, self._clocks = self._clocks or (-1,) * len(clocks), clocks
        self._done = self._rows_done(clocks)
        if min(earlier) < 0:
            self._done_before, self._looked_at = self._done, now
        if earlier != clocks:
            self._windows.append(losses)
            del self._windows[:-_WINDOW]
        self._vcpu_seconds += self._vcpus * (now - self._looked_at)
        self._looked_at, self._vcpus = now, vcpus
        if self._vcpu_seconds > 0 and self._done > self._done_before:
            self._rate = (self._done - self._done_before) / self._vcpu_seconds
        return {worker for worker, clock in enumerate(clocks) if clock != earlier[worker]}

    def keep(self, clocks: tuple[int, ...]) -> float:
        """A snapshot of these clocks is whole; the rows in it."""
        self.saved = self._rows_done(clocks)
        return self.saved

    def progress(self) -> Progress:
        """The latest known."""
        return Progress(self._done, self._total, self.saved, self._rate, self.startup)

    def loss(self) -> float | None:
        """The mean loss over the last few looks."""
        if not self._windows:
            return None
        first, last = self._windows[0], self._windows[-1]
        weight = last[1] - first[1]
        if weight > 0:
            return (last[0] - first[0]) / weight
        return last[0] / last[1] if last[1] > 0 else None
