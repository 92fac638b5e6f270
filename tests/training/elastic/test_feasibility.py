"""What is refused before anything is rented, and what the refusal names."""

import re

import pytest
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
