"""The heuristics that a rehearsal tries where nobody says which, each setting with a name of its own."""

from __future__ import annotations

from tradewind.advice.scheduling.capped_shortest_remaining import CappedShortestRemaining
from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.fifo import Fifo
from tradewind.advice.scheduling.interface import Scheduler
from tradewind.advice.scheduling.shortest_remaining_work import ShortestRemainingWork
from tradewind.advice.scheduling.weighted_fair import WeightedFair
from tradewind.errors import Misuse, suggestion

HEURISTICS: tuple[Scheduler, ...] = (
    Fifo(),
    Fair(),
    *(WeightedFair(alpha, f"weighted_fair {alpha:+g}") for alpha in (-1.0, -0.5, 0.25, 0.5, 1.0)),
    ShortestRemainingWork(),
    *(CappedShortestRemaining(cap, f"capped_shortest_remaining {cap:g}") for cap in (0.5, 1.0, 2.0)),
)
"""Those that need no training; the names of some end in their setting."""


def heuristic(name: str) -> Scheduler:
    """The one of HEURISTICS with that name. Raises Misuse, with a suggestion, where there is none."""
    for each in HEURISTICS:
        if each.name == name:
            return each
    raise Misuse(
        f"no heuristic {name!r}", source="scheduling", field="scheduler",
        fix=suggestion(name, [each.name for each in HEURISTICS]),
    )  # fmt: skip
