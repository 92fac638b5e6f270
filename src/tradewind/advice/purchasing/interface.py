"""The seam to whoever decides, as a job arrives, whether it is taken, when it runs and what it pays.

Time is slots of equal length. A job has unit tasks that are pleasingly parallel: each needs one instance for
one slot, in any slot of the job's window, at most `parallel` of them in one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from tradewind.errors import Misuse


class Job(Struct, frozen=True, kw_only=True):
    """Work that is worth something to whoever hands it in."""

    id: str
    arrival: int
    """The first slot in which it may run."""
    last: int
    """The last slot in which it may run."""
    tasks: int
    """Unit tasks: instances times slots."""
    value: float
    """US dollars that it is worth if all of it is done."""
    parallel: int = 1
    """Tasks of it that may run in one slot."""


class Supply(Struct, frozen=True):
    """What may be bought: up to `capacity` instances in each of `slots` slots, for `cost` US dollars each."""

    slots: int
    capacity: int
    cost: float


class Bought(Struct, frozen=True):
    """The answer to a job: how many of its tasks run in which slots, and what it pays; no slot if refused."""

    job: str
    slots: tuple[tuple[int, int], ...] = ()
    """(slot, tasks), in time."""
    payment: float = 0.0
    """US dollars."""

    @property
    def accepted(self) -> bool:
        """Whether it is done."""
        return bool(self.slots)


class Purchaser(Protocol):
    """Answers jobs one by one.

    1. Pure: equal arguments give equal answers.
    2. Of a job that is accepted, all tasks run within its window, never more than `parallel` in a slot, and
       in no slot do more run than the supply has.
    """

    name: str
    """As users write it."""

    def answer(self, job: Job, booked: Sequence[int], supply: Supply) -> Bought:
        """What becomes of a job when `booked` tasks (one number a slot) were accepted before it."""
        ...


def checked(jobs: Sequence[Job], supply: Supply) -> tuple[Job, ...]:
    """The jobs by arrival, then as given. Raises Misuse, naming the field, for what cannot be."""
    if supply.slots < 1 or supply.capacity < 1 or not 0 <= supply.cost < math.inf:
        raise Misuse(
            f"{supply!r} is no supply",
            source="supply",
            fix="Give 1 slot or more, 1 instance or more, and a cost.",
        )
    if len({job.id for job in jobs}) < len(jobs):
        raise Misuse("two jobs have one name", source="jobs", field="id", fix="Rename one.")
    for job in jobs:
        source = f"job {job.id}"
        if not 0 <= job.arrival <= job.last < supply.slots:
            raise Misuse(
                f"slots {job.arrival} to {job.last}", source=source, field="last",
                fix=f"Lie within 0 to {supply.slots - 1}.",
            )  # fmt: skip
        if job.tasks < 1 or job.parallel < 1:
            raise Misuse(
                "no task", source=source, field="tasks", fix="Give 1 or more, and at least 1 parallel."
            )
        if not 0 < job.value < math.inf:
            raise Misuse(
                f"{job.value!r} is no value", source=source, field="value", fix="Give dollars, above 0."
            )
    return tuple(sorted(jobs, key=lambda job: job.arrival))


class Sale(Struct, frozen=True):
    """What came of a stream of jobs."""

    answers: tuple[Bought, ...]
    """In the order of arrival."""
    booked: tuple[int, ...]
    """Instances bought in each slot."""
    welfare: float
    """US dollars: the values of the jobs done, less what their instances cost."""
    profit: float
    """US dollars: what was paid, less what the instances cost."""


def sold(jobs: Sequence[Job], supply: Supply, purchaser: Purchaser) -> Sale:
    """Every job answered as it arrives. Raises Misuse for wrong jobs, and for answers that break clause 2."""
    booked = [0] * supply.slots
    answers = []
    value = 0.0
    for job in checked(jobs, supply):
        answer = purchaser.answer(job, tuple(booked), supply)
        _audit(answer, job, booked, supply, purchaser.name)
        for slot, count in answer.slots:
            booked[slot] += count
        value += job.value * answer.accepted
        answers.append(answer)
    owed = supply.cost * sum(booked)
    return Sale(tuple(answers), tuple(booked), value - owed, sum(each.payment for each in answers) - owed)


def _audit(answer: Bought, job: Job, booked: Sequence[int], supply: Supply, name: str) -> None:
    if not answer.accepted:
        if answer.payment:
            raise Misuse(f"{job.id} is refused and pays", source=f"purchaser {name}", field="payment")
        return
    slots = [slot for slot, _ in answer.slots]
    wrong = (
        len(set(slots)) < len(slots)
        or sum(count for _, count in answer.slots) != job.tasks
        or any(not job.arrival <= slot <= job.last for slot in slots)
        or any(not 0 < count <= job.parallel for _, count in answer.slots)
        or any(booked[slot] + count > supply.capacity for slot, count in answer.slots)
    )
    if wrong:
        raise Misuse(f"{job.id} cannot run as {answer.slots!r}", source=f"purchaser {name}", field="slots")
