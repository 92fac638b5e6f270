"""The laws of providers on a real Ray cluster of several nodes on this machine, drained and killed."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from ray_clusters import SmallCluster, until
from tradewind import clock
from tradewind.errors import MissingExtra, Misuse, Permanent
from tradewind.market.decisions import CapacityAbove
from tradewind.market.instances import Pool
from tradewind.market.leases import Ending, Lease
from tradewind.market.news import Crossed, Ended, Warned
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.ray_cluster import cluster_market, cluster_nodes
from tradewind.providers.ray_nodes import NAMESPACE, RayNodes
from tradewind.runtimes.interface import Task, TaskEnd, TaskState
from tradewind.runtimes.ray import RayRuntime
from tradewind.testing.providers import START, A, ProviderLaws, steady

AGENT = ("python", "-m", "tradewind.runtimes.agent", "--listen", "{address}")
SPEED = 80.0
NODES = {
    "test_the_shapes_of_nodes_are_on_offer_where_nobody_uses_them": 4,
    "test_a_drained_node_that_dies_was_revoked_and_any_other_has_failed": 3,
}
"""How many nodes besides the head a test needs; the laws need 4."""
SHAPE = Pool("node-1cpu", "ray")


def actors() -> list[str]:
    """The names of the leases' actors that live."""
    table = ray._private.state.actors().values()
    return [each["Name"] for each in table if each["State"] != "DEAD" and each["Name"]]


@pytest.fixture(scope="module")
def cluster(ray_cluster) -> Iterator[SmallCluster]:
    with ray_cluster.connected():
        ray_cluster.hold(4)
        yield ray_cluster


