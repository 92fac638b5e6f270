"""How traffic moves from an old fleet (blue) to a new one (green): the steps of an update.

Amazon SageMaker, "Deployment guardrails": all at once, canary and linear shifts between two whole fleets, and
rolling deployments, which replace instances batch by batch and never hold both fleets whole.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.errors import Misuse

COUNT, PERCENT = "INSTANCE_COUNT", "CAPACITY_PERCENT"


class Step(Struct, frozen=True):
    """One step of an update; fractions of the whole."""

    share: float
    """Of the traffic that green has once the step is taken."""
    green: float = 1.0
    """Of green's instances that must be up before it is taken."""
    blue: float = 1.0
    """Of blue's instances that are kept meanwhile."""


class Plan(Struct, frozen=True, kw_only=True):
    """An update: its steps, whose last gives green everything, and its waits in seconds."""

    steps: tuple[Step, ...] = (Step(1.0),)
    bake: float = 0.0
    """After every step, with the alarms watched."""
    termination: float = 0.0
    """After the last bake, before blue is let go of; alarms still send everything back."""
    maximum: float = 14400.0
    """In all; what is not done by then is rolled back."""
    back: float = 1.0
    """Of blue's instances that are brought up again at a time when a rolling update goes back."""
    alarms: tuple[str, ...] = ()
    """Names of those that send everything back to blue."""


class Size(Struct, frozen=True):
    """So many instances, or so much of them."""

    kind: str
    """INSTANCE_COUNT or CAPACITY_PERCENT."""
    value: int

    def of(self, instances: int, field: str, least: float, most: float) -> float:
        """The fraction of `instances`; Misuse if it is not within `least` and `most`."""
        if self.kind == COUNT:
            fraction = self.value / max(1, instances)
        elif self.kind == PERCENT:
            fraction = self.value / 100
        else:
            raise Misuse(f"{self.kind!r} is no kind of size", field=field, fix=f"Give {COUNT} or {PERCENT}.")
        if (self.kind == PERCENT and not least - 1e-9 <= fraction <= most + 1e-9) or not 0 < fraction <= 1:
            raise Misuse(
                f"{self.value} of {instances} instances is too much or too little" if self.kind == COUNT
                else f"{self.value} % is not within {100 * least:g} and {100 * most:g}",
                field=field, fix="Give another size.",
            )  # fmt: skip
        return fraction


def all_at_once() -> tuple[Step, ...]:
    """Everything moves in one step."""
    return (Step(1.0),)


def canary(size: Size, instances: int) -> tuple[Step, ...]:
    """A small part moves first, of at most half the capacity, and the rest after one bake."""
    return (Step(min(0.5, size.of(instances, "CanarySize", 0.01, 0.5))), Step(1.0))


def linear(size: Size, instances: int) -> tuple[Step, ...]:
    """Equal parts of 10 to 50 % of the capacity move one after the other; the last is what is left.

    >>> [step.share for step in linear(Size(PERCENT, 40), 5)]
    [0.4, 0.8, 1.0]
    """
    return tuple(Step(share) for share in _shares(size.of(instances, "LinearStepSize", 0.1, 0.5)))


def rolling(size: Size, instances: int) -> tuple[Step, ...]:
    """Instances are replaced in batches of 5 to 50 % of them, and traffic moves with them."""
    shares = _shares(size.of(instances, "MaximumBatchSize", 0.05, 0.5))
    before = (0.0, *shares[:-1])
    return tuple(Step(share, share, 1.0 - already) for share, already in zip(shares, before, strict=True))


def _shares(fraction: float) -> tuple[float, ...]:
    count = math.ceil(1.0 / fraction - 1e-9)
    return (*(min(1.0, fraction * turn) for turn in range(1, count)), 1.0)
