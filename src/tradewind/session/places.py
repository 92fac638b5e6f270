"""Where a run takes place: its market, its provider, its runtime, and the address of its state."""

from __future__ import annotations

import sys
from pathlib import Path

from tradewind import clock
from tradewind.algorithms.catalogue import LEARNERS
from tradewind.market.instances import InstanceType
from tradewind.market.leases import Lease
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.interface import Provider
from tradewind.providers.local import LocalProvider
from tradewind.providers.ray_cluster import cluster_market, cluster_nodes, state_address, state_home
from tradewind.providers.ray_nodes import RayNodes
from tradewind.providers.simulated import SimulatedProvider
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.runtimes.ray import RayRuntime
from tradewind.session import durations
from tradewind.session.assembly import market_of
from tradewind.session.spec import ProviderSpec

WARM = "tradewind.training.rehearsal"
"""What any instance imports while it boots, so that a worker starts in milliseconds."""


def warm_for(learner: str) -> str:
    """The modules that an instance imports while it boots: `WARM`, and the home of a learner of ours.

    A user's own module is left to the tasks, since it may start threads, which do not survive a fork.
    """
    home = LEARNERS.get(learner, "").partition(":")[0]
    return f"{WARM},{home}" if home else WARM


def cluster_of(runtime: str) -> str | None:
    """The address of the Ray cluster that a spec's runtime is on; None where it is on none."""
    kind, _, address = runtime.partition(":")
    return (address or "auto") if kind == "ray" else None


def market_for(provider: ProviderSpec, runtime: str) -> tuple[RecordedMarket, float]:
    """The market of a spec, and the moment at which the run begins in it.

    The nodes of a cluster of one's own are sold at what the spec reckons a vCPU-hour at, from now on.
    """
    cluster = cluster_of(runtime)
    if provider.kind == "ray" and cluster is not None:
        start = clock.wall()
        nodes = cluster_nodes(cluster)
        return cluster_market(nodes, start, per_vcpu_hour=provider.per_vcpu_hour), start
    return market_of(provider)


class Places:
    """The leases of a run and the way to them: booked only, processes here, or nodes of a Ray cluster.

    `warm` are the modules that an instance imports while it boots. On a cluster, `directory` must be where
    every node finds it. Raises Misuse if there is no cluster.
    """

    def __init__(
        self, provider: ProviderSpec, runtime: str, warm: str, market: RecordedMarket, directory: Path
    ) -> None:
        self._spec, self._warm, self._market, self._logs = provider, warm, market, directory / "logs"
        self._cluster = cluster_of(runtime)
        self._home = None if self._cluster is None else state_home(cluster_nodes(self._cluster))

    @property
    def real(self) -> bool:
        """Whether something learns, rather than a speed model."""
        return self._spec.kind != "simulated"

    def provider(self) -> Provider:
        """Who rents the machines out."""
        if not self.real:
            return SimulatedProvider(self._market)
        options = ("-m", "tradewind.runtimes.agent", "--listen", "{address}")
        share = ("--cpu-share", "{cpu_share}")
        if self._cluster is not None and self._home is not None:
            return RayNodes(
                self._market,
                boot_command=("python", *options, *share, "--warm", self._warm),
                directory=self._logs,
                cluster=self._cluster,
                home=self._home.id,
                cpu_shares=None if self._spec.kind == "ray" else self._share_of_type,
            )
        return LocalProvider(
            self._market,
            boot_command=(sys.executable, *options, *share, "--warm", self._warm),
            directory=self._logs,
            cpu_shares=self._share_of_type,
        )

    def runtime(self) -> ProcessRuntime | RayRuntime:
        """Who starts tasks there."""
        if self._cluster is not None:
            return RayRuntime(self._logs, cluster=self._cluster)
        return ProcessRuntime(self._logs)

    def address(self, sockets: Path) -> str:
        """Where the state is served; blocks for about a second on a cluster, whose node says what is free."""
        if self._cluster is not None and self._home is not None:
            return state_address(self._home, self._cluster)
        return f"ipc://{sockets / 'state'}"

    def speed_of(self, lease: Lease) -> float:
        """How fast an instance is beside the others."""
        if self._spec.kind == "ray":
            return lease.instance.type.resources.vcpus
        return self._share_of_type(lease.instance.type)

    def told(
        self, start: float, did: str = "the workers and the state's server were processes {}, and learned"
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What was real and what was simulated in a run that began at `start`, in sentences. `did` says what
        was done, and leaves the place open."""
        spec = self._spec
        market = f"the market is {spec.history}, from {clock.iso(start)}"
        recorded = "the prices and their moments are recorded ones, and so are the capacity and its losses"
        if not self.real:
            return (), (market, recorded)
        where = "of this machine" if self._cluster is None else "on the nodes of a Ray cluster"
        learned = did.format(where)
        if spec.kind == "ray":
            return (learned,), ("dollars are what the spec reckons a vCPU-hour at; nobody was paid",)
        notice = durations.text(self._market.notice)
        return (
            learned,
            f"a notice was SIGTERM {notice} of market time ahead, a revocation SIGKILL",
        ), (
            f"{market}, at {spec.speed:g} market seconds to one of the wall's",
            "instances were shares of this machine's cores",
            "dollars are those of the recorded market; nobody was paid",
            recorded,
        )

    def _share_of_type(self, kind: InstanceType) -> float:
        return self._spec.cpu_shares.get(kind.name, 1.0)
