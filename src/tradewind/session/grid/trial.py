"""A trial of a grid in a process of its own: `python -m tradewind.session.grid.trial`.

Its order is one JSON line on standard input, which stays open as a lifeline: when the driver is gone, however
it died, the job is paused with a snapshot and every lease is released. What it tells is JSON lines on
standard output:

    {"order": SPEC, "run": FOLDER or ""}                           in: begin, or go on with that run
    {"tells": "began", "run": FOLDER}
    {"tells": "at", "done": ROWS, "loss": X, "dollars": D, "seconds": S, "leases": N}
    {"tells": "ended", "outcome": "done" | "paused", "reason": TEXT, "dollars": D, "seconds": S, ...}
    {"tells": "failed", "reason": TEXT}

SIGTERM pauses it. Dollars and seconds, which are the market's, count what the run cost and took before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import msgspec

from tradewind.control.journal import Journal
from tradewind.control.records import Sample
from tradewind.data.runs import DONE, RUNNING, Run, RunIndex
from tradewind.errors import TradewindError
from tradewind.runtimes.wire import line
from tradewind.session.report.reading import JOURNAL
from tradewind.session.spec import TrainSpec, spec_bytes
from tradewind.session.train import resume, train

PATIENCE = 8.0
"""Seconds that a pause may take once the driver is gone; then the process is killed, its leases with it."""


class Order(msgspec.Struct, frozen=True):
    """What a driver wants of this process."""

    order: TrainSpec
    run: str = ""


class Teller:
    """Watches the job and tells its driver."""

    def __init__(self, root: Path, output: int) -> None:
        self._root, self._output = root, output
        self._run: Run | None = None
        self._from = 0.0

    def tell(self, what: str, **about: Any) -> None:
        """Write a line; nobody may be left to read it."""
        message = {name: value for name, value in about.items() if value is not None}
        with contextlib.suppress(OSError):  # where the driver is gone the lifeline sees to it
            os.write(self._output, line({"tells": what, **message}))

    def update(self, sample: Sample) -> None:
        """The job is at `sample`."""
        if self._run is None:
            self._run, self._from = self._own(), sample.moment
            self.tell("began", run=self._run.directory)
        self.tell(
            "at", done=sample.done, loss=_finite(sample.loss), leases=sample.leases,
            dollars=(self._run.cost or 0.0) + sample.spent,
            seconds=(self._run.seconds or 0.0) + sample.moment - self._from,
        )  # fmt: skip

    def _own(self) -> Run:
        """The line of the record that this process drives."""
        runs = RunIndex(self._root).list()
        return next(run for run in runs if run.state == RUNNING and run.pid == os.getpid())


def unfinished(spec: TrainSpec) -> str:
    """The folder of a run of exactly this spec that was begun and is not done; empty if there is none."""
    if not Path(spec.out).is_dir():
        return ""
    text = spec_bytes(spec).decode()
    return next(
        (
            run.directory
            for run in RunIndex(spec.out).list()
            if run.name == spec.name and run.spec == text and run.state not in (DONE, RUNNING)
        ),
        "",
    )


def _carried_out(order: Order, teller: Teller) -> None:
    known = order.run and Path(order.run).is_dir()  # else it was on another machine, and is begun anew
    directory = order.run if known else unfinished(order.order)
    if directory:
        run = RunIndex(Path(directory).parent).find(directory)
        if run.state == DONE:  # its driver was gone before it could hear so
            teller.tell("began", run=run.directory)
            with Journal.read(Path(directory) / JOURNAL) as journal:
                sample = journal.summary().sample
            if sample is not None:
                told = {"dollars": run.cost, "seconds": run.seconds}
                teller.tell("at", done=sample.done, loss=_finite(sample.loss), leases=0, **told)
        else:
            resume(directory, console=teller)
    else:
        directory = train(order.order, console=teller).directory
    run = RunIndex(Path(directory).parent).find(directory)
    teller.tell(
        "ended", outcome=run.state, reason=run.reason, dollars=run.cost, seconds=run.seconds,
        quality=_finite(run.quality), metric=run.metric,
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


def _first_line(source: int) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        more = os.read(source, 1 << 16)
        if not more:
            sys.exit(1)
        found += more
    return found


def _hold_on(lifeline: int) -> None:
    """Wait for the driver's end, and pause then."""
    while os.read(lifeline, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(PATIENCE)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Do what the line on standard input says."""
    output, lifeline = os.dup(1), os.dup(0)
    os.dup2(2, 1)  # what a user's learner prints is no message
    order = msgspec.json.decode(_first_line(lifeline), type=Order)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_hold_on, args=(lifeline,), daemon=True).start()
    teller = Teller(Path(order.order.out), output)
    try:
        _carried_out(order, teller)
    except TradewindError as problem:
        teller.tell("failed", reason=str(problem))
        return 1
    except Exception as problem:
        traceback.print_exc()
        teller.tell("failed", reason=f"{type(problem).__name__}: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    left = main()
    sys.stderr.flush()
    os._exit(left)  # all is kept and released: the interpreter's own farewell takes a second
