"""The plain baseline: everything on demand, never moved."""

from __future__ import annotations

from tradewind.market.decisions import Action, Decision
from tradewind.market.offers import Terms
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.view import TrainingView


class OnDemand:
    """Rents the servers and all workers on demand, where a unit of work is cheapest, and keeps them.

    What a lease costs more than a spot one buys that nobody takes it away. The bar that every other policy
    must beat.
    """

    name = "on_demand"

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: TrainingView, memory: None) -> tuple[Decision, None]:
        """Fill up what is missing; ask again when a lease ends."""
        now = view.market.now
        actions: list[Action]
        actions, reason = offered.hold_state(view)
        held = offered.working(view.market.leases, offered.leaving(view))
        found = offered.candidates(view.market.offers, view.goal, Terms.ON_DEMAND)
        left = offered.gap(view.goal, held)
        missing = offered.missing(left, found)
        if missing <= 0:
            reason = reason or f"All {len(held)} workers run on demand; nothing to do."
            return Decision(tuple(actions), reason, now + offered.REST), memory
        if not found:
            reason = f"{reason} {missing} workers are missing and no on-demand offer fits.".strip()
            return Decision(tuple(actions), reason, now + offered.RETRY), memory
        for candidate, count in offered.fill(found, left)[0]:
            actions.append(offered.take(candidate, count, None))
            reason += (
                f" {offered.they_go(count)} to {candidate.offer.pool} on demand at "
                f"{candidate.offer.price.per_hour:.4f} USD an hour."
            )
        return Decision(tuple(actions), reason.strip(), now + offered.RETRY), memory
