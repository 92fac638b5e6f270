"""First-fit autoscaling, as a cluster does that knows no run times.

Tasks go to the first instance with room. For those left, the type is rented that would waste the least, as
Kubernetes' Cluster Autoscaler's `least-waste` expander reckons it: for each type, the instances that hold
the tasks that fit it, and the sum of the shares of cores and of memory that would be idle on them (equal
ones: the cheaper). An instance that is used to less than half, cores, memory or GPUs, whichever is most, for
ten minutes, and whose tasks fit elsewhere, is emptied and given back: the Autoscaler's own defaults
(`scale-down-utilization-threshold` 0.5, `scale-down-unneeded-time` 10 m).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.advice.renting.emptying import homes_elsewhere
from tradewind.advice.renting.interface import (
    Asked,
    GiveBack,
    Held,
    Move,
    Place,
    Rent,
    RentingAction,
    RentingDecision,
    RentingView,
)
from tradewind.advice.renting.room import Room, used_shares, whole
from tradewind.market.offers import Offer

Unneeded = tuple[tuple[str, float], ...]
"""Instances that are not needed, with the moment since when."""


class FirstFit:
    """First fit, least waste, and ten minutes of patience.

    `unneeded_after`: seconds for which an instance must be little used; `threshold`: what is little.
    """

    name = "first_fit"

    def __init__(self, unneeded_after: float = 600.0, threshold: float = 0.5) -> None:
        self.unneeded_after, self.threshold = unneeded_after, threshold

    def recall(self) -> Unneeded:
        """No instance is known to be unneeded."""
        return ()

    def decide(self, view: RentingView, memory: Unneeded) -> tuple[RentingDecision, Unneeded]:
        """Place, rent, and give back what was not needed for long."""
        rooms = {held.id: held.room for held in view.held}
        actions: list[RentingAction] = []
        left = []
        for task in view.pending:
            home = next((name for name, room in rooms.items() if room.fits(task.resources)), None)
            if home is None:
                left.append(task)
                continue
            rooms[home] = rooms[home].without(task.resources)
            actions.append(Place(task.id, home))
        while left:
            offer, bins = least_waste(view.offers, left)
            actions += [Rent(offer.type.name, tuple(task.id for task in tasks)) for tasks in bins]
            gone = {task.id for tasks in bins for task in tasks}
            left = [task for task in left if task.id not in gone]
        since = dict(memory)
        unneeded: dict[str, float] = {}
        used = {action.instance for action in actions if isinstance(action, Place)}
        for held in view.held:
            if held.id in used or held.launching or held.coming:
                continue
            if not little_used(held, self.threshold):
                continue
            homes = homes_elsewhere(view, held, rooms)
            if homes is None:
                continue
            unneeded[held.id] = since.get(held.id, view.now)
            if unneeded[held.id] + self.unneeded_after <= view.now:
                for task, home in homes:
                    rooms[home] = rooms[home].without(task.resources)
                    actions.append(Move(task.id, home))
                    unneeded.pop(home, None)
                    used.add(home)
                actions.append(GiveBack(held.id))
                del unneeded[held.id], rooms[held.id]
        wake = min((moment + self.unneeded_after for moment in unneeded.values()), default=math.inf)
        reason = f"{len(view.pending)} pending, {len(unneeded)} instances little used"
        return RentingDecision(tuple(actions), reason, wake), tuple(unneeded.items())


def least_waste(offers: Sequence[Offer], tasks: Sequence[Asked]) -> tuple[Offer, list[list[Asked]]]:
    """The offer that wastes the least share of cores and memory when instances of it hold those of the tasks
    that fit it, and what each instance gets, by first fit."""
    best: tuple[float, float, Offer, list[list[Asked]]] | None = None
    for offer in offers:
        has = offer.type.resources
        bins: list[list[Asked]] = []
        rooms: list[Room] = []
        for task in tasks:
            at = next((at for at, room in enumerate(rooms) if room.fits(task.resources)), None)
            if at is None:
                if not whole(has).fits(task.resources):
                    continue
                rooms.append(whole(has))
                bins.append([])
                at = len(rooms) - 1
            rooms[at] = rooms[at].without(task.resources)
            bins[at].append(task)
        if not bins:
            continue
        waste = sum(room.vcpus / has.vcpus + room.memory_gib / has.memory_gib for room in rooms) / len(rooms)
        if best is None or (waste, offer.price.per_hour) < best[:2]:
            best = waste, offer.price.per_hour, offer, bins
    assert best is not None, "the simulation saw that every task has a home"
    return best[2], best[3]


def little_used(held: Held, threshold: float) -> bool:
    """Whether less than that share of every resource of it is taken."""
    return max(used_shares(held.room, held.offer.type.resources)) < threshold
