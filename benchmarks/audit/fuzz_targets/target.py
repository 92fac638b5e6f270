"""What is fuzzed: a parser by its name, what it may raise, what must hold of it, and where to begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, NamedTuple

from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse, TradewindError


class Broken(Exception):
    """What must hold of a parser did not."""


class Target(NamedTuple):
    """One parser."""

    name: str
    check: Callable[[bytes], None]
    """Takes the bytes that come from outside; raises Broken where what must hold does not."""
    seeds: Callable[[], list[bytes]]
    """Whole documents to begin with."""
    may_raise: tuple[type[Exception], ...] = (TradewindError,)
    """What its callers catch."""


class InMemory:
    """A tree of files and of links (text that begins with `-> `), by path."""

    def __init__(self, given: Mapping[str, bytes | str]) -> None:
        self.contents = {path: each for path, each in given.items() if isinstance(each, bytes)}
        entries: dict[str, Entry] = {}
        for path, each in given.items():
            if isinstance(each, bytes):
                entries[path] = Entry(path, "file", size=len(each))
            else:
                entries[path] = Entry(path, "link", target=each.removeprefix("-> "))
            while "/" in path:
                path = path.rpartition("/")[0]
                entries.setdefault(path, Entry(path, "directory"))
        self.tree = Tree(entries.values())

    def open(self, path: str) -> BinaryIO:
        """See `Files`."""
        raise KeyError(path)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """See `Files`."""
        content = self.contents[path]
        if len(content) > limit:
            raise Misuse("has too many bytes", source=path)
        return content
