"""Probes on this machine: a process group that has so many processors and so much memory and no more."""

from __future__ import annotations

import contextlib
import math
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tradewind import clock
from tradewind.advice.measuring.interface import INTERRUPTED, Measured, Order, Room
from tradewind.advice.measuring.keeper import ABSENT, ALIVE, END, EXITED, LIMIT, MEMORY, End, Task
from tradewind.errors import Misuse, Permanent
from tradewind.market.measured_runs import DONE, FAILED
from tradewind.providers import local_leftovers

KEEPER = (sys.executable, "-m", "tradewind.advice.measuring.keeper")
LOG = "output.log"
"""In an attempt's folder: all that the command put out."""
_LOOK, _PATIENCE = 0.1, 5.0
"""Seconds between two questions whether to stop; and that a keeper whose driver is gone is waited for."""
_TAIL = 600
"""Characters of a command's last words that are kept."""
_GIB = 2**30


class LocalMeasurer:
    """Runs each probe below a keeper of its own, in a folder `work/NAME`.

    A candidate of several machines is one group with all their processors and memory: no network is
    between them. Not for use by two threads at a time.
    """

    @property
    def told(self) -> str:
        """In words: where runs are made, and how they are limited."""
        return (
            "real runs on this machine, one at a time, limited in processors and memory; several machines "
            "are one group with all their processors and memory, without a network between them"
        )

    def check(self, name: str, room: Room, machines: float) -> None:
        """Raise Misuse for more processors or memory than this machine has, or where it cannot limit."""
        del machines
        if not hasattr(os, "sched_setaffinity") or not Path("/proc/self/smaps_rollup").exists():
            raise Misuse(
                "this machine cannot limit a run",
                source="measure",
                field="kind",
                fix="Local probes need Linux: measure on Ray, or give past runs.",
            )
        cores, memory = len(os.sched_getaffinity(0)), _memory_here()
        if room.cores is not None and room.cores > cores:
            raise Misuse(
                f"{name!r} has {room.cores:g} processors in all, and this machine {cores}",
                source="candidates",
                field="vcpus",
                fix="Leave it out, or measure where it can be had.",
            )
        if room.memory is not None and room.memory > memory:
            raise Misuse(
                f"{name!r} has {room.memory / _GIB:g} GiB in all, and this machine {memory / _GIB:.1f}",
                source="candidates",
                field="memory_gib",
                fix="Leave it out, or measure where it can be had.",
            )

    def measure(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured:
        """Make the run; returns when all of it is dead."""
        folder = work / order.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in (END, ALIVE):
            (folder / name).unlink(missing_ok=True)
        keeper = subprocess.Popen(
            KEEPER,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=local_leftovers.marked({**os.environ, **order.environment}, work, order.name),
        )
        assert keeper.stdin is not None
        descriptor = os.pidfd_open(keeper.pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        try:
            with contextlib.suppress(BrokenPipeError):
                keeper.stdin.write(msgspec.json.encode(task_of(order, folder)) + b"\n")
                keeper.stdin.flush()
            while not poll.poll(_LOOK * 1000):
                if stop():
                    break
        finally:
            # The end of its input ends what it keeps; it answers only when all of that is dead.
            with contextlib.suppress(BrokenPipeError):
                keeper.stdin.close()
            keeper.wait()
            os.close(descriptor)
        found = measured_in(folder, order)
        if found is None or found.status == INTERRUPTED:
            local_leftovers.end(work)
        if found is None:
            alive = _end_in(folder / ALIVE)
            seconds = alive.seconds if alive else _LOOK
            return Measured(seconds, FAILED, "The process that kept it was killed.")
        if found.status == INTERRUPTED and not stop():
            return msgspec.structs.replace(found, status=FAILED)
        return found

    def recover(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured | None:
        """How an attempt went whose driver is gone; its keeper is given a while to end what it keeps."""
        del stop  # that while is short
        folder = work / order.name
        if not folder.exists():
            return None
        passed = clock.stopwatch()
        while not (folder / END).exists() and passed() < _PATIENCE:
            if not local_leftovers.leftovers(work):
                break
            select.select([], [], [], _LOOK)
        try:
            local_leftovers.end(work)
        except Permanent as problem:
            raise Permanent(f"{problem} (left of {order.name})") from problem
        return measured_in(folder, order) or so_far(folder)

    def close(self) -> None:
        """Nothing is connected."""


def task_of(order: Order, folder: Path) -> Task:
    """What a keeper is told: the processors of the run are the first that this process may use."""
    here = sorted(os.sched_getaffinity(0))
    cores = order.room.cores
    whole = len(here) if cores is None else min(len(here), max(1, math.ceil(cores)))
    share = None if cores is None or cores == whole else cores
    return Task(
        order.command, order.folder, str(folder), tuple(here[:whole]), share, order.room.memory, order.limit
    )


def measured_in(folder: Path, order: Order) -> Measured | None:
    """What a keeper has written at the end of an attempt; None if it has not."""
    end = _end_in(folder / END)
    if end is None:
        return None
    cores = order.room.cores or len(os.sched_getaffinity(0))
    return measured(end, _tail(folder / LOG), cores, order.at_limit)


def measured(end: End, tail: str, cores: float, at_limit: str) -> Measured:
    """A keeper's account as a measurement; `tail` is the end of what the command said."""
    seconds = max(end.seconds, 1e-6)
    seen = {"cpu_user": end.user / seconds / cores, "cpu_system": end.system / seconds / cores}
    if end.peak:
        seen["held_gib"] = end.peak / _GIB
    said = f" It said last: {tail}" if tail else ""
    if end.how == EXITED and end.code == 0:
        return Measured(seconds, DONE, "", seen)
    if end.how == EXITED:
        killed = end.code is not None and end.code < 0
        how = f"It was killed by signal {-(end.code or 0)}." if killed else f"Its exit code was {end.code}."
        return Measured(seconds, FAILED, how + said, seen)
    if end.how == MEMORY:
        words = f"It was killed: it held {end.peak / _GIB:.3g} GiB, more than its memory."
        return Measured(seconds, FAILED, words, seen)
    if end.how == ABSENT:
        return Measured(seconds, FAILED, f"It could not be started: {tail}", {})
    if end.how == LIMIT:
        return Measured(seconds, at_limit, f"It was ended at its limit of {seconds:.3g} s.", seen)
    return Measured(seconds, INTERRUPTED, "It was interrupted.", seen)


def environment_of(features: Mapping[str, float | str], name: str) -> dict[str, str]:
    """The variables that tell a command where it runs."""
    found = {"TRADEWIND_CONFIGURATION": name}
    for key, value in features.items():
        word = "".join(each if each.isalnum() else "_" for each in key).upper()
        found[f"TRADEWIND_{word}"] = value if isinstance(value, str) else f"{value:g}"
    return found


def so_far(folder: Path) -> Measured:
    """What is known of an attempt whose keeper was killed too: how long it had run when it last said so."""
    alive = _end_in(folder / ALIVE)
    if alive is None:
        return Measured(1e-6, INTERRUPTED, "Nothing is known of how long it ran.")
    return Measured(alive.seconds, INTERRUPTED, "It ran at least so long.")


def _end_in(path: Path) -> End | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=End)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _tail(path: Path) -> str:
    """The end of what a command said, on one line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4 * _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return " ".join(text.split())[-_TAIL:]


def _memory_here() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
