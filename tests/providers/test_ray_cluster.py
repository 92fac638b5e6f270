from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.charges import add_up
from tradewind.market.instances import Pool
from tradewind.market.leases import Ending
from tradewind.market.offers import Bid, Terms
from tradewind.market.resources import Resources
from tradewind.providers.holdings import Holdings
from tradewind.providers.ray_cluster import RayNode, cluster_market, nodes_of, state_home

TODAY = clock.moment("2026-01-01T00:00:00Z")
SMALL = Resources(vcpus=2, memory_gib=4)


def node(name: str, shape: str, has: Resources, *, alive: bool = True) -> RayNode:
    return RayNode(name, "10.0.0.1", False, shape, has, alive, True, None)


class Tables:
    """What Ray's tables say, in the form in which Ray says it: they are what is under test, not Ray."""

    def __init__(self, *nodes: dict[str, Any], available: dict[str, Any], drained: dict[str, int]) -> None:
        self.nodes = lambda: list(nodes)
        state = SimpleNamespace(
            available_resources_per_node=lambda: available, get_draining_nodes=lambda: drained
        )
        self._private = SimpleNamespace(state=SimpleNamespace(state=state))


def row(name: str, resources: dict[str, float], labels: dict[str, str] | None = None, alive: bool = True):
    return {
        "NodeID": name,
        "NodeManagerAddress": "10.0.0.9",
        "Alive": alive,
        "Resources": resources,
        "Labels": labels or {},
    }


def test_the_shapes_of_a_cluster_are_its_market() -> None:
    large = Resources(vcpus=8, memory_gib=64, gpus=1, gpu_kind="T4")
    less = Resources(vcpus=2, memory_gib=3.5)
    nodes = (
        node("a", "small", SMALL),
        node("b", "small", less),
        node("c", "large", large),
        node("d", "dead", SMALL, alive=False),
        node("e", "head", Resources()),
    )
    market = cluster_market(nodes, 1000.0, per_vcpu_hour=0.05, boot=7.0)
    offers = {offer.type.name: offer for offer in market.offers(1000.0)}
    assert set(offers) == {"small", "large"}
    assert {offer.terms for offer in offers.values()} == {Terms.ON_DEMAND}
    assert offers["small"].type.resources == less and offers["large"].type.resources == large
    assert offers["small"].price.per_hour == 0.1 and offers["large"].price.per_hour == 0.4
    assert offers["small"].wait == 7.0
    assert market.next_change(1000.0) is None or market.next_change(1000.0) > 1000.0 + 3e8


def test_a_node_is_charged_for_by_the_second() -> None:
    market = cluster_market((node("a", "small", SMALL),), TODAY, per_vcpu_hour=0.05)
    holdings = Holdings(market)
    (lease,) = holdings.take(Bid(Pool("small", "ray"), Terms.ON_DEMAND), TODAY)
    holdings.end(lease.id, TODAY + 1800, Ending.RELEASED)
    invoice = holdings.invoice(TODAY + 5000)
    assert float(invoice.total) == pytest.approx(0.05)
    assert invoice.total == add_up(charge.amount for charge in invoice.charges)


def test_a_cluster_without_processors_is_misuse() -> None:
    with pytest.raises(Misuse, match="no node has a processor"):
        cluster_market((node("head", "head", Resources()),), 0.0, per_vcpu_hour=1.0)
    with pytest.raises(Misuse, match="is no price"):
        cluster_market((node("a", "small", SMALL),), 0.0, per_vcpu_hour=0.0)


def test_the_state_is_best_on_a_head_with_processors() -> None:
    head = RayNode("z", "10.0.0.2", True, "small", SMALL, True, True, None)
    idle = msgspec.structs.replace(head, resources=Resources())
    drained = msgspec.structs.replace(node("a", "small", SMALL), drained_by=0.0)
    nodes = (drained, node("b", "small", SMALL, alive=False), node("c", "small", SMALL))
    assert state_home((*nodes, head)).id == "z"
    assert state_home((*nodes, idle)).id == "c"
    with pytest.raises(Misuse, match="no node has a processor"):
        state_home((drained, idle))


def test_nodes_are_as_the_tables_have_them() -> None:
    gib = 2.0**30
    tables = Tables(
        row("b", {"CPU": 4.0, "GPU": 2.0, "memory": 16 * gib, "accelerator_type:A10G": 1.0}),
        row("a", {"CPU": 1.0, "memory": gib, "node:__internal_head__": 1.0}),
        row("c", {"CPU": 2.0, "memory": gib}, {"ray.io/node-type": "spot-2"}),
        row("d", {}, alive=False),
        available={"a": {"CPU": 0.5}, "b": {"CPU": 4.0, "GPU": 2.0}, "c": {"CPU": 2.0}},
        drained={"c": 5_000},
    )
    a, b, c, d = nodes_of(tables)
    assert (a.id, a.head, a.shape, a.free, a.drained_by) == ("a", True, "node-1cpu", False, None)
    assert (b.shape, b.free, b.resources) == (
        "node-4cpu-2xA10G",
        True,
        Resources(vcpus=4, memory_gib=16, gpus=2, gpu_kind="A10G"),
    )
    assert (c.shape, c.free, c.drained_by, c.host) == ("spot-2", True, 5.0, "10.0.0.9")
    assert (d.alive, d.free) == (False, False)
