"""The seam between a query that names no model and the rules that choose a variant for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Protocol

from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.serving.variants.states import State
from tradewind.serving.variants.variant import Rated


class Query(Struct, frozen=True):
    """What is asked of any variant that does: one of task, architecture and variant is given."""

    latency: float
    """Seconds within which the answer should be there."""
    task: str = ""
    architecture: str = ""
    variant: str = ""
    accuracy: float = 0.0
    """At least so much of the task's metric."""
    rows: int = 1
    """That one request brings."""
    confidence: float = 0.5
    """How sure accuracy and latency must be, from 0.5 (as measured) to below 1."""

    @property
    def spread(self) -> float:
        """Standard deviations that its confidence keeps from the latency."""
        return NormalDist().inv_cdf(self.confidence) if self.confidence > 0.5 else 0.0


class Standing(Struct, frozen=True):
    """A variant as it stands at a moment. Its replicas share one queue."""

    rated: Rated
    state: State = State.INACTIVE
    replicas: int = 0
    """That answer now."""
    idle: int = 0
    """Of them, those without a batch in hand."""
    waiting: int = 0
    """Rows in the queue."""
    rate: float = 0.0
    """Rows a second that it was sent of late."""
    batch: float = 1.0
    """Mean rows of its batches of late."""
    slowdown: float = 1.0
    """How many times what the profile says its batches take."""
    starting: float = math.inf
    """Seconds until a replica that was started answers; infinity where none was."""
    unloading: bool = False

    @property
    def name(self) -> str:
        """The variant's."""
        return self.rated.variant.name

    @property
    def blacklisted(self) -> bool:
        """Whether it is overloaded or interfered."""
        return self.state in (State.OVERLOADED, State.INTERFERED)


class Selection(Struct, frozen=True):
    """Where a query goes."""

    variant: str
    reason: str
    start: str = ""
    """A variant to start a replica of; the query waits for it if that is `variant` and none answers."""


class Alternative(Struct, frozen=True):
    """What a variant would give."""

    variant: str
    accuracy: float
    latency: float
    """Seconds of the query's rows, where nothing waits."""


class Impossible(Struct, frozen=True):
    """No variant does it, at any load. The alternatives say what would be possible."""

    reason: str
    within_latency: Alternative | None
    """The most accurate that is in time; None where none is."""
    with_accuracy: Alternative | None
    """The quickest that is accurate enough; None where none is."""


class SelectionRule(Protocol):
    """Chooses a variant for each query. Pure: equal arguments give equal answers; it alters none of them.

    1. What it selects meets the query's accuracy and, where nothing waits, its latency.
    2. It gives Impossible exactly where no variant does.
    3. `memory` is a frozen value of its own, or None.
    """

    name: str

    def recall(self) -> Any:
        """The memory before the first query."""
        ...

    def choose(
        self, query: Query, standings: Sequence[Standing], memory: Any
    ) -> tuple[Selection | Impossible, Any]:
        """Where the query goes, and what to remember."""
        ...


def named(query: Query, standings: Sequence[Standing]) -> list[Standing]:
    """The variants that a query speaks of.

    Misuse where it names nothing or more than one thing, where what it names is not registered, or where its
    latency, rows, accuracy or confidence is no such thing.
    """
    checked(query)
    if query.variant:
        found = [each for each in standings if each.rated.variant.name == query.variant]
        known = [each.rated.variant.name for each in standings]
    elif query.architecture:
        found = [each for each in standings if each.rated.variant.architecture == query.architecture]
        known = [each.rated.variant.architecture for each in standings]
    else:
        found = [each for each in standings if each.rated.variant.task == query.task]
        known = [each.rated.variant.task for each in standings]
    if not found:
        what = "variant" if query.variant else "architecture" if query.architecture else "task"
        fix = suggestion(getattr(query, what), set(known)) if known else "Register and profile one first."
        raise Misuse(f"no {what} {getattr(query, what)!r} is profiled", source="query", field=what, fix=fix)
    return found


def means(query: Query, rated: Rated) -> bool:
    """Whether a query speaks of a variant."""
    if query.variant:
        return rated.variant.name == query.variant
    if query.architecture:
        return rated.variant.architecture == query.architecture
    return rated.variant.task == query.task


def checked(query: Query) -> None:
    """Misuse, naming the field, where a query makes no sense."""
    if sum(map(bool, (query.task, query.architecture, query.variant))) != 1:
        raise Misuse(
            "a query names a task, an architecture or a variant, and only one of them", source="query",
            field="task", fix="Give one of the three.",
        )  # fmt: skip
    if not 0 < query.latency < math.inf:
        raise Misuse(
            f"{query.latency!r} is no time", source="query", field="latency", fix="Give seconds above 0."
        )
    if not 0 <= query.accuracy <= 1:
        raise Misuse(
            f"{query.accuracy!r} is not between 0 and 1", source="query", field="accuracy",
            fix="Give a share, such as 0.97 for 97 %.",
        )  # fmt: skip
    if query.rows < 1:
        raise Misuse(f"{query.rows} rows", source="query", field="rows", fix="Give 1 or more.")
    if not 0.5 <= query.confidence < 1:
        raise Misuse(
            f"{query.confidence!r} is none", source="query", field="confidence",
            fix="Give 0.5 (as measured) or more, below 1.",
        )  # fmt: skip


def unloaded_latency(query: Query, rated: Rated) -> float:
    """Seconds of the query's rows where nothing waits, with the query's confidence."""
    latency = rated.profile.latency
    return latency.of(query.rows) + query.spread * latency.deviation


def accurate(query: Query, rated: Rated) -> bool:
    """Whether a variant is accurate enough, with the query's confidence."""
    return rated.variant.accuracy_at(query.confidence) >= query.accuracy


def feasible(query: Query, rated: Rated) -> bool:
    """Whether a variant does what is asked where nothing waits."""
    return (
        rated.variant.max_batch >= query.rows
        and accurate(query, rated)
        and unloaded_latency(query, rated) <= query.latency
    )


def refused(query: Query, found: Sequence[Standing]) -> Impossible:
    """What to say where none of `found` does what is asked."""

    def alternative(rated: Rated) -> Alternative:
        sure = rated.variant.accuracy_at(query.confidence)
        return Alternative(rated.variant.name, sure, unloaded_latency(query, rated))

    fitting = [each.rated for each in found if each.rated.variant.max_batch >= query.rows]
    quick = [alternative(each) for each in fitting if unloaded_latency(query, each) <= query.latency]
    exact = [alternative(each) for each in fitting if accurate(query, each)]
    best = max(quick, key=lambda each: (each.accuracy, -each.latency, each.variant), default=None)
    fastest = min(exact, key=lambda each: (each.latency, each.variant), default=None)
    asked = f"{query.accuracy:.4g} within {query.latency * 1e3:.4g} ms"
    if not fitting:
        rows = max(each.rated.variant.max_batch for each in found)
        return Impossible(f"no variant takes {query.rows} rows at once; at most {rows} fit", None, None)
    parts = []
    if best is not None:
        parts.append(f"within that time {best.accuracy:.4g} ({best.variant})")
    if fastest is not None:
        parts.append(f"that accurate {fastest.latency * 1e3:.4g} ms ({fastest.variant})")
    possible = "possible are " + " and ".join(parts) if parts else "neither is possible"
    return Impossible(f"no variant gives {asked}; {possible}", best, fastest)
