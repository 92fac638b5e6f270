"""Trials as processes on leased instances: each one a task of a runtime, which tells the study's store."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.algorithms.importable import plain_arguments
from tradewind.data.trial_records import CHECKPOINTED, REDONE, REPORTED, STOP_WANTED, Event
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, Temporary, TradewindError, Unreachable
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.runtimes.interface import Runtime, Task, TaskEnd, TaskState
from tradewind.tuning.attempt import Asked
from tradewind.tuning.machines.trial_worker import Objective, Order, Rule, made, named, said
from tradewind.tuning.machines.work import Change, Off, Stranded, Timed
from tradewind.tuning.study import Study

WORKER = "tradewind.tuning.machines.trial_worker"
"""The program of a trial; an instance that has it warm starts one in milliseconds."""
GRACE = 30.0
"""Seconds of the wall that a trial has to end its step and make a checkpoint, where it is moved."""
FAREWELL = 1.0
"""Seconds of the wall that a trial has which somebody wants stopped: nothing has to be kept."""
UNHEARD = 10.0
"""Seconds of the wall after which an instance that cannot be reached is given up, unless it is told lost."""
CHECKPOINT, RESTORE = 2.0, 5.0
"""Seconds that it is taken to make a checkpoint and to load one, until that was measured."""
POLL = 0.25
"""Seconds of the wall between two looks at what the trials have reported."""
_CHANGED = 0.1
"""By what share the seconds of a step differ from what was told that they are told anew."""
_MARGIN = 5.0
"""Seconds of the wall that the runtime is given beyond a grace to tell that a task is dead."""
_REASON = 300
"""Characters of the reason why a process broke."""


class _Stay(Struct):
    """A trial on a lease."""

    asked: Asked
    lease: Lease
    task: str
    ended: asyncio.Event
    starting: asyncio.Task[None] | None = None
    kept: float = math.inf
    """The moment from which on work would be lost; infinite until something runs."""
    asked_off: float | None = None
    """The moment at which it was asked, or warned, to leave."""
    leaving: bool = False
    """Whether somebody waits for its end, who need not be told of it."""
    first: tuple[int, float] | None = None
    """The first step that it reported here, and the seconds of the trial then."""
    last: tuple[int, float] | None = None
    """The same of the last one."""
    told: float | None = None
    """Seconds of a step, as they were told last."""


class ProcessTrials:
    """Implements `TrialWork` by processes of a runtime, on the clock of `clock.run`.

    What the trials report, they write into the study's store themselves: it must be a file or a database that
    can be reached from where they run, and so must the folder of the checkpoints. The objective is called in
    each trial's process as `objective(attempt, **arguments)`, see `attempt.Attempt`, and gives the final
    value.

    Args:
        runtime: where the processes run; it is closed with this.
        study: whose trials they are.
        objective: `package.module:function`, `path/to/file.py:function`, or a function of a module.
        folder: of the checkpoints.
        arguments: of the objective, as JSON can say them.
        every: seconds of the clock between two checkpoints of a trial that says how it is kept.
        speed: how many seconds of training count for one of the wall; the clock's speed if None.
        store: where the trials' processes find the store, if that is not where the study has it from; to be
            given for a URL with a password.
        grace: seconds of the wall that a trial which is to move has to leave.

    `checkpoint` is what leaving a machine took last: the rest of the step in hand and the checkpoint itself.
    `restore` is what came before the first step of a trial that went on.
    """

    def __init__(
        self,
        runtime: Runtime,
        study: Study,
        objective: str | Callable[..., Any],
        *,
        folder: Path | str,
        arguments: Mapping[str, Any] | None = None,
        every: float = 30.0,
        speed: float | None = None,
        store: str | None = None,
        grace: float = GRACE,
    ) -> None:
        for field, value in (("every", every), ("speed", speed), ("grace", grace)):
            if value is not None and not value > 0:
                raise Misuse(f"{value!r} is not above 0", field=field, fix="Give seconds.")
        self.checkpoint, self.restore = CHECKPOINT, RESTORE
        self._runtime, self._study = runtime, study
        self._objective, self._arguments = objective, plain_arguments(arguments, "objective")
        self._folder, self._every, self._speed, self._grace = Path(folder), every, speed, grace
        self._store = _anywhere(study.store.url if store is None else store)
        self._named: Objective | None = None
        self._stop: Rule | None = None
        self._stays: dict[LeaseId, _Stay] = {}
        self._tasks: dict[str, _Stay] = {}
        self._wanted: set[int] = set()
        """Trials that somebody wants stopped."""
        self._sequence = 0
        self._changes: asyncio.Queue[Change | BaseException] = asyncio.Queue()
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self) -> None:
        """Look whether a trial's process would find all that it needs. Misuse, with the fix, where not."""
        if math.isinf(clock.speed()):
            raise Misuse("processes take real time, a simulation has none", fix="Use ModelledTrials.")
        self._named = named(self._objective, self._arguments)
        self._check_store()
        if self._study.stop is not None:
            self._stop = said(self._study.stop)
            made(self._stop, self._study.store, self._study.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sequence = self._study.store.trials(self._study.name).sequence
        self._keep(self._hear_ends())
        self._keep(self._watch())

    def start(self, asked: Asked, lease: Lease, per_hour: float) -> None:
        """Start the trial's process as soon as the lease answers."""
        task = f"trial-{asked.number}-{asked.claim.attempt}"
        stay = _Stay(asked, lease, task, asyncio.Event())
        self._stays[lease.id] = self._tasks[task] = stay
        stay.starting = self._keep(self._begin(stay, per_hour))

    def warn(self, revocation: Revocation) -> None:
        """Nothing but remember it: the process got the notice itself, as a request to leave."""
        stay = self._stays.get(revocation.lease)
        if stay is not None and stay.asked_off is None:
            stay.asked_off = clock.now()

    async def leave(self, lease: LeaseId) -> None:
        """Have the trial make a checkpoint and leave, within `grace`, or be killed.

        One that somebody wants stopped has less time, for it is not to go on.
        """
        stay = self._stays.get(lease)
        if stay is None:
            return
        stay.leaving = True
        self._look()
        if stay.starting is not None and not stay.starting.done():
            stay.starting.cancel()
            await asyncio.wait([stay.starting])
        else:
            await self._see_off(stay)
        self._forget(stay)

    def lost(self, lease: LeaseId) -> None:
        """Forget what ran there."""
        stay = self._stays.get(lease)
        if stay is None:
            return
        if stay.starting is not None:
            stay.starting.cancel()
        self._forget(stay)

    def unkept(self, lease: LeaseId) -> float:
        """Seconds of the clock since the last checkpoint, or since the process began."""
        stay = self._stays.get(lease)
        return 0.0 if stay is None else max(0.0, clock.now() - stay.kept)

    async def next_change(self) -> Change:
        """Wait for the next change."""
        change = await self._changes.get()
        if isinstance(change, BaseException):
            raise change
        return change

    async def close(self) -> None:
        """Kill every process, and let go of the runtime; may be called twice."""
        if self._closed:
            return
        self._closed = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._runtime.close()

    # what is started and stopped

    async def _begin(self, stay: _Stay, per_hour: float) -> None:
        speed = clock.speed() if self._speed is None else self._speed
        assert self._named is not None
        order = Order(
            trial=stay.asked,
            store=self._store,
            study=self._study.name,
            stop=self._stop,
            objective=self._named,
            folder=str(self._folder.absolute()),
            every=self._every / clock.speed(),
            per_second=per_hour / 3600 * clock.speed(),
            speed=speed,
        )
        try:
            await self._runtime.start(stay.lease, Task(stay.task, WORKER, msgspec.to_builtins(order)))
        except Unreachable as silence:
            self._tasks.pop(stay.task, None)
            self._keep(self._strand(stay, str(silence)))
            return
        stay.kept = clock.now()

    async def _see_off(self, stay: _Stay) -> None:
        wanted = stay.asked.number in self._wanted
        grace, began = FAREWELL if wanted else self._grace, clock.now()
        with contextlib.suppress(TradewindError):
            await self._runtime.stop(stay.task, grace)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((grace + _MARGIN) * clock.speed()):
                await stay.ended.wait()
            if not wanted and self._stays.get(stay.lease.id) is stay:  # else it was lost meanwhile
                self.checkpoint = clock.now() - began

    async def _strand(self, stay: _Stay, reason: str) -> None:
        """The instance does not answer. Who rents it out will mostly say that it is gone; else we do."""
        await _pause(UNHEARD)
        if self._stays.get(stay.lease.id) is stay and not stay.leaving:
            self._forget(stay)
            claim = stay.asked.claim
            self._changes.put_nowait(Stranded(stay.asked.number, claim.attempt, stay.lease.id, reason))

    def _forget(self, stay: _Stay) -> None:
        if self._stays.get(stay.lease.id) is stay:
            del self._stays[stay.lease.id]
        self._tasks.pop(stay.task, None)
        stay.ended.set()

    # what is heard of them

    async def _hear_ends(self) -> None:
        while True:
            end = await self._runtime.next_end()
            stay = self._tasks.pop(end.task, None)
            if stay is not None:
                self._take_end(stay, end)

    def _take_end(self, stay: _Stay, end: TaskEnd) -> None:
        here = self._stays.get(stay.lease.id) is stay and not stay.leaving
        if not here:
            stay.ended.set()
        elif end.state is TaskState.LOST:
            self._keep(self._strand(stay, end.reason))
        else:
            self._look()  # what it said comes before its end
            asked_off = stay.asked_off is not None or stay.asked.number in self._wanted
            if stay.told is None and stay.first is not None:  # there was no second one
                self._time(stay, (stay.asked.step, stay.asked.seconds), stay.first)
            if stay.asked_off is not None and end.state is TaskState.DONE:
                self.checkpoint = clock.now() - stay.asked_off
            # What breaks because it had to leave is no fault of the trial's.
            crashed = "" if end.state is TaskState.DONE or asked_off else _last_words(end.reason)
            self._forget(stay)
            self._changes.put_nowait(Off(stay.asked.number, stay.asked.claim.attempt, stay.lease.id, crashed))

    async def _watch(self) -> None:
        """Look again and again at what was reported, and end what is wanted to end."""
        while True:
            await _pause(POLL)
            self._look()

    def _look(self) -> None:
        """Take in what arrived in the store; the next look does where that does not answer."""
        with contextlib.suppress(Temporary):
            events = self._study.store.history(self._study.name, self._sequence)
            here = {(each.asked.number, each.asked.claim.attempt): each for each in self._stays.values()}
            for event in events:
                self._sequence = event.sequence
                if event.kind == STOP_WANTED and event.number is not None:
                    self._wanted.add(event.number)
                if (found := here.get((event.number or 0, event.attempt))) is not None:
                    self._take_in(found, event)
            for stay in here.values():
                if stay.first is not None and stay.last is not None:
                    self._time(stay, stay.first, stay.last)

    def _take_in(self, stay: _Stay, event: Event) -> None:
        if event.kind == CHECKPOINTED:
            stay.kept = clock.now()
        elif event.kind == STOP_WANTED:
            # Who rents hears of it too, but would see off one trial after another.
            self._keep(self._runtime.stop(stay.task, FAREWELL))
        elif event.kind in (REPORTED, REDONE) and event.step is not None and event.seconds is not None:
            stay.last = event.step, event.seconds
            stay.first = stay.first or stay.last

    def _time(self, stay: _Stay, first: tuple[int, float], last: tuple[int, float]) -> None:
        """Tell what a step takes, of those after the first one, unless that was told.

        The first on a machine is not counted where there are others: it includes what comes before it.
        """
        if last[0] <= first[0] or not last[1] > first[1]:
            return
        found = (last[1] - first[1]) / (last[0] - first[0])
        asked = stay.asked
        if stay.told is None and asked.step and stay.first is not None:
            began = stay.first[1] - asked.seconds
            self.restore = max(0.0, began - found * (stay.first[0] - asked.step))
        if stay.told is None or abs(found / stay.told - 1.0) > _CHANGED:
            stay.told = found
            self._changes.put_nowait(Timed(asked.number, asked.claim.attempt, stay.lease.id, found))

    # how

    def _check_store(self) -> None:
        """Open the store as a trial's process will."""
        if self._store.startswith("sqlite://") and self._store.removeprefix("sqlite://") in ("", "/:memory:"):
            raise Misuse(
                "it is in this process's memory, which no trial's process reaches", source=self._study.name,
                field="store", fix="Keep the study in a file: store='study.sqlite'.",
            )  # fmt: skip
        if ":***@" in self._store:
            raise Misuse(
                "its password is not known here", source="ProcessTrials", field="store",
                fix="Give the whole URL, as the trials' processes are to use it.",
            )  # fmt: skip
        with TrialStore(self._store) as there:
            if self._study.name not in [each.name for each in there.studies()]:
                raise Misuse(f"there is no study {self._study.name!r}", source=there.url, field="store")

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something in the background; what it raises is raised by `next_change`."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._settle)
        return task

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None and not self._closed:
            self._changes.put_nowait(problem)


def _anywhere(store: str) -> str:
    """The URL of a store, good in other folders too."""
    path = store.removeprefix("sqlite:///")
    if path == store or not path or path.startswith((":", "/")):
        return store
    return f"sqlite:///{Path(path).absolute()}"


def _last_words(reason: str) -> str:
    """The end of a traceback, or a sentence as it is."""
    lines = [each.strip() for each in reason.splitlines() if each.strip()]
    return (lines[-1] if lines else "its process ended")[:_REASON]


async def _pause(seconds: float) -> None:
    await clock.sleep_until(clock.now() + seconds * clock.speed())
