"""Stratus: tasks that end together share an instance, so that it can be given back while it is full.

Chung, Park and Ganger, "Stratus: cost-aware container scheduling in the public cloud", SoCC 2018, after its
published outline; where that is silent, what is done here is said. Run times are put into bins that double:
bin i holds those from 2**(i-1) minutes up to 2**i, bin 0 those below a minute; the bin of an instance is that
of its longest remaining task.

- Packing, the longest tasks first: into an instance of the task's bin, the one that ends nearest to it; else
  up, into the lowest greater bin, where most of what the task needs most is free; else down, into the
  greatest lower bin, which lengthens the instance's life.
- Scaling: of the tasks left, bin after bin from the longest, groups of the first 1, 2, 3, ... are tried on
  every type with room; the best is the one that uses the largest share of the type's constraining resource
  per dollar, weighted with the share of a dollar's worth that it would take alone. Other tasks that fit fill
  the instance up.
- Migration: an instance of which less than `threshold` is used is emptied if packing finds a place for all
  of its tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tradewind.advice.renting.emptying import homes_elsewhere
from tradewind.advice.renting.interface import (
    Asked,
    GiveBack,
    Held,
    Move,
    Place,
    Placed,
    Rent,
    RentingAction,
    RentingDecision,
    RentingView,
)
from tradewind.advice.renting.room import Room, used_shares, whole
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources

_MINUTE = 60.0


def bin_of(seconds: float) -> int:
    """The bin of a remaining run time.

    >>> [bin_of(seconds) for seconds in (30, 60, 119, 120, 3600)]
    [0, 1, 1, 2, 6]
    """
    minutes = seconds / _MINUTE
    return 0 if minutes < 1 else math.floor(math.log2(minutes)) + 1


def remaining(placed: Placed, now: float) -> float:
    """Seconds that a task has left by its estimate; of one that overran as long again as it has run, so that
    it climbs from bin to bin."""
    left = placed.task.estimate.seconds - placed.age(now)
    return left if left > 0 else max(placed.age(now), 1.0)


class Stratus:
    """Aligns run times; see the module. `threshold`: the use below which an instance is emptied; 0: never."""

    name = "stratus"

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: RentingView, memory: None) -> tuple[RentingDecision, None]:
        """Pack, scale, migrate."""
        rooms = {held.id: held.room for held in view.held}
        kinds = {held.id: held.offer.type.resources for held in view.held}
        ends = {held.id: _longest(held, view.now) for held in view.held}
        actions: list[RentingAction] = []
        left: list[Asked] = []
        for task in sorted(view.pending, key=lambda each: -each.estimate.seconds):
            seconds = task.estimate.seconds
            home = packed(task.resources, seconds, rooms, kinds, ends)
            if home is None:
                left.append(task)
                continue
            rooms[home] = rooms[home].without(task.resources)
            ends[home] = max(ends[home], seconds)
            actions.append(Place(task.id, home))
        while left:
            offer, group = scaled(view.offers, left)
            actions.append(Rent(offer.type.name, tuple(task.id for task in group)))
            gone = {task.id for task in group}
            left = [task for task in left if task.id not in gone]
        used = {action.instance for action in actions if isinstance(action, Place)}
        for held in sorted(view.held, key=lambda each: _use(each.room, each.offer.type.resources)):
            if held.id in used or held.launching or held.coming:
                continue
            if held.tasks and _use(held.room, held.offer.type.resources) >= self.threshold:
                continue

            def choose(placed: Placed, others: Mapping[str, Room]) -> str | None:
                return packed(placed.task.resources, remaining(placed, view.now), others, kinds, ends)

            homes = homes_elsewhere(view, held, rooms, choose)
            if homes is None:
                continue
            for task, home in homes:
                rooms[home] = rooms[home].without(task.resources)
                used.add(home)
                actions.append(Move(task.id, home))
            actions.append(GiveBack(held.id))
            del rooms[held.id]
        return RentingDecision(
            tuple(actions), f"{len(view.pending)} pending, {len(view.held)} instances held"
        ), None


def _longest(held: Held, now: float) -> float:
    """Seconds until the last task of an instance is believed to end; 0 for an idle one."""
    on_it = [remaining(placed, now) for placed in held.tasks]
    return max([*on_it, *(task.estimate.seconds for task in held.coming)], default=0.0)


def _use(room: Room, has: Resources) -> float:
    return max(used_shares(room, has))


def packed(
    asked: Resources, seconds: float, rooms: Mapping[str, Room], kinds: Mapping[str, Resources],
    ends: Mapping[str, float],
) -> str | None:  # fmt: skip
    """The instance to which packing puts a task that has `seconds` left; None where none has room."""
    fitting = [name for name, room in rooms.items() if room.fits(asked)]
    if not fitting:
        return None
    mine = bin_of(seconds)
    bins = {name: bin_of(ends[name]) for name in fitting}
    same = [name for name in fitting if bins[name] == mine]
    if same:
        return min(same, key=lambda name: abs(ends[name] - seconds))
    above = [name for name in fitting if bins[name] > mine]
    if above:
        lowest = min(bins[name] for name in above)
        return max(
            (name for name in above if bins[name] == lowest),
            key=lambda name: _free(rooms[name], asked, kinds[name]),
        )
    greatest = max(bins.values())
    return max(
        (name for name in fitting if bins[name] == greatest),
        key=lambda name: _free(rooms[name], asked, kinds[name]),
    )


def _free(room: Room, asked: Resources, has: Resources) -> float:
    """How much is free of what the task takes the largest share of."""
    shares = (
        (asked.vcpus / has.vcpus, room.vcpus),
        (asked.memory_gib / has.memory_gib if has.memory_gib else 0.0, room.memory_gib),
        (asked.gpus / has.gpus if has.gpus else 0.0, room.gpus),
    )
    return max(shares)[1]


def scaled(offers: Sequence[Offer], left: Sequence[Asked]) -> tuple[Offer, list[Asked]]:
    """The next instance to rent and the tasks for it: of the greatest bin the best group and type, filled up
    with tasks of lower bins, the greatest first.

    The score of tasks on a type is the dollars that their shares of it would cost on the cheapest type that
    could hold each alone, over the dollars of the type: capacity that is used, per dollar. The share is that
    of the resource that is constraining on the cheapest type.
    """
    top = max(bin_of(task.estimate.seconds) for task in left)
    first = [task for task in left if bin_of(task.estimate.seconds) == top]
    worth = {task.id: _worth(offers, task) for task in left}
    best: tuple[float, Offer, list[Asked]] | None = None
    for offer in offers:
        room = whole(offer.type.resources)
        group: list[Asked] = []
        value = 0.0
        for task in first:
            if not room.fits(task.resources):
                if not group:
                    continue
                break
            room = room.without(task.resources)
            group.append(task)
            value += worth[task.id]
            score = value / offer.price.per_hour
            if best is None or score > best[0] + 1e-12:
                best = score, offer, list(group)
    assert best is not None, "the simulation saw that every task has a home"
    _, offer, group = best
    room = whole(offer.type.resources)
    for task in group:
        room = room.without(task.resources)
    for task in left:
        if task not in group and room.fits(task.resources):
            room = room.without(task.resources)
            group.append(task)
    return offer, group


def _worth(offers: Sequence[Offer], task: Asked) -> float:
    """US dollars an hour of the share that a task takes of the type on which that share is cheapest."""
    asked = task.resources
    least = math.inf
    for offer in offers:
        has = offer.type.resources
        if whole(has).fits(asked):
            share = max(
                asked.vcpus / has.vcpus,
                asked.memory_gib / has.memory_gib if has.memory_gib else 0.0,
                asked.gpus / has.gpus if has.gpus else 0.0,
            )
            least = min(least, share * offer.price.per_hour)
    return least
