"""A job's learning as real tasks on leases: one for the state, one for each logical worker.

AgileML stage 1 (Harlap et al., EuroSys 2017, section 3): the state is served from a lease that cannot be
revoked, the workers are on leases that can, keep nothing that is not in the state, and are hosted elsewhere
when theirs are warned or lost. A lease takes part once its first task has read the data, so nobody waits for
a newcomer; and a worker that moves is taken over by its new host at once: a batch in hand is computed again.

What is asked of the state's server goes through `StateLink`, which blocks, and so is asked in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from msgspec import to_builtins

from tradewind import clock
from tradewind.errors import TradewindError, Unreachable
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.runtimes.interface import Runtime, Task, TaskEnd, TaskState
from tradewind.state.control import StateStatus
from tradewind.training.elastic.placement import place
from tradewind.training.elastic.work import STATE, Broken, Change, Finished, Joined, Saved, Stranded
from tradewind.training.job import Job
from tradewind.training.view import Progress

POLL = 0.2
"""Seconds of the wall's time between two looks at the state's server."""
GRACE = 10.0
"""Seconds of the wall's time that a task which was asked to leave has to end its clock."""
MOST_FAILURES = 3
"""Failures of one task, without any progress between, after which the job is broken."""


class StateLink(Protocol):
    """The line to the state's server. Every call blocks, for a stated time at most."""

    def status(self) -> StateStatus:
        """How far the workers are; Unreachable if the server does not answer."""
        ...

    def save(self) -> tuple[int, ...]:
        """Make a durable snapshot; the batches in it, by logical worker. Unreachable as `status`."""
        ...

    def close(self) -> None:
        """Let go of the line; may be called twice."""
        ...


class _Hosting:
    """One task that hosts a logical worker, from the order to start it until its end."""

    def __init__(self, task: str, worker: int, lease: LeaseId, former: _Hosting | None) -> None:
        self.task, self.worker, self.lease = task, worker, lease
        self.former = former
        """Who hosts the worker until this one is accepted."""
        self.accepted = False
        self.leaving = False


