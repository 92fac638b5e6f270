"""The loop of every controller: observe, decide, record, act, wait for news."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from tradewind.clock import iso
from tradewind.control.policy import AnyPolicy
from tradewind.errors import Misuse
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Decision
from tradewind.market.leases import LeaseId
from tradewind.market.news import News

V_co = TypeVar("V_co", covariant=True)
"""The area's view."""

_STORY = 5
"""Decisions that an error tells of."""
_MOST_AT_ONCE = 1000
"""Decisions at one moment after which time is taken to stand still."""


class Outcome(Struct, frozen=True):
    """What came of one action."""

    granted: tuple[LeaseId, ...] = ()
    """The leases that a `Take` brought, perhaps none."""
    problem: str = ""
    """Why it brought nothing, where the provider said so."""


class World(Protocol[V_co]):
    """What a controller knows and can do."""

    async def observe(self) -> V_co | None:
        """Everything that the policy may know now; None when there is nothing left to decide."""
        ...

    async def perform(self, decision: Decision) -> tuple[Outcome, ...]:
        """Carry out a decision: one outcome an action, in their order."""
        ...

    async def news(self, decision: Decision) -> None:
        """Wait for news of a lease or of the work, for one of `watch` to come true, or for `wake_at`."""
        ...


class Record(Protocol):
    """Where decisions are written down; `Journal` is one."""

    def record(self, view: Any, memory: Any, decision: Decision, recalled: Any) -> None:
        """A decision, before it is carried out; `recalled` is the memory after it."""
        ...

    def record_outcomes(self, outcomes: tuple[Outcome, ...]) -> None:
        """What came of the last decision's actions."""
        ...

    def record_sample(self, sample: Any) -> None:
        """How far the run is: a `control.records.Sample`."""
        ...

    def record_measurement(self, moment: float, kind: str, measured: Any) -> None:
        """What was measured at a moment, as a value that JSON can hold; `kind` names it."""
        ...

    def record_news(self, moment: float, news: News) -> None:
        """What a provider told."""
        ...

    def record_invoice(self, invoice: Invoice) -> None:
        """Every charge so far, in place of those recorded before."""
        ...

    def record_result(self, kind: str, result: Any) -> None:
        """What the run came to; `kind` names it, such as `run`."""
        ...

    def note(self, text: str) -> None:
        """Something that a reader of the run should know."""
        ...


class Unrecorded:
    """A record that keeps nothing, for the many short runs of a comparison."""

    def record(self, view: Any, memory: Any, decision: Decision, recalled: Any) -> None:
        """Keep nothing of a decision."""

    def record_outcomes(self, outcomes: tuple[Outcome, ...]) -> None:
        """Keep nothing of what came of it."""

    def record_sample(self, sample: Any) -> None:
        """Keep nothing of how far the run is."""

    def record_measurement(self, moment: float, kind: str, measured: Any) -> None:
        """Keep nothing of what was measured."""

    def record_news(self, moment: float, news: News) -> None:
        """Keep nothing of what a provider told."""

    def record_invoice(self, invoice: Invoice) -> None:
        """Keep nothing of the charges."""

    def record_result(self, kind: str, result: Any) -> None:
        """Keep nothing of the result."""

    def note(self, text: str) -> None:
        """Keep nothing of a note."""


async def drive(policy: AnyPolicy, world: World[Any], journal: Record) -> None:
    """Ask `policy` whenever there is news, and do what it says, until the world has nothing to decide.

    A decision is on record before it is carried out. Raises Misuse for a decision that would stand still:
    a `wake_at` that is not a later moment. Whatever `decide` raises carries the story so far as its notes;
    the leases are left to the caller, who closes the provider.
    """
    memory = policy.recall()
    story: deque[tuple[float, str]] = deque(maxlen=_STORY)
    before, at_once = -math.inf, 0
    while (view := await world.observe()) is not None:
        now = moment_of(view)
        at_once = at_once + 1 if now == before else 0
        before = now
        try:
            if at_once >= _MOST_AT_ONCE:
                raise Misuse(
                    f"has decided {at_once} times at one moment, and each time brought news of its own",
                    source=f"policy {policy.name}",
                    fix="Let it not take again what is revoked at once.",
                )
            decision, recalled = policy.decide(view, memory)
            if not now < decision.wake_at < math.inf:
                raise Misuse(
                    f"wants to be asked again at {decision.wake_at!r}, and it is {now!r}",
                    source=f"policy {policy.name}",
                    field="wake_at",
                    fix="Give a finite moment later than the view's.",
                )
        except Exception as problem:
            problem.add_note(f"policy {policy.name} was deciding at {iso(now)}")
            for when, reason in story:
                problem.add_note(f"  {iso(when)} it had said: {reason}")
            raise
        journal.record(view, memory, decision, recalled)
        journal.record_outcomes(await world.perform(decision))
        memory = recalled
        story.append((now, decision.reason))
        await world.news(decision)


def moment_of(view: Any) -> float:
    """The moment of a view: its own `now`, or that of its `market`."""
    now: float = view.now if hasattr(view, "now") else view.market.now
    return now
