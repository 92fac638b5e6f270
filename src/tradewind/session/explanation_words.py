"""Why a run took each lease and dropped it, as values, and the words for them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tradewind.session import durations
from tradewind.session.report.page import dollars, moment_text
from tradewind.training.elastic.work import STATE

MOST_NAMED = 4
"""Leases alike that are named one by one."""


class Alternative(Struct, frozen=True):
    """What else was on offer."""

    pool: str
    terms: str
    per_hour: float
    """US dollars an instance-hour."""
    per_vcpu: float
    """US dollars an hour of a useful vCPU."""


class Story(Struct, frozen=True, kw_only=True):
    """The life of leases alike: taken by one decision, ended at one moment for one reason."""

    leases: tuple[str, ...]
    stretch: int = 0
    """How often the run had been resumed before; each stretch numbers its leases anew."""
    pool: str
    terms: str
    purpose: str
    taken: float
    price: float | None = None
    """US dollars an hour of an instance when it was taken; None where it was not on offer then."""
    per_vcpu: float | None = None
    """The same for a useful vCPU."""
    limit: float | None = None
    """The bid, US dollars an hour."""
    why: str = ""
    """The reason of the decision that took it."""
    alternatives: tuple[Alternative, ...] = ()
    """The cheapest by useful vCPU that it could have been instead."""
    warned: float | None = None
    ended: float | None = None
    ending: str = "held"
    """`released`, `revoked`, `failed`; `held` where the record ends before it."""
    dropped: str = ""
    """Why it ended, in words."""
    held: float = 0.0
    """Seconds that one was held, up to the end of the record."""
    cost: float | None = None
    """US dollars of all of them."""
    reckoned: bool = False
    """Whether the cost is ours to reckon, since the record holds no bill for it."""
    free_hours: float = 0.0
    """Instance-hours that were not owed."""
    units: float = 0.0
    """Work of all of them: the job's units, shared out by useful vCPU-seconds."""
    share: float = 0.0
    """Of all the work."""


class PoolLine(Struct, frozen=True, kw_only=True):
    """What went to one pool under one kind of terms."""

    pool: str
    terms: str
    leases: int
    revoked: int
    hours: float
    """Instance-hours."""
    free_hours: float
    cost: float
    """US dollars."""
    share: float
    """Of all the work."""


class Explanation(Struct, frozen=True, kw_only=True):
    """A run, lease by lease."""

    run: str
    policy: str
    outcome: str
    reason: str
    started: float
    ended: float
    decisions: int
    cost: float
    """US dollars."""
    reckoned: bool
    """Whether a part of the costs is ours to reckon from the prices on record."""
    cost_on_demand: float | None
    """US dollars that the same work would have cost on demand, where it is known."""
    revocations: int
    failures: int
    free_hours: float
    units: float
    """Work done."""
    redone: float
    """Units that were seen to be lost, and done again."""
    pools: tuple[PoolLine, ...]
    """The dearest first."""
    stories: tuple[Story, ...]
    """In the order in which they were taken."""
    simulated: tuple[str, ...] = ()
    """What was simulated or modelled, a sentence each."""

    def text(self) -> str:
        """All of it, in words."""
        parts = ["\n".join(summary(self)), *("\n".join(paragraph(each)) for each in self.stories)]
        return "\n\n".join(parts)


def summary(told: Explanation) -> list[str]:
    """The run at a glance, a line each."""
    about = "about " if told.reckoned else ""
    money = f"{dollars(told.cost)} for {durations.text(told.ended - told.started)} of market time"
    if told.cost_on_demand:
        money += f"; the same work on demand would have cost {dollars(told.cost_on_demand)}"
    losses = (
        f"{told.revocations} revocations, {told.failures} failures, {about}{told.free_hours:.2f} free hours"
    )
    work = f"{told.units:,.0f} units of work"
    if told.redone > 0:
        work += f", {told.redone:,.0f} of them lost and done again"
    taken = sum(len(each.leases) for each in told.stories)
    lines = [
        f"{told.run}: {told.policy}, {told.outcome}" + (f" ({told.reason})" if told.reason else ""),
        money,
        f"{taken} leases, {told.decisions:,} decisions, {losses}",
        work,
    ]
    return [*lines, *(f"simulated: {each}" for each in told.simulated)]


def paragraph(story: Story) -> list[str]:
    """One story, a line each."""
    use = "the servers of the state" if story.purpose == STATE else "workers"
    lines = [f"{_named(story)}: {_terms(story.terms)} {story.pool}, for {use}"]
    each = " each" if len(story.leases) > 1 else ""
    at = "" if story.price is None else f" at {dollars(story.price)} an hour{each}"
    if story.per_vcpu is not None:
        at += f" ({story.per_vcpu:.4f} a useful vCPU)"
    bid = "" if story.limit is None else f", bid {dollars(story.limit)}"
    told = [("taken", moment_text(story.taken) + at + bid), ("why", story.why)]
    if story.alternatives:
        others = (
            f"{each.pool} {_terms(each.terms)} {dollars(each.per_hour)} ({each.per_vcpu:.4f})"
            for each in story.alternatives
        )
        told.append(("besides", "; ".join(others)))
    when = "" if story.ended is None else f"{moment_text(story.ended)}: "
    told.append(("ended", f"{when}{story.dropped}, after {durations.text(story.held)}"))
    if story.cost is not None:
        about = "about " if story.reckoned else ""
        free = f", {story.free_hours:.2f} instance-hours free" if story.free_hours else ""
        told.append(("cost", f"{about}{dollars(story.cost)}{free}"))
    if story.purpose != STATE:
        told.append(("work", f"{story.units:,.0f} units, {story.share:.1%} of all"))
    return [*lines, *(f"  {name:<8}{line}" for name, line in told if line)]


def _named(story: Story) -> str:
    again = f" (resumed {story.stretch}x)" if story.stretch else ""
    return f"{_several(story.leases)}{again}"


def _several(names: Iterable[str]) -> str:
    names = tuple(names)
    if len(names) == 1:
        return names[0] if names[0].startswith("lease") else f"lease {names[0]}"
    if len(names) <= MOST_NAMED:
        return f"{len(names)} leases ({', '.join(names)})"
    return f"{len(names)} leases ({names[0]} to {names[-1]})"


def _terms(terms: str) -> str:
    return terms.replace("_", " ")
