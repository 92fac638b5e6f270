"""A Ray cluster as a provider sees it: the one module of providers that imports Ray."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.errors import MissingExtra, Misuse
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.histories import CapacityHistory, MarketHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.ray_instance import free_port

ZONE = "ray"
"""The zone of the nodes of a cluster."""
_RETRY = 0.1
"""Seconds of the wall's between two calls of an actor that cannot be reached."""
_YEARS = 3.2e8
"""Seconds that a market of nodes lasts, from its start."""


class RayNode(Struct, frozen=True):
    """A node as Ray's tables have it."""

    id: str
    host: str
    """Its IP address."""
    head: bool
    shape: str
    """The name of its type."""
    resources: Resources
    alive: bool
    free: bool
    """Whether nobody uses its processors."""
    drained_by: float | None
    """The moment of the wall's at which it will be taken away; 0 where that is not said, None for a node
    that stays."""


def connected(cluster: str) -> tuple[Any, bool]:
    """Ray, connected to `cluster`, and whether it was us who connected. MissingExtra without Ray, Misuse
    where no cluster is; blocks."""
    try:
        import ray  # noqa: PLC0415
        import ray.exceptions  # noqa: PLC0415
        import ray.util.scheduling_strategies  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("ray", "ray", "the provider `ray`") from None
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=cluster, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as problem:
        raise Misuse(
            f"there is no Ray cluster: {problem}",
            source="provider",
            field="cluster",
            fix="Start one with `ray start --head`, or give the address of one.",
        ) from problem
    return ray, True


def cluster_nodes(cluster: str = "auto") -> tuple[RayNode, ...]:
    """The nodes of a Ray cluster by their numbers; blocks. Raises as `connected`."""
    return nodes_of(connected(cluster)[0])


def nodes_of(ray: Any) -> tuple[RayNode, ...]:
    """The nodes as Ray's tables have them now; blocks, and raises what Ray's wires raise."""
    # Ray Train and Serve read drains and free resources in this way too; there is no public one.
    state = ray._private.state.state
    drained, available = state.get_draining_nodes(), state.available_resources_per_node()
    nodes = []
    for each in ray.nodes():
        has, labels = each["Resources"], each.get("Labels") or {}
        cpus, gpus = has.get("CPU", 0.0), has.get("GPU", 0.0)
        memory = round(has.get("memory", 0.0) / 2**30, 3)
        kind = next((key.partition(":")[2] for key in has if key.startswith("accelerator_type:")), "")
        shape = labels.get("ray.io/node-type") or "-".join(
            [f"node-{cpus:g}cpu", *([f"{gpus:g}x{kind or 'gpu'}"] if gpus else [])]
        )
        left = available.get(each["NodeID"], {})
        nodes.append(
            RayNode(
                each["NodeID"],
                each["NodeManagerAddress"],
                "node:__internal_head__" in has,
                shape,
                Resources(vcpus=cpus, memory_gib=memory, gpus=gpus, gpu_kind=kind if gpus else ""),
                bool(each["Alive"]),
                cpus > 0 and left.get("CPU", 0.0) >= cpus and left.get("GPU", 0.0) >= gpus,
                drained[each["NodeID"]] / 1000 if each["NodeID"] in drained else None,
            )
        )
    return tuple(sorted(nodes, key=lambda node: node.id))


def state_home(nodes: tuple[RayNode, ...]) -> RayNode:
    """Where the state of a job is best served: on the head if it has processors, since a cluster without its
    head is gone anyway, else on the first node that stays. Raises Misuse where there is none."""
    able = [node for node in nodes if node.alive and node.drained_by is None and node.resources.vcpus]
    if not able:
        raise Misuse("no node has a processor", source="provider", field="cluster", fix="Add nodes to it.")
    return min(able, key=lambda node: (not node.head, node.id))


def state_address(home: RayNode, cluster: str = "auto") -> str:
    """An address at which the state can be served on that node; blocks, for about a second.

    The node itself is asked for a port that is free there. Raises as `connected`.
    """
    ray, _ = connected(cluster)
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    asked = ray.remote(free_port).options(
        num_cpus=0, max_retries=0, scheduling_strategy=affinity(node_id=home.id, soft=False)
    )
    return f"tcp://{home.host}:{ray.get(asked.remote(home.host))}"


def cluster_market(
    nodes: tuple[RayNode, ...], start: float, *, per_vcpu_hour: float, boot: float = 3.0
) -> RecordedMarket:
    """A market that sells the shapes of these nodes, on demand, at what their owner reckons a vCPU-hour at.

    `per_vcpu_hour` is in US dollars and above 0: it is what a policy weighs time against. Of nodes of one
    shape the least memory counts. Raises Misuse where no node has a processor.
    """
    shapes: dict[str, Resources] = {}
    for node in nodes:
        if node.alive and node.resources.vcpus:
            known = shapes.setdefault(node.shape, node.resources)
            if node.resources.memory_gib < known.memory_gib:
                shapes[node.shape] = node.resources
    if not shapes:
        raise Misuse("no node has a processor", source="provider", field="cluster", fix="Add nodes to it.")
    prices = [
        ListPrice(InstanceType(name, has), ZONE, per_vcpu_hour * has.vcpus, "now", "its owner's own figure")
        for name, has in sorted(shapes.items())
    ]
    pools = [Pool(name, ZONE) for name in sorted(shapes)]
    nothing = {
        pool: CapacityHistory.from_lifetimes(pool, [], start=start, end=start + _YEARS) for pool in pools
    }
    history = MarketHistory("a Ray cluster", {}, nothing)
    return RecordedMarket(history, Catalog("a Ray cluster", prices), boot=boot, on_demand=pools)


async def ask(ray: Any, method: Any) -> Any:
    """Call a method of an actor until it answers, or Ray says that it is dead, which raises RayError."""
    told = ray.exceptions
    final = (told.ActorDiedError, told.ActorUnschedulableError, told.RayTaskError)
    while True:
        try:
            return await _answer(method.remote())
        except final:
            raise
        except told.RayError:
            # The way to it is broken, or the answer was lost on it; if that is for good, Ray will say so.
            if not ray.is_initialized():
                raise
            await clock.sleep_until(clock.now() + _RETRY * clock.speed())


async def _answer(reference: Any) -> Any:
    """What a call of an actor comes to. Ray calls back from a thread of its own, at whatever time: whoever
    waits may have been cancelled by then, and the loop be closed."""
    loop, came, answer = asyncio.get_running_loop(), asyncio.Event(), reference.future()

    def ring(_: Any) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(came.set)

    answer.add_done_callback(ring)
    await came.wait()
    return answer.result()
