"""What is refused before anything is rented, and what the refusal names."""

import math
import re
import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tradewind.errors import NoCapacity, Unaffordable
from tradewind.market.demands import Demand
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.training.elastic.feasibility import cheapest_steady, plans, require_feasible
from tradewind.training.view import Goal, Progress, TrainingView

SLOW = InstanceType("slow", Resources(vcpus=1.0))
FAST = InstanceType("fast", Resources(vcpus=4.0))
OFFERS = (
    Offer(FAST, "a", Price(1.0, Terms.ON_DEMAND), wait=40.0),
    Offer(FAST, "a", Price(0.8, Terms.SPOT), wait=40.0),
    Offer(SLOW, "a", Price(0.2, Terms.ON_DEMAND), wait=40.0),
    Offer(SLOW, "a", Price(0.05, Terms.SPOT), available=5, wait=40.0),
)


def view(deadline=None, budget=None, offers=OFFERS, count=2, spent=0.0, **demand):
    goal = Goal(
        workers=Demand(resources=Resources(**demand), count=count),
        state=Demand(resources=Resources(vcpus=1.0)),
        deadline=deadline,
        budget=budget,
    )
    # 28,800 vCPU-seconds are left.
    return TrainingView(View(0.0, offers, ()), Progress(0.0, 57_600.0, 0.0, 2.0, 60.0), goal, spent)


def test_the_cheapest_plan_is_found_by_hand():
    # Two slow spot instances: 14,400 s + 60 s at 2 * 0.05 + 0.2 for the server.
    plan = require_feasible(view())
    assert plan.places == (("slow@a spot", 2),)
    assert plan.seconds == pytest.approx(14_460)
    assert plan.cost == pytest.approx(14_460 / 3600 * 0.3)
    # On demand a slow one costs less for its work than a fast one: 0.2 against 0.25.
    steady = cheapest_steady(view())
    assert steady.places == (("slow@a on_demand", 2),)
    assert steady.cost == pytest.approx(14_460 / 3600 * 0.6)


def test_a_deadline_takes_a_dearer_way():
    plan = require_feasible(view(deadline=3_800.0))
    assert plan.places == (("fast@a spot", 2),)
    assert plan.seconds == pytest.approx(3_660)
    mixed = require_feasible(view(deadline=6_000.0))
    assert set(mixed.places) == {("fast@a spot", 1), ("slow@a spot", 1)}
    assert mixed.seconds == pytest.approx(28_800 / 5 + 60)


def test_a_deadline_that_nothing_meets_names_the_earliest():
    with pytest.raises(Unaffordable, match=r"what would do: a deadline of 1\.02 hours from now") as caught:
        require_feasible(view(deadline=3_600.0))
    named = float(re.search(r"deadline of ([0-9.]+) hours from now", str(caught.value).split("what")[1])[1])
    require_feasible(view(deadline=named * 3600))


def test_a_budget_below_the_cheapest_way_names_it():
    with pytest.raises(Unaffordable, match=r"what would do: a budget of 1\.2051 USD"):
        require_feasible(view(budget=1.2))
    require_feasible(view(budget=1.2051))
    with pytest.raises(Unaffordable, match=r"a budget of 1\.4051 USD"):
        require_feasible(view(budget=1.4, spent=0.2))


def test_both_together_name_either_way_out():
    with pytest.raises(Unaffordable) as caught:
        require_feasible(view(deadline=3_800.0, budget=1.5))
    text = str(caught.value)
    budget = float(re.search(r"would do: a budget of ([0-9.]+) USD", text)[1])
    deadline = float(re.search(r"or a deadline of ([0-9.]+) hours", text)[1])
    require_feasible(view(deadline=3_800.0, budget=budget))
    require_feasible(view(deadline=deadline * 3600, budget=1.5))
    for less in (
        view(deadline=3_800.0, budget=budget - 0.001),
        view(deadline=deadline * 3600 - 72, budget=1.5),
    ):
        with pytest.raises(Unaffordable):
            require_feasible(less)


def test_no_capacity_says_what_was_asked():
    with pytest.raises(NoCapacity, match=r"fits the workers \(64 vCPUs\)"):
        require_feasible(view(vcpus=64.0))
    with pytest.raises(NoCapacity, match="what the servers need"):
        require_feasible(view(offers=OFFERS[1::2]))
    with pytest.raises(NoCapacity):
        require_feasible(view(offers=()))
    sold_out = tuple(replace(offer, available=0) for offer in OFFERS[1:2])
    with pytest.raises(NoCapacity, match="no offer anywhere fits the workers"):
        require_feasible(
            replace(
                view(offers=sold_out), goal=replace(view().goal, state=Demand(resources=Resources(), count=0))
            )
        )


def test_room_is_kept_to():
    assert all(
        count <= 5 for plan in plans(view(count=20)) for name, count in plan.places if name == "slow@a spot"
    )
    assert all(sum(count for _, count in plan.places) <= 20 for plan in plans(view(count=20)))


def capped(vcpus, count=100, offers=OFFERS, deadline=None, budget=None, startup=60.0, servers=1):
    """A goal by vCPUs, of 28,800 vCPU-seconds."""
    shown = view(deadline=deadline, budget=budget, offers=offers, count=count)
    goal = replace(shown.goal, vcpus=vcpus, state=Demand(resources=Resources(vcpus=1.0), count=servers))
    return replace(shown, goal=goal, progress=replace(shown.progress, startup=startup))


