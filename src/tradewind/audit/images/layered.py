"""The layers of an image as one tree, read in place: whiteouts applied, nothing outside its root."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, NoReturn

from msgspec.structs import replace

from tradewind.audit.images.archives import Member
from tradewind.audit.images.folder import numbered
from tradewind.audit.images.limits import Spent
from tradewind.audit.images.regions import Region
from tradewind.audit.trees import MOST_HOPS, Entry, Tree
from tradewind.errors import Misuse

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


class Layered:
    """The files of stacked layers, as the topmost leaves them; see `Files`."""

    def __init__(
        self, tree: Tree, places: dict[str, Region], placed: tuple[frozenset[str], ...], source: str
    ) -> None:
        self.tree = tree
        self._places, self._source = places, source
        self.placed = placed
        """The paths that each layer brings, also those that a layer above replaces or hides."""

    def open(self, path: str) -> BinaryIO:
        """The content of a file; see `Files`."""
        return self._places[path].open()

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """The content of a file; see `Files`."""
        region = self._places[path]
        if region.size > limit:
            raise Misuse(f"has more than {limit:,} bytes", source=self._source, field=path)
        return region.at(0, region.size)

    def region(self, path: str) -> Region:
        """Where the content of a file lies. Misuse if it has holes; KeyError if there is no such file."""
        region = self._places[path]
        if region.stretches is not None:
            raise Misuse("is stored with holes", source=self._source, field=path, fix="Store it without.")
        return region


class Stack:
    """Puts layers on one another, the lowest first."""

    def __init__(self, spent: Spent, source: str) -> None:
        self._spent, self._source = spent, source
        self._entries: dict[str, Entry] = {}
        self._below: dict[str, set[str]] = {"": set()}
        self._places: dict[str, Region] = {}
        self._placed: list[set[str]] = []
        self._files = 0
        self._layer = ""

    def files(self) -> Layered:
        """What the layers come to."""
        groups: dict[int, list[Entry]] = {}
        entries: list[Entry] = []
        for entry in self._entries.values():
            if entry.node:
                groups.setdefault(entry.node, []).append(entry)
            else:
                entries.append(entry)
        tree = Tree(entries + numbered(groups.values()))
        return Layered(tree, self._places, tuple(frozenset(each) for each in self._placed), self._source)

    def add(self, region: Region, members: Iterable[Member], layer: str) -> None:
        """Put a layer on top; `layer` names it in errors."""
        self._layer = layer
        mine: set[str] = set()
        self._placed.append(mine)
        for member in members:
            self._spent.member(member.size, layer)
            path = self._safe(member.name, member.name)
            if not path:
                continue
            directory, _, name = path.rpartition("/")
            if f"/{WHITEOUT}" in f"/{directory}":
                # Only aufs had directories of that name, of its own.
                if not directory.startswith(WHITEOUT + WHITEOUT):
                    self._refuse("is below what only hides", member.name)
                continue
            if name.startswith(WHITEOUT):
                self._whiteout(directory, name, mine, member.name)
                continue
            if len(name) > 255:
                self._refuse("has a name that no file system takes", name[:80])
            directory = self._directory(directory, mine, member.name)
            self._place(f"{directory}/{name}" if directory else name, member, region, mine)

    def _safe(self, name: str, shown: str) -> str:
        """A path below the root, from one as an archive states it."""
        if name.startswith("/"):
            self._refuse("is an absolute path", shown)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            self._refuse("leaves the root", shown)
        return "/".join(parts)

    def _whiteout(self, directory: str, name: str, mine: set[str], shown: str) -> None:
        """What a layer hides of those below it; markers of its own that aufs left mean nothing here."""
        hidden = name[len(WHITEOUT) :]
        if name.startswith(WHITEOUT + WHITEOUT) and name != OPAQUE:
            return
        found = self._resolved(directory, mine, shown)
        if name == OPAQUE:
            for each in list(self._below.get(found, ()) if found is not None else ()):
                self._hide(f"{found}/{each}" if found else each, mine)
        elif hidden in ("", ".", ".."):
            self._refuse("hides what is no name", shown)
        elif found is not None:
            self._hide(f"{found}/{hidden}" if found else hidden, mine)

    def _hide(self, path: str, mine: set[str]) -> None:
        """Remove what lower layers have at a path and below it; what this layer has brought there stays."""
        entry = self._entries.get(path)
        if entry is None:
            return
        for name in list(self._below.get(path, ())):
            self._hide(f"{path}/{name}", mine)
        if path not in mine and not self._below.get(path):
            directory, _, name = path.rpartition("/")
            self._below[directory].discard(name)
            self._below.pop(path, None)
            self._places.pop(path, None)
            del self._entries[path]

    def _directory(self, path: str, mine: set[str], shown: str) -> str:
        """Where the directory of a member really is; made if no member states it."""
        entry = self._entries.get(path) if path else None
        if not path or (entry is not None and entry.kind == "directory"):
            return path
        found = self._resolved(path, mine, shown)
        if found is None:
            self._refuse("goes through a link that leads nowhere, or through a file", shown)
        if found and found not in self._entries:
            self._imply(found, mine)
        return found

    def _imply(self, path: str, mine: set[str]) -> None:
        """A directory that no member states, and those above it."""
        above, _, name = path.rpartition("/")
        if above and above not in self._entries:
            self._imply(above, mine)
        self._entries[path] = Entry(path, "directory", mode=0o755, layer=len(self._placed) - 1)
        self._below[path] = set()
        self._below[above].add(name)

    def _resolved(self, path: str, mine: set[str], shown: str) -> str | None:
        """Where a directory is when links of lower layers are followed inside the root; None if nowhere.

        A link of the same layer is never followed: no tool that reads a tree writes such an archive.
        """
        waiting = list(reversed(path.split("/"))) if path else []
        here, hops = "", 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            where = f"{here}/{part}" if here else part
            entry = self._entries.get(where)
            if entry is not None and entry.kind == "link":
                hops += 1
                if where in mine:
                    self._refuse(f"goes through {where!r}, a link that the layer itself makes", shown)
                if hops > MOST_HOPS:
                    return None
                if entry.target.startswith("/"):
                    here = ""
                waiting += reversed(entry.target.split("/"))
                continue
            if entry is not None and entry.kind != "directory":
                if where in mine:
                    self._refuse(f"goes through {where!r}, which is no directory", shown)
                self._hide(where, mine)
            here = where
        return here

    def _place(self, path: str, member: Member, region: Region, mine: set[str]) -> None:
        old = self._entries.get(path)
        directories = old is not None and old.kind == "directory" and member.kind == "directory"
        if path in mine and not directories:
            self._refuse("is in the layer twice", member.name)
        layer = len(self._placed) - 1
        if member.kind == "hard":
            entry, place = self._hard(path, member, mine)
        else:
            kind = member.kind
            entry = Entry(
                path, kind, member.size, member.mode, member.user, member.group, member.modified,
                member.target, 0, layer, member.attributes,
            )  # fmt: skip
            place = None
            if kind == "file":
                place = Region(region.file, region.start + member.start, member.size, member.stretches)
        if old is not None and not directories:
            self._hide(path, mine)
            if path in self._entries:
                self._refuse("takes the place of a directory in which the layer has files", member.name)
        mine.add(path)
        self._entries[path] = entry
        if place is not None:
            self._places[path] = place
        if entry.kind == "directory":
            self._below.setdefault(path, set())
        if old is None or not directories:
            directory, _, name = path.rpartition("/")
            self._below[directory].add(name)

    def _hard(self, path: str, member: Member, mine: set[str]) -> tuple[Entry, Region | None]:
        """Another name of a file that is there already."""
        stated = self._safe(member.target, f"{member.name} -> {member.target}")
        directory, _, name = stated.rpartition("/")
        found = self._resolved(directory, mine, member.name) if stated else None
        target = f"{found}/{name}" if found else name
        entry = self._entries.get(target) if found is not None else None
        if entry is None or entry.kind == "directory" or target == path:
            self._refuse(f"is a hard link to {member.target!r}, which is no file before it", member.name)
        if entry.kind == "file" and not entry.node:
            self._files += 1
            entry = self._entries[target] = replace(entry, node=self._files)
        return replace(entry, path=path, layer=len(self._placed) - 1), self._places.get(target)

    def _refuse(self, problem: str, field: str) -> NoReturn:
        raise Misuse(
            problem, source=f"{self._source}, {self._layer}" if self._layer else self._source, field=field,
            fix="Do not use it: it was made by a broken tool, or to do harm.",
        )  # fmt: skip