class TestRayNodes(ProviderLaws):
    late = 1.0 * SPEED

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: SmallCluster, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        self.cluster, self.folder = cluster, tmp_path
        mine = request.function.__name__ in vars(TestRayNodes)
        needed = NODES.get(request.function.__name__, 2 if mine else 4)
        cluster.grow(needed)
        until(lambda: sum(node.free for node in cluster_nodes()) > needed)

    def provider(self, market: RecordedMarket, command: tuple[str, ...] = AGENT, **options: Any) -> RayNodes:
        return RayNodes(market, boot_command=command, directory=self.folder / "logs", **options)

    def execute(self, main: Coroutine[Any, Any, Any]) -> Any:
        return clock.run(main, start=START, speed=SPEED)

    def tell(self, story: Any, market: RecordedMarket | None = None, *, speed: float = 1.0, **options) -> Any:
        """As `run`, at the wall's speed, with options; `market` is that of the nodes themselves if None."""

        async def main() -> None:
            mine = cluster_market(cluster_nodes(), START, per_vcpu_hour=0.04) if market is None else market
            provider = self.provider(mine, **options)
            await provider.open()
            try:
                async with asyncio.timeout(40 * clock.speed()):
                    await story(provider)
            finally:
                await provider.close()

        clock.run(main(), start=START, speed=speed)
        assert not actors()

    async def home_of_the_state(self, provider: RayNodes) -> Lease:
        """The lease of the state; Ray may take a moment to free what the test before had."""
        while not (leases := await provider.take(Bid(SHAPE, Terms.ON_DEMAND, purpose="state"))):
            await clock.sleep_until(clock.now() + 0.2)
        (lease,) = leases
        return lease

    async def working(self, provider: RayNodes, count: int = 1, purpose: str = "work") -> tuple[Lease, ...]:
        """Leases on which a task of theirs waits."""
        leases = await provider.take(Bid(SHAPE, Terms.ON_DEMAND, count=count, purpose=purpose))
        self.runtime = RayRuntime(self.folder / "output")
        for lease in leases:
            arguments = {"chore": "wait", "path": str(self.folder / lease.id)}
            await self.runtime.start(lease, Task(f"on-{lease.id}", "tradewind.testing.chores", arguments))
        while not all((self.folder / lease.id).exists() for lease in leases):
            await clock.sleep_until(clock.now() + 0.02 * clock.speed())
        return leases

    def test_the_shapes_of_nodes_are_on_offer_where_nobody_uses_them(self) -> None:
        async def story(provider: RayNodes) -> None:
            (offer,) = await provider.offers()
            assert (offer.pool, offer.terms, offer.available) == (SHAPE, Terms.ON_DEMAND, 5)
            assert offer.price.per_hour == 0.04
            leases = await provider.take(Bid(SHAPE, Terms.ON_DEMAND, count=9, purpose="work"))
            assert len(leases) == 4
            leases += await provider.take(Bid(SHAPE, Terms.ON_DEMAND, count=2, purpose="state"))
            nodes = [provider.node_of(lease.id).id for lease in leases]
            assert len(set(nodes)) == 5 and nodes[-1] == self.cluster.head
            assert await provider.offers() == () == await provider.take(Bid(SHAPE, Terms.ON_DEMAND))
            while any(node.free for node in cluster_nodes()):
                await clock.sleep_until(clock.now() + 0.1)
            other = self.provider(cluster_market(cluster_nodes(), START, per_vcpu_hour=1.0))
            await other.open()
            assert await other.offers() == ()
            await other.close()
            await provider.release(leases[0].id)
            news = []
            while not any(isinstance(each, Crossed) for each in news):
                news += await provider.next_news(clock.now() + 20)
            assert Crossed(CapacityAbove(SHAPE, 0), news[-1].at) == news[-1]
            (offer,) = await provider.offers()
            assert offer.available == 1

        self.tell(story)

    def test_the_state_goes_to_the_head(self) -> None:
        async def story(provider: RayNodes) -> None:
            lease = await self.home_of_the_state(provider)
            assert provider.node_of(lease.id).head

        self.tell(story)

    def test_a_run_whose_home_is_lost_is_told_to_be_resumed(self) -> None:
        home = self.cluster.alive()[0]

        async def story(provider: RayNodes) -> None:
            lease = await self.home_of_the_state(provider)
            assert provider.node_of(lease.id).id == home
            self.cluster.kill(home)
            news: list[
                Any
            ] = []  # also of room, where the wait for the state's lease was told to look for some
            while not (ends := [each for each in news if isinstance(each, Ended)]):
                news += await provider.next_news(clock.now() + 20)
            assert [each.ending for each in ends] == [Ending.FAILED]
            due = clock.now() + 20  # an actor's death may be known before its node's
            with pytest.raises(Permanent, match="resume the run"):
                while clock.now() < due:
                    await provider.take(Bid(SHAPE, Terms.ON_DEMAND, purpose="state"))
                    await clock.sleep_until(clock.now() + 0.2)
            assert await provider.take(Bid(SHAPE, Terms.ON_DEMAND))

        self.tell(story, home=home)

    def test_a_drain_is_a_notice_and_its_deadline_a_revocation(self) -> None:
        async def story(provider: RayNodes) -> None:
            lease, stays = await self.working(provider, 2)
            self.cluster.drain(provider.node_of(lease.id).id, 3.0)
            (warned,) = await provider.next_news(clock.now() + 20)
            assert isinstance(warned, Warned) and warned.revocation.lease == lease.id
            assert 1.0 < warned.revocation.due - warned.revocation.warned < 3.0
            assert await provider.revocations() == (warned.revocation,)
            # Its tasks were asked to leave.
            assert await self.runtime.next_end() == TaskEnd(f"on-{lease.id}", TaskState.DONE)
            (ended,) = await provider.next_news(clock.now() + 20)
            assert ended == Ended(lease.id, warned.revocation.due, Ending.REVOKED)
            assert [each.id for each in await provider.leases()] == [stays.id]
            await self.runtime.close()

        self.tell(story)

    def test_a_drained_node_that_dies_was_revoked_and_any_other_has_failed(self) -> None:
        async def story(provider: RayNodes) -> None:
            drained, killed, stays = await self.working(provider, 3)
            nodes = {lease.id: provider.node_of(lease.id).id for lease in (drained, killed)}
            self.cluster.drain(nodes[drained.id], 60.0)
            (warned,) = await provider.next_news(clock.now() + 20)
            assert isinstance(warned, Warned)
            news = []
            for lease in (drained, killed):
                self.cluster.kill(nodes[lease.id])
            while len(news) < 2:
                news += await provider.next_news(clock.now() + 20)
            assert {(each.lease, each.ending) for each in news} == {
                (drained.id, Ending.REVOKED),
                (killed.id, Ending.FAILED),
            }
            assert [each.id for each in await provider.leases()] == [stays.id]
            await self.runtime.close()

        self.tell(story)

    def test_an_actor_that_dies_ends_its_lease_and_a_head_that_hangs_does_not(self) -> None:
        async def story(provider: RayNodes) -> None:
            lease, _ = await self.working(provider, 2)
            (gcs,) = self.cluster.processes(self.cluster.head, "gcs_server")
            os.kill(gcs, signal.SIGSTOP)
            try:
                assert await provider.next_news(clock.now() + 2) == ()
            finally:
                os.kill(gcs, signal.SIGCONT)
            name = lease.instance.address.rpartition("/")[2]
            ray.kill(ray.get_actor(name, NAMESPACE))
            (ended,) = await provider.next_news(clock.now() + 20)
            assert isinstance(ended, Ended) and (ended.lease, ended.ending) == (lease.id, Ending.FAILED)
            await self.runtime.close()

        self.tell(story)

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (("python", "-c", "raise SystemExit('no luck')"), "no luck"),
            (("python", "-c", "import time; time.sleep(60)"), "did not answer within 0.5 s"),
        ],
        ids=["dies", "silent"],
    )
    def test_an_instance_that_never_answers_has_failed(self, command, words) -> None:
        async def story(provider: RayNodes) -> None:
            (lease,) = await provider.take(Bid(SHAPE, Terms.ON_DEMAND))
            (ended,) = await provider.next_news(clock.now() + 20)
            assert isinstance(ended, Ended) and ended.ending is Ending.FAILED
            assert words in (self.folder / "logs" / f"{lease.id}.log").read_text()

        nodes = cluster_nodes()
        market = cluster_market(nodes, START, per_vcpu_hour=1.0, boot=0.0)
        patience = 0.5 if words.startswith("did") else 20.0
        self.tell(story, market, command=command, patience=patience)

    def test_another_version_on_a_node_is_told(self, monkeypatch) -> None:
        monkeypatch.setattr("tradewind.providers.ray_nodes.__version__", "0.0.0")

        async def story(provider: RayNodes) -> None:
            (lease,) = await provider.take(Bid(SHAPE, Terms.ON_DEMAND))
            await provider.next_news(clock.now() + 20)
            assert "same version on every node" in (self.folder / "logs" / f"{lease.id}.log").read_text()

        self.tell(story)

    def test_an_instance_has_its_share_of_a_processor(self) -> None:
        async def story(provider: RayNodes) -> None:
            (lease,) = await provider.take(Bid(SHAPE, Terms.ON_DEMAND))
            runtime = RayRuntime(self.folder / "output")
            assert (await runtime.status(lease)).cpu_share == 0.25
            await runtime.close()

        self.tell(
            story,
            command=(*AGENT, "--cpu-share", "{cpu_share}"),
            cpu_shares={SHAPE.instance_type: 0.25},
        )

    def test_misuse_is_told_before_anything_is_rented(self, monkeypatch) -> None:
        async def nothing(provider: RayNodes) -> None:
            raise AssertionError("it opened")

        with pytest.raises(Misuse, match=r"placeholders are \{address\}"):
            self.tell(nothing, command=("python", "{adress}"))
        with pytest.raises(Misuse, match="simulated"):
            clock.simulate(self.provider(steady((0, 100))).open())

        async def closed() -> None:
            with pytest.raises(Misuse, match="not open"):
                await self.provider(steady((0, 100))).take(Bid(A, Terms.SPOT))

        clock.run(closed(), start=START)
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(MissingExtra, match=r"tradewind\[ray\]"):
            self.tell(nothing, steady((0, 100)))
