"""What the tests of Ray share: a real cluster of several nodes on this machine."""

import contextlib
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest.mock import patch

import ray
from ray.cluster_utils import Cluster

from tradewind import clock

SLIM = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
QUICK = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 400,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed after about a second and a half; the defaults take about half a minute."""


class SmallCluster:
    """A head and further nodes, each a raylet of its own; what is killed is replaced when it is asked for.

    Its nodes find modules in `folders`, and have `environment` besides ours. This process is connected to it
    within `connected`.
    """

    def __init__(self, folders: Iterable[Path] = (), **environment: str) -> None:
        here = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [*map(str, folders), *filter(None, here)]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths), **environment}
        with self._starting():
            self._cluster = Cluster(initialize_head=True, head_node_args={**SLIM, "_system_config": QUICK})
        self.address: str = self._cluster.address
        self.head: str = self._cluster.head_node.node_id
        self._nodes = {self.head: self._cluster.head_node}

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        # Ray leaves subprocesses and files to the garbage collector, which is said where warnings are errors.
        with warnings.catch_warnings(), patch.dict(os.environ, self.environment):
            warnings.simplefilter("ignore", ResourceWarning)
            yield

    @contextlib.contextmanager
    def connected(self) -> Iterator["SmallCluster"]:
        """Connected, with the nodes that those before left, all of them free."""
        with self._starting():
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        try:
            until(self._at_rest)
            yield self
            drained = set(self._nodes) & set(ray._private.state.state.get_draining_nodes())
            for node in drained:
                if self.raylet(node) is not None:
                    self.kill(node)
        finally:
            with self._starting():
                ray.shutdown()

    def _at_rest(self) -> bool:
        """Whether Ray knows who is alive, and nobody uses them."""
        there = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
        left = ray._private.state.state.available_resources_per_node()
        living = {node for node in self._nodes if self.raylet(node) is not None}
        return there == living and all(left.get(node, {}).get("CPU") == SLIM["num_cpus"] for node in there)

    def hold(self, count: int) -> None:
        """Have so many nodes besides the head, and no more."""
        for node in self.alive()[count:]:
            self.kill(node)
        self.grow(count)
        until(self._at_rest)

    def grow(self, count: int) -> None:
        """Have at least so many nodes alive that are not the head and not drained."""
        with self._starting():
            while len(self.alive()) < count:
                node = self._cluster.add_node(**SLIM)
                self._nodes[node.node_id] = node

    def alive(self) -> list[str]:
        """The nodes of which that is true."""
        drained = ray._private.state.state.get_draining_nodes()
        return [
            each["NodeID"]
            for each in ray.nodes()
            if each["Alive"]
            and each["NodeID"] != self.head
            and each["NodeID"] not in drained
            and self.raylet(each["NodeID"]) is not None
        ]

    def raylet(self, node: str) -> int | None:
        """The process of a node's raylet; None once it is dead."""
        return next(iter(self.processes(node, "raylet")), None)

    def processes(self, node: str, kind: str) -> list[int]:
        """The living processes of a node of a kind, such as `gcs_server`."""
        those = self._nodes[node].all_processes.get(kind, [])
        return [each.process.pid for each in those if each.process.poll() is None]

    def kill(self, node: str) -> None:
        """kill -9 of a raylet: the node is gone without a word."""
        process = self._nodes[node].all_processes["raylet"][0].process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def drain(self, node: str, seconds: float) -> None:
        """Tell Ray that a node will be taken away, as the notice of a preemption does."""
        gcs = ray._private.worker.global_worker.gcs_client
        deadline = round((clock.wall() + seconds) * 1000)
        accepted, why = gcs.drain_node(node, 2, "a notice", deadline)
        assert accepted, why

    def close(self) -> None:
        """End everything."""
        with self._starting():
            with contextlib.suppress(Exception):
                self._cluster.shutdown()
            for node in self._nodes.values():
                for processes in node.all_processes.values():
                    for each in processes:
                        with contextlib.suppress(ProcessLookupError):
                            each.process.kill()
                            each.process.wait()


def small_cluster() -> Iterator[SmallCluster]:
    """One of its own for a fixture of a module."""
    cluster = SmallCluster()
    try:
        with cluster.connected():
            yield cluster
    finally:
        cluster.close()


def until(true, seconds: float = 30.0) -> None:
    """Wait until it is."""
    elapsed, nobody = clock.stopwatch(), threading.Event()
    while not true():
        assert elapsed() < seconds, "it never came to that"
        nobody.wait(0.05)
