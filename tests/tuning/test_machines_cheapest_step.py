import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_views import BIG, NOW, alone, expected, lease, offer, placed, view

from tradewind.errors import Misuse
from tradewind.market.decisions import PriceBelow, Release, Take, Use
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund, Tariff
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.interface import Queued
from tradewind.tuning.machines.one_type import OneType
from tradewind.tuning.machines.spottune import SpotTune


def decided(seen, **options):
    return CheapestStep(**options).decide(seen, None)[0]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_never_dearer_a_step_than_the_others_by_its_own_formula(number):
    seen = alone(number)
    if seen is None:
        return
    (trial,) = seen.queued
    costs = []
    for rule in (CheapestStep(), SpotTune(number), OneType(), OneType("fastest", "on_demand")):
        decision, _ = rule.decide(seen, rule.recall())
        for bid in (each.bid for each in decision.actions if isinstance(each, Take)):
            (found,) = (
                each for each in seen.market.offers if (each.pool, each.terms) == (bid.pool, bid.terms)
            )
            delta = None if bid.limit is None else bid.limit - found.price.per_hour + 1e-12
            costs.append((rule.name, expected(seen, trial, found, delta, 0.05)))
    if costs and costs[0][0] == "cheapest_step":
        assert all(costs[0][1] <= cost * (1 + 1e-6) for _, cost in costs)
    else:
        assert all(cost == float("inf") for _, cost in costs)


def test_it_moves_only_where_it_pays():
    held = lease()

    def moves(price_there, left, **rest):
        seen = view(
            [offer(0.10), offer(price_there, zone="b", wait=120.0)],
            placed=[placed(0, left=left)], leases=[held], restore=10.0, checkpoint=20.0, **rest,
        )  # fmt: skip
        return Release(held.id) in decided(seen).actions

    assert moves(0.05, left=1000)
    assert not moves(0.05, left=1)  # less is left than the new machine takes to boot
    assert not moves(0.0999, left=1000)  # within the margin
    assert not moves(0.10, left=1000)
    assert not moves(0.05, left=0)
    # what moving costs counts: the same machines, but to boot takes an hour less a minute
    dear = view(
        [offer(0.10), offer(0.05, zone="b", wait=3500.0)], placed=[placed(0, left=1000)], leases=[held]
    )
    assert decided(dear).actions == ()


def test_a_lease_under_notice_is_neither_used_nor_left_twice():
    held = lease()
    notice = Revocation(held.id, NOW, NOW + 100)
    seen = view([offer(0.05)], [Queued(1, 50)], leases=[held], notices=[notice])
    taken = [each for each in decided(seen).actions if isinstance(each, Take)]
    assert len(taken) == 1 and Release(held.id) in decided(seen).actions  # nothing is refunded
    free = {Terms.SPOT: Tariff(1.0, Refund.FIRST_HOUR)}
    seen = view([offer(0.05)], leases=[held], notices=[notice], tariffs=free)
    assert decided(seen).actions == ()  # its end gives ten minutes back
    busy = view([offer(0.01)], placed=[placed(0)], leases=[held], notices=[notice])
    assert decided(busy).actions == ()


def test_an_idle_lease_is_used_where_it_is_cheaper_than_starting_another():
    held = lease()
    seen = view([offer(0.1), offer(0.099, zone="b", wait=60.0)], [Queued(4, 30, True)], leases=[held])
    assert decided(seen).actions == (Use(held.id, "trial 4"),)
    seen = view([offer(0.1), offer(0.02, zone="b", wait=60.0)], [Queued(4, 3000)], leases=[held])
    assert [type(each) for each in decided(seen).actions] == [Take, Release]


def test_an_idle_lease_is_kept_for_as_long_as_another_takes_to_start():
    held = lease()
    rest = {"placed": [placed(0, "other")], "leases": [held, lease("other")]}
    young = view([offer(0.1, wait=90.0)], idle_since={"l": NOW - 30}, **rest)
    decision = decided(young)
    assert decision.actions == () and decision.wake_at == NOW + 60
    assert decided(view([offer(0.1, wait=90.0)], idle_since={"l": NOW - 90}, **rest)).actions == (
        Release(held.id),
    )
    last = view([offer(0.1, wait=90.0)], leases=[held], idle_since={"l": NOW})
    assert decided(last).actions == (Release(held.id),)  # no trial runs that could be followed by another


def test_time_has_its_price():
    offers = [offer(0.02), offer(0.2, BIG)]  # eight times as fast for ten times the money
    slow = decided(view(offers, [Queued(0, 1000)])).actions[0].bid.pool.instance_type
    fast = decided(view(offers, [Queued(0, 1000)]), value_of_time=1.0).actions[0].bid.pool.instance_type
    assert (slow, fast) == ("small", "big")


def test_the_first_trials_can_measure_the_types():
    offers = [offer(0.02), offer(0.5, BIG)]
    queued = [Queued(at, 100) for at in range(4)]
    taken = [each.bid.pool.instance_type for each in decided(view(offers, queued), explore=2).actions]
    assert sorted(taken[:2]) == ["big", "small"] and set(taken[2:]) == {"small"}


def test_it_asks_to_be_told_of_a_fall():
    decision = decided(view([offer(0.1), offer(0.5, terms=Terms.ON_DEMAND)], placed=[], leases=[]))
    assert decision.watch == (PriceBelow(offer(0.1).pool, pytest.approx(0.09)),)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("revoked", 1.0),
        ("revoked", -0.1),
        ("value_of_time", float("inf")),
        ("margin", 1.0),
        ("explore", -1),
        ("waits", 0.5),
        ("waits", float("inf")),
    ],
)
def test_a_bad_argument_is_named(field, value):
    with pytest.raises(Misuse, match=field):
        CheapestStep(**{field: value})
