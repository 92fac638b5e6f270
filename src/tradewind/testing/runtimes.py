"""The laws of runtimes: what `runtimes.interface.Runtime` promises, as tests.

Subclass `RuntimeLaws`, say how a runtime and instances for it are made, and let pytest collect the subclass.
The number in a test's name is the clause of the interface that it holds to. A law that an implementation
cannot keep is set to None in the subclass, with the reason beside it.
"""

# ruff: noqa: D102 -- a law's name is its sentence

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.runtimes.interface import Runtime, Task, TaskEnd, TaskState

T = TypeVar("T")

CHORES = "tradewind.testing.chores"


def leased(name: str, address: str) -> Lease:
    """A lease whose instance answers at `address`."""
    kind = InstanceType("c9.large", Resources(vcpus=2, memory_gib=4))
    return Lease(LeaseId(name), Instance(name, kind, "xx-north-1a", address), Terms.SPOT, 0.0)


class RuntimeLaws:
    """What every runtime keeps to. Clocks run at 20 times the wall's speed, to tell the two apart."""

    speed: ClassVar[float] = 20.0

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def runtime(self, patience: float = 20.0) -> Runtime:
        """A new runtime that waits so long, in the wall's seconds, for an address to answer."""
        raise NotImplementedError

    def instance(self) -> Lease:
        """A lease with a new, running instance."""
        raise NotImplementedError

    def unreachable(self) -> Lease:
        """A lease at whose address nobody answers."""
        raise NotImplementedError

    def signal(self, lease: Lease, number: signal.Signals) -> None:
        """Send a signal to everything that runs on the lease's instance."""
        raise NotImplementedError

    def run(self, story: Any, patience: float = 20.0) -> Any:
        """Make a runtime, let `story(runtime)` happen within 60 s of the wall's, and close it."""

        async def main() -> Any:
            runtime = self.runtime(patience)
            try:
                async with asyncio.timeout(60 * clock.speed()):
                    return await story(runtime)
            finally:
                await runtime.close()
                await runtime.close()

        return self.execute(main())

    def execute(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` on a clock that is faster than the wall's."""
        return clock.run(main, speed=self.speed)

    def chore(self, name: str, chore: str, **arguments: Any) -> Task:
        """A task for `testing.chores`."""
        return Task(name, CHORES, {"chore": chore, "path": str(self.folder / name), **arguments})

    async def begun(self, name: str) -> str:
        """Wait until a chore has written its file, and return what it wrote."""
        path = self.folder / name
        while not path.exists():
            await clock.sleep_until(clock.now() + 0.01 * clock.speed())
        return path.read_text()

    async def is_silent(self, runtime: Runtime, seconds: float) -> bool:
        """Whether no end is told for so many of the wall's seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * clock.speed()):
                await runtime.next_end()
                return False
        return True

    def test_clause_1_a_started_task_runs_with_its_arguments(self) -> None:
        text = "Grüße, \U0001f30d\n{} " + "x" * 300_000

        async def story(runtime: Runtime) -> None:
            await runtime.start(self.instance(), self.chore("t", "tell", text=text))
            assert await runtime.next_end() == TaskEnd("t", TaskState.DONE)
            assert await self.begun("t") == text

        self.run(story)

    def test_clause_1_an_address_that_does_not_answer_is_unreachable_in_time(self) -> None:
        async def story(runtime: Runtime) -> None:
            elapsed = clock.stopwatch()
            with pytest.raises(Unreachable):
                await runtime.start(self.unreachable(), self.chore("t", "tell", text=""))
            assert 0.25 < elapsed() < 10
            assert await self.is_silent(runtime, 0.2)
            assert not (self.folder / "t").exists()

        self.run(story, patience=0.3)

    def test_clause_1_a_task_that_could_not_be_started_may_be_started_elsewhere(self) -> None:
        async def story(runtime: Runtime) -> None:
            with pytest.raises(Unreachable):
                await runtime.start(self.unreachable(), self.chore("t", "return"))
            lease = self.instance()
            while True:
                try:
                    await runtime.start(lease, self.chore("t", "return"))
                    break
                except Unreachable:
                    pass
            assert await runtime.next_end() == TaskEnd("t", TaskState.DONE)

        self.run(story, patience=0.5)

    def test_clause_2_every_task_has_one_end(self) -> None:
        async def story(runtime: Runtime) -> None:
            leases = [self.instance(), self.instance()]
            chores = ["return", "raise", "wait", "exit"]
            names = [f"{chore}-{n}" for n in range(2) for chore in chores]
            await asyncio.gather(
                *(
                    runtime.start(leases[n % 2], self.chore(name, name[:-2], text="no", code=3))
                    for n, name in enumerate(names)
                )
            )
            for name in names:
                if name.startswith("wait"):
                    await self.begun(name)
                    await runtime.stop(name, 20)
            ends = [await runtime.next_end() for _ in names]
            assert sorted(end.task for end in ends) == sorted(names)
            good = {end.task[:-2] for end in ends if end.state is TaskState.DONE}
            bad = {end.task[:-2] for end in ends if end.state is TaskState.FAILED}
            assert (good, bad) == ({"return", "wait"}, {"raise", "exit"})
            assert await self.is_silent(runtime, 0.2)

        self.run(story)

    def test_clause_2_a_failure_tells_its_reason(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "raise", text="no luck today"))
            end = await runtime.next_end()
            assert end.state is TaskState.FAILED
            assert "no luck today" in end.reason and "Traceback" in end.reason
            await runtime.start(lease, Task("u", "tradewind.testing.no_such_module", {}))
            end = await runtime.next_end()
            assert end.state is TaskState.FAILED and "no_such_module" in end.reason

        self.run(story)

    def test_clause_2_a_task_that_was_killed_has_failed(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "wait"))
            await runtime.start(lease, self.chore("other", "wait"))
            os.kill(int(await self.begun("t")), signal.SIGKILL)
            end = await runtime.next_end()
            assert (end.task, end.state) == ("t", TaskState.FAILED) and "SIGKILL" in end.reason
            await self.begun("other")
            await runtime.stop("other", 20)
            assert await runtime.next_end() == TaskEnd("other", TaskState.DONE)

        self.run(story)

    def test_clause_2_cancelling_loses_no_end(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            told: list[TaskEnd] = []
            for n in range(8):
                waiting = asyncio.create_task(runtime.next_end())
                await runtime.start(lease, self.chore(f"t{n}", "return"))
                await clock.sleep_until(clock.now() + 0.004 * n * clock.speed())
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    told.append(await waiting)
            while len(told) < 8:
                told.append(await runtime.next_end())
            assert sorted(end.task for end in told) == [f"t{n}" for n in range(8)]

        self.run(story)

    def test_clause_3_a_task_that_is_asked_to_leave_leaves(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "wait"))
            await runtime.start(lease, self.chore("stays", "wait"))
            await self.begun("t")
            await self.begun("stays")
            assert await self.is_silent(runtime, 0.1)
            await runtime.stop("t", 20)
            assert await runtime.next_end() == TaskEnd("t", TaskState.DONE)
            assert await self.is_silent(runtime, 0.1)

        self.run(story)

    def test_clause_3_a_stop_that_comes_at_once_is_not_missed(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            for n in range(5):
                await runtime.start(lease, self.chore(f"t{n}", "wait"))
                await runtime.stop(f"t{n}", 20)
                assert await runtime.next_end() == TaskEnd(f"t{n}", TaskState.DONE)

        self.run(story)

    def test_clause_3_a_task_that_outlasts_its_grace_is_killed(self) -> None:
        async def story(runtime: Runtime) -> None:
            await runtime.start(self.instance(), self.chore("t", "linger"))
            pid = int(await self.begun("t"))
            elapsed = clock.stopwatch()
            await runtime.stop("t", 0.3)
            end = await runtime.next_end()
            assert 0.25 < elapsed() < 10
            assert end.state is TaskState.FAILED and "outlasted" in end.reason
            if pid != os.getpid():
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

        self.run(story)

    def test_clause_3_stop_is_silent_for_a_task_that_has_ended_or_never_was(self) -> None:
        async def story(runtime: Runtime) -> None:
            await runtime.start(self.instance(), self.chore("t", "return"))
            await runtime.next_end()
            await runtime.stop("t", 1)
            await runtime.stop("nobody", 1)
            assert await self.is_silent(runtime, 0.1)

        self.run(story)

    def test_clause_3_a_notice_asks_every_task_to_leave_and_the_instance_goes_on_answering(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            for name in ("t0", "t1"):
                await runtime.start(lease, self.chore(name, "wait"))
                await self.begun(name)
            self.signal(lease, signal.SIGTERM)
            ends = [await runtime.next_end(), await runtime.next_end()]
            assert {(end.task, end.state) for end in ends} == {("t0", TaskState.DONE), ("t1", TaskState.DONE)}
            # A task that is started all the same is told at once.
            await runtime.start(lease, self.chore("late", "wait"))
            assert await runtime.next_end() == TaskEnd("late", TaskState.DONE)

        self.run(story)

    def test_clause_3_a_notice_to_an_instance_that_starts_is_not_missed(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            self.signal(lease, signal.SIGTERM)
            await runtime.start(lease, self.chore("t", "wait"))
            assert await runtime.next_end() == TaskEnd("t", TaskState.DONE)

        self.run(story)

    def test_clause_4_tasks_are_lost_when_their_instance_is_killed(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease, other = self.instance(), self.instance()
            await runtime.start(lease, self.chore("t0", "wait"))
            await runtime.start(lease, self.chore("t1", "wait"))
            await runtime.start(other, self.chore("other", "wait"))
            for name in ("t0", "t1", "other"):
                await self.begun(name)
            self.signal(lease, signal.SIGKILL)
            ends = [await runtime.next_end(), await runtime.next_end()]
            assert {(end.task, end.state) for end in ends} == {("t0", TaskState.LOST), ("t1", TaskState.LOST)}
            assert await self.is_silent(runtime, 0.2)

        self.run(story)

    def test_clause_4_a_silent_instance_is_not_lost(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "wait"))
            await self.begun("t")
            self.signal(lease, signal.SIGSTOP)
            try:
                assert await self.is_silent(runtime, 0.7)
            finally:
                self.signal(lease, signal.SIGCONT)
            await runtime.stop("t", 20)
            assert await runtime.next_end() == TaskEnd("t", TaskState.DONE)

        self.run(story, patience=0.5)

    def test_misuse_starts_nothing(self) -> None:
        async def story(runtime: Runtime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "wait"))
            with pytest.raises(Misuse, match="started already"):
                await runtime.start(lease, self.chore("t", "wait"))
            with pytest.raises(Misuse, match="JSON"):
                await runtime.start(lease, Task("u", CHORES, {"chore": object()}))
            assert await self.is_silent(runtime, 0.1)

        self.run(story)

    def test_a_simulation_is_refused(self) -> None:
        async def story(runtime: Runtime) -> None:
            with pytest.raises(Misuse, match=r"clock\.run"):
                await runtime.start(self.instance(), self.chore("t", "return"))

        async def main() -> None:
            await story(self.runtime())

        clock.simulate(main())

    def test_close_ends_every_task(self) -> None:
        async def story(runtime: Runtime) -> None:
            await runtime.start(self.instance(), self.chore("t", "wait"))
            pid = int(await self.begun("t"))
            await runtime.close()
            end = await runtime.next_end()
            assert end.task == "t"
            assert end.state is not TaskState.RUNNING
            if pid != os.getpid():
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

        self.run(story)
