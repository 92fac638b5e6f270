import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_views import BIG, NOW, SMALL, alone, expected, lease, offer, outlook, placed, view

from tradewind.market.demands import Demand
from tradewind.market.instances import Pool
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Refund, Tariff
from tradewind.tuning.machines.candidates import Candidates, awaited, done_with, sentence
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.interface import Queued
from tradewind.tuning.machines.one_type import OneType, Settled
from tradewind.tuning.machines.spottune import SpotTune

WAITS = Queued(0, 100)


def deltas_of(seen, found):
    known = seen.outlook is not None and found.terms.revocable and found.pool in seen.outlook.pools
    return (None, *seen.outlook.deltas) if known else (None,)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from((0.0, 0.05, 0.6)), st.sampled_from((0.0, 3.0)))
def test_the_best_is_the_least_of_all_machines_and_bids_written_out_one_by_one(number, base, worth):
    seen = alone(number)
    if seen is None:
        return
    (trial,) = seen.queued
    found = Candidates(seen, base, worth).best(trial.trial, trial.left, trial.begun)
    costs = {
        (each.pool, each.terms, delta): expected(seen, trial, each, delta, base, worth)
        for each in seen.market.offers
        if seen.demand.accepts(each.type, each.zone)
        for delta in deltas_of(seen, each)
    }
    if not costs:
        assert found is None
        return
    least = min(costs.values())
    if math.isinf(least):
        plain = {
            (each.pool, each.terms): each.price.per_hour * seen.seconds_of(trial.trial, each.type.name)
            for each in seen.market.offers
            if seen.demand.accepts(each.type, each.zone)
        }
        assert math.isinf(found.per_step)
        assert plain[found.offer.pool, found.offer.terms] == min(plain.values())
        return
    price = found.offer.price.per_hour
    chosen = [
        cost
        for (pool, terms, delta), cost in costs.items()
        if (pool, terms) == (found.offer.pool, found.offer.terms)
        and found.limit == (None if delta is None else price + delta)
    ]
    assert chosen == [pytest.approx(found.per_step)] and found.per_step == pytest.approx(least)


def test_a_trial_with_next_to_nothing_left_does_not_wait_for_ever():
    offers = [
        offer(0.3, wait=60.0),
        offer(0.1, zone="b", wait=60.0, available=1),
        offer(0.2, zone="c", wait=60.0),
    ]
    seen = view(offers, [Queued(0, 1, True)], seconds={"0": (0.01, 0.01)}, lost=300.0)
    candidates = Candidates(seen, 0.05)
    for zone in ("b", "c"):
        found = candidates.best(0, 1, True)
        assert found.offer.zone == zone and math.isinf(found.per_step)
        candidates.take(found.offer)


def test_of_the_bids_of_a_pool_the_one_that_costs_least():
    pool = Pool("small", "a")
    risky_if_low = outlook([pool], [((0.5, 0.9), (0.01, 0.02))])
    seen = view([offer(0.1)], [WAITS], outlook=risky_if_low, lost=600.0)
    found = Candidates(seen, 0.05).best(0, 100, False)
    assert found.limit is None or found.limit == pytest.approx(0.2)
    # where a revocation is a gift, the low bid is the cheap one
    gift = {Terms.SPOT: Tariff(1.0, Refund.FIRST_HOUR), Terms.ON_DEMAND: Tariff()}
    seen = view([offer(0.1)], [WAITS], outlook=risky_if_low, tariffs=gift)
    assert Candidates(seen, 0.05).best(0, 100, False).limit == pytest.approx(0.11)


def test_what_is_taken_is_gone_for_those_that_come_after():
    two = offer(0.1, available=2)
    seen = view([two, offer(0.3, zone="b")], [Queued(at, 100) for at in range(4)])
    candidates = Candidates(seen, 0.05)
    zones = []
    for at in range(4):
        found = candidates.best(at, 100, False)
        candidates.take(found.offer)
        zones.append(found.offer.zone)
    assert zones == ["a", "a", "b", "b"] and candidates.room(two) == 0
    assert candidates.best(0, 100, False, within=[True, False]) is None


def test_chances_between_and_beyond_what_an_outlook_says_have_an_even_hazard():
    pool = Pool("small", "a")
    seen = view([offer(0.1)], [WAITS], outlook=outlook([pool], [((0.1, 0.5), (0.0, 0.2))]))
    candidates = Candidates(seen, 0.05)
    assert candidates.chance(pool, Terms.SPOT, 0.01, 3600.0) == pytest.approx(0.5)
    assert candidates.chance(pool, Terms.SPOT, 0.05, 7200.0) == pytest.approx(0.75)
    assert candidates.chance(pool, Terms.SPOT, 0.1, 600.0) == 0.0
    assert candidates.chance(pool, Terms.SPOT, None, 3600.0) == pytest.approx(0.2)
    assert candidates.chance(pool, Terms.ON_DEMAND, None, 3600.0) == 0.0
    assert candidates.chance(Pool("big", "z"), Terms.SPOT, None, 7200.0) == pytest.approx(1 - 0.95**2)


def test_a_lease_whose_pool_is_full_costs_what_it_cost_last():
    held = lease()
    seen = view([], placed=[placed(0)], leases=[held], prices={"l": 0.07})
    assert Candidates(seen, 0.0).price(held) == 0.07
    assert Candidates(seen, 0.0).staying(held, 0, 100) == pytest.approx(0.07 * 60 / 3600)
    seen = view([offer(0.05)], placed=[placed(0)], leases=[held], prices={"l": 0.07})
    assert Candidates(seen, 0.0).price(held) == 0.05


