import pytest
from machine_views import BIG, NOW, SMALL, lease, offer, placed, view
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.market.decisions import Release, Take, Use
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.tuning.machines.interface import Queued
from tradewind.tuning.machines.one_type import OneType, Settled

OFFERS = [offer(0.05), offer(0.04, zone="b"), offer(0.3, BIG), offer(0.6, BIG, terms=Terms.ON_DEMAND),
          offer(0.1, terms=Terms.ON_DEMAND)]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "terms", "pool"),
    [
        ("cheapest", "spot", Pool("small", "b")),
        ("fastest", "spot", Pool("big", "a")),
        ("cheapest", "on_demand", Pool("small", "a")),
        ("fastest", "on_demand", Pool("big", "a")),
    ],
)
def test_the_type_and_the_zone_where_it_is_cheapest(kind, terms, pool):
    rule = OneType(kind, terms)
    decision, memory = rule.decide(view(OFFERS, [Queued(0, 10), Queued(1, 10)]), rule.recall())
    bids = [each.bid for each in decision.actions]
    assert rule.name == f"{kind}_{terms}" and memory == Settled(pool.instance_type)
    assert [(bid.pool, str(bid.terms), bid.limit) for bid in bids] == [(pool, terms, None)] * 2


def test_it_keeps_to_its_type_and_waits_for_it():
    rule = OneType()
    _, memory = rule.decide(view(OFFERS, [Queued(0, 10)]), rule.recall())
    decision, memory = rule.decide(
        view([offer(0.001, BIG)], [Queued(0, 10)], gone=(Pool("small", "a"),)), memory
    )
    assert decision.actions == () and "wait for small spot" in decision.reason
    assert [each.pool for each in decision.watch] == [Pool("small", "a")]
    decision, memory = rule.decide(view([offer(0.9)], [Queued(0, 10)]), memory)
    assert len(decision.actions) == 1 and memory.type == "small"


def test_a_second_zone_when_the_first_is_full():
    rule = OneType()
    offers = [offer(0.04, available=1), offer(0.05, zone="b", available=1)]
    decision, _ = rule.decide(view(offers, [Queued(at, 10) for at in range(3)]), Settled("small"))
    zones = [each.bid.pool.zone for each in decision.actions if isinstance(each, Take)]
    assert zones == ["a", "b"] and "1 wait" in decision.reason


def test_of_equal_speed_the_cheaper_type():
    twin = InstanceType("big2", Resources(vcpus=8.0))
    seen = view([offer(0.3, BIG), offer(0.2, twin)], [Queued(0, 10)], seconds={"0": (1.0, 1.0, 1.0)})
    seen = replace(seen, types=("big", "big2", "small"))
    assert OneType("fastest").decide(seen, Settled())[1] == Settled("big2")


def test_idle_ones_are_used_or_let_go_and_nothing_moves():
    rule = OneType()
    held = [lease("one"), lease("two", kind=BIG), lease("three")]
    decision, _ = rule.decide(view(OFFERS, [Queued(7, 10)], leases=held), Settled("small"))
    assert decision.actions == (Use(held[0].id, "trial 7"), Release(held[1].id), Release(held[2].id))
    busy = view([offer(0.001, zone="c")], placed=[placed(0, "one")], leases=held[:1])
    assert rule.decide(busy, Settled("small"))[0].actions == ()
    notice = Revocation(held[0].id, NOW, NOW + 60)
    empty = view(OFFERS, leases=held[:1], notices=[notice])
    assert rule.decide(empty, Settled("small"))[0].actions == (Release(held[0].id),)


@pytest.mark.parametrize(("field", "value"), [("kind", "dearest"), ("terms", "reserved")])
def test_a_bad_argument_is_named(field, value):
    with pytest.raises(Misuse, match=field):
        OneType(**{field: value})
    assert SMALL.resources.vcpus == 1
