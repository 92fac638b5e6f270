"""Which task hosts whom: one at a time, the former until the next is there, and back to the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from made_up import PARTS, SPEED, A, B, MadeUpRuntime, lease

from tradewind import clock
from tradewind.errors import Unreachable
from tradewind.market.leases import LeaseId
from tradewind.runtimes.interface import TaskEnd, TaskState
from tradewind.training.elastic.hosting import WORKER, Hostings
from tradewind.training.elastic.orders import Orders

C = LeaseId("c")
LEASES = {each: lease(each) for each in (A, B, C)}


class Stage:
    def __init__(self) -> None:
        self.runtime = MadeUpRuntime()
        self.orders = Orders(self.runtime, lambda *_: None)
        self.hostings = Hostings(self.orders, {"job": "j"})

    def arrange(self, *names: LeaseId, workers: range = range(PARTS)) -> None:
        self.hostings.arrange(workers, LEASES, dict.fromkeys(names, 1.0))

    async def settle(self) -> None:
        """Let what was ordered be done, and the ends be heard."""
        for _ in range(20):
            await asyncio.sleep(0)
            while not self.runtime.ends.empty():
                assert self.hostings.ended(self.runtime.ends.get_nowait())

    def where(self) -> dict[int, LeaseId]:
        found: dict[int, LeaseId] = {}
        for name, (where, task) in self.runtime.running.items():
            assert task.arguments["worker"] not in found, f"{name} is one too many"
            found[task.arguments["worker"]] = where
        return found


def play(story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        stage = Stage()
        await story(stage)
        await stage.orders.close()

    clock.run(main(), speed=SPEED)


def test_every_worker_gets_one_host_with_its_number() -> None:
    async def story(stage: Stage) -> None:
        stage.arrange(A, B)
        stage.arrange(A, B)
        await stage.settle()
        assert sorted(stage.where()) == list(range(PARTS))
        assert {task.module for _, task in stage.runtime.running.values()} == {WORKER}
        assert stage.hostings.working == {A, B} and len(stage.hostings.tasks) == PARTS

    play(story)


def test_the_former_host_works_until_the_next_is_accepted() -> None:
    async def story(stage: Stage) -> None:
        stage.arrange(A)
        await stage.settle()
        stage.runtime.held[B] = gate = asyncio.Event()
        stage.arrange(A, B)
        await stage.settle()
        assert stage.where() == dict.fromkeys(range(PARTS), A) and not stage.runtime.stopped
        gate.set()
        await stage.settle()
        assert sorted(stage.where().values()) == [A, A, B, B] and len(stage.runtime.stopped) == 2

    play(story)


def test_scale_down_returns_workers_to_who_had_them_before() -> None:
    async def story(stage: Stage) -> None:
        stage.arrange(A, B)
        await stage.settle()
        before = stage.where()
        stage.arrange(A, B, C)
        await stage.settle()
        assert C in stage.where().values()
        stage.hostings.give_up(C)
        stage.arrange(A, B)
        await stage.settle()
        stage.hostings.leave(C)
        await stage.settle()
        assert stage.where() == before

    play(story)


def test_who_could_not_be_reached_leaves_the_former_at_work() -> None:
    async def story(stage: Stage) -> None:
        stage.arrange(A)
        await stage.settle()
        stage.runtime.problem[B] = Unreachable("silent")
        stage.arrange(A, B)
        stage.hostings.give_up(B)
        await stage.settle()
        stage.arrange(A)
        await stage.settle()
        assert stage.where() == dict.fromkeys(range(PARTS), A) and not stage.runtime.stopped

    play(story)


def test_a_task_that_is_not_one_of_these_is_not_taken_for_one() -> None:
    async def story(stage: Stage) -> None:
        assert not stage.hostings.ended(TaskEnd("state.1", TaskState.DONE))

    play(story)


def test_a_host_that_fails_counts_unless_it_was_leaving() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(5):
            stage.arrange(A)
            await stage.settle()
            stage.hostings.give_up(A)
            for task in list(stage.runtime.running):
                stage.runtime.end(task, TaskState.FAILED, "killed")
            await stage.settle()
        assert not stage.orders.over
        for turn in range(3):
            stage.arrange(A)
            await stage.settle()
            for task in list(stage.runtime.running):
                stage.runtime.end(task, TaskState.FAILED, f"turn {turn}")
            await stage.settle()
        assert stage.orders.over and "worker-" in stage.orders.changes.get_nowait().reason

    play(story)
