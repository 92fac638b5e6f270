"""Whether a job can be done in time and for its budget, at standing prices, before anything is rented."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tradewind.errors import NoCapacity, Unaffordable
from tradewind.market.demands import Demand
from tradewind.market.offers import Offer, Terms
from tradewind.training.elastic.bidding.candidates import (
    Candidate,
    candidates,
    fits,
    room,
    seconds_left,
    spread,
)
from tradewind.training.view import Goal, TrainingView


class Plan(Struct, frozen=True):
    """A way to do what is left of the work, at standing prices and without a revocation."""

    seconds: float
    """From now until the work is done, start-up and wait included."""
    cost: float
    """US dollars, by the second."""
    places: tuple[tuple[str, int], ...]
    """Pools with their terms, and how many workers in each."""
    speed: float = 0.0
    """Useful vCPUs of all workers together."""


def cheapest_steady(view: TrainingView) -> Plan | None:
    """What is left of the work where it is cheapest on demand; None where nothing on demand fits."""
    found = candidates(view.market.offers, view.goal, Terms.ON_DEMAND)
    state = _state_price(view.market.offers, view.goal)
    if not found or state is None:
        return None
    return _plan(spread(found, view.goal.workers.count), view, state)


def plans(view: TrainingView) -> tuple[Plan, ...]:
    """The ways worth looking at: every number of workers of one offer, and every two offers together.

    With the work's rate fixed, the cheapest way within a time uses two offers at most (a linear programme
    with two constraints: the number of workers and the speed). Empty where workers or servers have no place.
    """
    state = _state_price(view.market.offers, view.goal)
    if state is None:
        return ()
    found = [
        *candidates(view.market.offers, view.goal, Terms.SPOT),
        *candidates(view.market.offers, view.goal, Terms.ON_DEMAND),
    ]
    count = view.goal.workers.count
    made = []
    for at, each in enumerate(found):
        for number in _numbers(room(each.offer, count)):
            made.append(_plan([(each, number)], view, state))
        for other in found[at + 1 :]:
            for number in _numbers(room(each.offer, count - 1)):
                places = [(each, number), (other, room(other.offer, count - number))]
                made.append(_plan(places, view, state))
    if found:
        fastest = sorted(found, key=lambda each: (-each.vcpus, each.unit))
        made += [_plan(spread(found, count), view, state), _plan(spread(fastest, count), view, state)]
    return tuple(made)


def require_feasible(view: TrainingView) -> Plan:
    """The cheapest way to meet the goal at the prices of `view`.

    Raises NoCapacity or Unaffordable if there is none; billing by the hour and revocations would only make
    it dearer. The error names the cheapest budget and the earliest deadline that would do.
    """
    goal, now = view.goal, view.market.now
    if _state_price(view.market.offers, goal) is None:
        raise NoCapacity(
            f"no reliable offer covers what the servers need ({_wants(goal.state)}); "
            "ask for less, or for other zones or types"
        )
    made = plans(view)
    if not made:
        raise NoCapacity(
            f"no offer anywhere fits the workers ({_wants(goal.workers)}); ask for less, or for other zones "
            "or types"
        )
    left = math.inf if goal.deadline is None else goal.deadline - now
    money = math.inf if goal.budget is None else goal.budget - view.spent
    fitting = [plan for plan in made if plan.seconds <= left and plan.cost <= money]
    if fitting:
        return min(fitting, key=lambda plan: (plan.cost, plan.seconds))
    fastest = min(made, key=lambda plan: (plan.seconds, plan.cost))
    cheapest = min(made, key=lambda plan: (plan.cost, plan.seconds))
    timely = [plan for plan in made if plan.seconds <= left]
    paid = [plan for plan in made if plan.cost <= money]
    ways = []
    if timely:
        ways.append(f"a budget of {_dollars(view.spent + min(plan.cost for plan in timely))} USD")
    if paid and goal.deadline is not None:
        ways.append(f"a deadline of {_when(min(plan.seconds for plan in paid))}")
    if not ways:
        ways = [
            f"a deadline of {_when(fastest.seconds)} with a budget of "
            f"{_dollars(view.spent + fastest.cost)} USD",
            f"a deadline of {_when(cheapest.seconds)} with a budget of "
            f"{_dollars(view.spent + cheapest.cost)} USD",
        ]
    asked = []
    if goal.deadline is not None:
        asked.append(f"the deadline {left / 3600:.2f} hours from now")
    if goal.budget is not None:
        asked.append(f"the budget of {goal.budget:.4f} USD")
    raise Unaffordable(
        f"the work cannot be done within {' and '.join(asked)} at the prices of now; "
        f"what would do: {', or '.join(dict.fromkeys(ways))}"
    )


def _plan(places: Sequence[tuple[Candidate, int]], view: TrainingView, state: float) -> Plan:
    used = [(each, number) for each, number in places if number > 0]
    speed = sum(each.vcpus * number for each, number in used)
    wait = max((each.offer.wait for each, _ in used), default=0.0)
    # The start-up counts from the lease's start, so it holds the wait for the instance to answer.
    seconds = seconds_left(view.progress, speed) + max(view.progress.startup, wait)
    per_hour = state + sum(each.offer.price.per_hour * number for each, number in used)
    names = tuple((f"{each.offer.pool} {each.offer.terms.value}", number) for each, number in used)
    return Plan(seconds, per_hour * seconds / 3600 if speed > 0 else math.inf, names, speed)


def _state_price(offers: Iterable[Offer], goal: Goal) -> float | None:
    if goal.state.count == 0:
        return 0.0
    prices = [
        offer.price.per_hour
        for offer in offers
        if not offer.price.terms.revocable and fits(offer, goal.state)
    ]
    return min(prices) * goal.state.count if prices else None


def _numbers(most: int) -> Iterable[int]:
    """1 to `most`, thinned out where that is many."""
    step = max(1, most // 32)
    return sorted({*range(1, most + 1, step), most} - {0})


def _wants(demand: Demand) -> str:
    resources = demand.resources
    amounts = (
        (resources.vcpus, "vCPUs"),
        (resources.memory_gib, "GiB of memory"),
        (resources.gpus, f"{resources.gpu_kind} GPUs".strip()),
    )
    wanted = [f"{amount:g} {name}" for amount, name in amounts if amount]
    for name, named in (("type", demand.instance_types), ("zone", demand.zones)):
        if named:
            wanted.append(f"{name} {' or '.join(named)}")
    return ", ".join(wanted) or "anything"


def _dollars(amount: float) -> str:
    """Rounded up, so that the amount named does."""
    return f"{math.ceil(amount * 10_000) / 10_000:.4f}"


def _when(seconds: float) -> str:
    """Rounded up likewise."""
    return f"{math.ceil(seconds / 36) / 100:.2f} hours from now"
