"""The two halves of an image as trees that can be read: what is slim, and the side-car with all the rest.

The side-car laid over the slim half gives the original exactly; the slim half over the side-car gives every
path of the original, with the slim half's own package database and placeholders in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import BinaryIO

from msgspec.structs import replace

from tradewind.audit.slimming.closure import Closure
from tradewind.audit.trees import Entry, Files, Tree
from tradewind.errors import Misuse


class Half:
    """A part of an image's files, together with files of our own: it reads like any other tree of files."""

    def __init__(
        self,
        files: Files,
        paths: Iterable[str],
        *,
        moved: Mapping[str, str] | None = None,
        made: Mapping[str, bytes] | None = None,
        made_entries: Iterable[Entry] = (),
    ) -> None:
        self._files, self._moved, self._made = files, dict(moved or {}), dict(made or {})
        entries = dict(files.tree.only({*paths, *(_folder(path) for path in self._moved)}).entries)
        for new, old in self._moved.items():
            entries[new] = replace(files.tree.entries[old], path=new, node=0)
        for entry in made_entries:
            entries[entry.path] = entry
            folder = _folder(entry.path)
            while folder and folder not in entries:
                known = files.tree.get(folder)
                made_folder = Entry(folder, "directory", mode=0o755, layer=entry.layer)
                entries[folder] = known if known is not None and known.kind == "directory" else made_folder
                folder = _folder(folder)
        self.tree = Tree(entries.values())
        self.made = frozenset(self._made)
        """Paths whose content is not the original's."""

    def open(self, path: str) -> BinaryIO:
        """The content of the file at `path`; KeyError if this half has no such file."""
        entry = self.tree.entries[path]
        if entry.kind != "file":
            raise KeyError(path)
        if path in self._made:
            return BytesIO(self._made[path])
        return self._files.open(self._moved.get(path, path))

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """The content of the file at `path`; Misuse, naming it, if it has more than `limit` bytes."""
        if path not in self._made:
            entry = self.tree.entries[path]
            if entry.kind != "file":
                raise KeyError(path)
            return self._files.read(self._moved.get(path, path), limit)
        if len(self._made[path]) > limit:
            raise Misuse(
                f"has {len(self._made[path]):,} bytes, more than {limit:,}",
                source=path,
                fix="Read it in parts with open().",
            )
        return self._made[path]


def slim_half(files: Files, closure: Closure, made: Mapping[str, bytes] | None = None) -> Half:
    """What is kept, the placeholders, what was moved, and `made`, which is of a layer above all others.

    Raises Misuse for a made path that lies where the original has something else than a file or nothing.
    """
    made = made or {}
    tree = files.tree
    above = max((entry.layer for entry in tree), default=-1) + 1
    entries: list[Entry] = []
    for path in closure.placeholders:
        entries.append(replace(tree.entries[path], size=0, node=0, attributes=()))
    newest = max((entry.modified for entry in tree), default=0.0)
    for path, content in made.items():
        there = tree.get(path)
        way = tree.resolve(path)[0] if there is None else path
        if (there is not None and there.kind != "file") or (way is not None and way != path):
            raise Misuse(
                "the image has something else than a file there",
                source=path,
                fix="Give the made file another path.",
            )
        entry = there if there is not None else Entry(path, "file", mode=0o644, modified=newest)
        entries.append(replace(entry, size=len(content), node=0, layer=above))
    contents = {**dict.fromkeys(closure.placeholders, b""), **made}
    return Half(files, closure.kept, moved=closure.moved, made=contents, made_entries=entries)


def side_car(files: Files, closure: Closure) -> Half:
    """All that the slim half does not hold as it was: with it the original is whole again."""
    empty = (path for path in files.tree.entries if files.tree.entries[path].kind == "directory")
    kept = closure.kept.tree.only(closure.kept)
    return Half(files, {*closure.removed, *(path for path in empty if path not in kept)})


def whiteouts(files: Files, slim: Half) -> tuple[str, ...]:
    """The paths of the slim half that the original has not: the side-car hides them when it lies on top."""
    added = [path for path in slim.tree.entries if path not in files.tree]
    return tuple(path for path in added if _folder(path) in files.tree or not _folder(path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
