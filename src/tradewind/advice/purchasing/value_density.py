"""Greedy by value density: jobs that are worth enough a unit, in the earliest slots, at cost."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.advice.purchasing.interface import Bought, Job, Supply
from tradewind.advice.purchasing.slots import cheapest_units


class ValueDensity:
    """Takes a job whose value is above `least` US dollars a unit task, and above cost, where it fits.

    One bar for everybody: it learns nothing of how full the slots are.
    """

    name = "value_density"

    def __init__(self, least: float) -> None:
        self.least = least

    def answer(self, job: Job, booked: Sequence[int], supply: Supply) -> Bought:
        """Accept it if it is dense enough and there is room."""
        bar = max(self.least, supply.cost)
        found = cheapest_units(job, booked, supply, lambda slot, _: float(slot))
        if found is None or job.value < bar * job.tasks:
            return Bought(job.id)
        return Bought(job.id, found[0], bar * job.tasks)
