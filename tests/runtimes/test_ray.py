"""The laws of runtimes on a real Ray cluster of several nodes on this machine, whose raylets are killed."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_clusters import SmallCluster, until
from tradewind import clock
from tradewind.errors import MissingExtra, Misuse, Unreachable
from tradewind.market.leases import Lease
from tradewind.providers.ray_instance import RayInstance
from tradewind.runtimes.interface import Task, TaskEnd, TaskState
from tradewind.runtimes.ray import NAMESPACE, RayRuntime
from tradewind.testing.runtimes import RuntimeLaws, leased

AGENT = ("python", "-m", "tradewind.runtimes.agent", "--listen", "{address}")


@pytest.fixture(scope="module")
def cluster(ray_cluster) -> Iterator[SmallCluster]:
    with ray_cluster.connected():
        yield ray_cluster


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class TestRayRuntime(RuntimeLaws):
    # An instance on Ray costs the start of a worker, and its agent is the one that `processes` has: what that
    # alone decides is looked at there. That it is carried over Ray, the ends of eight tasks below show.
    test_clause_2_a_failure_tells_its_reason = None
    test_clause_2_a_task_that_was_killed_has_failed = None
    test_clause_3_a_stop_that_comes_at_once_is_not_missed = None
    test_clause_3_a_task_that_outlasts_its_grace_is_killed = None
    test_clause_3_stop_is_silent_for_a_task_that_has_ended_or_never_was = None

    @pytest.fixture(autouse=True)
    def _actors(self, cluster: SmallCluster, request: pytest.FixtureRequest) -> Iterator[None]:
        self.cluster = cluster
        self.still_starting = "that_starts" in request.function.__name__
        self.actors: dict[str, Any] = {}
        self.groups: dict[str, int] = {}
        """Of the leases' agents."""
        yield
        for actor in self.actors.values():
            ray.kill(actor)

    def runtime(self, patience: float = 20.0) -> RayRuntime:
        return RayRuntime(self.folder / "logs", patience=patience)

    def instance(self) -> Lease:
        self.cluster.grow(len(self.actors) + 1)
        used = {place.partition("/")[0] for place in self.actors}
        node = next(each for each in self.cluster.alive() if each not in used)
        name = f"{self.folder.name}-{len(self.actors)}"
        pinned = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        maker = ray.remote(RayInstance).options(
            name=name, namespace=NAMESPACE, num_cpus=0, scheduling_strategy=pinned
        )
        actor = self.actors[f"{node}/{name}"] = maker.remote(AGENT)
        _, self.groups[f"{node}/{name}"] = ray.get(actor.hello.remote())
        while not self.still_starting and not ray.get(actor.answers.remote()):
            pass
        return leased(name, f"ray:{node}/{name}")

    def unreachable(self) -> Lease:
        return leased("nobody", f"ray:{self.cluster.head}/nobody")

    def place(self, lease: Lease) -> tuple[str, int]:
        """The node of a lease, and the group of its agent."""
        place = lease.instance.address.removeprefix("ray:")
        return place.partition("/")[0], self.groups[place]

    def signal(self, lease: Lease, number: signal.Signals) -> None:
        node, group = self.place(lease)
        if number is signal.SIGKILL:
            self.cluster.kill(node)  # the rest must follow by itself
            return
        os.killpg(group, number)
        if number is not signal.SIGTERM:
            for pid in (parent(group), self.cluster.raylet(node)):
                os.kill(pid, number)

    def test_a_lost_node_is_noticed_in_time_and_nothing_goes_on_there(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "linger"))
            pid = int(await self.begun("t"))
            elapsed = clock.stopwatch()
            self.signal(lease, signal.SIGKILL)
            end = await runtime.next_end()
            assert (end.task, end.state) == ("t", TaskState.LOST) and "node" in end.reason
            assert elapsed() < 10  # three checks of 0.4 s by `QUICK`, and a loaded machine
            until(lambda: not alive(pid))
            elapsed = clock.stopwatch()
            with pytest.raises(Unreachable):
                await runtime.start(lease, self.chore("u", "return"))
            assert elapsed() < 5

        self.run(story)

    def test_an_actor_that_dies_alone_has_failed_its_tasks(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease, other = self.instance(), self.instance()
            await runtime.start(lease, self.chore("t", "linger"))
            await runtime.start(other, self.chore("other", "wait"))
            pid = int(await self.begun("t"))
            await self.begun("other")
            os.kill(parent(self.place(lease)[1]), signal.SIGKILL)
            end = await runtime.next_end()
            assert (end.task, end.state) == ("t", TaskState.FAILED)
            assert "its actor died on a node that lives" in end.reason
            until(lambda: not alive(pid))
            assert await self.is_silent(runtime, 0.2)

        self.run(story)

    def test_an_agent_that_dies_takes_its_tasks_along(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "linger"))
            await self.begun("t")
            os.killpg(self.place(lease)[1], signal.SIGKILL)
            assert await runtime.next_end() == TaskEnd("t", TaskState.LOST, "its instance is gone")
            with pytest.raises(Unreachable):
                await runtime.start(lease, self.chore("u", "return"))

        self.run(story)

    def test_a_head_that_hangs_for_a_while_loses_nothing(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "wait"))
            await self.begun("t")
            (gcs,) = self.cluster.processes(self.cluster.head, "gcs_server")
            os.kill(gcs, signal.SIGSTOP)
            try:
                assert await self.is_silent(runtime, 1.5)
                # An actor that dies now is judged when the table of nodes can be read again.
                os.kill(parent(self.place(lease)[1]), signal.SIGKILL)
                assert await self.is_silent(runtime, 0.5)
            finally:
                os.kill(gcs, signal.SIGCONT)
            assert (await runtime.next_end()).state is TaskState.FAILED

        self.run(story)

    def test_output_is_carried_here_whole_before_the_end_is_told(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease = self.instance()
            text = "no luck " * 400_000  # more than is carried at once
            await runtime.start(lease, self.chore("t", "raise", text=text))
            assert (await runtime.next_end()).state is TaskState.FAILED
            log = (self.folder / "logs" / "t.log").read_text()
            assert log.startswith("doing raise\n") and log.endswith(f"ValueError: {text}\n")

        self.run(story)

    def test_a_start_that_is_given_up_is_not_started(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease = self.instance()
            await runtime.status(lease)
            self.signal(lease, signal.SIGSTOP)
            starting = asyncio.create_task(runtime.start(lease, self.chore("t", "wait")))
            await clock.sleep_until(clock.now() + 0.2 * clock.speed())
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            self.signal(lease, signal.SIGCONT)
            assert await self.is_silent(runtime, 0.5)
            assert (await runtime.status(lease)).tasks == ()

        self.run(story)

    def test_a_runtime_that_closes_leaves_the_tasks_of_another(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            lease = self.instance()
            second = self.runtime()
            await runtime.start(lease, self.chore("t", "wait"))
            await second.start(lease, self.chore("u", "wait"))
            assert set((await runtime.status(lease)).tasks) == {"t", "u"}
            await second.close()
            while set((await runtime.status(lease)).tasks) != {"t"}:
                await clock.sleep_until(clock.now() + 0.02 * clock.speed())

        self.run(story)

    def test_a_lease_of_another_provider_is_misuse(self) -> None:
        async def story(runtime: RayRuntime) -> None:
            with pytest.raises(Misuse, match="leases of the provider `ray`"):
                await runtime.start(leased("local", "unix:/tmp/agent"), Task("t", "m", {}))

        self.run(story)

    def test_without_ray_the_extra_is_named(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)

        async def story(runtime: RayRuntime) -> None:
            with pytest.raises(MissingExtra, match=r"tradewind\[ray\]"):
                await runtime.start(self.unreachable(), Task("t", "m", {}))

        self.run(story)