def test_a_cap_on_vcpus_is_kept_to_and_filled_from_two_offers():
    # Ten vCPUs at most: in a hurry the five slow ones on spot, and five more on demand beside them.
    assert all(plan.speed <= 10 for plan in plans(capped(10.0)))
    quickest = require_feasible(capped(10.0, deadline=2_945.0))
    assert quickest.speed == 10 and quickest.seconds == pytest.approx(2_880 + 60)
    assert quickest.cost == pytest.approx((5 * 0.05 + 5 * 0.2 + 0.2) * 2_940 / 3600)
    # At leisure the five on spot do: the server makes fewer of them dearer.
    assert require_feasible(capped(10.0)).places == (("slow@a spot", 5),)


def test_a_cap_makes_the_earliest_deadline_later_and_the_error_names_it():
    with pytest.raises(Unaffordable, match=r"a deadline of 1\.02 hours") as caught:
        require_feasible(capped(8.0, deadline=3_600.0))
    assert "budget" not in str(caught.value).split("would do")[1]
    require_feasible(capped(8.0, deadline=1.02 * 3600))
    # Without the cap there is time enough.
    require_feasible(capped(None, deadline=3_600.0))


def test_a_start_up_counts_against_the_deadline():
    require_feasible(capped(8.0, deadline=3_780.0, startup=180.0))
    with pytest.raises(Unaffordable, match=r"a deadline of 1\.05 hours"):
        require_feasible(capped(8.0, deadline=3_779.0, startup=180.0))


def test_an_instance_that_overshoots_the_cap_alone_has_no_place():
    with pytest.raises(NoCapacity, match=r"at most 3 vCPUs together"):
        require_feasible(capped(3.0, offers=OFFERS[:2], servers=0))
    assert require_feasible(capped(3.0)).speed == 3


def test_without_anything_on_demand_spot_has_to_do():
    spot = tuple(offer for offer in OFFERS if offer.terms is Terms.SPOT)
    plan = require_feasible(capped(10.0, offers=spot, servers=0))
    assert plan.places == (("slow@a spot", 1),)
    assert cheapest_steady(capped(10.0, offers=spot, servers=0)) is None
    with pytest.raises(NoCapacity, match="no reliable offer covers what the servers need"):
        require_feasible(capped(10.0, offers=spot))
    with pytest.raises(Unaffordable, match="what would do"):
        require_feasible(capped(10.0, offers=spot, servers=0, deadline=600.0))


def test_hundreds_of_workers_over_many_offers_are_looked_at_in_a_moment():
    kinds = [InstanceType(f"type-{at}", Resources(vcpus=float(at))) for at in range(1, 25)]
    offers = tuple(
        Offer(kind, zone, Price(0.05 * kind.resources.vcpus + at / 1000, terms), wait=40.0)
        for at, zone in enumerate("abc")
        for kind in kinds
        for terms in (Terms.SPOT, Terms.ON_DEMAND)
    )
    shown = capped(512.0, count=512, offers=offers, deadline=10_000.0)
    assert require_feasible(shown).speed <= 512
    began = time.process_time()
    for _ in range(5):
        require_feasible(shown)
    assert (time.process_time() - began) / 5 < 0.25


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((1.0, 3.0, 4.0)), st.floats(0.01, 1.0), st.none() | st.integers(1, 4)),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 6),
    st.none() | st.floats(1.0, 14.0),
    st.none() | st.floats(100.0, 40_000.0),
    st.none() | st.floats(0.1, 30.0),
)
def test_the_plan_is_the_best_of_all_ways_that_are_tried_out(found, count, vcpus, deadline, budget):
    """Every number of every offer, up to three kinds: what two offers cannot do better, none is found for."""
    offers = tuple(
        Offer(InstanceType(f"type-{at}", Resources(vcpus=size)), "a", Price(price, Terms.SPOT), room)
        for at, (size, price, room) in enumerate(found)
    )
    shown = capped(vcpus, count=count, offers=offers, servers=0, deadline=deadline, budget=budget)
    ways = []
    for numbers in product(*(range(min(count, room or count) + 1) for _, _, room in found)):
        speed = sum(number * size for number, (size, _, _) in zip(numbers, found, strict=True))
        if 0 < sum(numbers) <= count and speed <= (vcpus or math.inf):
            seconds = 28_800 / speed + 60
            price = sum(number * price for number, (_, price, _) in zip(numbers, found, strict=True))
            ways.append((price * seconds / 3600, seconds))
    left, money = deadline or math.inf, budget or math.inf
    able = [way for way in ways if way[1] <= left and way[0] <= money]
    try:
        plan = require_feasible(shown)
    except NoCapacity:
        assert not ways
    except Unaffordable:
        # Two offers of whole instances may miss what three would just do.
        assert not able or len(found) == 3
    else:
        best = min(able)
        assert plan.seconds <= left and plan.cost <= money
        assert plan.cost >= best[0] * (1 - 1e-9)
        assert plan.cost <= best[0] * (1 + 1e-9) or len(found) == 3
