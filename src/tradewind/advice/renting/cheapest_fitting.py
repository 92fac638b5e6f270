"""The cheapest instances that fit, and consolidation, as Karpenter does it without regard to run times.

Pending tasks, the largest first, go to the first instance with room, else to the first of the instances that
are about to be rented and could still be of some type with room for all (first fit decreasing); each of
those then is of the cheapest type that holds what it got. Consolidation: an idle instance is given back at
once; one whose tasks fit on the others is emptied; one whose tasks fit a cheaper type is replaced by it. As
Karpenter's documentation describes it: empty, then delete, then replace, one replacement at a time.
"""

from __future__ import annotations

from tradewind.advice.renting.emptying import homes_elsewhere
from tradewind.advice.renting.interface import (
    Asked,
    GiveBack,
    Move,
    Place,
    Rent,
    RentingAction,
    RentingDecision,
    RentingView,
)
from tradewind.advice.renting.room import Room, fullness, whole
from tradewind.advice.renting.shapes import cheapest_for, fitting_order, room_for_all
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources


class CheapestFitting:
    """First fit decreasing on the cheapest type, and consolidation (`consolidate=False` for none)."""

    name = "cheapest_fitting"

    def __init__(self, consolidate: bool = True) -> None:
        self.consolidate = consolidate

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: RentingView, memory: None) -> tuple[RentingDecision, None]:
        """Place, rent, consolidate."""
        rooms = {held.id: held.room for held in view.held}
        actions: list[RentingAction] = []
        bins: list[list[Asked]] = []
        for task in sorted(view.pending, key=lambda each: _size(each.resources), reverse=True):
            home = next((name for name, room in rooms.items() if room.fits(task.resources)), None)
            if home is not None:
                rooms[home] = rooms[home].without(task.resources)
                actions.append(Place(task.id, home))
                continue
            for tasks in bins:
                if _some_type_holds(view.offers, [*tasks, task]):
                    tasks.append(task)
                    break
            else:
                bins.append([task])
        for tasks in bins:
            offer = cheapest_for(view.offers, [task.resources for task in tasks])
            actions.append(Rent(offer.type.name, tuple(task.id for task in tasks)))
        used = {action.instance for action in actions if isinstance(action, Place)}
        actions += self._consolidated(view, rooms, used)
        return RentingDecision(
            tuple(actions), f"{len(view.pending)} pending, {len(bins)} instances rented"
        ), None

    def _consolidated(self, view: RentingView, rooms: dict[str, Room], used: set[str]) -> list[RentingAction]:
        actions: list[RentingAction] = []
        replaced = any(held.coming for held in view.held)
        for held in sorted(view.held, key=lambda each: len(each.tasks)):
            if held.id in used or held.launching or held.coming:
                continue
            if not held.tasks:
                actions.append(GiveBack(held.id))
                del rooms[held.id]
                continue
            if not self.consolidate:
                continue
            homes = homes_elsewhere(view, held, rooms)
            if homes is not None:
                for task, home in homes:
                    rooms[home] = rooms[home].without(task.resources)
                    used.add(home)
                    actions.append(Move(task.id, home))
                actions.append(GiveBack(held.id))
                del rooms[held.id]
                continue
            if replaced or view.moving == float("inf") or any(placed.going for placed in held.tasks):
                continue
            offer = cheapest_for(view.offers, [placed.task.resources for placed in held.tasks])
            if offer.price.per_hour < held.offer.price.per_hour:
                tasks = fitting_order(placed.task for placed in held.tasks)
                actions.append(Rent(offer.type.name, tuple(task.id for task in tasks)))
                del rooms[held.id]
                replaced = True
        return actions


def _size(asked: Resources) -> tuple[float, float, float]:
    return asked.gpus, asked.vcpus, asked.memory_gib


def _some_type_holds(offers: tuple[Offer, ...], tasks: list[Asked]) -> bool:
    asked = [task.resources for task in tasks]
    return any(
        fullness(asked[0], offer.type.resources) <= 1
        and room_for_all(whole(offer.type.resources), asked) is not None
        for offer in offers
    )
