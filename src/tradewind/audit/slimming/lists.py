"""The lists that go with a slim image: what was removed, and what to fetch first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure
from tradewind.audit.tracing.events import Run

Fate = Literal["removed", "placeholder", "moved", "replaced", "dropped"]


class Removed(Struct, frozen=True):
    """One path that the slim image does not hold as it was."""

    path: str
    kind: str
    size: int
    package: str
    """The key of its owner; empty if no package owns it."""
    fate: Fate
    """`placeholder` and `replaced` have another content there, `moved` another path; `dropped` was touched,
    and the policy removed it."""


def removed_paths(closure: Closure, inventory: Inventory, made: Iterable[str] = ()) -> Iterator[Removed]:
    """What is in the side-car, in order of paths, but for directories; `made` are files that we replaced."""
    made, moved, dropped = set(made), set(closure.moved.values()), set(closure.dropped)
    for path in sorted(closure.removed):
        entry = closure.tree.entries[path]
        fate: Fate = "removed"
        if path in closure.placeholders:
            fate = "placeholder"
        elif path in moved:
            fate = "moved"
        elif path in made:
            fate = "replaced"
        elif path in dropped:
            fate = "dropped"
        yield Removed(path, entry.kind, entry.size, inventory.owners.get(path, ""), fate)


def as_lines(rows: Iterable[Struct]) -> Iterator[bytes]:
    """Structs of plain values as lines of JSON; bytes of names that are no text are escaped as Python's
    `surrogateescape` has them."""
    for each in rows:
        row = {name: getattr(each, name) for name in each.__struct_fields__}
        yield json.dumps(row, separators=(",", ":")).encode() + b"\n"


def prefetch(closure: Closure, runs: Iterable[Run], order: Sequence[str] = ()) -> tuple[str, ...]:
    """The files that runs opened, which formats that load lazily (eStargz, SOCI, Nydus) may fetch first.

    In `order` as far as it names them, which is that of their first opening, and then by path. It carries no
    risk: what is missing here is fetched when it is asked for.
    """
    opened = frozenset().union(*(run.touched.opened for run in runs)) & closure.kept.paths
    first = dict.fromkeys(path for path in order if path in opened)
    return (*first, *sorted(opened - first.keys()))
