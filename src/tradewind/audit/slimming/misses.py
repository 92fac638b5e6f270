"""What a run on the whole image used and the slim half has not: misses, and the closure that has them too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure, close
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.slimming.rules.touching import CACHED
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Files, Tree


class Miss(Struct, frozen=True):
    """One path that a run used and that is not in the slim half."""

    path: str
    size: int
    package: str
    """The key of its owner; empty if no package owns it."""
    opened: bool
    """Whether it was opened; else the run only asked for it, or went through it as a link."""
    run: str


class Lacking(Struct, frozen=True):
    """What of an image's tree its slim half has not."""

    paths: frozenset[str]
    """Whatever has not its content there, directories too."""
    answered: frozenset[str]
    """Of those, files that are answered for when they are only asked for: an empty file stands there, or the
    source's compiled file has taken its place."""


def lacking(
    tree: Tree, held: Collection[str], placeholders: Collection[str] = (), moved: Collection[str] = ()
) -> Lacking:
    """What a slim half that holds the paths `held` has not of the original `tree`.

    `placeholders` are those of which it has an empty file; `moved` are old paths of files that it has
    elsewhere.
    """
    gone = frozenset(path for path in tree.entries if path not in held).union(placeholders)
    found = filter(None, (CACHED.fullmatch(old) for old in moved))
    sources = {f"{each['folder']}{each['module']}.py" for each in found}
    return Lacking(gone.difference(moved), gone & sources.union(placeholders))


def lacking_of(closure: Closure) -> Lacking:
    """What the slim half of a closure has not."""
    beside = (path.rpartition("/")[0] for path in (*closure.moved, *closure.placeholders))
    held = closure.tree.only({*closure.kept, *beside})
    return lacking(closure.tree, held.entries.keys(), closure.placeholders, closure.moved.values())


def misses(run: Run, absent: Lacking, inventory: Inventory) -> tuple[Miss, ...]:
    """What the run missed, in order: those that it opened first.

    A file that was only asked for is no miss where something else answers for it. What the run made is its
    output.
    """
    tree, touched = inventory.tree, run.touched
    opened = touched.opened | (touched.written & tree.entries.keys())
    asked = (touched.probed | touched.hops | touched.listed) - opened - absent.answered
    return tuple(
        Miss(path, tree.entries[path].size, inventory.owners.get(path, ""), was_opened, run.header.name)
        for paths, was_opened in ((opened, True), (asked, False))
        for path in sorted(paths & absent.paths)
    )


def healed(
    files: Files,
    runs: Sequence[Run],
    found: Iterable[Miss],
    inventory: Inventory,
    policy: Policy | None = None,
    earlier: Mapping[str, Reason] | None = None,
) -> Closure:
    """The closure of all runs, those of the canaries among them, with what they missed: `found`, each with
    the reason `healed` and the name of its run.

    `earlier` is what stays from earlier healings, with its reasons.
    """
    also = {path: reason for path, reason in (earlier or {}).items() if path in files.tree}
    for miss in found:
        also.setdefault(miss.path, Reason("healed", miss.run))
    return close(files, runs, inventory, policy, also)
