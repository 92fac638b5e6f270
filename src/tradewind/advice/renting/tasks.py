"""Tasks: what they need, when they arrive, how long they run, and after which others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.resources import Resources


class Task(Struct, frozen=True, kw_only=True):
    """One task of a user's; only the simulation knows its `run_time`."""

    id: str
    arrival: float
    """The moment at which it is handed in."""
    resources: Resources
    """What it holds while it runs; `gpus` is a share of one device below 1, else whole devices."""
    run_time: float
    """Seconds of work, above 0, on an instance of speed 1."""
    after: tuple[str, ...] = ()
    """The tasks that must end before it may start, so that a job may be a graph."""
    features: tuple[tuple[str, str], ...] = ()
    """What is known of it beforehand, as (name, value), such as its user or the job's name."""


def in_order(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks by arrival, then as given.

    Raises Misuse for two of one name, a run time or a moment that is not finite, a negative amount, devices
    that are neither a share nor whole, an unknown predecessor, and a circle.
    """
    known = {task.id: task for task in tasks}
    if len(known) < len(tasks):
        seen: set[str] = set()
        twice = next(task.id for task in tasks if task.id in seen or seen.add(task.id))  # type: ignore[func-returns-value]
        raise Misuse(f"two tasks are named {twice!r}", source="tasks", field="id", fix="Rename one.")
    for task in tasks:
        source = f"task {task.id}"
        if not 0 < task.run_time < math.inf:
            raise Misuse(
                f"{task.run_time!r} is no run time",
                source=source,
                field="run_time",
                fix="Give seconds, above 0.",
            )
        if not math.isfinite(task.arrival):
            raise Misuse(
                f"{task.arrival!r} is no moment", source=source, field="arrival", fix="Give seconds."
            )
        asked = task.resources
        for field in ("vcpus", "memory_gib", "gpus"):
            amount = getattr(asked, field)
            if not 0 <= amount < math.inf:
                raise Misuse(f"{amount!r} is no amount", source=source, field=field, fix="Give 0 or more.")
        if asked.gpus > 1 and asked.gpus != int(asked.gpus):
            raise Misuse(
                f"{asked.gpus!r} devices",
                source=source,
                field="gpus",
                fix="Give a share of one, or whole devices.",
            )
        for before in task.after:
            if before not in known:
                raise Misuse(
                    f"no task {before!r}", source=source, field="after", fix="Name one that is given."
                )
    _refuse_circles(known)
    return tuple(sorted(tasks, key=lambda task: task.arrival))


def _refuse_circles(known: dict[str, Task]) -> None:
    left = {name: len(set(task.after)) for name, task in known.items()}
    followers: dict[str, list[str]] = {name: [] for name in known}
    for name, task in known.items():
        for before in set(task.after):
            followers[before].append(name)
    free = [name for name, count in left.items() if not count]
    while free:
        for name in followers[free.pop()]:
            left[name] -= 1
            if not left[name]:
                free.append(name)
    stuck = [name for name, count in left.items() if count]
    if stuck:
        raise Misuse(
            f"{stuck[0]} waits for itself through {', '.join(known[stuck[0]].after)}",
            source="tasks", field="after", fix="Break the circle.",
        )  # fmt: skip