def test_a_demand_says_what_fits():
    wants = Demand(resources=Resources(vcpus=4.0), zones=("a",))
    asked = Demand(resources=Resources(vcpus=1.0), instance_types=("small",))

    def fits(found, demand):
        return demand.accepts(found.type, found.zone)

    assert fits(offer(1.0, BIG), wants) and not fits(offer(1.0, SMALL), wants)
    assert not fits(offer(1.0, BIG, zone="b"), wants)
    assert not fits(offer(1.0, BIG), asked)


@pytest.mark.parametrize(
    ("refund", "age", "kept"),
    [
        (Refund.NOTHING, 600.0, False),
        (Refund.FIRST_HOUR, 600.0, True),
        (Refund.FIRST_HOUR, 4000.0, False),
        (Refund.LAST_UNIT, 4000.0, True),
    ],
)
def test_what_is_revoked_and_empty_is_kept_where_its_end_is_refunded(refund, age, kept):
    held = lease(age=age)
    tariffs = {Terms.SPOT: Tariff(3600.0, refund)}
    seen = view(leases=[held], notices=[Revocation(held.id, NOW, NOW + 120)], tariffs=tariffs)
    assert done_with(seen) == ([] if kept else [held])
    busy = view(
        leases=[held], placed=[placed(0)], notices=[Revocation(held.id, NOW, NOW + 120)], tariffs=tariffs
    )
    assert done_with(busy) == []


def test_who_waits_is_told_of_room_in_pools_that_are_gone():
    assert [each.pool for each in awaited(view(gone=(Pool("small", "b"),)))] == [Pool("small", "b")]
    assert sentence(["trial 3 goes on A", "l is idle"]) == "Trial 3 goes on A; l is idle."


def test_a_type_that_trials_fail_on_is_left_out_while_the_market_sells_another():
    trial = Queued(0, 100)
    cheap, dear, full = offer(0.01), offer(9.0, BIG), offer(9.0, BIG, available=0)
    found = Candidates(view([cheap, dear], [trial], doubted={"small": 0.12}), 0.0)
    assert [each.type.name for each in found.offers] == ["big"]
    assert found.doubts == [
        "a trial on small is believed to end whole with probability 0.12 only, so it is left out"
    ]
    assert not Candidates(view([cheap, full], [trial], doubted={"small": 0.12}), 0.0).offers, "it waits"
    alone = Candidates(view([cheap], [trial], doubted={"small": 0.12}), 0.0)
    assert [each.type.name for each in alone.offers] == ["small"] and "nothing else fits" in alone.doubts[0]
    assert not Candidates(view([dear], [trial], doubted={"small": 0.12}), 0.0).doubts


@pytest.mark.parametrize("rule", [CheapestStep(), SpotTune(), OneType()], ids=lambda rule: rule.name)
def test_every_rule_says_why_it_leaves_a_type_out_or_takes_it_all_the_same(rule):
    def decided(offers, **given):
        return rule.decide(view(offers, [Queued(0, 100)], **given), rule.recall())[0]

    both = [offer(0.01), offer(0.5, BIG)]
    plain = decided(both)
    assert plain.actions[0].bid.pool.instance_type == "small" and "believed" not in plain.reason
    doubting = decided(both, doubted={"small": 0.2})
    assert doubting.actions[0].bid.pool.instance_type == "big"
    assert "on small is believed to end whole with probability 0.20 only" in doubting.reason
    alone = decided(both[:1], doubted={"small": 0.2})
    assert alone.actions[0].bid.pool.instance_type == "small" and "nothing else fits" in alone.reason


@pytest.mark.parametrize("rule", [CheapestStep(), SpotTune()], ids=lambda rule: rule.name)
def test_a_speed_of_earlier_runs_is_not_passed_off_as_measured(rule):
    def reason(**given):
        return rule.decide(view([offer(0.01)], [Queued(0, 100)], **given), rule.recall())[0].reason

    assert "as earlier runs took" in reason(foretold=("small",))
    assert "earlier" not in reason(foretold=("small",), measured=("small",)) + reason()


def test_nothing_is_explored_of_which_earlier_runs_tell():
    rule, trials = CheapestStep(explore=2), [Queued(0, 100), Queued(1, 100)]
    offers = [offer(0.01), offer(9.0, BIG)]

    def types(**given):
        actions = rule.decide(view(offers, trials, **given), rule.recall())[0].actions
        return sorted(each.bid.pool.instance_type for each in actions)

    assert types() == ["big", "small"] == types(foretold=("small",))
    assert types(foretold=("big", "small")) == ["small", "small"]


def test_an_idle_machine_of_such_a_type_is_let_go_and_one_type_chooses_another():
    small, both = lease(), [offer(0.01), offer(0.5, BIG)]
    seen = view(both, [WAITS], leases=[small], doubted={"small": 0.2})
    decision = CheapestStep().decide(seen, None)[0]
    assert [type(each).__name__ for each in decision.actions] == ["Take", "Release"]
    assert decision.actions[0].bid.pool.instance_type == "big"
    decision, memory = OneType().decide(seen, Settled("small"))
    assert memory == Settled("big") and decision.actions[0].bid.pool.instance_type == "big"
    on_demand = view([both[0], offer(0.5, BIG, terms=Terms.ON_DEMAND)], [WAITS], doubted={"small": 0.2})
    taken = SpotTune().decide(on_demand, None)[0].actions[0].bid
    assert taken.pool.instance_type == "small", "nothing else is to be had on spot"
