"""What a run on the whole image used and the slim half has not: misses, and the closure that has them too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure, close
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.slimming.rules.touching import CACHED
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Files


class Miss(Struct, frozen=True):
    """One path that a run used and that is not in the slim half."""

    path: str
    size: int
    package: str
    """The key of its owner; empty if no package owns it."""
    opened: bool
    """Whether it was opened; else the run only asked for it, or went through it as a link."""
    run: str


def misses(run: Run, closure: Closure, inventory: Inventory) -> tuple[Miss, ...]:
    """What the run missed, in order: those that it opened first.

    A file that was only asked for is no miss where an empty one stands in for it, nor a source whose compiled
    file has taken its place. What the run made is its output.
    """
    tree, kept = closure.tree, closure.kept
    beside = (path.rpartition("/")[0] for path in (*closure.moved, *closure.placeholders))
    there = tree.only({*kept, *beside})
    touched = run.touched
    moved = set(closure.moved.values())
    sources = {f"{found['folder']}{found['module']}.py" for old in moved if (found := CACHED.fullmatch(old))}
    opened = touched.opened | (touched.written & tree.entries.keys())
    asked = (touched.probed | touched.hops | touched.listed) - opened - closure.placeholders.keys() - sources
    told: list[Miss] = []
    for paths, was_opened in ((opened, True), (asked, False)):
        for path in sorted(paths):
            entry = tree.get(path)
            if entry is not None and path not in there and path not in moved:
                owner = inventory.owners.get(path, "")
                told.append(Miss(path, entry.size, owner, was_opened, run.header.name))
    return tuple(told)


def healed(
    files: Files,
    closure: Closure,
    runs: Iterable[Run],
    canaries: Sequence[Run],
    inventory: Inventory,
    policy: Policy | None = None,
) -> Closure:
    """The closure grown by what the canary runs missed, each with the reason `healed` and the name of its
    run.

    What an earlier canary healed, or another image asked for in a shared layer, stays.
    """
    also = {
        path: reason
        for path, reason in closure.kept.reasons.items()
        if reason.rule in ("healed", "shared") and path in closure.tree
    }
    for run in canaries:
        for miss in misses(run, closure, inventory):
            also.setdefault(miss.path, Reason("healed", run.header.name))
    return close(files, [*runs, *canaries], inventory, policy, also)
