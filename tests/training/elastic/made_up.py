"""A made-up runtime and state for `ProcessWork`: every order can be seen, every failure be placed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tradewind import clock
from tradewind.errors import Unreachable
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.runtimes.interface import Task, TaskEnd, TaskState
from tradewind.state.control import Recovery, StateStatus, WorkerStatus
from tradewind.state.routing import StateRouting
from tradewind.training.elastic.process_work import ProcessWork
from tradewind.training.elastic.stages import StageRules
from tradewind.training.elastic.work import Change, Joined
from tradewind.training.job import Job, Learner

PARTS, ROWS, LENGTH = 4, 10, 100
"""Logical workers, rows a batch, batches a worker."""
S, A, B = LeaseId("s"), LeaseId("a"), LeaseId("b")
SPEED = 20.0
ADDRESS = "ipc:///nowhere"


def lease(name: str, purpose: str = "work", vcpus: float = 2) -> Lease:
    kind = InstanceType("c9.large", Resources(vcpus=vcpus, memory_gib=4))
    return Lease(LeaseId(name), Instance(name, kind, "xx-north-1a", f"unix:/{name}"), Terms.SPOT, 0.0,
                 purpose=purpose)  # fmt: skip


class MadeUpRuntime:
    """Starts nothing; what was ordered can be seen, and tasks end when the test says so, or when asked."""

    def __init__(self) -> None:
        self.running: dict[str, tuple[LeaseId, Task]] = {}
        self.orders: list[str] = []
        self.stopped: list[str] = []
        self.problem: dict[LeaseId, Exception] = {}
        self.held: dict[LeaseId, asyncio.Event] = {}
        """Leases whose tasks are accepted only once the event is set."""
        self.obedient = True
        """Whether a task that is asked to leave does."""
        self.prepares = True
        """Whether the data is read at once."""
        self.ends: asyncio.Queue[TaskEnd] = asyncio.Queue()
        self.closed = False

    async def start(self, on: Lease, task: Task) -> None:
        self.orders.append(task.id)
        if on.id in self.held:
            await self.held[on.id].wait()
        if on.id in self.problem:
            raise self.problem[on.id]
        assert not self.closed and task.id not in self.running
        self.running[task.id] = (on.id, task)
        if task.id.startswith("prepare") and self.prepares:
            self.end(task.id)

    async def stop(self, task: str, grace: float) -> None:
        if task in self.running:
            self.stopped.append(task)
            if self.obedient:
                self.end(task)

    async def next_end(self) -> TaskEnd:
        return await self.ends.get()

    async def close(self) -> None:
        self.closed = True

    def end(self, task: str, state: TaskState = TaskState.DONE, reason: str = "") -> None:
        del self.running[task]
        self.ends.put_nowait(TaskEnd(task, state, reason))

    def lose(self, on: LeaseId) -> None:
        """The instance is gone."""
        self.problem[on] = Unreachable(f"{on} is gone")
        for task in self.on(on):
            self.end(task, TaskState.LOST, "gone")

    def on(self, on: LeaseId, kind: str = "") -> list[str]:
        return [task for task, (where, _) in self.running.items() if where == on and task.startswith(kind)]

    def all(self, kind: str) -> list[str]:
        return [task for task in self.running if task.startswith(kind)]

    def serving(self) -> list[tuple[LeaseId, Task]]:
        """The tasks that serve the state, and where."""
        return [each for name, each in self.running.items() if name.startswith(("state", "active"))]

    def hosting(self, worker: int) -> str:
        """The one task that hosts a worker."""
        (task,) = [each for each in self.all("worker") if self.running[each][1].arguments["worker"] == worker]
        return task

    def workers(self, on: LeaseId) -> list[int]:
        return sorted(int(self.running[task][1].arguments["worker"]) for task in self.on(on, "worker"))


class MadeUpLink:
    """A state whose clocks the test sets; it answers while the tasks that serve it run.

    As the real one, it refuses a change while a server that holds something or is to hold something is
    dead, and a recovery while one that is to serve is.
    """

    def __init__(self, runtime: MadeUpRuntime, shards: int) -> None:
        self.runtime = runtime
        self.clocks = [0] * PARTS
        self.left = [False] * PARTS
        self.silent = False
        self.mute: set[str] = set()
        """Addresses that do not answer a probe, though their tasks run."""
        self.saves: list[tuple[int, ...]] = []
        self.saved_from: list[set[str]] = []
        """Who served at each save."""
        self.snapshots_fail = False
        self.problem = ""
        self.asked = self.epoch = 0
        self.closed = False
        self.changes: list[tuple[str, tuple[str, ...]]] = []
        """What was ordered and done: `change` or `recover`, and the addresses by shard."""
        self.cut: list[str] = []
        """How the next changes fail: `before` anything is done, `half` done, or `after`, as if unheard."""
        self.lost = 1
        """Clocks that a recovery loses."""
        self._shards, self._reliable = shards, ""
        self._serving: tuple[str, ...] = ()

    @property
    def serving(self) -> tuple[str, ...]:
        """The addresses by shard; those of a state that has just been started again are its own."""
        states = self.runtime.all("state")
        if states and states[0] != self._reliable:
            self._reliable, self.epoch = states[0], self.runtime.running[states[0]][1].arguments["epoch"] + 1
            self._serving = (self.runtime.running[states[0]][1].arguments["address"],) * self._shards
        return self._serving

    def status(self) -> StateStatus:
        self.asked += 1
        self._answer(*self.serving)
        workers = tuple(
            WorkerStatus(done, 0, 1, True, False, left, False)
            for done, left in zip(self.clocks, self.left, strict=True)
        )
        rows = float(sum(self.clocks) * ROWS)
        return StateStatus(self.epoch, 0, workers, (rows / 2, rows), {}, 0, 0, 0, all(self.left))

    def save(self) -> tuple[int, ...]:
        self._answer()
        if self.snapshots_fail:
            raise Unreachable("it died")
        self.saves.append(tuple(self.clocks))
        self.saved_from.append(set(self.serving))
        return self.saves[-1]

    def change(self, serving: Sequence[str]) -> StateRouting:
        return self._place("change", serving, (*self.serving, *serving))

    def recover(self, serving: Sequence[str]) -> Recovery:
        return Recovery(self._place("recover", serving, serving), self.lost)

    def answers(self, address: str) -> None:
        if address in self.mute:
            raise Unreachable(address)
        self._answer(address)

    def close(self) -> None:
        self.closed = True

    def _place(self, how: str, serving: Sequence[str], needed: Sequence[str]) -> StateRouting:
        cut = self.cut.pop(0) if self.cut else ""
        self._answer(*needed)
        self.epoch += 1
        if cut == "before":
            raise Unreachable("cut")
        if cut == "half":
            half = len(serving) // 2
            self._serving = (*serving[:half], *self.serving[half:])
            raise Unreachable("cut")
        self._serving = tuple(serving)
        self.changes.append((how, self._serving))
        if cut == "after":
            raise Unreachable("cut")
        return StateRouting(self.epoch, self.epoch, self._serving, (ADDRESS,) * self._shards)

    def _answer(self, *addresses: str) -> None:
        there = {task.arguments["address"] for _, task in self.runtime.serving()}
        if self.silent or not self.runtime.all("state"):
            raise Unreachable("nobody is there")
        for address in addresses:
            if address not in there:
                raise Unreachable(f"{address} is silent")


class Bench:
    """The work on made-up leases, and what it said."""

    def __init__(self, snapshot_every: float = 1e9, **stages: Any) -> None:
        self.runtime = MadeUpRuntime()
        rules = StageRules(**stages)
        self.link = MadeUpLink(self.runtime, rules.shards)
        self.unanswered: set[LeaseId] = set()
        """Leases whose instances do not answer a probe."""
        self.changes: list[Change] = []
        self.work = ProcessWork(
            Job(learner=Learner("LinearLearner"), data={"source": "adult"}, parts=PARTS),
            self.runtime,
            self.link,
            address=ADDRESS,
            arguments={"cache": "c", "snapshots": "s", "base": None},
            total=float(PARTS * LENGTH * ROWS),
            rows_done=lambda clocks: float(sum(clocks) * ROWS),
            speeds=lambda each: each.instance.type.resources.vcpus,
            rate=1.0,
            startup=60.0,
            snapshot_every=snapshot_every,
            stages=rules,
            answers=self._answers,
        )

    async def _answers(self, lease: Lease) -> None:
        if lease.id in self.unanswered:
            raise Unreachable(f"{lease.id} is silent")

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(30 * SPEED):
            while not true():
                await asyncio.sleep(0.002 * SPEED)

    async def looks(self, count: int = 3) -> None:
        """Wait until the server was looked at so many times more."""
        before = self.link.asked
        await self.until(lambda: self.link.asked >= before + count)

    def told(self, kind: type) -> list[Change]:
        return [each for each in self.changes if isinstance(each, kind)]

    async def start(self, *names: LeaseId) -> None:
        """A server on `S`, and workers on the leases named."""
        self.work.join(lease(S, "state"))
        for name in names:
            self.work.join(lease(name))
        await self.until(lambda: len(self.told(Joined)) == 1 + len(names))
        if names:
            await self.everyone_hosted()

    async def everyone_hosted(self, on: Iterable[LeaseId] = ()) -> None:
        await self.until(
            lambda: (
                sorted(
                    number
                    for where in (set(on) or {LeaseId(name) for name in "abcdefg"})
                    for number in self.runtime.workers(where)
                )
                == list(range(PARTS))
            )
        )

    def served_by(self) -> list[LeaseId | None]:
        """By shard, the lease of the task that serves it; None for the reliable one."""
        where = {task.arguments["address"]: lease for lease, task in self.runtime.serving()}
        where[ADDRESS] = None
        return [where.get(address, LeaseId("gone")) for address in self.link.serving]

    async def settled(self) -> None:
        """Everything that was set going has come to rest."""
        await self.until(lambda: len(self.work._orders._background) == 4)


def play(story, **settings) -> Bench:
    """Let `story(bench)` happen; nothing may be left running after it."""

    async def main() -> Bench:
        bench = Bench(**settings)
        await bench.work.open()

        async def listen() -> None:
            while True:
                bench.changes.append(await bench.work.next_change())

        listening = asyncio.create_task(listen())
        try:
            await story(bench)
        finally:
            await bench.work.close()
            await bench.work.close()
            listening.cancel()
            await asyncio.wait([listening])
        assert bench.runtime.closed and bench.link.closed
        assert len(asyncio.all_tasks()) == 1, "a task outlives the work"
        return bench

    return clock.run(main(), start=1e9, speed=SPEED)


def notice(name: LeaseId) -> Revocation:
    return Revocation(name, clock.now(), clock.now() + 120)
