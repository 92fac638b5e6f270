"""A training job as a value: what is learned, from what, and how the learning is cut up."""

from __future__ import annotations

import inspect
from typing import Any, cast

import msgspec
from msgspec import Struct

from tradewind.algorithms.catalogue import LEARNERS, resolved
from tradewind.algorithms.interface import Algorithm
from tradewind.errors import Misuse, suggestion


class Learner(Struct, frozen=True):
    """An algorithm and the arguments of its constructor."""

    kind: str
    """A key of the catalogue's `LEARNERS`, or `module:Class`."""
    arguments: dict[str, Any] = {}


class Job(Struct, frozen=True, kw_only=True):
    """All that the processes of a job must agree on.

    The data is cut into `parts`, one a logical worker; their number, the batch and the seed decide the
    result, the number of machines does not.
    """

    learner: Learner
    data: dict[str, Any]
    """The arguments of `data.streams.open_data`."""
    epochs: int = 1
    batch: int = 1000
    """Rows that one logical worker reads between two pushes."""
    parts: int = 8
    """How many logical workers there are."""
    consistency: str = "bulk_synchronous"
    """`bulk_synchronous`, `stale_synchronous` or `asynchronous`."""
    staleness: int = 0
    """Clocks that the fastest worker may be ahead of the slowest; stale-synchronous only."""
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("epochs", "batch", "parts"):
            if getattr(self, field) < 1:
                raise Misuse(f"{getattr(self, field)} is less than one", field=field, fix="Give 1 or more.")
        if self.staleness < 0:
            raise Misuse(f"{self.staleness} is negative", field="staleness", fix="Give 0 or more.")


def build_algorithm(learner: Learner) -> Algorithm:
    """The algorithm that `learner` names; Misuse for an unknown kind or argument, with the likely one."""
    home = LEARNERS.get(learner.kind, learner.kind)
    if ":" not in home:
        raise Misuse(
            f"{learner.kind!r} is no learner", field="learner.kind", fix=suggestion(learner.kind, LEARNERS)
        )
    try:
        kind = resolved(home)
    except (ImportError, AttributeError) as problem:
        raise Misuse(
            f"{learner.kind!r} cannot be imported: {problem}",
            field="learner.kind",
            fix="Write module:Class, and install its package where the workers run.",
        ) from problem
    known = [each for each in inspect.signature(kind).parameters if each != "self"]
    for argument in learner.arguments:
        if argument not in known:
            raise Misuse(
                f"{learner.kind} takes no {argument!r}",
                field=f"learner.{argument}",
                fix=suggestion(argument, known),
            )
    algorithm = cast(Algorithm, kind(**learner.arguments))
    algorithm.check()
    return algorithm


def learner_of(algorithm: Algorithm) -> Learner:
    """The value that `build_algorithm` makes `algorithm` of again."""
    kind = type(algorithm)
    home = f"{kind.__module__}:{kind.__qualname__}"
    named = LEARNERS.get(kind.__qualname__, "") and resolved(LEARNERS[kind.__qualname__]) is kind
    return Learner(kind.__qualname__ if named else home, msgspec.to_builtins(dict(algorithm.parameters())))
