"""What a variant is expected to do on a resource where nobody measured it, and what came when somebody did.

An expectation is no `Profile`: it has bounds, nothing is registered by it, and no query is sent by it.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.control.advising import Outcomes, RunTimes
from tradewind.estimates.run_time import Interval
from tradewind.serving.variants.variant import Rated, Variant

_REPLICAS, _ROWS = 1, 1.0
"""A row by itself on one replica is what is foretold, and judged."""


class Foretold(Struct, frozen=True):
    """What is expected of a variant on a resource, by what was measured elsewhere or earlier."""

    variant: str
    resource: str
    seconds: Interval
    """That a row by itself takes, between bounds that hold nine in ten."""

    @property
    def words(self) -> str:
        """As a sentence that says what it is."""
        low, middle, high = (
            1000 * each for each in (self.seconds.low, self.seconds.expected, self.seconds.high)
        )
        return (
            f"{self.variant} on {self.resource}: a row is expected to take {middle:.3g} ms "
            f"({low:.3g} to {high:.3g}), by earlier measurements; it was not measured there"
        )


def workload_of(variant: Variant) -> str:
    """What counts as the same work on any resource: one architecture of a task, at one precision."""
    return f"serving {variant.task}/{variant.architecture} {variant.precision}"[:200]


def foretold(variant: Variant, resource: str, run_times: RunTimes) -> Foretold | None:
    """What a row is expected to take on a resource; None where nothing tells."""
    seconds = run_times.seconds(workload_of(variant), resource, _REPLICAS, _ROWS)
    return None if seconds is None else Foretold(variant.name, resource, seconds)


def keep_measured(rated: Rated, expected: Foretold | None, outcomes: Outcomes) -> None:
    """Tell what a profile came to, beside what was expected before it was made."""
    outcomes.took(
        workload_of(rated.variant), rated.variant.resource, _REPLICAS, _ROWS, rated.profile.latency.of(1),
        None if expected is None else expected.seconds,
    )  # fmt: skip