class ProcessWork:
    """The `Work` of a job, done by tasks of a runtime.

    The state is served at `address`; `arguments` are what every task is given besides: `cache`, `snapshots`
    and `base`, see `training.state_host`. `total` is the rows to read over all epochs, `rows_done` turns the
    workers' clocks into rows. `speeds` gives a lease's relative speed.
    `rate` and `startup` are the estimates that `progress` gives until they are measured: rows a vCPU-second,
    and seconds, both of market time. `snapshot_every` is in seconds of market time.
    """

    def __init__(
        self,
        job: Job,
        runtime: Runtime,
        link: StateLink,
        *,
        address: str,
        arguments: Mapping[str, Any],
        total: float,
        rows_done: Callable[[tuple[int, ...]], float],
        speeds: Callable[[Lease], float],
        rate: float,
        startup: float,
        snapshot_every: float,
    ) -> None:
        self._job, self._runtime, self._link = job, runtime, link
        self._arguments = {**arguments, "job": to_builtins(job), "address": address}
        self._total, self._rows_done, self._speeds = total, rows_done, speeds
        self._rate, self._startup = rate, startup
        self._snapshot_every = snapshot_every
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._background: set[asyncio.Task[None]] = set()
        self._leases: dict[LeaseId, Lease] = {}
        """Work leases that are ours and not warned."""
        self._joined: dict[LeaseId, float] = {}
        self._ready: set[LeaseId] = set()
        self._state_lease: Lease | None = None
        """Where the state is to be served."""
        self._state_task: str | None = None
        self._state_on: LeaseId | None = None
        """Where it is served, or the latest task that is to do so was ordered."""
        self._moving = False
        """Whether that task was asked to leave."""
        self._serving = False
        self._hostings: dict[str, _Hosting] = {}
        self._host: dict[int, _Hosting] = {}
        """The latest task of each logical worker."""
        self._failures: dict[str, int] = {}
        self._numbers = 0
        self._status: StateStatus | None = None
        self._windows: list[tuple[float, float, float, float]] = []
        """Recent (moment, rows, loss, weight)."""
        self._done = self._saved = 0.0
        self._done_before = 0.0
        """Rows that were read in earlier stretches of the run."""
        self._vcpus = self._vcpu_seconds = self._looked_at = 0.0
        """What works now, what has worked so far, and when that was last added up."""
        self._over = False
        self._closed = False

    async def open(self) -> None:
        """Begin to listen for the ends of tasks and to look at the state's server."""
        self._keep(self._hear_ends())
        self._keep(self._watch())

    def join(self, lease: Lease) -> None:
        """Use this lease from now on."""
        if lease.purpose == STATE:
            self._state_lease = lease
            if self._state_task is None:
                self._start_state()
            else:
                self._keep(self._move_state())
        else:
            self._leases[lease.id], self._joined[lease.id] = lease, clock.now()
            self._keep(self._prepare(lease))

    def warn(self, revocation: Revocation) -> None:
        """A lease will be revoked. Its tasks got the notice themselves; what they do goes on elsewhere."""
        self._give_up(revocation.lease)
        if self._state_lease is not None and self._state_lease.id == revocation.lease:
            self._state_lease = None
            self._keep(self._move_state())

    async def drain(self, lease: LeaseId) -> None:
        """Move what is on a lease off it and wait until its tasks have left, `GRACE` at most."""
        self._give_up(lease)
        mine = [each.task for each in self._hostings.values() if each.lease == lease]
        for task in mine:
            self._ask_to_leave(self._hostings[task])
        if self._state_lease is not None and self._state_lease.id == lease:
            self._state_lease = None
            await self._move_state()
        due = clock.now() + GRACE * clock.speed()
        while any(task in self._hostings for task in mine) and clock.now() < due:
            await asyncio.sleep(POLL / 4 * clock.speed())
        while self._state_on == lease and not self._over and clock.now() < due:
            await asyncio.sleep(POLL / 4 * clock.speed())

    def lost(self, lease: LeaseId) -> None:
        """A lease is gone."""
        self._give_up(lease)
        if self._state_lease is not None and self._state_lease.id == lease:
            self._state_lease = None
        if self._state_on == lease:
            self._state_task, self._state_on, self._serving = None, None, False
            self._start_state()  # where another lease has joined already

    def progress(self) -> Progress:
        """The latest known."""
        return Progress(self._done, self._total, self._saved, self._rate, self._startup)

    def loss(self) -> float | None:
        """The mean loss over the last few looks at the server."""
        if not self._windows:
            return None
        first, last = self._windows[0], self._windows[-1]
        weight = last[3] - first[3]
        if weight > 0:
            return (last[2] - first[2]) / weight
        return last[2] / last[3] if last[3] > 0 else None

    async def next_change(self) -> Change:
        """Wait for the next change."""
        return await self._changes.get()

    async def pause(self) -> None:
        """Take a snapshot and stop every task."""
        self._over = True
        await self._save()
        await self._stop_all()

    async def close(self) -> None:
        """Stop everything and let go of it."""
        if self._closed:
            return
        self._closed = self._over = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._runtime.close()
        self._link.close()

    # the state

    def _start_state(self) -> None:
        if self._state_lease is None or self._over:
            return
        self._state_task, self._state_on = self._name("state"), self._state_lease.id
        self._moving = False
        task = Task(self._state_task, "tradewind.training.state_host", dict(self._arguments))
        self._keep(self._serve_state(self._state_lease, task))

    async def _serve_state(self, lease: Lease, task: Task) -> None:
        started = await self._start_on(lease, task)
        if self._state_task != task.id:
            return
        if not started:
            self._state_task = self._state_on = None
            if self._state_lease is not None and self._state_lease.id != lease.id:
                self._start_state()  # another has joined meanwhile
        elif self._moving:
            await self._runtime.stop(task.id, GRACE)  # it was asked to leave before it was there

    async def _move_state(self) -> None:
        """Have the state's server leave with all that it has; the lease that is next, if any, takes over."""
        task = self._state_task
        await self._save()
        if task is not None and task == self._state_task and not self._over:
            self._moving = True
            await self._runtime.stop(task, GRACE)

    async def _watch(self) -> None:
        """Look at the state's server again and again; say what changed."""
        saved_at = clock.now()
        while not self._over:
            await asyncio.sleep(POLL * clock.speed())
            if self._state_task is None:
                continue
            try:
                status = await asyncio.to_thread(self._link.status)
            except Unreachable:
                continue  # it is starting, or its task's end will be told; one silence means nothing
            self._take_in(status)
            if not self._serving:
                self._serving = True
                if self._state_lease is not None:
                    self._changes.put_nowait(Joined(self._state_lease.id))
                await self._save()  # from here on there is always something to go back to
                saved_at = clock.now()
            if status.finished:
                clocks = tuple(worker.clock for worker in status.workers)
                if await self._save() != clocks:
                    continue  # the server is gone, or has been; what was not saved is learned again
                self._over = True
                await self._stop_all()
                self._changes.put_nowait(Finished())
                return
            if clock.now() - saved_at >= self._snapshot_every:
                await self._save()
                saved_at = clock.now()
            self._arrange()

    def _take_in(self, status: StateStatus) -> None:
        before, self._status = self._status, status
        clocks = tuple(worker.clock for worker in status.workers)
        self._done = self._rows_done(clocks)
        if before is None:
            self._done_before, self._looked_at = self._done, clock.now()
        earlier = None if before is None else tuple(worker.clock for worker in before.workers)
        if earlier != clocks:
            moved = {f"worker-{n}" for n, done in enumerate(clocks) if earlier is None or earlier[n] != done}
            for what in [each for each in self._failures if each in moved or each in ("state", "prepare")]:
                del self._failures[what]
            self._windows.append((clock.now(), self._done, *status.progress))
            del self._windows[:-20]
        now, working = clock.now(), {each.lease for each in self._host.values() if each.accepted}
        self._vcpu_seconds += self._vcpus * (now - self._looked_at)
        self._looked_at, self._vcpus = (
            now,
            sum(
                lease.instance.type.resources.vcpus for lease in self._leases.values() if lease.id in working
            ),
        )
        if self._vcpu_seconds > 0 and self._done > self._done_before:
            self._rate = (self._done - self._done_before) / self._vcpu_seconds

    async def _save(self) -> tuple[int, ...] | None:
        """Make a snapshot; the clocks in it, or None where nobody answers and the last one stands."""
        if not self._serving:
            return None
        try:
            saved = await asyncio.to_thread(self._link.save)
        except Unreachable:
            return None
        self._saved = self._rows_done(saved)
        self._changes.put_nowait(Saved(self._saved))
        return saved

    # the workers

    async def _prepare(self, lease: Lease) -> None:
        """Have the data read on a new lease before any worker is moved there."""
        name = self._name(f"prepare-{lease.id}")
        await self._start_on(lease, Task(name, "tradewind.training.data_host", dict(self._arguments)))

    def _prepared(self, lease: LeaseId) -> None:
        if lease in self._leases:
            self._ready.add(lease)
            self._startup = clock.now() - self._joined[lease]
            self._changes.put_nowait(Joined(lease))
            self._arrange()

    def _arrange(self) -> None:
        """Start a host for every worker that should be elsewhere than it is."""
        if not self._serving or self._over or self._status is None:
            return
        working = [number for number, worker in enumerate(self._status.workers) if not worker.left]
        speeds = {lease: self._speeds(self._leases[lease]) for lease in self._ready if lease in self._leases}
        current: dict[LeaseId, list[int]] = {}
        for worker, hosting in self._host.items():
            if hosting.task in self._hostings and not hosting.leaving:
                current.setdefault(hosting.lease, []).append(worker)
        for lease, workers in place(current, speeds, working).items():
            for worker in workers:
                there = self._host.get(worker)
                if there is not None and there.task in self._hostings and not there.leaving:
                    if there.lease == lease:
                        continue
                    if not there.accepted:
                        continue  # it has only just been sent elsewhere; it may move when it is there
                # Written down at once: whoever arranges next, even before it starts, must know of it.
                hosting = _Hosting(self._name(f"worker-{worker}"), worker, lease, there)
                self._hostings[hosting.task] = self._host[worker] = hosting
                self._keep(self._host_worker(hosting, self._leases[lease]))

    async def _host_worker(self, hosting: _Hosting, lease: Lease) -> None:
        arguments = {**self._arguments, "worker": hosting.worker}
        started = not hosting.leaving and await self._start_on(
            lease, Task(hosting.task, "tradewind.training.worker", arguments)
        )
        former, hosting.former = hosting.former, None
        if not started:
            self._hostings.pop(hosting.task, None)
            return
        hosting.accepted = True
        if hosting.leaving:
            self._ask_to_leave(hosting)  # its lease was given up while it started
        elif former is not None and former.task in self._hostings:
            self._ask_to_leave(former)

    async def _start_on(self, lease: Lease, task: Task) -> bool:
        try:
            await self._runtime.start(lease, task)
        except Unreachable as silence:
            if lease.id in self._leases or (
                self._state_lease is not None and lease.id == self._state_lease.id
            ):
                self._changes.put_nowait(Stranded(lease.id, str(silence)))
                self._give_up(lease.id)
            return False
        except TradewindError as problem:
            self._changes.put_nowait(Broken(str(problem)))
            return False
        return True

    def _ask_to_leave(self, hosting: _Hosting) -> None:
        hosting.leaving = True
        self._keep(self._runtime.stop(hosting.task, GRACE))

    def _give_up(self, lease: LeaseId) -> None:
        """Put no more on a lease, and host its workers elsewhere."""
        self._leases.pop(lease, None)
        self._joined.pop(lease, None)
        self._ready.discard(lease)
        for hosting in self._hostings.values():
            if hosting.lease == lease:
                hosting.leaving = True
                former = hosting.former
                if former is not None and former.task in self._hostings and not former.leaving:
                    self._host[hosting.worker] = former  # nobody has relieved it, and nobody need
        self._arrange()

    # the ends of tasks

    async def _hear_ends(self) -> None:
        while True:
            self._ended(await self._runtime.next_end())

    def _ended(self, end: TaskEnd) -> None:
        hosting = self._hostings.pop(end.task, None)
        if self._over:
            return
        if end.task == self._state_task:
            there, lost = self._state_on, end.state is TaskState.LOST
            self._serving, self._state_task, self._state_on = False, None, None
            # One that leaves unasked, as after a notice, would do so again and again.
            if not lost and not self._moving and self._failed("state", end.reason or "it left unasked"):
                return
            if lost and self._state_lease is not None and self._state_lease.id == there:
                self._keep(self._once_more(self._state_lease))
            else:
                self._start_state()
        elif end.task.startswith("prepare-"):
            lease = LeaseId(end.task.removeprefix("prepare-").rpartition(".")[0])
            if lease not in self._leases:
                return  # warned or lost meanwhile
            if end.state is TaskState.DONE:
                self._prepared(lease)
            elif end.state is TaskState.LOST:
                self._keep(self._once_more(self._leases[lease]))
            elif end.state is TaskState.FAILED and not self._failed("prepare", end.reason):
                self._changes.put_nowait(Stranded(lease, end.reason))
                self._give_up(lease)
        elif hosting is not None and end.state is TaskState.FAILED and not hosting.leaving:
            self._failed(f"worker-{hosting.worker}", end.reason)
        # A part that is finished shows in the next look at the server; any other worker is hosted again.

    async def _once_more(self, lease: Lease) -> None:
        """The connection to a lease broke: should it still be ours in a while, only that is gone."""
        await asyncio.sleep(GRACE * clock.speed())
        if self._over:
            return
        if self._state_lease is lease and self._state_task is None:
            self._start_state()
        elif self._leases.get(lease.id) is lease:
            await self._prepare(lease)

    def _failed(self, what: str, reason: str) -> bool:
        """Count a failure; True if it was one too many and the job is broken."""
        self._failures[what] = self._failures.get(what, 0) + 1
        if self._failures[what] < MOST_FAILURES:
            return False
        self._over = True
        self._changes.put_nowait(Broken(f"{what} failed {MOST_FAILURES} times without progress: {reason}"))
        return True

    async def _stop_all(self) -> None:
        tasks = [*self._hostings, *([self._state_task] if self._state_task else [])]
        for task in tasks:
            with contextlib.suppress(TradewindError):
                await self._runtime.stop(task, GRACE)

    def _name(self, what: str) -> str:
        self._numbers += 1
        return f"{what}.{self._numbers}"

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None and not self._closed:
            self._over = True
            self._changes.put_nowait(Broken(f"{type(problem).__name__}: {problem}"))
