"""An endpoint on the nodes of a real Ray cluster: a raylet is killed, and no caller notices."""

from collections.abc import Iterator

import pytest
import serving_runs

from ray_clusters import SmallCluster
from tradewind.control.journal import Journal
from tradewind.market.leases import Ending
from tradewind.market.news import Ended
from tradewind.providers.ray_cluster import cluster_nodes


@pytest.fixture
def model(ray_place, monkeypatch) -> str:
    return serving_runs.write_model(ray_place, monkeypatch)


@pytest.fixture
def cluster(ray_cluster) -> Iterator[SmallCluster]:
    with ray_cluster.connected():
        yield ray_cluster


def test_a_killed_node_fails_no_request(tmp_path, model, cluster) -> None:
    cluster.grow(3)
    renting = {
        "provider": {"kind": "ray", "history": "cluster", "speed": 1.0, "per_vcpu_hour": 0.04},
        "runtime": f"ray:{cluster.address}",
        "policy": "target_tracking",
        "least": 2,
        "interval": 10.0,
    }

    def busy() -> list[str]:
        return [each.id for each in cluster_nodes() if each.alive and not each.free and not each.head]

    def endings(run) -> list[Ending]:
        with Journal.read(run / "journal.sqlite") as journal:
            return [each.ending for _, each in journal.news() if isinstance(each, Ended)]

    def mishaps(run, answers) -> None:
        serving_runs.until(lambda: len(busy()) == 2, 60)
        serving_runs.more(answers)
        killed = busy()[0]
        cluster.kill(killed)
        serving_runs.more(answers)
        serving_runs.until(lambda: Ending.FAILED in endings(run), 60)
        serving_runs.until(lambda: len(set(busy()) - {killed}) == 2, 60)
        serving_runs.more(answers)

    served, answers = serving_runs.serve_through(tmp_path, model, renting, mishaps)
    result = served.result
    assert result.requests == result.in_time == answers and result.refused == 0
    assert (result.failures, result.leases) == (1, 3)
