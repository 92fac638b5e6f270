"""Which types have room for several tasks at once, and which of them costs least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradewind.advice.renting.interface import Asked
from tradewind.advice.renting.room import Room, whole
from tradewind.errors import NoCapacity
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources


def room_for_all(room: Room, asked: Iterable[Resources]) -> Room | None:
    """What is left when all are put there in `fitting_order`; None where they do not fit."""
    for each in sorted(asked, key=lambda needed: -needed.gpus):
        if not room.fits(each):
            return None
        room = room.without(each)
    return room


def fitting_order(tasks: Iterable[Asked]) -> tuple[Asked, ...]:
    """Tasks in the order in which `room_for_all` puts them: by GPUs, the most first, then as given. Whoever
    rents for several names them in it, since shares of devices may fit in one order and not in another."""
    return tuple(sorted(tasks, key=lambda task: -task.resources.gpus))


def cheapest_for(offers: Sequence[Offer], asked: Sequence[Resources]) -> Offer:
    """The offer that costs least of those with room for all together; of equals the first.

    Raises NoCapacity where none has.
    """
    best: Offer | None = None
    for offer in offers:
        if best is not None and offer.price.per_hour >= best.price.per_hour:
            continue
        if room_for_all(whole(offer.type.resources), asked) is not None:
            best = offer
    if best is None:
        raise NoCapacity(f"no offer has room for {len(asked)} tasks together")
    return best
