"""A job's learning as real tasks on leases: those that serve the state, and one for each logical worker.

AgileML (Harlap et al., EuroSys 2017, section 3): the state is kept safe on a lease that cannot be revoked,
the workers are on leases that can, keep nothing that is not in the state, and are hosted elsewhere when
theirs are warned or lost. Who serves the state goes by the stage, see `stages`. A lease takes part once its
first task has read the data, so nobody waits for a newcomer.

A lease whose instance does not answer is stranded only after several probes over `SILENCE`; one that is dead
is known by the end of its tasks, at once; a task that lives and does nothing by `stalls`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import to_builtins

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.runtimes.interface import Runtime, Task, TaskEnd, TaskState
from tradewind.state.control import StateStatus
from tradewind.training.elastic.hosting import Hostings
from tradewind.training.elastic.meter import Meter
from tradewind.training.elastic.orders import Orders, grace_over, pause, until
from tradewind.training.elastic.silence import Silence
from tradewind.training.elastic.stages import StageRules, work_on
from tradewind.training.elastic.stalls import Stalls
from tradewind.training.elastic.state_servers import StateLink, StateServers
from tradewind.training.elastic.work import STATE, Change, Finished, Joined, Saved, Stranded
from tradewind.training.job import Job
from tradewind.training.view import Progress

POLL = 0.2
"""Seconds of the wall's time between two looks at the state's servers."""
PROBE = 1.0
"""Seconds of the wall's time between two probes of an instance, and until one has failed."""
SILENCE = 15.0
"""Seconds of the wall's time, with several probes in them, after which a silent instance is given up."""
READER = "tradewind.training.data_host"


