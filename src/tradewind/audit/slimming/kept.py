"""What is kept of a tree and why: each path with the rule that keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from tradewind.audit.trees import Tree

FIRST_RULES = frozenset(
    (
        "traced",
        "probed",
        "changed",
        "written",
        "listed",
        "hop",
        "asked",
        "whole",
        "system",
        "writable",
        "healed",
        "shared",
    )
)
"""Rules that begin a chain: what they name as the cause is a run, a pattern or a switch, never a kept
path.
"""


class Reason(Struct, frozen=True):
    """Why a path is kept."""

    rule: str
    """The name of the rule: `traced`, `probed`, `link`, `interpreter`, `library`, `source`, ..."""
    because: str = ""
    """What made the rule keep it: a kept path, the name of a run, or of a switch of the policy."""


class Kept:
    """Paths of a tree that are kept, each with its first reason; directories above them go with them."""

    def __init__(self, tree: Tree, reasons: Mapping[str, Reason]) -> None:
        unknown = [path for path in reasons if path not in tree]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not in the tree, but kept")
        self.tree = tree
        self.reasons = dict(reasons)

    def __contains__(self, path: object) -> bool:
        return path in self.reasons

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.reasons))

    @cached_property
    def paths(self) -> frozenset[str]:
        """All kept paths."""
        return frozenset(self.reasons)

    @cached_property
    def removed(self) -> frozenset[str]:
        """Files and links that are not kept; a directory is kept if anything below it is."""
        return frozenset(e.path for e in self.tree if e.kind != "directory" and e.path not in self.reasons)

    @cached_property
    def bytes(self) -> int:
        """Bytes of the kept files, hard links counted once."""
        return self.tree.bytes_of(self.reasons)

    def chain(self, path: str) -> tuple[tuple[str, Reason], ...]:
        """Why `path` is kept, back to what a run touched or a policy asked for: paths and their reasons."""
        found: list[tuple[str, Reason]] = []
        seen: set[str] = set()
        while path in self.reasons and path not in seen:
            seen.add(path)
            reason = self.reasons[path]
            found.append((path, reason))
            if reason.rule in FIRST_RULES:
                break
            path = reason.because
        return tuple(found)
