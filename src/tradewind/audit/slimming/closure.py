"""What must be kept of an image for what was run to work again: the rules, applied until they add nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.given import Given, Growth, Seed
from tradewind.audit.slimming.kept import Kept, Reason
from tradewind.audit.slimming.policy import Policy, meaning
from tradewind.audit.slimming.rules.linking import hard_links, links, targets
from tradewind.audit.slimming.rules.python import landmarks, moved, sources
from tradewind.audit.slimming.rules.running import interpreters, late_modules, libraries
from tradewind.audit.slimming.rules.system import asked, switches, writable
from tradewind.audit.slimming.rules.telling import system_records, told, whole
from tradewind.audit.slimming.rules.touching import beside, listed, placeholders, probed, traced, written
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Files, Tree

SEEDS: tuple[Seed, ...] = (
    beside, traced, written, probed, listed, asked, whole, switches, system_records, writable,
)  # fmt: skip
GROWTHS: tuple[Growth, ...] = (
    links, targets, hard_links, interpreters, libraries, late_modules, sources, landmarks, told,
)  # fmt: skip


class Closure:
    """What is kept, what stands in for something, and what a reader of the result has to know.

    Together with the removed files it makes up the tree: `kept` and `moved` hold content of the original,
    a placeholder holds none.
    """

    def __init__(
        self,
        kept: Kept,
        *,
        placeholders: Mapping[str, Reason],
        moved: Mapping[str, str],
        only_probed: Iterable[str] = (),
        unresolved: Iterable[tuple[str, str]] = (),
        dropped: Iterable[str] = (),
        unmatched: Iterable[str] = (),
    ) -> None:
        self.kept = kept
        self.placeholders = dict(placeholders)
        """Empty files with the name and mode of one that is removed, each with its reason."""
        self.moved = dict(moved)
        """Where compiled modules stand without their sources: the new path with the old one."""
        self.only_probed = tuple(only_probed)
        """Files that runs asked for and never opened, in order: kept, or placeholders, as the policy says."""
        self.unresolved = tuple(unresolved)
        """Kept programs and libraries, with a name each that they are linked with and the tree has not."""
        self.dropped = tuple(dropped)
        """What runs opened or asked for, and the policy's `drop` removed; and the links that led there."""
        self.unmatched = tuple(unmatched)
        """Patterns and folders of the policy that mean nothing in this tree."""

    @property
    def tree(self) -> Tree:
        """The original tree."""
        return self.kept.tree

    @cached_property
    def removed(self) -> frozenset[str]:
        """Whatever is no directory and is not kept as it was: the content of the side-car."""
        return frozenset(e.path for e in self.tree if e.kind != "directory" and e.path not in self.kept)


def close(
    files: Files,
    runs: Iterable[Run],
    inventory: Inventory,
    policy: Policy | None = None,
    also: Mapping[str, Reason] | None = None,
) -> Closure:
    """What is kept of `files` so that the `runs` work again, under the policy.

    `also` are further paths to begin with, such as a canary missed. Raises Misuse for a policy that means
    nothing in this tree.
    """
    policy = (policy or Policy()).check()
    given = Given(files, runs, inventory, policy, also or {})
    reasons, dropped = _grown(given)
    dropped |= _pruned(given, reasons)
    went = moved(given, reasons)
    for old in went.values():
        del reasons[old]
    kept = Kept(files.tree, reasons)
    asked_for = {path for run in given.runs for path in run.touched.probed if given.file(path)}
    return Closure(
        kept,
        placeholders=placeholders(given, reasons),
        moved=went,
        only_probed=sorted(asked_for - given.opened),
        unresolved=_unresolved(given, kept),
        dropped=sorted(dropped),
        unmatched=_unmatched(given),
    )


def _grown(given: Given) -> tuple[dict[str, Reason], set[str]]:
    """Every path that a rule keeps, with its first reason; and what runs touched and the policy drops.

    Directories above a kept path are there without a reason of their own, but rules hear of them: a link to
    one has to be kept.
    """
    reasons: dict[str, Reason] = {}
    dropped: set[str] = set()
    waiting: list[str] = [""]
    heard = {""}

    def keep(found: Iterable[tuple[str, Reason]]) -> None:
        for path, reason in found:
            if path in reasons or path not in given.tree:
                continue
            if _refused(given, path):
                if reason.rule in ("traced", "probed", "changed", "healed"):
                    dropped.add(path)
                continue
            reasons[path] = reason
            here = path
            while here not in heard:
                heard.add(here)
                waiting.append(here)
                here = here.rpartition("/")[0]

    for seed in SEEDS:
        keep(seed(given))
    at = 0
    while at < len(waiting):
        for growth in GROWTHS:
            keep(growth(given, waiting[at]))
        at += 1
    return reasons, dropped


def _refused(given: Given, path: str) -> bool:
    """Whether the policy drops the path, or another name of its file: a file goes with all its names."""
    entry = given.file(path)
    names = given.tree.names[entry.node] if entry is not None and entry.node else (path,)
    return any(given.dropped(name) for name in names)


def _pruned(given: Given, reasons: dict[str, Reason]) -> set[str]:
    """Takes out the links that lead through what the policy dropped; they would dangle, and did not
    before.
    """
    gone: set[str] = set()
    if not given.policy.drop:
        return gone
    while True:
        there = set(reasons) | {""}
        for path in reasons:
            while path := path.rpartition("/")[0]:
                there.add(path)
        broken = [
            path
            for path in reasons
            if (way := given.routes.get(path)) is not None
            and way.end is not None
            and not there.issuperset((*way.links, *way.directories, way.end))
        ]
        if not broken:
            return gone
        for path in broken:
            del reasons[path]
        gone.update(broken)


def _unresolved(given: Given, kept: Kept) -> Iterator[tuple[str, str]]:
    for path in kept:
        if given.policy.libraries and given.elf(path) is not None:
            for name, paths in given.libraries(path):
                if not paths:
                    yield path, name


def _unmatched(given: Given) -> Iterator[str]:
    for pattern in (*given.policy.keep, *given.policy.drop):
        meant = meaning((pattern,))
        if not any(meant(path) for path in given.tree.entries):
            yield pattern
    for folder in given.policy.writable:
        end = given.tree.resolve(folder)[0]
        if end is None or not given.directory(end):
            yield folder
