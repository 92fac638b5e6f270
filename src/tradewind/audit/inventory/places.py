"""Where a path that a package manager wrote down lies in a tree, and the text of a small file there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from tradewind.audit.trees import Files, Tree
from tradewind.errors import Misuse

MOST_TEXT = 64 << 20
"""Bytes of a manager's record that are read at most; a larger one counts as damaged."""


class Places:
    """Finds the entries that paths mean whose folders may be links, as `/bin` is in a merged system."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._folders: dict[str, str | None] = {}

    def entry(self, path: str) -> str | None:
        """The path in the tree that `path` means, links followed but for the last name; None if absent.

        `path` may begin with `/` and may hold `.` and `..`.
        """
        if path in self.tree:
            return path
        path = posixpath.normpath("/" + path).lstrip("/")
        if path in self.tree:
            return path
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self.tree.resolve(folder)[0]
        where = self._folders[folder]
        if where is None:
            return None
        found = f"{where}/{name}" if where else name
        return found if found in self.tree else None

    def files(self, paths: Iterable[str]) -> set[str]:
        """Which entries `paths` mean, those that exist and are no directories."""
        entries = self.tree.entries
        found = set()
        for path in paths:
            where = path if path in entries else self.entry(path)
            if where and entries[where].kind != "directory":
                found.add(where)
        return found


def below(tree: Tree, folder: str) -> tuple[str, ...]:
    """The paths right below the directory that `folder` leads to, in order; none if there is none."""
    where, _ = tree.resolve(folder)
    return tree.children.get(where, ()) if where is not None else ()


def text_of(files: Files, path: str, limit: int = MOST_TEXT) -> str | None:
    """The text of the file that `path` leads to; None if there is none, or it has more than `limit` bytes.

    What is no UTF-8 is kept as Python keeps odd names of files (surrogate escapes).
    """
    where, _ = files.tree.resolve(path)
    entry = files.tree.get(where) if where is not None else None
    if where is None or entry is None or entry.kind != "file":
        return None
    try:
        return files.read(where, limit).decode("utf-8", "surrogateescape")
    except Misuse:
        return None


def readable(text: str) -> str:
    """`text` without what no report can show: surrogate escapes become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
