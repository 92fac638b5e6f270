"""The tasks that serve a job's state, and every change of who serves what.

AgileML (Harlap et al., EuroSys 2017, section 3). The reliable task runs on the lease that cannot be revoked,
at the one address that everybody knows; in stages 2 and 3 active tasks on leases that may be lost serve the
shards, and the reliable one keeps the backup. Every change is made by one coroutine, one after another: it
compares who should serve with who does, and goes on until they agree, so that whatever fails half-way is
tried again from where it stands. A server that died is noticed by the end of its task.

What is asked of the state goes through `StateLink`, which blocks, and so is asked in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from tradewind import clock
from tradewind.errors import Temporary
from tradewind.market.leases import Lease, LeaseId
from tradewind.runtimes.interface import Task, TaskEnd, TaskState
from tradewind.state.control import Recovery, StateStatus
from tradewind.state.routing import StateRouting
from tradewind.training.elastic.orders import Orders, grace_over, pause, until
from tradewind.training.elastic.stages import Serving, StageRules, fall_back, serve_from
from tradewind.training.elastic.work import Restaged

T = TypeVar("T")

RELIABLE, ACTIVE = "tradewind.training.state_host", "tradewind.training.active_host"
TOGETHER = 0.05
"""Seconds of the wall's time in which losses count as one: machines often go together."""
AGAIN = 0.2
"""Seconds of the wall's time until a change that failed is tried again."""
_EPOCHS = 1024
"""How far a restarted state is put beyond the last epoch that was seen: more than changes can have used."""


class StateLink(Protocol):
    """The line to the servers of a state. Every call blocks, for a stated time at most.

    All but `close` raise Temporary if somebody who is needed does not answer, or cannot just now.
    """

    problem: str
    """Why the last snapshot was not copied to the object store; empty if it was, or need not be."""

    def status(self) -> StateStatus:
        """How far the workers are."""
        ...

    def save(self) -> tuple[int, ...]:
        """Make a durable snapshot; the batches in it, by logical worker."""
        ...

    def change(self, serving: Sequence[str]) -> StateRouting:
        """Have these addresses serve the shards, by shard; nothing is lost. To be repeated if it fails."""
        ...

    def recover(self, serving: Sequence[str]) -> Recovery:
        """As `change`, where a server is dead: the state goes back to what the backups have of all."""
        ...

    def answers(self, address: str) -> None:
        """Return if the server at an address answers."""
        ...

    def close(self) -> None:
        """Let go of the line; may be called twice."""
        ...


class _Active(Struct, frozen=True):
    """A task that serves shards on a lease that may be lost."""

    task: str
    address: str


