"""Several instances, or some that are about to be rented, put together on one of a larger type."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tradewind.advice.renting.interface import Asked, Held
from tradewind.advice.renting.lifetime_cost import Load, dollars, lifetime_cost
from tradewind.advice.renting.room import whole
from tradewind.advice.renting.shapes import room_for_all
from tradewind.market.offers import Offer

_STARTS = 3
"""Of the dearest parts, those from which a group is begun."""
_NOTHING = 1e-9
"""US dollars; less than this is rounding."""
_MOST = 32
"""Parts that are looked at in one decision, the dearest."""


class Part(Struct, frozen=True, eq=False):
    """What could become a part of a larger instance."""

    tasks: tuple[Asked, ...]
    loads: tuple[Load, ...]
    """Ends from now if nothing is done; of an instance not rented yet, from its start."""
    cost: float
    """US dollars from now on if it stays by itself, its launch included."""
    held: Held | None = None
    """The instance; None for one that is not rented yet."""


class Group(Struct, frozen=True, eq=False):
    """Parts that would cost less together."""

    saved: float
    """US dollars."""
    offer: Offer
    parts: tuple[Part, ...]

    @property
    def tasks(self) -> tuple[Asked, ...]:
        """All of theirs."""
        return tuple(task for part in self.parts for task in part.tasks)


def best_group(parts: Sequence[Part], offers: Sequence[Offer], moving: float) -> Group | None:
    """The group of two parts or more, on one offer, that saves most; None where nothing is saved.

    Greedy: for each offer, from each of the dearest parts, further parts are put beside it from the dearest
    on as long as there is room. A group is reckoned once it is cheaper, while all of its tasks run, than each
    alone; from then on a part that would save less is passed over.
    """
    best: Group | None = None
    dearest = sorted(parts, key=lambda part: -part.cost)[:_MOST]
    for offer in offers:
        empty = whole(offer.type.resources)
        able = [
            part
            for part in dearest
            if room_for_all(empty, [task.resources for task in part.tasks]) is not None
        ]
        if sum(part.cost for part in able) <= dollars(offer.price.per_hour, offer.wait):
            continue
        for first in range(min(_STARTS, len(able) - 1)):
            group = [able[first]]
            asked = [task.resources for task in able[first].tasks]
            alone = _rate(able[first])
            saved = -math.inf
            for part in able[first + 1 :]:
                wanted = [*asked, *(task.resources for task in part.tasks)]
                if room_for_all(empty, wanted) is None:
                    continue
                rate = alone + _rate(part)
                if rate > offer.price.per_hour:
                    now = sum(each.cost for each in (*group, part)) - together((*group, part), offer, moving)
                    if now < saved:
                        continue
                    saved = now
                group, asked, alone = [*group, part], wanted, rate
                if saved > (best.saved if best else _NOTHING):
                    best = Group(saved, offer, tuple(group))
    return best


def _rate(part: Part) -> float:
    """US dollars an hour of its tasks, each alone."""
    return sum(load.alone for load in part.loads)


def together(parts: Sequence[Part], offer: Offer, moving: float) -> float:
    """US dollars from now on if the parts are put together on a new instance of an offer.

    Each held one is paid until that is ready; tasks that work then pause for `moving`.
    """
    cost = dollars(offer.price.per_hour, offer.wait)
    loads: list[Load] = []
    for part in parts:
        if part.held is None:
            loads += part.loads
            continue
        last = np.max([load.ends for load in part.loads], axis=0)
        cost += dollars(part.held.offer.price.per_hour, float(np.minimum(last, offer.wait).mean()))
        loads += [
            Load(load.alone, np.where(load.ends > offer.wait, load.ends - offer.wait + moving, 0.0))
            for load in part.loads
        ]
    return cost + lifetime_cost(offer, loads)
