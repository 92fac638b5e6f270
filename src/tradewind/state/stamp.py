"""Who pushed what, when: the identity by which a push is taken in once, and what became of it."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Receipt(Enum):
    """What became of a push or of the end of a clock."""

    APPLIED = "applied"
    """It is in the tables."""
    STAGED = "staged"
    """It waits for the end of the round."""
    DUPLICATE = "duplicate"
    """It was in before, and was dropped."""
    FENCED = "fenced"
    """It comes from an earlier epoch or host, and was dropped."""
    GAP = "gap"
    """Something before it never came, and it was dropped; the worker must be hosted again."""


class Stamp(Struct, frozen=True, order=True):
    """The identity of a push.

    `worker` is a logical worker: a job has a fixed number of them whatever the number of machines, each
    owns a fixed part of the data, and each is hosted by one process at a time. So when a worker's machine is
    lost and another hosts the worker, what it sends again carries the same (worker, clock, sequence).
    """

    worker: int
    epoch: int
    """The generation of the job: raised at every recovery that rolls back, so that late messages are told."""
    clock: int
    """How many batches of its part of the data the worker had finished when it pushed."""
    sequence: int
    """How many times it had pushed since its clock began."""


class Position(Struct, frozen=True):
    """Where a logical worker goes on: the clock it is in, and how many pushes of that clock are in."""

    worker: int
    epoch: int
    clock: int
    sequence: int
