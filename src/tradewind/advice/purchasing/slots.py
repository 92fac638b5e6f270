"""The units of time and instance that a job takes, cheapest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from tradewind.advice.purchasing.interface import Job, Supply

PriceOf = Callable[[int, int], float]
"""US dollars of the next instance, by the slot and the number booked in it; it never falls as that rises."""


def cheapest_units(
    job: Job, booked: Sequence[int], supply: Supply, price: PriceOf
) -> tuple[tuple[tuple[int, int], ...], float] | None:
    """The cheapest units for all of a job's tasks, of equal ones the earliest, and their sum; None without
    room. O(tasks log window)."""
    taken: dict[int, int] = {}
    heap = [
        (price(slot, booked[slot]), slot)
        for slot in range(job.arrival, job.last + 1)
        if booked[slot] < supply.capacity
    ]
    heapq.heapify(heap)
    total = 0.0
    for _ in range(job.tasks):
        if not heap:
            return None
        asked, slot = heapq.heappop(heap)
        total += asked
        taken[slot] = taken.get(slot, 0) + 1
        now = booked[slot] + taken[slot]
        if taken[slot] < job.parallel and now < supply.capacity:
            heapq.heappush(heap, (price(slot, now), slot))
    return tuple(sorted(taken.items())), total
