"""A whole job on a real Ray cluster whose raylets are killed: what is learned is the same, bit for bit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
import real_runs

from ray_clusters import SmallCluster
from tradewind import clock
from tradewind.control.loop import Unrecorded
from tradewind.control.records import Sample
from tradewind.market.demands import Demand
from tradewind.market.leases import Lease
from tradewind.market.resources import Resources
from tradewind.providers.ray_cluster import cluster_market, cluster_nodes, state_address, state_home
from tradewind.providers.ray_nodes import NAMESPACE, RayNodes
from tradewind.runtimes.ray import RayRuntime
from tradewind.session.assembly import job_of, material_of
from tradewind.session.estimation import rows_of
from tradewind.session.places import WARM
from tradewind.session.train import train
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.process_work import ProcessWork
from tradewind.training.elastic.served_state import ServedState
from tradewind.training.view import Goal
from tradewind.training.worker import part_of

BOOT = ("python", "-m", "tradewind.runtimes.agent", "--listen", "{address}", "--warm", WARM)


@pytest.fixture
def place(ray_place) -> Path:
    return ray_place


@pytest.fixture
def cluster(ray_cluster) -> Iterator[SmallCluster]:
    with ray_cluster.connected():
        yield ray_cluster


class Losses:
    """Kills one thing after another; the next is due when some rounds more are done."""

    def __init__(self, folder: Path, cluster: SmallCluster, provider: RayNodes) -> None:
        self.folder, self.cluster, self.provider = folder, cluster, provider
        self.leases: dict[str, list[Lease]] = {}
        self.due = 1.0
        self.left: list[Callable[[], None]] = [self.kill_raylet, self.kill_state, self.drain]

    def update(self, sample: Sample) -> None:
        if sample.done >= self.due:
            self.due = sample.done + 2 * real_runs.ROUND
            if self.left:
                self.left.pop(0)()
            else:
                real_runs.set_pace(self.folder, 0.0)

    def node(self, purpose: str) -> str:
        """Where a lease of a purpose is that has an actor."""
        held = [lease for lease in self.provider._holdings.leases() if lease.held]
        (*_, node) = [self.provider.node_of(each.id) for each in held if each.purpose == purpose]
        return node.id

    def kill_raylet(self) -> None:
        self.cluster.kill(self.node("work"))

    def kill_state(self) -> None:
        (lease,) = [each for each in self.provider._holdings.leases() if each.purpose == "state"]
        ray.kill(ray.get_actor(lease.instance.address.rpartition("/")[2], NAMESPACE))

    def drain(self) -> None:
        self.cluster.drain(self.node("work"), 20.0)


def test_a_node_killed_one_drained_and_the_state_lost_change_no_bit(folder, cluster) -> None:
    cluster.hold(3)
    spec = real_runs.small_spec(folder, epochs=4, provider="local")
    expected = real_runs.undisturbed(spec)
    run = folder / "run"
    snapshots, logs = run / "snapshots", run / "logs"
    job = job_of(spec)
    train = material_of(spec, run / "cache").train
    parts = [part_of(job, train, each) for each in range(job.parts)]

    def rows_done(clocks: tuple[int, ...]) -> float:
        return float(sum(part.rows_before(done) for part, done in zip(parts, clocks, strict=True)))

    nodes = cluster_nodes()
    home = state_home(nodes)
    address = state_address(home)
    assert home.id == cluster.head and address.startswith(f"tcp://{home.host}:")
    market = cluster_market(nodes, real_runs.START, per_vcpu_hour=0.04)
    one = Resources(vcpus=1)
    goal = Goal(Demand(resources=one, count=2), Demand(resources=one, count=1))
    provider = RayNodes(market, boot_command=BOOT, directory=logs, home=home.id)
    losses = Losses(folder, cluster, provider)
    real_runs.set_pace(folder, real_runs.SLOWLY)

    async def main() -> controller.Result:
        work = ProcessWork(
            job,
            RayRuntime(logs),
            ServedState(address, snapshots),
            address=address,
            arguments={"cache": str(run / "cache"), "snapshots": str(snapshots), "base": None},
            total=rows_of(job, train),
            rows_done=rows_done,
            speeds=lambda lease: 1.0,
            rate=1000.0,
            startup=5.0,
            snapshot_every=2.0,
        )
        return await controller.run(
            goal, OnDemand(), provider, work, Unrecorded(), observer=losses.update, sample_every=0.1
        )

    result = clock.run(main(), start=real_runs.START)
    assert result.done and not losses.left
    assert real_runs.learned(run) == expected
    # The raylet's lease and the state's failed and were replaced; for the drained node there was none left.
    assert (result.failures, result.leases) == (2, 5) and result.revocations <= 1


def test_a_spec_trains_on_the_nodes_of_a_cluster(folder, cluster) -> None:
    cluster.grow(2)
    spec = real_runs.small_spec(
        folder,
        provider={"kind": "ray", "per_vcpu_hour": 0.04},
        runtime=f"ray:{cluster.address}",
        policy="on_demand",
        workers={"count": 2},
    )
    trained = train(spec)
    assert trained.outcome == "done" and trained.cost > 0
    assert real_runs.learned(trained.directory) == real_runs.undisturbed(spec)
