"""The way from a symbolic link to where it leads: the links and directories that it passes."""

from __future__ import annotations

from msgspec import Struct

from tradewind.audit.trees import MOST_HOPS, Tree


class Route(Struct, frozen=True, gc=False):
    """Where a link leads inside the tree."""

    end: str | None
    """The path that it resolves to, the empty one being the root; None if it dangles or goes in circles."""
    links: tuple[str, ...]
    """All links followed, itself first."""
    directories: tuple[str, ...]
    """Directories entered on the way, also those left again by `..`; each must be there for the link to lead
    on.
    """


def route(tree: Tree, link: str) -> Route:
    """The way of the link at `link`."""
    waiting = list(reversed(link.split("/")))
    links: list[str] = []
    directories: list[str] = []
    here: list[str] = []
    while waiting:
        part = waiting.pop()
        if part == "..":
            here = here[:-1]
            continue
        where = "/".join([*here, part])
        entry = tree.get(where)
        if entry is None:
            return Route(None, tuple(links), tuple(directories))
        if entry.kind == "link":
            links.append(where)
            if len(links) > MOST_HOPS:
                return Route(None, tuple(dict.fromkeys(links)), tuple(dict.fromkeys(directories)))
            if entry.target.startswith("/"):
                here = []
            waiting += [each for each in reversed(entry.target.split("/")) if each not in ("", ".")]
            continue
        if entry.kind == "directory":
            directories.append(where)
        elif waiting:
            return Route(None, tuple(links), tuple(directories))
        here.append(part)
    return Route("/".join(here), tuple(links), tuple(directories))
