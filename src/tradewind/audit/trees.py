"""A tree of files as a value: its entries, its bytes with hard links counted once, its links resolved.

All paths are relative to the root of the tree, with `/` between names and neither `/` in front nor `.` or
`..` in them; the root itself is the empty path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import BinaryIO, Literal, Protocol

from msgspec import Struct

Kind = Literal["file", "directory", "link", "device", "pipe", "socket"]
MOST_HOPS = 40
"""Links that are followed for one path before it counts as going in circles; Linux's own limit."""


class Entry(Struct, frozen=True, gc=False):
    """One name in a tree."""

    path: str
    kind: Kind
    size: int = 0
    """Bytes of a file's content; 0 for whatever is no file."""
    mode: int = 0o644
    """Permission bits, with the set-uid, set-gid and sticky bits."""
    user: int = 0
    group: int = 0
    modified: float = 0.0
    """When the content was last changed, seconds since the epoch."""
    target: str = ""
    """Where a symbolic link points to, as it is written."""
    node: int = 0
    """Equal for the names of one file (its hard links), different for others; 0 for a file of one name."""
    layer: int = 0
    """The number of the layer that the entry comes from, the lowest being 0; 0 in a plain directory."""
    attributes: tuple[tuple[str, bytes], ...] = ()
    """Extended attributes, file capabilities among them."""


class Tree:
    """The entries below one root, by path, in order.

    Raises ValueError for a path that is given twice or that leaves the root.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: dict[str, Entry] = {}
        for entry in sorted(entries, key=lambda each: each.path):
            if entry.path in self.entries:
                raise ValueError(f"{entry.path!r} is in the tree twice")
            if entry.path.startswith("/") or any(part in ("", ".", "..") for part in entry.path.split("/")):
                raise ValueError(f"{entry.path!r} is no path below a root")
            self.entries[entry.path] = entry

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __contains__(self, path: object) -> bool:
        return path in self.entries

    def get(self, path: str) -> Entry | None:
        """The entry of exactly that path; no link is followed."""
        return self.entries.get(path)

    @cached_property
    def bytes(self) -> int:
        """Bytes of all files, each counted once however many names it has."""
        return self.bytes_of(self.entries)

    def bytes_of(self, paths: Iterable[str]) -> int:
        """Bytes of the files among `paths`, each counted once however many of its names are given."""
        nodes: set[int] = set()
        total = 0
        for path in paths:
            entry = self.entries.get(path)
            if entry is None or entry.kind != "file" or entry.node in nodes:
                continue
            if entry.node:
                nodes.add(entry.node)
            total += entry.size
        return total

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """The paths right below each directory, in order."""
        found: dict[str, list[str]] = {"": []}
        for path, entry in self.entries.items():
            if entry.kind == "directory":
                found.setdefault(path, [])
            found.setdefault(path.rpartition("/")[0], []).append(path)
        return {path: tuple(below) for path, below in found.items()}

    @cached_property
    def names(self) -> dict[int, tuple[str, ...]]:
        """The names of each file that has several, by `node`."""
        found: dict[int, list[str]] = {}
        for entry in self:
            if entry.node:
                found.setdefault(entry.node, []).append(entry.path)
        return {node: tuple(paths) for node, paths in found.items()}

    def resolve(self, path: str) -> tuple[str | None, tuple[str, ...]]:
        """Where `path` leads when the root is `/`, and every link on the way, in the order of following.

        `path` may be absolute and may hold `.` and `..`. The first is None if something on the way is
        missing, is no directory, or goes in circles; the links passed until then are told all the same.
        """
        hops: list[str] = []
        waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        here: list[str] = []
        while waiting:
            part = waiting.pop()
            if part == "..":
                here = here[:-1]
                continue
            where = "/".join([*here, part])
            entry = self.entries.get(where)
            if entry is None:
                return None, tuple(hops)
            if entry.kind == "link":
                hops.append(where)
                if len(hops) > MOST_HOPS:
                    return None, tuple(hops)
                if entry.target.startswith("/"):
                    here = []
                waiting += [each for each in reversed(entry.target.split("/")) if each not in ("", ".")]
                continue
            if waiting and entry.kind != "directory":
                return None, tuple(hops)
            here.append(part)
        return "/".join(here), tuple(hops)

    def only(self, paths: Iterable[str]) -> Tree:
        """The tree of these paths and of the directories above them."""
        kept: set[str] = set()
        for path in paths:
            while path and path not in kept:
                kept.add(path)
                path = path.rpartition("/")[0]
        return Tree(self.entries[path] for path in kept if path in self.entries)


class Files(Protocol):
    """A tree together with the content of its files: a directory, or an image read in place."""

    @property
    def tree(self) -> Tree:
        """What there is."""
        ...

    def open(self, path: str) -> BinaryIO:
        """The content of the file at `path`, which must be a file of the tree; no link is followed.

        Raises KeyError if the tree has no such file.
        """
        ...

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """The content of the file at `path`; Misuse, naming it, if it has more than `limit` bytes."""
        ...
