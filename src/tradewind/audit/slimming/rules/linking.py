"""Links of both kinds: what points to a kept path, what a kept link points to, other names of a kept file."""

from __future__ import annotations

from tradewind.audit.slimming.given import Found, Given
from tradewind.audit.slimming.kept import Reason


def links(given: Given, path: str) -> Found:
    """Every link that leads to a path that is there, to a directory too.

    `lib64` is a link in most images and the loader's path goes through it: without the link no program
    starts.
    """
    for link in given.links_to.get(path, ()):
        yield link, Reason("link", path)


def targets(given: Given, path: str) -> Found:
    """Where a kept link leads, with the links and the directories on its way, so that it never dangles
    anew.
    """
    way = given.routes.get(path)
    if way is None or way.end is None:
        return
    for passed in (*way.links, *way.directories, way.end):
        if passed not in ("", path):
            yield passed, Reason("link target", path)


def hard_links(given: Given, path: str) -> Found:
    """The other names of a kept file: they cost nothing, and apart they would be two files."""
    entry = given.file(path)
    if entry is not None and entry.node:
        for name in given.tree.names[entry.node]:
            if name != path:
                yield name, Reason("hard link", path)
