"""First come, first served: every job for which there is room, in the earliest slots, at cost."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.advice.purchasing.interface import Bought, Job, Supply
from tradewind.advice.purchasing.slots import cheapest_units


class AcceptAll:
    """Takes what fits, whatever it is worth."""

    name = "accept_all"

    def answer(self, job: Job, booked: Sequence[int], supply: Supply) -> Bought:
        """Accept it where there is room."""
        found = cheapest_units(job, booked, supply, lambda slot, _: float(slot))
        return Bought(job.id, found[0], supply.cost * job.tasks) if found else Bought(job.id)
