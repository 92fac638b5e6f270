"""What a policy is: a pure function from a frozen view and its memory to a decision and its next memory."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from tradewind.market.decisions import Decision

V_contra = TypeVar("V_contra", contravariant=True)
"""The area's view: a frozen msgspec Struct with `now` or with a market view as `market`."""
M = TypeVar("M")
"""The policy's memory: a frozen msgspec Struct, or None."""


class Policy(Protocol[V_contra, M]):
    """Decides about money, placement or risk.

    1. `decide` reads no clock, network, file or global random source: equal arguments give equal answers.
    2. It alters neither the view nor the memory; what it wants to remember it returns.
    3. The decision's `wake_at` is later than the view's moment.
    4. Its constructor's arguments are plain values kept under their own names, so that a journal can hold
       them and `replay` can build it again.
    """

    name: str
    """As users write it, such as cheapest_spot."""

    def recall(self) -> M:
        """The memory before the first decision."""
        ...

    def decide(self, view: V_contra, memory: M) -> tuple[Decision, M]:
        """What to do now, and what to remember."""
        ...


AnyPolicy = Policy[Any, Any]
