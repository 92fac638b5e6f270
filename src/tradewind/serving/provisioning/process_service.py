"""The service for real: every lease carries one replica of each model version that is open.

A replica is a task of a runtime (`server.replicas.task`), which the front then connects to as a `Remote`. A
lease that is warned of is taken from the batchers shortly before its end; one that is lost has its batches
run elsewhere. A model that takes its process down has it started anew on the same lease, a few times.

Two clocks: leases, warnings and intervals of traffic are in the market's seconds, which may pass faster than
the wall's; requests are real, so their rates are requests a second of the wall, as profiles have them. The
service is on the controller's loop, the batchers on the front's, which may be another, in another thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from tradewind import clock
from tradewind.errors import Misuse, TradewindError, Unreachable
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.runtimes.interface import Runtime, Task, TaskState
from tradewind.serving.calls import RefusalKind
from tradewind.serving.provisioning.interface import FunctionProfile, Replica, Traffic
from tradewind.serving.provisioning.service import Account, Ready, ServiceChange, Stranded
from tradewind.serving.server.function_relief import FunctionRelief
from tradewind.serving.server.metrics.meters import SECONDS, Meters
from tradewind.serving.server.rented import RentedCrew, RentedCrews
from tradewind.serving.server.replicas.secured import new_identity

TASK = "tradewind.serving.server.replicas.task"
"""The program of a replica; an instance that has it warm starts one in milliseconds."""
SEEN = 60
"""Intervals of traffic that a view shows."""
PEAK = 5.0
"""Seconds of the wall of the stretches whose busiest is an interval's peak; an interval is one at most."""
TRIES = 3
"""Times in a row that a replica is started on one lease before the lease is given up."""
UNHEARD = 10.0
"""Seconds of the wall after which an instance that cannot be reached is given up, unless it is told lost."""
_SETTLED = 30.0
"""Seconds of the wall that a replica must live for its start to have been no failure."""
_FIRST_PAUSE = 0.1
"""Seconds of the wall before a replica is started anew; doubled with every failure in a row."""
_SOONEST = 0.02
"""Seconds of the wall between two looks at the meters, at the least."""
_MARGIN = 0.25
"""Seconds of the wall before a lease's end from which on its replica is given nothing, at the least."""
_FAREWELL = 1.0
"""Seconds of the wall that the process of a replica has to leave by itself."""
_OURS = (RefusalKind.OVERLOADED, RefusalKind.FAILED, RefusalKind.NOT_READY, RefusalKind.DEADLINE_PASSED)


class _Stay(Struct):
    """A lease, and what it carries."""

    lease: Lease
    ready: float
    """The moment from which it answers; the one expected, until it does."""
    due: float | None = None
    answers: bool = False
    failures: int = 0
    """Starts in a row that came to nothing."""
    leaving: bool = False
    starting: dict[int, asyncio.Task[None]] = {}
    """By crew: what is under way for it."""
    tasks: dict[str, RentedCrew] = {}


