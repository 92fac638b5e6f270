"""Whether the tasks of an instance could be elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tradewind.advice.renting.interface import Asked, Held, Placed, RentingView
from tradewind.advice.renting.room import Room

Choice = Callable[[Placed, Mapping[str, Room]], str | None]
"""Which of the rooms a task should go to; None for none."""


def first_with_room(placed: Placed, rooms: Mapping[str, Room]) -> str | None:
    """The first that has room."""
    return next((name for name, room in rooms.items() if room.fits(placed.task.resources)), None)


def homes_elsewhere(
    view: RentingView, held: Held, rooms: Mapping[str, Room], choose: Choice = first_with_room
) -> list[tuple[Asked, str]] | None:
    """For each task of `held` another instance that is ready, all together; None where one finds none.

    `rooms`: what is free of each instance, after what was decided already. Nothing can go where tasks cannot
    be moved, or while a task is on its way.
    """
    if any(placed.going for placed in held.tasks) or held.coming:
        return None
    if held.tasks and not view.moving < math.inf:
        return None
    ready = {other.id for other in view.held if not other.launching}
    others = {name: room for name, room in rooms.items() if name != held.id and name in ready}
    homes = []
    for placed in sorted(
        held.tasks, key=lambda each: (-each.task.resources.gpus, -each.task.resources.vcpus)
    ):
        home = choose(placed, others)
        if home is None:
            return None
        others[home] = others[home].without(placed.task.resources)
        homes.append((placed.task, home))
    return homes
