"""Why a path or a package is in an image: which run touched it, which rule keeps it, who asked for it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cached_property

from tradewind.audit.bloat.degrees import accessed_packages
from tradewind.audit.bloat.graph import ROOT, DependencyGraph, dependency_graph
from tradewind.audit.packages import Inventory, Package
from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.tracing.events import Event, Run
from tradewind.audit.trees import Entry
from tradewind.errors import Misuse, suggestion

NAMED = 5
"""How many of a list are named before the rest is counted."""
WORDS = {
    "traced": "run {because} opened it",
    "hop": "run {because} went through this link",
    "probed": "run {because} asked whether it is there",
    "changed": "run {because} changed it",
    "written": "run {because} wrote below it",
    "listed": "run {because} listed it",
    "asked": "the policy keeps {because}",
    "whole": "the policy keeps the package {because} whole",
    "system": "the policy's switch {because} keeps it",
    "writable": "{because} has to be there, empty or not",
    "healed": "run {because} opened it after it had been removed",
    "shared": "{because} keeps it in a layer that both have",
    "link": "it is a link to {because}",
    "link target": "the link {because} leads through it",
    "hard link": "it is another name of {because}",
    "interpreter": "{because} is started by it",
    "library": "{because} is linked with it",
    "late module": "{because} may load it later",
    "source": "it is the source of {because}, which counts only beside it",
    "landmark": "Python looks for it to learn where it is installed, on account of {because}",
    "metadata": "it tells of the package of {because}",
}


class Question:
    """What is known of an image, to answer why something is in it.

    `closure` is there once it was slimmed; `events` are those of runs, by the run's name, where they were
    recorded in full.
    """

    def __init__(
        self,
        inventory: Inventory,
        runs: Sequence[Run] = (),
        closure: Closure | None = None,
        events: Mapping[str, Sequence[Event]] | None = None,
    ) -> None:
        self.inventory, self.tree = inventory, inventory.tree
        self.runs, self.closure, self.events = tuple(runs), closure, dict(events or {})

    @cached_property
    def graph(self) -> DependencyGraph:
        """The packages below those that a run opened and those that somebody asked for."""
        opened = frozenset().union(*(run.touched.opened for run in self.runs))
        return dependency_graph(self.inventory, accessed_packages(self.inventory, opened))

    def path(self, path: str) -> tuple[str, ...]:
        """Why the path is there, in sentences; absolute or relative to the root, links on the way are told.

        Raises Misuse, with what was probably meant, for a path that the tree has not and no run looked for.
        """
        plain = "/".join(part for part in path.split("/") if part not in ("", "."))
        end, hops = self.tree.resolve(plain)
        if plain not in self.tree and end is None:
            return self._missing(plain)
        told: list[str] = []
        here = plain
        if plain not in self.tree:
            assert end is not None
            told.append(f"{plain} is {end or 'the root'}, through {_several(hops)}.")
            here = end
        entry = self.tree.get(here)
        if entry is None:
            return (*told, f"The root: {len(self.tree):,} entries, {_size(self.tree.bytes)}.")
        told.append(self._what(entry))
        if entry.kind == "directory":
            return (*told, *self._directory(entry.path))
        if entry.kind == "link":
            told.append(f"It leads to {end or 'the root'}." if end is not None else "It leads nowhere.")
        touched = list(self._touched(entry.path))
        told += touched
        told += self._kept(entry.path)
        owner = self.inventory.owners.get(entry.path)
        if not touched:
            beside = self.closure is not None and entry.path in self.closure.kept
            told.append(f"{'No' if beside else 'Nothing: no'} run touched it{_of(self.runs)}.")
            if owner is not None:
                told += self._asked_for(owner)
        return tuple(told)

    def package(self, name: str) -> tuple[str, ...]:
        """Why the packages of that name are there, in sentences: `apt:libc6`, or a bare name.

        Raises Misuse, with what was probably meant, if there is none.
        """
        packages = [
            key for key, each in self.inventory.packages.items() if name in (key, each.key, each.name)
        ]
        if not packages:
            known = {each.name for each in self.inventory.packages.values()}
            fix = suggestion(name, known) if known else "No package was found in this tree."
            raise Misuse(f"no package is called {name!r}", source="why", field="package", fix=fix)
        return tuple(line for key in packages for line in self._package(key))

    def _missing(self, path: str) -> tuple[str, ...]:
        looked = [run.header.name for run in self.runs if f"/{path}" in run.touched.missed]
        if looked:
            return (f"{path} is not in the image. Run {_several(looked)} looked for it in vain.",)
        near = difflib.get_close_matches(path, self.tree.entries, n=1, cutoff=0.6)
        raise Misuse(
            f"{path} is not in the image, and no run looked for it",
            source="why",
            field="path",
            fix=f"Did you mean {near[0]}?" if near else "Give a path from the root of the image.",
        )

    def _what(self, entry: Entry) -> str:
        kind = {"file": f"a file of {_size(entry.size)}"}.get(entry.kind, f"a {entry.kind}")
        names = self.tree.names.get(entry.node, ()) if entry.node else ()
        others = (
            f", also called {_several([each for each in names if each != entry.path])}" if names[1:] else ""
        )
        owner = self.inventory.owners.get(entry.path)
        if owner is None:
            belongs = " that no package owns" if entry.kind != "directory" else ""
            return f"{entry.path} is {kind}{others}{belongs}."
        package = self.inventory.packages[owner]
        telling = ", of which it only tells" if entry.path in package.records else ""
        return f"{entry.path} is {kind}{others}; it belongs to {owner} {package.version}{telling}."

    def _touched(self, path: str) -> list[str]:
        found = []
        for run in self.runs:
            name, touched = run.header.name, run.touched
            verb = next(
                (
                    word
                    for word, paths in (
                        ("opened", touched.opened),
                        ("changed", touched.written),
                        ("followed", touched.hops),
                        ("asked for, but never opened,", touched.probed),
                    )
                    if path in paths
                ),
                None,
            )
            if verb is not None:
                found.append(f"Run {name} {verb} it{self._process(name, path)}.")
        return found

    def _process(self, run: str, path: str) -> str:
        """Which process touched the path first, where the events of the run are known."""
        for event in self.events.get(run, ()):
            if event.ok and event.op != "import" and self.tree.resolve(event.path)[0] == path:
                return f": {event.exe or 'a process'} ({event.pid}) first, {event.ts:.2f} s after it began"
        return ""

    def _kept(self, path: str) -> list[str]:
        if self.closure is None:
            return []
        kept = self.closure.kept
        if path in kept:
            chain = kept.chain(path)
            steps = [_in_words(reason) for _, reason in chain]
            return [f"It is kept: {'; and of that: '.join(steps)}."]
        if path in self.closure.placeholders:
            return ["It is removed; an empty file of its name stands in for it."]
        new = next((new for new, old in self.closure.moved.items() if old == path), None)
        if new is not None:
            return [f"It is kept as {new}, without its source."]
        dropped = " by the policy" if path in self.closure.dropped else ""
        return [f"It is removed{dropped}; the side-car has it."]

    def _directory(self, path: str) -> list[str]:
        below = [each for each in self.tree.entries if each.startswith(f"{path}/")]
        files = [each for each in below if self.tree.entries[each].kind != "directory"]
        told = [f"Below it are {len(files):,} files and links, {_size(self.tree.bytes_of(files))}."]
        for run in self.runs:
            opened = run.touched.opened.intersection(files)
            told.append(
                f"Run {run.header.name} opened {len(opened):,} of them, {_size(self.tree.bytes_of(opened))}"
                + (", and listed its names." if path in run.touched.listed else ".")
            )
        if self.closure is not None:
            kept = self.closure.kept.paths.intersection(files)
            told.append(f"{len(kept):,} are kept, {_size(self.tree.bytes_of(kept))}.")
        return told

    def _package(self, key: str) -> list[str]:
        package = self.inventory.packages[key]
        mine = self.inventory.owned[key]
        told = [f"{key} {package.version}: {len(mine):,} files, {_size(self.inventory.bytes_of(key))}."]
        used = False
        for run in self.runs:
            opened = sorted(run.touched.opened.intersection(mine).difference(package.records))
            if opened:
                used = True
                told.append(
                    f"Run {run.header.name} opened {len(opened):,} of its files, "
                    f"{_size(self.tree.bytes_of(opened))}: {_several(opened)}."
                )
        if not used:
            told.append(f"Nothing: no run touched it{_of(self.runs)}, or only what tells of it.")
        if self.closure is not None:
            told += self._kept_of(key, package)
        return [*told, *self._asked_for(key)]

    def _kept_of(self, key: str, package: Package) -> list[str]:
        assert self.closure is not None
        kept = sorted(self.closure.kept.paths.intersection(self.inventory.owned[key]))
        code = [path for path in kept if path not in package.records]
        if not kept:
            return ["Nothing of it is kept."]
        told = f"{len(kept):,} of its files are kept, {_size(self.tree.bytes_of(kept))}"
        if not code:
            return [f"{told}; they only tell of it."]
        unopened = [each for each in code if self.closure.kept.reasons[each].rule not in ("traced", "hop")]
        if len(unopened) == len(code):
            reason = self.closure.kept.reasons[code[0]]
            return [f"{told}, none of which was opened: of {code[0]}, {_in_words(reason)}."]
        return [f"{told}."]

    def _asked_for(self, key: str) -> list[str]:
        """Who brought the package in: somebody by name, or a chain of packages."""
        told = []
        if self.inventory.packages[key].asked_for:
            told.append(f"Somebody asked for {key} by name.")
        chain = self.graph.chain(key)
        if len(chain) > 1:
            told.append(f"The shortest chain that brings it in: {' -> '.join((ROOT, *chain))}.")
        users = self.graph.needed_by(key)
        if users:
            told.append(f"{_several(users)} ask{'s' if len(users) == 1 else ''} for it.")
        elif not told:
            told.append(f"No package asks for {key}.")
        return told


def _in_words(reason: Reason) -> str:
    words = WORDS.get(reason.rule, "by the rule " + reason.rule + ", {because}")
    return words.format(because=reason.because or "the policy")


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED:,} more"


def _of(runs: Sequence[Run]) -> str:
    if not runs:
        return "; none was recorded"
    return f" (of {_several([run.header.name for run in runs])})"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"
