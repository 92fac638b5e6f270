"""The states of a variant that runs, from what its replicas did in the last second.

Romero et al., "INFaaS", USENIX ATC 2021: *Inactive* (no replica), *Active*, *Overloaded* (it gets more than
it can do), *Interfered* (slower than its profile though it is not overloaded, as something else takes its
machine). The published code has one blacklist for the last two, evaluated each second with T, what its
profile says of the mean batch; `blacklisted` is that rule. `state_of` tells the two apart, for what helps
differs: more replicas for one, another machine for the other.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from tradewind.serving.batching.interface import Latency


class State(Enum):
    """What a variant is in."""

    INACTIVE = "inactive"
    ACTIVE = "active"
    OVERLOADED = "overloaded"
    INTERFERED = "interfered"


class Reaction(Enum):
    """What helps in a state."""

    START = "start"
    """It must be loaded before it answers."""
    NONE = "none"
    SCALE = "scale"
    """More replicas, or a variant that does more."""
    MOVE = "move"
    """As many replicas, on other machines."""


_REACTIONS = {
    State.INACTIVE: Reaction.START,
    State.ACTIVE: Reaction.NONE,
    State.OVERLOADED: Reaction.SCALE,
    State.INTERFERED: Reaction.MOVE,
}


class Observed(Struct, frozen=True):
    """What the replicas of a variant did in the last second."""

    replicas: int
    rate: float
    """Batches a second that they were sent, together."""
    batch: float
    """Mean rows of a batch."""
    latency: float
    """Seconds that an answer took, waiting included; see `quieter` for a second without answers."""
    service: float
    """Seconds that a batch took once it ran, likewise."""
    queued: float
    """Batches that wait."""


class Thresholds(Struct, frozen=True):
    """When a variant is put on the blacklist, and when it is taken off."""

    late: float
    """L: an answer took so many times what the profile says,"""
    busy: float
    """Q: while a replica was sent more than this share of what it can do;"""
    queued: float
    """K: or more than this share of a second's work waits."""
    recovered: float
    """U: off again, once an answer takes fewer times what the profile says, and less than K waits."""


def thresholds(hardware: str, replicas: int, seconds: float) -> Thresholds:
    """Those of the published code, for a profile that says `seconds` of the mean batch."""
    if hardware == "cpu":
        return Thresholds(2.5, 0.5, 0.8, 1.5) if replicas >= 2 else Thresholds(4.0, 1.0, 1.1, 1.5)
    late = min(5.0, 0.015 / seconds) if seconds < 0.010 else 1.5
    return Thresholds(late, 0.3, 0.8, 1.25)


def blacklisted(seen: Observed, latency: Latency, hardware: str, before: bool) -> bool:
    """Whether the published rule has a variant on its blacklist, where `before` says if it was there."""
    if seen.replicas == 0:
        return False
    expected = latency.per_row * seen.batch + latency.fixed
    limit = thresholds(hardware, seen.replicas, expected)
    room = limit.queued * seen.replicas / expected
    if before:
        return not (seen.queued < room and seen.latency < limit.recovered * expected)
    slow = seen.latency > limit.late * expected and seen.rate / seen.replicas > limit.busy / expected
    return slow or seen.queued > room


def state_of(seen: Observed, latency: Latency, hardware: str, before: State) -> State:
    """The state that a variant is in, where it was in `before`.

    Overloaded: too much waits (K), or answers are late (L) while the replicas are sent at least as much as
    the profile says that they can do. Interfered: a batch that runs takes L times what the profile says,
    while less is sent. Waiting is no sign of interference, so the batch's own time is looked at. Either ends
    once the time that it is judged by is below U, and less than K waits.
    """
    if seen.replicas == 0:
        return State.INACTIVE
    expected = latency.per_row * seen.batch + latency.fixed
    limit = thresholds(hardware, seen.replicas, expected)
    full = seen.rate / seen.replicas >= 1.0 / expected
    if seen.service > limit.late * expected and not full:
        return State.INTERFERED
    if seen.queued > limit.queued * seen.replicas / expected:
        return State.OVERLOADED
    if seen.latency > limit.late * expected and full:
        return State.OVERLOADED
    if before in (State.OVERLOADED, State.INTERFERED):
        over = seen.latency if before is State.OVERLOADED else seen.service
        return before if over >= limit.recovered * expected else State.ACTIVE
    return State.ACTIVE


def reaction_to(state: State) -> Reaction:
    """What helps in a state."""
    return _REACTIONS[state]


def quieter(seconds: float, hardware: str) -> float:
    """The latency or service to go by after a second in which nothing was answered, as the code decays it."""
    return seconds / (15.0 if hardware == "cpu" else 1.5)
