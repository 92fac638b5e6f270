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


class SharedLayer(Struct, frozen=True):
    """A layer that several images have on the same ground, and what they keep of it."""

    number: int
    """From 0, the lowest."""
    images: int
    apart: int
    """Bytes that they keep of it each for itself, summed."""
    together: int
    """Bytes that any of them keeps: what a shared one holds, once."""

    @property
    def saved(self) -> int:
        """Bytes by which the whole set is smaller if the layer is shared."""
        return self.apart - self.together

    @property
    def growth(self) -> float:
        """Bytes by which an image grows on average, for it pulls what only others need."""
        return self.together - self.apart / self.images


def shared_between(subjects: Sequence[Subject], closures: Sequence[Closure]) -> tuple[SharedLayer, ...]:
    """Each layer that two or more images have in common, from the lowest on, with what the closures keep."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for at, subject in enumerate(subjects):
        for depth in range(1, len(subject.layers) + 1):
            groups.setdefault(subject.layers[:depth], []).append(at)
    found = []
    for prefix, members in sorted(groups.items(), key=lambda each: (len(each[0]), each[1])):
        if len(members) < 2:
            continue
        number, apart, together = len(prefix) - 1, 0, 0
        seen: set[str] = set()
        for at in members:
            tree = subjects[at].files.tree
            kept = {path for path in closures[at].kept if tree.entries[path].layer == number}
            apart += tree.bytes_of(kept)
            together += tree.bytes_of(kept - seen)
            seen |= kept
        found.append(SharedLayer(number, len(members), apart, together))
    return tuple(found)


def worth_sharing(shared: Sequence[SharedLayer]) -> int:
    """How many layers, from the lowest on, it pays to share: what the set saves by it exceeds what an image
    grows by on average. A higher layer is shared only on shared ones.
    """
    best, most, total = 0, 0.0, 0.0
    for number in range(max((each.number for each in shared), default=-1) + 1):
        total += sum(each.saved - each.growth for each in shared if each.number == number)
        if total > most:
            best, most = number + 1, total
    return best


def close_together(subjects: Sequence[Subject], most: int | None = None) -> list[Closure]:
    """The closure of each, in order, where a path of a shared layer that one keeps is kept by all that see
    it.

    Layers count as shared from the lowest on, as far as both have the same, and at most `most`: higher ones
    rest on different ground.
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
                for path in _seen_by(one, other, closure, most):
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


def _seen_by(one: Subject, other: Subject, closure: Closure, most: int | None) -> list[str]:
    """The paths that one keeps of layers that both have, and that the other's higher layers do not hide."""
    common = 0 if one is other else shared_layers(one.layers, other.layers)
    if most is not None:
        common = min(common, most)
    found = []
    for path in closure.kept:
        mine, theirs = one.files.tree.entries[path], other.files.tree.get(path)
        if mine.layer < common and theirs is not None and theirs.layer == mine.layer:
            found.append(path)
    return found
