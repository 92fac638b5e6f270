"""MArk: a greedy plan over the forecast, with the cost of a launch, a pause before scaling in, and functions.

Zhang, Yu, Wang and Yan, "MArk: exploiting cloud services for cost-effective, SLO-aware machine learning
inference serving", USENIX ATC 2019, section 4; the greedy rule is that of the released
`proactive_controller2.py`, the forecast its LSTM (`estimates.load.lstm`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Decision
from tradewind.market.offers import Terms
from tradewind.serving.provisioning.fleet import HOUR, Fleet, Held, Way, burst, checked, counted, released
from tradewind.serving.provisioning.interface import ServingView

_HEAD = 6
"""Intervals within which a shortfall is acted upon."""
_AHEAD = 50
"""Intervals of the forecast that are planned over."""
_TINY = 1e-9


class Plans(Struct, frozen=True):
    """What `mark` remembers: the last plans, and when the last one was made."""

    made: float = -1e18
    last: tuple[tuple[tuple[str, int], ...], ...] = ()
    """Of each plan, how many of each type, the oldest plan first."""


class _Kind(Struct, frozen=True):
    """A type to plan with: a new one, or one that is held."""

    name: str
    rate: float
    price: float
    """US dollars a second."""
    launch: float
    most: int


class Mark:
    """Plans every `every` seconds for the forecast times `headroom` and the burst within an interval.

    While the next six intervals fall short, it adds the instance that serves a request the cheapest, counting
    a launch of `launch` seconds for one that is not held yet. What none of the last `hysteresis` plans used
    is released. With `spot`, instances are spot where a type's is offered below its on-demand price; when one
    is taken back, a burstable instance of the same speed or, where none is offered, an on-demand one takes
    its place. With `overflow`, what the instances cannot answer in time goes to functions, and no instance is
    planned, or held, for requests that cost less as calls of a function which is in time even when cold.
    """

    name = "mark"

    def __init__(
        self,
        headroom: float = 1.2,
        every: float = 60.0,
        launch: float = 180.0,
        hysteresis: int = 6,
        spot: bool = True,
        overflow: bool = True,
        forecaster: str = "lstm",
    ) -> None:
        self.headroom = checked(self.name, "headroom", headroom, 0.1, 100.0)
        self.every = checked(self.name, "every", every, 1.0)
        self.launch = checked(self.name, "launch", launch, 0.0)
        self.hysteresis = int(checked(self.name, "hysteresis", hysteresis, 1))
        self.spot, self.overflow, self.forecaster = spot, overflow, forecaster

    def recall(self) -> Plans:
        """No plan yet."""
        return Plans()

    def decide(self, view: ServingView, memory: Plans) -> tuple[Decision, Plans]:
        """Plan at the end of every period; between them only replace what is taken back."""
        if view.forecast is None:
            raise Misuse(
                "plans over a forecast of the load, and nobody makes one", source=f"policy {self.name}",
                field="forecaster", fix="Give the run a load forecaster.",
            )  # fmt: skip
        fleet = Fleet(view)
        planned = view.now >= memory.made + self.every - 1.0
        if not planned and not fleet.shunned:
            wake = memory.made + self.every
            return Decision((), "The plan stands until its minute is over.", wake), memory
        ways = self._ways(fleet)
        held = Counter(each.lease.instance.type.name for each in fleet.staying)
        kept, fresh = self._greedy(view, fleet, ways, held)
        actions: list[Action] = []
        words: list[str] = []
        backup = self._backup(fleet) if fleet.shunned else None
        for name, count in sorted(fresh.items()):
            way = ways[name]
            if backup is not None and way.spot:
                way = backup
            actions.append(way.take(count))
            words.append(f"{counted(count)} more on {way.offer.type.name} in {way.offer.zone}.")
        if not planned:
            reason = " ".join(words) or "What is taken back is not missed."
            return Decision(tuple(actions), reason, view.now + self.every), memory
        plan = tuple(sorted((kept + fresh).items()))
        last = (*memory.last, plan)[-self.hysteresis :]
        needed = {name: max(dict(each).get(name, 0) for each in last) for name in held}
        for name in sorted(held):
            surplus = held[name] - needed[name]
            if surplus > 0 and len(last) == self.hysteresis:
                mine = [each for each in fleet.staying if each.lease.instance.type.name == name]
                actions += released(_dearest(mine)[:surplus])
                words.append(f"{counted(surplus)} of {name} {'was' if surplus == 1 else 'were'} in no plan.")
        reason = " ".join(words) or f"The {counted(len(fleet.staying))} held are what the plan asks for."
        return Decision(tuple(actions), reason, view.now + self.every), Plans(view.now, last)

    def _ways(self, fleet: Fleet) -> dict[str, Way]:
        """By type, the cheapest offer of it."""
        found: dict[str, Way] = {}
        for way in fleet.ways:
            if way.offer.terms is Terms.BURSTABLE or (way.spot and not self.spot):
                continue
            if way.spot and way.offer.pool in fleet.shunned:
                continue
            found.setdefault(way.offer.type.name, way)
        return found

    def _backup(self, fleet: Fleet) -> Way | None:
        """What takes the place of spot that is lost: burstable, else on demand."""
        steady = [way for way in fleet.ways if not way.spot]
        burstable = [way for way in steady if way.offer.terms is Terms.BURSTABLE]
        return next(iter(burstable or steady), None)

    def _dear(self, view: ServingView, short: float) -> float:
        """US dollars for a request from which on functions take it: infinite where they are not used, would
        be late whenever an environment starts, or cannot run so many calls at a time."""
        function = view.function
        if not self.overflow or function is None or function.cold > view.objective.latency:
            return math.inf
        if short * function.cold > function.concurrency:
            return math.inf
        return function.per_request

    def _greedy(
        self, view: ServingView, fleet: Fleet, ways: dict[str, Way], held: Counter[str]
    ) -> tuple[Counter[str], Counter[str]]:
        """How many of those held the plan uses, and how many new ones, by type."""
        assert view.forecast is not None
        seconds = view.forecast.interval
        ahead = np.array(view.forecast.mean[:_AHEAD]) * self.headroom * burst(view)
        prices = {each.lease.instance.type.name: each.price for each in fleet.staying}
        rates = {each.lease.instance.type.name: each.rate for each in fleet.staying}
        kinds = [_Kind(name, rates[name], prices[name] / HOUR, 0.0, held[name]) for name in sorted(held)]
        for name in sorted(ways):
            price, room = ways[name].price / HOUR, ways[name].offer.available
            most = 1 << 30 if room is None else room
            kinds.append(_Kind(name, ways[name].rate, price, price * self.launch, most))
        used = [0] * len(kinds)
        left = ahead.copy()
        while True:
            short = float(left[:_HEAD].max(initial=0.0))
            if short <= _TINY:
                break
            at = int(left[:_HEAD].argmax())
            best = _best(left, at, kinds, used, seconds, self._dear(view, short))
            if best is None:
                break
            used[best] += 1
            left = left - kinds[best].rate
        new: Counter[str] = Counter()
        for kind, many in zip(kinds[len(held) :], used[len(held) :], strict=True):
            if many:
                new[kind.name] += many
        old = Counter(
            {kind.name: many for kind, many in zip(kinds[: len(held)], used[: len(held)], strict=True)}
        )
        return old, new


def _best(
    left: NDArray[np.float64],
    at: int,
    kinds: Sequence[_Kind],
    used: Sequence[int],
    seconds: float,
    dear: float = math.inf,
) -> int | None:
    """The kind that serves a request the cheapest from the peak on for as long as load is left; None where
    that costs more than `dear`, US dollars."""
    gone = np.flatnonzero(left[at:] < 0)
    until = at + int(gone[0]) if len(gone) else len(left)
    span = left[at:until]
    best, least = None, dear * seconds
    for index, kind in enumerate(kinds):
        if used[index] >= kind.most:
            continue
        served = float(np.minimum(kind.rate, np.maximum(span, 0.0)).sum())
        cost = kind.price * len(span) * seconds + kind.launch
        if served > 0 and cost / served < least:
            best, least = index, cost / served
    return best


def _dearest(held: Sequence[Held]) -> list[Held]:
    """Those whose next hour costs the most first; of equals the youngest."""
    return sorted(held, key=lambda each: (-each.price, -each.lease.started, each.lease.id))
