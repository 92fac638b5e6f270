"""Several images that share layers: what each keeps so that the shared layers stay one and the same.

A layer of several images becomes its part that any of them keeps. So each image may hold a little more than
it needs, and the store, and a machine that runs several, hold the layer once. After "sharing mode" of BLAFS,
"The Cure is in the Cause" (arXiv 2305.04641).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure, close
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Files


class Subject(Struct, frozen=True):
    """One image that is slimmed together with others."""

    name: str
    files: Files
    layers: tuple[str, ...]
    """What tells its layers apart, the lowest first: their digests."""
    runs: tuple[Run, ...]
    inventory: Inventory
    policy: Policy = Policy()


def close_together(subjects: Sequence[Subject]) -> list[Closure]:
    """The closure of each, in order, where a path of a shared layer that one keeps is kept by all that see
    it.

    Layers count as shared from the lowest on, as far as both have the same: higher ones rest on different
    ground.
    """
    also: list[dict[str, Reason]] = [{} for _ in subjects]
    while True:
        closures = [
            close(each.files, each.runs, each.inventory, each.policy, extra)
            for each, extra in zip(subjects, also, strict=True)
        ]
        grown = False
        for one, closure in zip(subjects, closures, strict=True):
            for other, theirs, extra in zip(subjects, closures, also, strict=True):
                for path in _seen_by(one, other, closure):
                    if path not in theirs.kept and path not in extra and path not in theirs.dropped:
                        extra[path] = Reason("shared", one.name)
                        grown = True
        if not grown:
            return closures


def shared_layers(one: Sequence[str], other: Sequence[str]) -> int:
    """How many layers, from the lowest on, two images have in common."""
    for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return at
    return min(len(one), len(other))


def _seen_by(one: Subject, other: Subject, closure: Closure) -> list[str]:
    """The paths that one keeps of layers that both have, and that the other's higher layers do not hide."""
    common = 0 if one is other else shared_layers(one.layers, other.layers)
    found = []
    for path in closure.kept:
        mine, theirs = one.files.tree.entries[path], other.files.tree.get(path)
        if mine.layer < common and theirs is not None and theirs.layer == mine.layer:
            found.append(path)
    return found
