"""What is wanted of a configuration: little cost, little time, or little cost by a deadline."""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.advice.configuration.runs import Run
from tradewind.errors import Misuse

COST, RUN_TIME = "cost", "run_time"


class Objective(Struct, frozen=True):
    """The least of something, among what meets the deadline.

    Raises Misuse on anything else to minimize, and on a deadline that is not above zero.
    """

    minimize: str = COST
    """`cost` in US dollars of one run, or `run_time` in seconds."""
    deadline: float | None = None
    """Seconds within which a run must end."""

    def __post_init__(self) -> None:
        if self.minimize not in (COST, RUN_TIME):
            raise Misuse(
                f"{self.minimize!r} cannot be minimized",
                source="objective",
                field="minimize",
                fix=f"Name {COST!r} or {RUN_TIME!r}.",
            )
        if self.deadline is not None and not 0 < self.deadline < math.inf:
            raise Misuse(
                f"{self.deadline!r} is no deadline",
                source="objective",
                field="deadline",
                fix="Give seconds above 0, or leave it out.",
            )

    def value(self, run: Run) -> float:
        """Dollars or seconds of a run, however it ended."""
        return run.dollars if self.minimize == COST else run.seconds

    def of(self, seconds: float, per_hour: float) -> float:
        """Dollars or seconds of a run that takes so long at so many dollars an hour."""
        return seconds * per_hour / 3600 if self.minimize == COST else seconds

    def met(self, run: Run) -> bool:
        """Whether a run came to its end, and in time."""
        return run.whole and (self.deadline is None or run.seconds <= self.deadline)