class ProcessService:
    """Implements `Service` with replicas on real machines, on the clock of `clock.run`.

    Args:
        crews: those of the engine; its loop is told of machines by calls that cross threads.
        front: the event loop that the engine is on.
        meters: of the engine, from which traffic is read.
        runtime: starts the replicas; it is closed with this.
        address: where the replica on a lease is to listen, `unix:/path` or `tcp:host:port`; asked again for
            every start.
        startup: seconds of the market that a replica is expected to take from its lease's start.
        interval: seconds of the market between two entries of the traffic.
        past: requests a second before the start, one an interval, the oldest first, for forecasters.
        open_within: seconds of the wall that a replica has to answer and to load its model.
        functions: where requests go that would be late, whose charges are in the account; None without.
        said: told in words of what an operator should know.
    """

    def __init__(
        self,
        crews: RentedCrews,
        front: asyncio.AbstractEventLoop,
        meters: Meters,
        runtime: Runtime,
        address: Callable[[Lease], str],
        *,
        startup: float,
        interval: float = 60.0,
        past: Sequence[float] = (),
        open_within: float = 60.0,
        functions: FunctionRelief | None = None,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        if not (math.isfinite(interval) and interval >= PEAK):
            raise Misuse(f"{interval!r} s is too short", field="interval", fix="Give 5 seconds or more.")
        self._crews, self._front, self._runtime, self._address = crews, front, runtime, address
        self._startup, self._open_within, self._said = startup, open_within, said
        self._stays: dict[LeaseId, _Stay] = {}
        self._number = 0
        self._changes: deque[ServiceChange] = deque()
        self._changed = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()
        self._here: asyncio.AbstractEventLoop | None = None
        self._meter = _TrafficMeter(meters, interval, past, crews)
        self._meters, self._functions = meters, functions
        self._closed = False

    async def open(self, overflow: bool) -> None:
        """Begin to hear of crews and of tasks, and to measure. Misuse with `overflow` where there are no
        functions, and in a simulation, which has no processes. Where there are functions, the front has
        them answer what would be late whatever `overflow` says."""
        if overflow and self._functions is None:
            raise Misuse(
                "its requests have no functions to overflow to", source="policy", field="overflow",
                fix="Serve with functions (overflow=\"functions\"), or give the policy overflow=False.",
            )  # fmt: skip
        if math.isinf(clock.speed()):
            raise Misuse("processes take real time, a simulation has none", fix="Use ModelledService.")
        self._here = asyncio.get_running_loop()
        self._meter.begin()
        self._crews.came = self._from_front(self._crew_came)
        self._crews.dropped = self._from_front(self._dropped)
        self._keep(self._hear_ends())
        self._keep(self._measure())

    def start(self, lease: Lease) -> None:
        """Start a replica of every model version as soon as the lease answers."""
        stay = _Stay(lease, lease.started + self._startup, starting={}, tasks={})
        self._stays[lease.id] = stay
        for crew in self._crews.crews:
            self._begin(stay, crew)

    def warn(self, revocation: Revocation) -> None:
        """Give it nothing from shortly before its end on."""
        stay = self._stays.get(revocation.lease)
        if stay is not None and stay.due is None:
            stay.due = revocation.due
            self._keep(self._leave_before(stay, revocation.due))

    async def drain(self, lease: LeaseId) -> None:
        """Give it nothing more, and end its processes once their last answers are out."""
        stay = self._stays.get(lease)
        if stay is None or stay.leaving:
            return
        stay.leaving = True
        await self._empty(stay)
        self._forget(stay)

    def lost(self, lease: LeaseId) -> None:
        """Have what it had in hand run elsewhere."""
        stay = self._stays.get(lease)
        if stay is not None:
            for task, crew in stay.tasks.items():
                self._at_front(crew.gone, task, False)
            self._forget(stay)

    def replicas(self) -> tuple[Replica, ...]:
        """Those started, in the order of their leases."""
        now = clock.now()
        return tuple(
            Replica(
                each.lease.id, each.lease.instance.type.name,
                each.ready if each.answers else max(each.ready, now + 1e-3), each.due,
            )
            for each in self._stays.values()
        )  # fmt: skip

    def traffic(self) -> Traffic:
        """The load of the last hour at most, as the meters have it."""
        return self._meter.traffic()

    def rates(self) -> NDArray[np.float64]:
        """(n,) requests a second of the wall in every interval known, the oldest first."""
        return self._meter.rates()

    def account(self) -> Account:
        """What became of the requests, as the meters have it."""
        begun = answers = late = refused = 0
        stays = [0] * (len(SECONDS) + 1)
        for meter in self._meters:
            begun += meter.begun
            stays = [before + more for before, more in zip(stays, meter.total.counts, strict=True)]
            answers += meter.answers
            late += meter.late
            refused += sum(meter.refusals[kind] for kind in _OURS)
        account = Account(
            float(answers - late), float(late), float(refused), retried=float(self._crews.retried),
            begun=float(begun), stays=tuple(stays), buckets=SECONDS,
        )  # fmt: skip
        if self._functions is None:
            return account
        bill = self._functions.bill()
        return replace(
            account, overflowed=float(bill.answered), cold=float(bill.cold), functions=bill.dollars,
            overflows=True, calls=float(bill.calls), gb_seconds=bill.gb_seconds,
        )  # fmt: skip

    def function(self) -> FunctionProfile | None:
        """What the model does as a function, by the calls so far; None while no function answers. Of several
        models each figure is that of the worst."""
        terms = None if self._functions is None else self._functions.terms()
        if terms is None:
            return None
        return FunctionProfile(terms.per_request, terms.warm, terms.cold, terms.concurrency)

    async def next_changes(self) -> tuple[ServiceChange, ...]:
        """Wait until a replica answers, or is given up."""
        while not self._changes:
            self._changed.clear()
            await self._changed.wait()
        told = tuple(self._changes)
        self._changes.clear()
        return told

    async def close(self) -> None:
        """End every process and let go of the runtime; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._crews.came = lambda crew: None
        self._crews.dropped = lambda crew, task: None
        for stay in list(self._stays.values()):
            self._forget(stay)
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._runtime.close()

    # what is started

    def _begin(self, stay: _Stay, crew: RentedCrew, pause: float = 0.0) -> None:
        work = self._keep(self._bring_up(stay, crew, pause))
        stay.starting[id(crew)] = work
        work.add_done_callback(lambda done: self._over(stay, crew, done))

    def _over(self, stay: _Stay, crew: RentedCrew, done: asyncio.Task[None]) -> None:
        if stay.starting.get(id(crew)) is done:
            del stay.starting[id(crew)]

    async def _bring_up(self, stay: _Stay, crew: RentedCrew, pause: float) -> None:
        """Start one replica and have the front connect to it; what comes to nothing counts as a failure."""
        await _pause(pause)
        self._number += 1
        task, token = f"replica-{stay.lease.id}-{self._number}", secrets.token_hex(24)
        try:
            address = self._address(stay.lease)
            identity = new_identity() if address.startswith("tcp:") else ""
            stay.tasks[task] = crew
            told = {"address": address, "token": token, "identity": identity, "stay": True}
            await self._runtime.start(stay.lease, Task(task, TASK, told))
            await self._on_front(crew.hire(stay.lease.id, task, address, token, self._open_within, identity))
        except asyncio.CancelledError:
            raise
        except Unreachable as silence:
            stay.tasks.pop(task, None)
            await _pause(UNHEARD)  # who rents the machine out mostly says that it is gone
            self._strand(stay, str(silence))
        except Misuse as problem:  # nor can it be on any other try
            self._strand(stay, str(problem))
        except (TradewindError, OSError) as problem:
            if task in stay.tasks:  # else its end was told already
                del stay.tasks[task]
                await self._runtime.stop(task, 0.0)
                self._failed(stay, crew, str(problem))
        else:
            if stay.leaving or stay.tasks.get(task) is not crew:  # it ended just after
                await self._on_front(crew.let_go(task))
            elif not stay.answers and set(self._crews.crews) <= set(stay.tasks.values()):
                stay.answers, stay.ready = True, clock.now()
                self._tell(Ready(stay.lease.id))

    def _failed(self, stay: _Stay, crew: RentedCrew, reason: str) -> None:
        if self._stays.get(stay.lease.id) is not stay or stay.leaving or crew not in self._crews.crews:
            return
        if stay.answers and clock.now() - stay.ready > _SETTLED * clock.speed():
            stay.failures = 0
        stay.failures += 1
        if stay.failures >= TRIES:
            self._strand(stay, reason)
            return
        stay.ready = max(stay.ready, clock.now())
        self._said(f"a replica on {stay.lease.id} ended ({reason}); another is started there")
        self._begin(stay, crew, _FIRST_PAUSE * 2**stay.failures)

    def _strand(self, stay: _Stay, reason: str) -> None:
        if self._stays.get(stay.lease.id) is stay and not stay.leaving:
            for task, crew in stay.tasks.items():
                self._at_front(crew.gone, task, False)
            self._forget(stay)
            self._tell(Stranded(stay.lease.id, reason))

    def _forget(self, stay: _Stay) -> None:
        """Nothing that is under way for it goes on, and what is told of its tasks means nothing any more."""
        stay.leaving = True
        if self._stays.get(stay.lease.id) is stay:
            del self._stays[stay.lease.id]
        current = asyncio.current_task()
        for work in stay.starting.values():
            if work is not current:
                work.cancel()
        tasks, stay.tasks = stay.tasks, {}
        for task in tasks:
            if not self._closed:
                self._keep(self._stop(task))

    async def _stop(self, task: str) -> None:
        with contextlib.suppress(TradewindError):
            await self._runtime.stop(task, _FAREWELL)

    # what ends

    async def _leave_before(self, stay: _Stay, due: float) -> None:
        """Take a replica from the batchers in time for its last batch to end; the process has the rest."""
        longest = max((each.infer.sum / max(each.answers, 1) for each in self._meters), default=0.0)
        await clock.sleep_until(due - (_MARGIN + 2.0 * longest) * clock.speed())
        if self._stays.get(stay.lease.id) is stay and not stay.leaving:
            await self._empty(stay)

    async def _empty(self, stay: _Stay) -> None:
        leaving = [self._on_front(crew.let_go(task)) for task, crew in stay.tasks.items()]
        await asyncio.gather(*leaving, return_exceptions=True)

    async def _hear_ends(self) -> None:
        while True:
            end = await self._runtime.next_end()
            stay = next((each for each in self._stays.values() if end.task in each.tasks), None)
            if stay is None:
                continue
            crew = stay.tasks.pop(end.task)
            if end.state is TaskState.LOST:
                self._at_front(crew.gone, end.task, False)
                self._keep(self._give_up(stay, end.reason))
                continue
            self._at_front(crew.gone, end.task, end.state is TaskState.FAILED)
            if stay.due is None:
                self._failed(stay, crew, end.reason or "it left")

    async def _give_up(self, stay: _Stay, reason: str) -> None:
        """Its machine is gone, as the runtime says. Who rents it out will mostly say so too; else we do."""
        await _pause(UNHEARD)
        self._strand(stay, reason)

    # the front

    def _crew_came(self, crew: RentedCrew) -> None:
        for stay in list(self._stays.values()):
            if not stay.leaving and id(crew) not in stay.starting:
                self._begin(stay, crew)

    def _dropped(self, crew: RentedCrew, task: str | None) -> None:
        """The front gave a replica up, or let go of a whole crew: end the processes."""
        for stay in list(self._stays.values()):
            for name, whose in list(stay.tasks.items()):
                if whose is crew and task in (None, name):
                    if task is None:
                        del stay.tasks[name]
                    self._keep(self._stop(name))

    def _from_front(self, heard: Callable[..., None]) -> Callable[..., None]:
        """A callback for the front, which does its work on this loop; silent once this loop is over."""
        here = self._here

        def told(*what: Any) -> None:
            with contextlib.suppress(RuntimeError):
                assert here is not None
                here.call_soon_threadsafe(heard, *what)

        return told

    def _at_front(self, do: Callable[..., None], task: str, model: bool) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is over
            self._front.call_soon_threadsafe(lambda: do(task, model=model))

    async def _on_front(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on the front's loop, and wait for it."""
        try:
            running = asyncio.run_coroutine_threadsafe(work, self._front)
        except RuntimeError as problem:
            work.close()
            raise Unreachable("the front is gone") from problem
        await asyncio.wrap_future(running)

    async def _measure(self) -> None:
        while True:
            await clock.sleep_until(self._meter.next_look())
            self._meter.look()

    def _tell(self, change: ServiceChange) -> None:
        self._changes.append(change)
        self._changed.set()

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task


class _TrafficMeter:
    """Looks at the meters again and again, and adds up intervals. Requests count by their models' weights."""

    def __init__(self, meters: Meters, interval: float, past: Sequence[float], crews: RentedCrews) -> None:
        self._meters, self._interval, self._crews = meters, interval, crews
        self._rates = [float(each) for each in past] or [0.0]
        self._peaks = deque(self._rates[-SEEN:], SEEN)
        self._ongoing = deque([0.0] * len(self._peaks), SEEN)

    def begin(self) -> None:
        """Count from now on."""
        self._until = self._looked = clock.now()
        self._before, self._stayed = self._counts()
        self._counted = self._before
        self._peak, self._least = 0.0, math.inf
        self._traffic: Traffic | None = None

    def _counts(self) -> tuple[float, float]:
        """Calls so far, and the seconds of those that were answered."""
        begun = stayed = 0.0
        for each in self._meters:
            weight = self._crews.weight(each.name, each.version)
            begun += each.begun * weight.rate
            stayed += each.total.sum * weight.in_hand
        return begun, stayed

    def _in_hand(self) -> float:
        weight = self._crews.weight
        return sum(each.in_progress * weight(each.name, each.version).in_hand for each in self._meters)

    def next_look(self) -> float:
        """The moment of the next look: the end of a stretch, or of the interval."""
        # Requests are the wall's: of a second of theirs a quick market makes a minute, and five of its own
        # seconds would show chance for burstiness.
        step = max(min(PEAK * clock.speed(), self._interval), _SOONEST * clock.speed())
        return min(self._looked + step, max(self._until + self._interval, self._looked + step / 2))

    def look(self) -> None:
        """Take in what came since the last look."""
        now, (begun, stayed) = clock.now(), self._counts()
        span = (now - self._looked) / clock.speed()
        self._peak = max(self._peak, (begun - self._counted) / span)
        self._least = min(self._least, self._in_hand())
        self._counted, self._looked = begun, now
        if now < self._until + self._interval:
            return
        seconds = (now - self._until) / clock.speed()
        rate = (begun - self._before) / seconds
        # Little's law gives the mean of those in hand; it knows nothing of those that are still waiting.
        ongoing = max((stayed - self._stayed) / seconds, self._least)
        for _ in range(int((now - self._until) / self._interval + 1e-9)):
            self._rates.append(rate)
            self._peaks.append(max(self._peak, rate))
            self._ongoing.append(ongoing)
            self._until += self._interval
        self._before, self._stayed = begun, stayed
        self._peak, self._least = 0.0, math.inf
        self._traffic = None

    def traffic(self) -> Traffic:
        """As it stands."""
        waiting = float(self._crews.waiting)
        if self._traffic is None or self._traffic.waiting != waiting:
            self._traffic = Traffic(
                self._interval, self._until, tuple(self._rates[-SEEN:]), tuple(self._peaks),
                tuple(self._ongoing), waiting,
            )  # fmt: skip
        return self._traffic

    def rates(self) -> NDArray[np.float64]:
        """(n,) every interval known."""
        return np.array(self._rates)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await clock.sleep_until(clock.now() + seconds * clock.speed())