class ProcessWork:
    """The `Work` of a job, done by tasks of a runtime.

    The state is found at `address`; `arguments` are what every task is given besides: `cache`, `snapshots`,
    `backup` and `base`, see `training.state_host`. `total` is the rows to read over all epochs, `rows_done`
    turns the workers' clocks into rows. `speeds` gives a lease's relative speed. `rate` and `startup` are the
    estimates that `progress` gives until they are measured: rows a vCPU-second, and seconds, both of market
    time. `snapshot_every` is in seconds of market time. `stages` says who serves the state; an active
    server's address is drawn from its lease and its task's name by `active_address`, which may be left out
    where `address` is a local socket. `answers` probes an instance: it raises Unreachable, or never returns,
    where nobody is there. Without it an instance is only ever lost by its connection.
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
        stages: StageRules = StageRules(),  # noqa: B008 -- a frozen value
        active_address: Callable[[Lease, str], str] | None = None,
        answers: Callable[[Lease], Awaitable[object]] | None = None,
    ) -> None:
        if active_address is None and stages.shards > 1 and not address.startswith("ipc://"):
            raise Misuse(
                "active servers need addresses of their own",
                field="active_address",
                fix="Say where a lease's server is to listen, or leave the state in one shard.",
            )
        self._link, self._stages, self._answers = link, stages, answers
        self._arguments = {**arguments, "job": to_builtins(job), "address": address}
        self._speeds, self._snapshot_every = speeds, snapshot_every
        self._orders = Orders(runtime, self._strand)
        self._meter = Meter(total, rows_done, rate, startup)
        self._hostings = Hostings(self._orders, self._arguments)
        self._servers = StateServers(
            self._orders,
            link,
            stages,
            address=address,
            active_address=active_address or (lambda lease, name: f"{address}.{name.rpartition('.')[2]}"),
            arguments=self._arguments,
            saved=self._saved,
        )
        self._silence = Silence(SILENCE)
        self._stalls = Stalls()
        self._leases: dict[LeaseId, Lease] = {}
        """Work leases that are ours and not warned."""
        self._joined: dict[LeaseId, float] = {}
        self._ready: set[LeaseId] = set()
        self._status: StateStatus | None = None

    async def open(self) -> None:
        """Begin to listen for the ends of tasks, to look at the state, and to probe what is there."""
        for each in (self._hear_ends(), self._watch(), self._servers.keep_placed(), self._probe_all()):
            self._orders.keep(each)

    def join(self, lease: Lease) -> None:
        """Use this lease from now on."""
        if lease.purpose == STATE:
            self._servers.join(lease)
        else:
            self._leases[lease.id], self._joined[lease.id] = lease, clock.now()
            self._orders.keep(self._prepare(lease))

    def warn(self, revocation: Revocation) -> None:
        """A lease will be revoked. Its tasks got the notice themselves; what they do goes on elsewhere."""
        self._give_up(revocation.lease)
        if self._servers.give_up(revocation.lease):
            self._orders.keep(self._servers.hand_over())

    async def drain(self, lease: LeaseId) -> None:
        """Move what is on a lease off it and wait until its tasks have left, `orders.GRACE` at most."""
        self._give_up(lease)
        mine = set(self._hostings.leave(lease))
        if self._servers.give_up(lease):
            await self._servers.hand_over()
        await until(lambda: not mine.intersection(self._hostings.tasks) and not self._servers.holds(lease))

    def lost(self, lease: LeaseId) -> None:
        """A lease is gone."""
        self._give_up(lease)
        self._servers.lost(lease)

    def progress(self) -> Progress:
        """The latest known."""
        return self._meter.progress()

    def loss(self) -> float | None:
        """The mean loss over the last few looks at the state."""
        return self._meter.loss()

    @property
    def recoveries(self) -> tuple[tuple[float, int], ...]:
        """The moment of every recovery from a server that was lost unwarned, and the clocks that it lost."""
        return tuple(self._servers.recoveries)

    @property
    def working(self) -> frozenset[LeaseId]:
        """The leases that workers were accepted on."""
        return frozenset(self._hostings.working)

    async def next_change(self) -> Change:
        """Wait for the next change."""
        return await self._orders.changes.get()

    async def pause(self) -> None:
        """Take a snapshot and stop every task."""
        if not self._orders.over:
            await self._servers.come_home()
        self._orders.over = True
        await self._servers.save()
        await self._stop_all()

    async def close(self) -> None:
        """Stop everything and let go of it."""
        await self._orders.close()
        self._link.close()

    # the state

    async def _watch(self) -> None:
        """Look at the state again and again; say what changed."""
        saved_at = clock.now()
        while not self._orders.over:
            await pause(POLL)
            status = await self._servers.look()
            if status is None:
                self._note_silence()
                continue
            self._silence.heard(STATE)
            self._take_in(status)
            if not self._servers.answering:
                self._servers.answered()
                if self._servers.lease is not None:
                    self._orders.tell(Joined(self._servers.lease.id))
                await self._servers.save()  # from here on there is always something to go back to
                saved_at = clock.now()
            if status.finished:
                if not await self._finished(status):
                    continue  # a server is gone, or has been; what was not saved is learned again
                return
            if clock.now() - saved_at >= self._snapshot_every:
                await self._servers.save()
                saved_at = clock.now()
            self._arrange()

    async def _finished(self, status: StateStatus) -> bool:
        """Keep what is learned and end everything; whether the state is whole."""
        await self._servers.come_home()
        if await self._servers.save() != tuple(worker.clock for worker in status.workers):
            self._servers.spread()
            return False
        self._orders.over = True
        await self._stop_all()
        self._orders.tell(Finished())
        return True

    def _take_in(self, status: StateStatus) -> None:
        self._status = status
        working = self._hostings.working
        there = [*self._leases.values(), *([self._servers.lease] if self._servers.lease else [])]
        vcpus = sum(lease.instance.type.resources.vcpus for lease in there if lease.id in working)
        clocks = tuple(worker.clock for worker in status.workers)
        moved = self._meter.look(clocks, status.progress, clock.now(), vcpus)
        if moved:
            self._orders.forgive(["state", "active", "prepare", *(f"worker-{n}" for n in moved)])
        self._end_stalled(status)

    def _end_stalled(self, status: StateStatus) -> None:
        """End the tasks whose batch hangs; their workers are hosted anew by the next arrangement."""
        at_work = {
            task: status.workers[worker].clock
            for task, worker in self._hostings.at_work.items()
            if not (status.workers[worker].arrived or status.workers[worker].left)
        }
        bound = self._stalls.bound
        for task in self._stalls.look(at_work, clock.now() / clock.speed()):
            self._hostings.kill(task, f"its batch was not done within {bound:.0f} s")

    def _saved(self, clocks: tuple[int, ...]) -> None:
        self._orders.tell(Saved(self._meter.keep(clocks), self._link.problem))

    def _note_silence(self) -> None:
        """The state did not answer; a task that does not for long is ended, which tells what to do next."""
        task = self._servers.task
        if task is None or not self._servers.answering:
            self._silence.heard(STATE)
        elif self._silence.missed(STATE, clock.now() / clock.speed()):
            self._silence.heard(STATE)
            self._servers.kill(task)

    # the workers

    async def _prepare(self, lease: Lease) -> None:
        """Have the data read on a new lease before any worker is moved there."""
        name = self._orders.name(f"prepare-{lease.id}")
        await self._orders.start(lease, Task(name, READER, dict(self._arguments)))

    def _prepared(self, lease: LeaseId) -> None:
        if lease in self._leases:
            self._ready.add(lease)
            self._meter.startup = clock.now() - self._joined[lease]
            self._orders.tell(Joined(lease))
            self._arrange()

    def _arrange(self) -> None:
        """Have every worker hosted, and every shard served, where they should be."""
        ready = {lease: self._leases[lease] for lease in sorted(self._ready) if lease in self._leases}
        speeds = {lease: self._speeds(each) for lease, each in ready.items()}
        self._servers.use({lease: (each, speeds[lease]) for lease, each in ready.items()})
        if not self._servers.answering or self._orders.over or self._status is None:
            return
        beside: dict[LeaseId, float] = {}
        if self._servers.lease is not None:
            ready[self._servers.lease.id] = self._servers.lease
            beside[self._servers.lease.id] = self._speeds(self._servers.lease)
        working = [number for number, worker in enumerate(self._status.workers) if not worker.left]
        places = work_on(self._servers.serving, speeds, beside, self._stages)
        self._hostings.arrange(working, ready, places)

    def _strand(self, lease: LeaseId, reason: str) -> None:
        """An instance could not be reached: if it is still ours, say so and do without it."""
        state = self._servers.lease
        if lease in self._leases or (state is not None and state.id == lease):
            self._orders.tell(Stranded(lease, reason))
            self._give_up(lease)

    def _give_up(self, lease: LeaseId) -> None:
        """Put no more on a lease, and host its workers elsewhere."""
        self._leases.pop(lease, None)
        self._joined.pop(lease, None)
        self._ready.discard(lease)
        self._silence.heard(lease)
        self._hostings.give_up(lease)
        self._arrange()

    # the ends of tasks, and silence

    async def _hear_ends(self) -> None:
        while True:
            end = await self._orders.runtime.next_end()
            if not self._servers.ended(end) and not self._hostings.ended(end):
                self._read(end)

    def _read(self, end: TaskEnd) -> None:
        """A task that read the data has ended."""
        lease = LeaseId(end.task.removeprefix("prepare-").rpartition(".")[0])
        if self._orders.over or not end.task.startswith("prepare-") or lease not in self._leases:
            return  # warned or lost meanwhile
        if end.state is TaskState.DONE:
            self._prepared(lease)
        elif end.state is TaskState.LOST:
            self._orders.keep(self._once_more(self._leases[lease]))
        elif not self._orders.failed("prepare", end.reason):
            self._orders.tell(Stranded(lease, end.reason))
            self._give_up(lease)

    async def _once_more(self, lease: Lease) -> None:
        """The connection to a lease broke: should it still be ours in a while, only that is gone."""
        await grace_over()
        if not self._orders.over and self._leases.get(lease.id) is lease:
            await self._prepare(lease)

    async def _probe_all(self) -> None:
        """Ask every instance that takes part, and every active server, whether it is there."""
        while not self._orders.over:
            await pause(PROBE)
            there = [self._leases[lease] for lease in self._ready if lease in self._leases]
            if self._servers.lease is not None and self._servers.answering:
                there.append(self._servers.lease)
            probes = [self._probe(lease) for lease in there] if self._answers is not None else []
            servers = self._servers.addresses().values()
            await asyncio.gather(*probes, *(self._probe_server(task, where) for task, where in servers))

    async def _probe(self, lease: Lease) -> None:
        assert self._answers is not None
        try:
            async with asyncio.timeout(PROBE * clock.speed()):
                await self._answers(lease)
        except (Unreachable, TimeoutError):
            if self._silence.missed(lease.id, clock.now() / clock.speed()):
                self._silence.heard(lease.id)
                self._strand(lease.id, f"its instance was silent for {SILENCE:g} s")
        else:
            self._silence.heard(lease.id)

    async def _probe_server(self, task: str, address: str) -> None:
        try:
            await asyncio.to_thread(self._link.answers, address)
        except Unreachable:
            if self._silence.missed(task, clock.now() / clock.speed()):
                self._silence.heard(task)
                self._servers.kill(task)
        else:
            self._silence.heard(task)

    async def _stop_all(self) -> None:
        await self._orders.stop([*self._hostings.tasks, *self._servers.tasks])
