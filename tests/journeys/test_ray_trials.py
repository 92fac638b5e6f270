"""A study on a real Ray cluster, a raylet of which is killed: what becomes of its trials is the same."""

from collections.abc import Iterator

import pytest
from real_studies import BOOT, STEPS, Driver, did, set_gates, small_study, told, undisturbed, until

from ray_clusters import SmallCluster
from tradewind.providers.ray_cluster import cluster_market, cluster_nodes
from tradewind.providers.ray_nodes import RayNodes
from tradewind.runtimes.ray import RayRuntime
from tradewind.testing.providers import START


@pytest.fixture
def cluster(ray_cluster) -> Iterator[SmallCluster]:
    with ray_cluster.connected():
        yield ray_cluster


def test_a_trial_whose_node_is_killed_goes_on_from_its_checkpoint_on_another(tmp_path, cluster) -> None:
    expected = undisturbed(tmp_path, trials=2)
    cluster.grow(2)
    market = cluster_market(cluster_nodes(), START, per_vcpu_hour=0.04)
    nodes = RayNodes(market, boot_command=("python", *BOOT[1:]), directory=tmp_path, home=cluster.head)

    async def mishap(driver: Driver) -> None:
        await driver.reaches(0, 7)
        node = nodes.node_of(driver.lease_of(0))
        assert node is not None
        cluster.kill(node.id)
        await until(lambda: driver.trial(0).attempt == 2)
        set_gates(tmp_path, {})

    set_gates(tmp_path, {0: 7})
    driver = Driver(tmp_path, small_study(tmp_path, trials=2), (nodes, RayRuntime(tmp_path / "logs")))
    result = driver.run(mishap, speed=1.0)
    assert result.done and result.leases == 2
    assert told(driver.study.trials) == told(expected)
    trial = driver.study.trials[0]
    assert (trial.revocations, trial.failures, trial.attempt) == (1, 0, 2)
    assert did(tmp_path, 0) == [*range(1, 8), *range(6, STEPS + 1)]
