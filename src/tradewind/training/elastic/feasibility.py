"""Whether a job can be done in time and for its budget, at standing prices, before anything is rented."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import NoCapacity, Unaffordable
from tradewind.market.demands import Demand
from tradewind.market.offers import Offer, Terms
from tradewind.training.elastic.bidding.candidates import (
    Candidate,
    candidates,
    fill,
    fits,
    room,
    seconds_left,
    whole,
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
    return _plan(fill(found, whole(view.goal))[0], view, state)


def plans(view: TrainingView) -> tuple[Plan, ...]:
    """The ways worth looking at: every number of workers of one offer, and every two offers together.

    With the work's rate fixed, the cheapest way within a time uses two offers at most (a linear programme
    with two constraints: the number of workers, or of their vCPUs, and the speed). Of offers without a bound
    on their number, only the cheapest of a size is looked at. Empty where workers or servers have no place.
    """
    ways = _Ways(view)
    return tuple(ways.plan(at) for at in range(len(ways.cost)))


class _Ways:
    """The plans as columns: there are thousands, and one or two are wanted."""

    def __init__(self, view: TrainingView) -> None:
        self._view = view
        state = _state_price(view.market.offers, view.goal)
        self._state = 0.0 if state is None else state
        found = [
            *candidates(view.market.offers, view.goal, Terms.SPOT),
            *candidates(view.market.offers, view.goal, Terms.ON_DEMAND),
        ]
        self._found = [] if state is None else _cheapest_of_a_size(found)
        columns = list(self._pairs())
        first, number, second, other = (
            (np.concatenate(column) for column in zip(*columns, strict=True))
            if columns
            else (np.empty(0, np.int64),) * 4
        )
        self._places = first, number, second, other
        fastest = sorted(found, key=lambda each: (-each.vcpus, each.unit))
        goal = whole(view.goal)
        # Where two offers have too few, more of them go together.
        mixed = [_plan(fill(order, goal)[0], view, self._state) for order in (found, fastest)]
        self._mixed = mixed if self._found else []
        vcpus = np.array([each.vcpus for each in self._found])
        price = np.array([each.offer.price.per_hour for each in self._found])
        wait = np.array([each.offer.wait for each in self._found])
        if not self._found:
            self.seconds = self.cost = np.empty(0)
            return
        speed = vcpus[first] * number + vcpus[second] * other
        waits = np.maximum(wait[first], np.where(other > 0, wait[second], 0.0))
        begun = np.maximum(view.progress.startup, waits)
        left = seconds_left(view.progress, 1.0)
        seconds = left / speed + begun
        per_hour = self._state + price[first] * number + price[second] * other
        self.seconds = np.append(seconds, [each.seconds for each in self._mixed])
        self.cost = np.append(per_hour * seconds / 3600, [each.cost for each in self._mixed])

    def _pairs(self) -> Iterator[tuple[NDArray[np.int64], ...]]:
        """Columns of: the first offer, how many of it, the second, how many of it."""
        goal = whole(self._view.goal)
        for at, each in enumerate(self._found):
            alone = np.array(_numbers(room(each.offer, goal.fit(each.vcpus))), np.int64)
            here = np.full(len(alone), at)
            yield here, alone, here, np.zeros(len(alone), np.int64)
            beside = [number for number in alone.tolist() if number < goal.count]
            gaps = [goal.less(each.vcpus, number) for number in beside]
            for to, other in enumerate(self._found[at + 1 :], at + 1):
                counts = [room(other.offer, gap.fit(other.vcpus)) for gap in gaps]
                yield (
                    np.full(len(beside), at),
                    np.array(beside, np.int64),
                    np.full(len(beside), to),
                    np.array(counts, np.int64),
                )

    def plan(self, at: int) -> Plan:
        """One of them."""
        first, number, second, other = self._places
        if at >= len(first):
            return self._mixed[at - len(first)]
        places = [
            (self._found[int(first[at])], int(number[at])),
            (self._found[int(second[at])], int(other[at])),
        ]
        return _plan(places, self._view, self._state)

    def least(
        self, among: NDArray[np.bool_], by: NDArray[np.float64], then: NDArray[np.float64]
    ) -> Plan | None:
        """The first of those that are least `by`, then by `then`; None of none."""
        at = np.flatnonzero(among)
        if not len(at):
            return None
        return self.plan(int(at[np.lexsort((then[at], by[at]))[0]]))


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
    made = _Ways(view)
    if not len(made.cost):
        raise NoCapacity(
            f"no offer anywhere fits the workers ({_wants(goal.workers, goal.vcpus)}); ask for less, or for "
            "other zones or types"
        )
    left = math.inf if goal.deadline is None else goal.deadline - now
    money = math.inf if goal.budget is None else goal.budget - view.spent
    timely, paid = made.seconds <= left, made.cost <= money
    fitting = made.least(timely & paid, made.cost, made.seconds)
    if fitting is not None:
        return fitting
    every = np.ones(len(made.cost), np.bool_)
    ways = []
    if (cheapest := made.least(timely, made.cost, made.seconds)) is not None:
        ways.append(f"a budget of {_dollars(view.spent + cheapest.cost)} USD")
    if goal.deadline is not None and (earliest := made.least(paid, made.seconds, made.cost)) is not None:
        ways.append(f"a deadline of {_when(earliest.seconds)}")
    if not ways:
        both = (made.least(every, made.seconds, made.cost), made.least(every, made.cost, made.seconds))
        ways = [
            f"a deadline of {_when(plan.seconds)} with a budget of {_dollars(view.spent + plan.cost)} USD"
            for plan in both
            if plan is not None
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


def _cheapest_of_a_size(found: Iterable[Candidate]) -> list[Candidate]:
    """Without those of a size of which another has room without end, for no more money or wait."""
    best: dict[float, Candidate] = {}
    kept: list[Candidate] = []
    for each in found:
        other = best.get(each.vcpus)
        if (
            other is not None
            and other.offer.price.per_hour <= each.offer.price.per_hour
            and other.offer.wait <= each.offer.wait
        ):
            continue
        if each.offer.available is None:
            best[each.vcpus] = each
        kept.append(each)
    return kept


def _numbers(most: int) -> list[int]:
    """1 to `most`, thinned out where that is many, but for the first and the last few."""
    step = max(1, most // 32)
    return sorted(
        {*range(1, min(5, most + 1)), *range(1, most + 1, step), *range(max(1, most - 4), most + 1)}
    )


def _wants(demand: Demand, vcpus: float | None = None) -> str:
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
    if vcpus is not None:
        wanted.append(f"at most {vcpus:g} vCPUs together")
    return ", ".join(wanted) or "anything"


def _dollars(amount: float) -> str:
    """Rounded up, so that the amount named does."""
    return f"{math.ceil(amount * 10_000) / 10_000:.4f}"


def _when(seconds: float) -> str:
    """Rounded up likewise."""
    return f"{math.ceil(seconds / 36) / 100:.2f} hours from now"
