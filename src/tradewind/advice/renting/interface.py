"""The seam between whoever runs tasks on rented instances and the rule that decides where and on what.

A `Renter` sees a `RentingView` whenever a task arrives or ends, an instance is ready, or the moment that it
asked for has come, and answers with actions that are done in their order.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from msgspec import Struct

from tradewind.advice.renting.room import Room
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources


class Estimate(Struct, frozen=True):
    """What is believed of a task's run time: a lognormal law."""

    seconds: float
    """The median."""
    spread: float = 0.0
    """The standard deviation of the logarithm; 0 for one who is sure."""


class Asked(Struct, frozen=True):
    """What a policy may know of a task that is not done."""

    id: str
    resources: Resources
    since: float
    """The moment from which it could run: its arrival, or the end of the last task that it comes after."""
    estimate: Estimate
    features: tuple[tuple[str, str], ...] = ()


class Placed(Struct, frozen=True):
    """A task on an instance."""

    task: Asked
    started: float = math.inf
    """The moment from which it works there, later than now while it moves; infinity before the instance is
    ready."""
    worked: float = 0.0
    """Seconds that it had worked before, elsewhere."""
    going: str = ""
    """The instance to which it moves as soon as that is ready; until then it works on here."""

    def age(self, now: float) -> float:
        """Seconds that it has worked."""
        return self.worked + max(0.0, now - self.started)


class Held(Struct, frozen=True):
    """An instance that is rented."""

    id: str
    offer: Offer
    rented: float
    ready: float
    """The moment from which tasks run on it; expected, while it lies ahead."""
    tasks: tuple[Placed, ...]
    room: Room
    """What is free; tasks that are about to come are counted as there."""
    coming: tuple[Asked, ...] = ()
    """Tasks that work elsewhere and move here as soon as it is ready."""
    launching: bool = False
    """Whether it is not ready yet, however late it is."""

    @property
    def idle(self) -> bool:
        """Whether nothing is on it, nor about to come."""
        return not self.tasks and not self.coming


class Measured(Struct, frozen=True):
    """How fast a task of a kind was on a type of instance, against an instance of speed 1."""

    features: tuple[tuple[str, str], ...]
    instance_type: str
    speed: float


class RentingView(Struct, frozen=True):
    """All that a policy may know at a moment."""

    now: float
    offers: tuple[Offer, ...]
    """What may be rented; `wait` is the expected delay until an instance is ready."""
    held: tuple[Held, ...]
    """In the order of renting."""
    pending: tuple[Asked, ...]
    """Tasks that could run and are nowhere, in the order in which they became able to."""
    rented: int = 0
    """Instances rented so far; the next is named `i` and this number."""
    moving: float = math.inf
    """Seconds for which a task that moves does not work; infinity where tasks cannot be moved."""
    arrived: tuple[float, ...] = ()
    """The moments at which the last tasks became able to run, the oldest first."""
    measured: tuple[Measured, ...] = ()
    """Tasks whose speed is known, in the order of their ends."""


class Rent(Struct, frozen=True, tag=True):
    """Rent an instance, and put tasks on it: pending ones, or placed ones, which move when it is ready."""

    kind: str
    """The name of the type."""
    tasks: tuple[str, ...] = ()


class Place(Struct, frozen=True, tag=True):
    """Put a pending task on an instance; it starts as soon as the instance is ready."""

    task: str
    instance: str


class Move(Struct, frozen=True, tag=True):
    """Move a placed task to another instance; it keeps its work, and pauses for `RentingView.moving`."""

    task: str
    instance: str


class GiveBack(Struct, frozen=True, tag=True):
    """End the renting of an instance on which nothing is."""

    instance: str


RentingAction = Rent | Place | Move | GiveBack


class RentingDecision(Struct, frozen=True):
    """Actions, done in their order; the reason in words; when to be asked again at the latest."""

    actions: tuple[RentingAction, ...] = ()
    reason: str = ""
    wake_at: float = math.inf


class Renter(Protocol):
    """Decides what to rent, where tasks run, and what to give back.

    1. `decide` is pure: equal arguments give equal answers, and neither is altered.
    2. No instance is given more than it has room for, GPU by GPU; only idle ones are given back.
    3. A pending task is placed, or `wake_at` or an event to come asks again: nobody waits for ever.
    """

    name: str
    """As users write it."""

    def recall(self) -> Any:
        """The memory before the first decision; a frozen value."""
        ...

    def decide(self, view: RentingView, memory: Any) -> tuple[RentingDecision, Any]:
        """What to do now, and what to remember."""
        ...


class RunTimeEstimator(Protocol):
    """Says how long a task will run, and learns from those that ended."""

    def estimate(self, task: str, features: tuple[tuple[str, str], ...]) -> Estimate:
        """What is believed of a task that arrives."""
        ...

    def observe(self, task: str, features: tuple[tuple[str, str], ...], seconds: float) -> None:
        """A task ended after `seconds` of work."""
        ...
