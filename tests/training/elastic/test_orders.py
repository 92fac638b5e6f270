"""Orders to a runtime: what fails is told as what it is, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from made_up import A, MadeUpRuntime, lease

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.runtimes.interface import Task
from tradewind.training.elastic import orders
from tradewind.training.elastic.orders import MOST_FAILURES, Orders, until
from tradewind.training.elastic.work import Broken


def play(story: Callable[[Orders, MadeUpRuntime, list[str]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        runtime, stranded = MadeUpRuntime(), list[str]()
        given = Orders(runtime, lambda name, reason: stranded.append(f"{name}: {reason}"))
        try:
            await story(given, runtime, stranded)
        finally:
            await given.close()
            await given.close()
        assert runtime.closed

    clock.run(main(), speed=20.0)


def test_what_cannot_be_started_is_told_as_what_it_is() -> None:
    async def story(given: Orders, runtime: MadeUpRuntime, stranded: list[str]) -> None:
        assert await given.start(lease(A), Task(given.name("t"), "m", {}))
        runtime.problem[A] = Unreachable("silent")
        assert not await given.start(lease(A), Task(given.name("t"), "m", {}))
        assert stranded == ["a: silent"] and given.changes.empty()
        runtime.problem[A] = Misuse("no such thing")
        assert not await given.start(lease(A), Task(given.name("t"), "m", {}))
        assert "no such thing" in given.changes.get_nowait().reason

    play(story)


def test_every_task_has_a_name_of_its_own() -> None:
    async def story(given: Orders, runtime: MadeUpRuntime, stranded: list[str]) -> None:
        names = [given.name("worker-1") for _ in range(5)]
        assert len(set(names)) == 5 and all(each.startswith("worker-1.") for each in names)

    play(story)


def test_failures_are_forgiven_by_progress_and_the_last_breaks_the_job() -> None:
    async def story(given: Orders, runtime: MadeUpRuntime, stranded: list[str]) -> None:
        for _ in range(3):
            assert [given.failed("a", "why") for _ in range(MOST_FAILURES - 1)] == [False] * (
                MOST_FAILURES - 1
            )
            assert not given.failed("b", "why") or not given.over
            given.forgive(["a", "b", "nobody"])
        assert not given.over
        assert [given.failed("a", "why") for _ in range(MOST_FAILURES)][-1]
        assert given.over and "a failed" in given.changes.get_nowait().reason

    play(story)


def test_what_fails_in_the_background_breaks_the_job() -> None:
    async def story(given: Orders, runtime: MadeUpRuntime, stranded: list[str]) -> None:
        async def wrong() -> None:
            raise ValueError("of this kind")

        given.keep(wrong())
        broken = await given.changes.get()
        assert broken == Broken("ValueError: of this kind") and given.over

    play(story)


def test_closing_ends_what_is_under_way() -> None:
    ended = []

    async def story(given: Orders, runtime: MadeUpRuntime, stranded: list[str]) -> None:
        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        given.keep(endless())
        await asyncio.sleep(0)

    play(story)
    assert ended == [True]


@pytest.mark.parametrize("comes", [True, False])
def test_waiting_has_an_end(comes, monkeypatch) -> None:
    monkeypatch.setattr(orders, "GRACE", 0.2)

    async def story(given: Orders, runtime: MadeUpRuntime, stranded: list[str]) -> None:
        began = clock.now()
        await until(lambda: comes)
        waited = (clock.now() - began) / clock.speed()
        assert waited < 0.1 if comes else 0.2 <= waited < 5

    play(story)
