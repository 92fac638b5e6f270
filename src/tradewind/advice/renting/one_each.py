"""An instance for each task: the cheapest type that has room for it, given back when the task is done."""

from __future__ import annotations

from tradewind.advice.renting.interface import GiveBack, Rent, RentingDecision, RentingView
from tradewind.advice.renting.shapes import cheapest_for


class OneEach:
    """Nothing is shared, nothing waits longer than a launch: what a user does who has no scheduler."""

    name = "one_each"

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: RentingView, memory: None) -> tuple[RentingDecision, None]:
        """Rent for what is pending, give back what is idle."""
        back = tuple(GiveBack(held.id) for held in view.held if held.idle)
        rent = tuple(
            Rent(cheapest_for(view.offers, (task.resources,)).type.name, (task.id,)) for task in view.pending
        )
        return RentingDecision(
            back + rent, f"{len(rent)} tasks arrived, {len(back)} instances are idle"
        ), None
