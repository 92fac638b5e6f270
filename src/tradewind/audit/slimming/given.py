"""What the rules of keeping are given: the tree, what runs touched, the packages, and the policy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from tradewind.audit.inventory.elf import Elf
from tradewind.audit.inventory.libraries import LibrarySearch
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.links import Route, route
from tradewind.audit.slimming.policy import Policy, meaning
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Entry, Files

FIRST_LINE = 256
"""Bytes of a script's first line that Linux reads for the interpreter."""
SMALLEST_ELF = 52
SEARCHED = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
"""Where programs are looked for by name."""


class Given:
    """The image, the runs and the policy, with what several rules look up."""

    def __init__(
        self,
        files: Files,
        runs: Iterable[Run],
        inventory: Inventory,
        policy: Policy,
        also: Mapping[str, Reason],
    ) -> None:
        self.files, self.tree, self.runs = files, files.tree, tuple(runs)
        self.inventory, self.policy, self.also = inventory, policy, also
        self.dropped = meaning(policy.drop)
        self.sees_questions = any("stat" in run.header.sees for run in self.runs)
        """Whether a run was traced that tells what was only asked for."""
        self._search = LibrarySearch(files)

    @cached_property
    def opened(self) -> frozenset[str]:
        """What any run opened."""
        return frozenset().union(*(run.touched.opened for run in self.runs))

    @cached_property
    def opened_packages(self) -> frozenset[str]:
        """The keys of the packages of which a run opened a file that is no record."""
        owners = self.inventory.owners
        return frozenset(owners[path] for path in self.opened - self.records if path in owners)

    @cached_property
    def compiled_sources(self) -> frozenset[str]:
        """The sources that no run opened, but whose compiled file a run did."""
        found = (re.fullmatch(r"((?:.*/)?)__pycache__/([^/.]+)\.[^/]+\.pyc", path) for path in self.opened)
        return frozenset(f"{each[1]}{each[2]}.py" for each in found if each) - self.opened

    @cached_property
    def program_folders(self) -> frozenset[str]:
        """Where a shell looks for programs: the usual folders, and those that a Python is started from."""
        pythons = (e.path for e in self.tree if re.fullmatch(r"(.*/)?bin/python\d?[^/]*", e.path))
        return frozenset((*SEARCHED, *(path.rpartition("/")[0] for path in pythons)))

    @cached_property
    def name_services(self) -> tuple[str, ...]:
        """The modules that `nsswitch.conf` names."""
        path, _ = self.tree.resolve("etc/nsswitch.conf")
        if not path or not self.file(path):
            return ()
        text = self.start(path, 1 << 16).decode("utf-8", "replace")
        rows = (line.partition("#")[0].partition(":")[2] for line in text.splitlines())
        return tuple(dict.fromkeys(word for row in rows for word in re.sub(r"\[[^]]*\]", " ", row).split()))

    @cached_property
    def routes(self) -> dict[str, Route]:
        """Where each link of the tree leads."""
        return {entry.path: route(self.tree, entry.path) for entry in self.tree if entry.kind == "link"}

    @cached_property
    def links_to(self) -> dict[str, tuple[str, ...]]:
        """The links that lead to each path, by that path; the empty path is the root."""
        found: dict[str, list[str]] = {}
        for path, way in self.routes.items():
            if way.end is not None:
                found.setdefault(way.end, []).append(path)
        return {end: tuple(links) for end, links in found.items()}

    @cached_property
    def records(self) -> frozenset[str]:
        """Paths that only tell of a package."""
        return frozenset(path for each in self.inventory.packages.values() for path in each.records)

    def file(self, path: str) -> Entry | None:
        """The regular file of exactly that path."""
        entry = self.tree.get(path)
        return entry if entry is not None and entry.kind == "file" else None

    def directory(self, path: str) -> bool:
        """Whether that path is a directory; the root is one."""
        entry = self.tree.get(path)
        return not path or (entry is not None and entry.kind == "directory")

    def below(self, path: str) -> Iterator[str]:
        """The path, and if it is a directory all below it."""
        waiting = [path]
        while waiting:
            here = waiting.pop()
            if here:
                yield here
            waiting += self.tree.children.get(here, ())

    def start(self, path: str, size: int = FIRST_LINE) -> bytes:
        """The first bytes of a file."""
        with self.files.open(path) as file:
            return file.read(size)

    def elf(self, path: str) -> Elf | None:
        """What the program or library at `path` says of itself; None if it is neither."""
        entry = self.file(path)
        return self._search.elf(path) if entry is not None and entry.size >= SMALLEST_ELF else None

    def libraries(self, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The names that a program or library is linked with, each with its file and the links to it.

        One that the loader's search does not find is looked for in the same package, since a program may load
        it itself before; nothing is told with a name that is nowhere.
        """
        for library in self._search.needed(path):
            if library.path:
                yield library.name, (*library.hops, library.path)
                continue
            owner = self.inventory.owners.get(path)
            beside = self.shared.get(library.name.rpartition("/")[2], ()) if owner else ()
            yield library.name, tuple(each for each in beside if self.inventory.owners.get(each) == owner)

    @cached_property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """Shared libraries by the last name of their paths."""
        found: dict[str, list[str]] = {}
        for entry in self.tree:
            name = entry.path.rpartition("/")[2]
            if ".so" in name and entry.kind == "file":
                found.setdefault(name, []).append(entry.path)
        return {name: tuple(paths) for name, paths in found.items()}


Found = Iterator[tuple[str, Reason]]
Seed = Callable[[Given], Found]
"""A rule that says what is kept from the beginning."""
Growth = Callable[[Given, str], Found]
"""A rule that says what a newly kept path brings along; it is asked once for each."""