class StateServers:
    """Who serves the state of a job.

    `address` is that of the reliable task, `active_address` gives an active task's from its lease and name;
    without it the job stays in stage 1. `arguments` are what the tasks are given. `saved` is told what is in
    each snapshot.
    """

    def __init__(
        self,
        orders: Orders,
        link: StateLink,
        rules: StageRules,
        *,
        address: str,
        active_address: Callable[[Lease, str], str],
        arguments: Mapping[str, Any],
        saved: Callable[[tuple[int, ...]], None],
    ) -> None:
        self._orders, self._link, self._rules = orders, link, rules
        self._address, self._active_address = address, active_address
        self._arguments, self._saved = dict(arguments), saved
        self.lease: Lease | None = None
        """Where the reliable task is to be."""
        self.answering = False
        """Whether the reliable task has answered since it was started."""
        self.serving = Serving(1, (None,) * rules.shards)
        """Who serves what, as last ordered and confirmed."""
        self.recoveries: list[tuple[float, int]] = []
        """The moment of every recovery, and the clocks that it lost."""
        self._task: str | None = None
        self._on: LeaseId | None = None
        """Where the reliable task runs, or the latest one was ordered."""
        self._moving = False
        """Whether that task was asked to leave."""
        self._home = False
        """Whether the reliable task is to serve everything, whatever the stage should be."""
        self._use: dict[LeaseId, tuple[Lease, float]] = {}
        self._actives: dict[LeaseId, _Active] = {}
        self._dismissed: dict[str, LeaseId] = {}
        """Active tasks that were asked to leave."""
        self._held: frozenset[LeaseId] = frozenset()
        """The leases that may serve something, whatever became of the last change."""
        self._sure = True
        """Whether the last change was confirmed."""
        self._epoch = 0
        self._woken = asyncio.Event()

    # what is known of leases

    @property
    def task(self) -> str | None:
        """The reliable task."""
        return self._task

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that serves, or did and was not told to have ended."""
        reliable = () if self._task is None else (self._task,)
        return (*(each.task for each in self._actives.values()), *self._dismissed, *reliable)

    def addresses(self) -> dict[LeaseId, tuple[str, str]]:
        """Task and address of every active server, by its lease."""
        return {lease: (each.task, each.address) for lease, each in self._actives.items()}

    def join(self, lease: Lease) -> None:
        """Serve from this lease, which cannot be revoked; whoever serves now hands over."""
        self.lease = lease
        if self._task is None:
            self.start()
        else:
            self._orders.keep(self.hand_over())

    def use(self, leases: Mapping[LeaseId, tuple[Lease, float]]) -> None:
        """The leases that work, may be lost and are not about to be, with their speeds."""
        if leases.keys() != self._use.keys():
            self._woken.set()
        self._use = dict(leases)

    def give_up(self, lease: LeaseId) -> bool:
        """Serve from a lease no more; whether it was to be the reliable one."""
        if self.lease is None or self.lease.id != lease:
            return False
        self.lease = None
        return True

    def lost(self, lease: LeaseId) -> None:
        """A lease is gone, with what ran there."""
        self.give_up(lease)
        if self._actives.pop(lease, None) is not None:
            self._woken.set()
        self._dismissed = {task: where for task, where in self._dismissed.items() if where != lease}
        if self._on == lease:
            self._fell()
            self.start()  # where another lease has joined already

    def holds(self, lease: LeaseId) -> bool:
        """Whether anything of the state is served from a lease, or a task that did has not left."""
        return (
            self._on == lease
            or lease in self._held
            or lease in self._actives
            or lease in self._dismissed.values()
        )

    # the reliable task

    def start(self) -> None:
        """Start the reliable task where it is to be, if anywhere."""
        if self.lease is None or self._orders.over:
            return
        self._task, self._on, self._moving = self._orders.name("state"), self.lease.id, False
        arguments = {
            **self._arguments,
            "address": self._address,
            "shards": self._rules.shards,
            "epoch": self._epoch + _EPOCHS if self._epoch else 0,
        }
        self._orders.keep(self._start(self.lease, Task(self._task, RELIABLE, arguments)))

    async def _start(self, lease: Lease, task: Task) -> None:
        started = await self._orders.start(lease, task)
        if self._task != task.id:
            return
        if not started:
            self._task = self._on = None
            if self.lease is not None and self.lease.id != lease.id:
                self.start()  # another has joined meanwhile
        elif self._moving:
            await self._orders.stop([task.id])  # it was asked to leave before it was there

    async def hand_over(self) -> None:
        """Have the reliable task leave with all that there is; the next lease, if any, takes over."""
        task = self._task
        await self.come_home()
        await self.save()
        if task is not None and task == self._task and not self._orders.over:
            self._moving = True
            await self._orders.stop([task])

    async def come_home(self) -> None:
        """Have the reliable task serve everything, until it is started again or `spread`; waits for that."""
        self._home = True
        self._woken.set()
        await until(
            lambda: (self.serving.stage == 1 and self._sure) or not self.answering or self._orders.over
        )

    def spread(self) -> None:
        """Let others serve again, as the stage says."""
        self._home = False
        self._woken.set()

    async def look(self) -> StateStatus | None:
        """How the state stands; None where nobody answers, which may mean nothing."""
        if self._task is None:
            return None
        try:
            status = await asyncio.to_thread(self._link.status)
        except Temporary:
            return None  # it is starting, or its task's end will be told; one silence means nothing
        self._epoch = max(self._epoch, status.epoch)
        return status

    def answered(self) -> None:
        """The reliable task has answered for the first time."""
        self.answering, self._home = True, False
        self._woken.set()

    async def save(self) -> tuple[int, ...] | None:
        """Make a snapshot; the clocks in it, or None where nobody answers and the last one stands."""
        if not self.answering:
            return None
        try:
            saved = await asyncio.to_thread(self._link.save)
        except Temporary:
            return None
        self._saved(saved)
        return saved

    def kill(self, task: str) -> None:
        """End a task that has been silent for too long; its end is told as any other."""
        self._orders.ask_to_leave(task, 0.0)

    # the ends of tasks

    def ended(self, end: TaskEnd) -> bool:
        """A task has ended; whether it was one of these."""
        if end.task == self._task:
            self._reliable_ended(end)
            return True
        if self._dismissed.pop(end.task, None) is not None:
            return True
        for lease, active in list(self._actives.items()):
            if active.task == end.task:
                del self._actives[lease]
                self._woken.set()
                if end.state is TaskState.FAILED and not self._orders.over:
                    self._orders.failed("active", end.reason)
                return True
        return False

    def _reliable_ended(self, end: TaskEnd) -> None:
        there, lost, moving = self._on, end.state is TaskState.LOST, self._moving
        self._fell()
        if self._orders.over:
            return
        # One that leaves unasked, as after a notice, would do so again and again.
        if not lost and not moving and self._orders.failed("state", end.reason or "it left unasked"):
            return
        if lost and self.lease is not None and self.lease.id == there:
            self._orders.keep(self._once_more(self.lease))
        else:
            self.start()

    async def _once_more(self, lease: Lease) -> None:
        """The connection to the lease broke: should it still be ours in a while, only that is gone."""
        await grace_over()
        if self.lease is lease and self._task is None:
            self.start()

    def _fell(self) -> None:
        """The reliable task is gone: what the active ones have is of a state that is no more."""
        self.answering = False
        self._task = self._on = None
        for lease, active in self._actives.items():
            self._dismissed[active.task] = lease
            self.kill(active.task)
        if self.serving.stage > 1:
            self._orders.tell(Restaged(1, ()))
        self._actives = {}
        self.serving = Serving(1, (None,) * self._rules.shards)
        self._held, self._sure = frozenset(), True

    # changes

    async def keep_placed(self) -> None:
        """Bring the shards to where they should be, again and again, for as long as the job lasts."""
        while True:
            await self._woken.wait()
            await pause(TOGETHER)
            self._woken.clear()
            while self.answering and not self._orders.over and await self._step():
                pass

    def _wanted(self) -> Serving:
        speeds = {lease: speed for lease, (_, speed) in self._use.items()}
        return serve_from(self.serving, {} if self._home else speeds, 1, self._rules)

    async def _step(self) -> bool:
        """Do the next thing towards what is wanted; whether there may be another."""
        if self._held - self._actives.keys():
            there = self._actives.keys() & self._use.keys()
            return await self._try(self._link.recover, fall_back(self.serving, there))
        wanted = self._wanted()
        if wanted.shards == self.serving.shards and self._sure:
            if wanted.stage != self.serving.stage:
                self.serving = wanted
                self._orders.tell(Restaged(wanted.stage, tuple(sorted(wanted.active))))
            self._dismiss()
            return False
        missing = sorted(wanted.active - self._actives.keys())
        await asyncio.gather(*(self._start_active(self._use[lease][0]) for lease in missing))
        if self._wanted() != wanted or wanted.active - self._actives.keys():
            return True
        return await self._try(self._link.change, wanted)

    async def _try(self, how: Callable[[Sequence[str]], StateRouting | Recovery], wanted: Serving) -> bool:
        """Order that. A change that was not confirmed may have been made, in part or whole."""
        task = self._task
        self._held, self._sure = self._held | wanted.active, False
        addresses = [
            self._address if lease is None else self._actives[lease].address for lease in wanted.shards
        ]
        try:
            done = await asyncio.to_thread(how, addresses)
        except Temporary:
            await pause(AGAIN)
            return True
        if task != self._task:
            return True  # of a server that has ended meanwhile
        self.serving, self._held, self._sure = wanted, wanted.active, True
        lost = 0
        if isinstance(done, Recovery):
            lost = done.clocks_lost
            self.recoveries.append((clock.now(), lost))
        routing = done.routing if isinstance(done, Recovery) else done
        self._epoch = max(self._epoch, routing.epoch)
        self._orders.tell(Restaged(wanted.stage, tuple(sorted(wanted.active)), lost))
        return True

    async def _start_active(self, lease: Lease) -> None:
        name = self._orders.name(f"active-{lease.id}")
        active = self._actives[lease.id] = _Active(name, self._active_address(lease, name))
        arguments = {**self._arguments, "address": active.address}
        if not await self._orders.start(lease, Task(name, ACTIVE, arguments)):
            if self._actives.get(lease.id) is active:
                del self._actives[lease.id]
            await pause(AGAIN)

    def _dismiss(self) -> None:
        """Have the active tasks leave that serve nothing."""
        for lease in [each for each in self._actives if each not in self.serving.active]:
            active = self._actives.pop(lease)
            self._dismissed[active.task] = lease
            self._orders.ask_to_leave(active.task)
