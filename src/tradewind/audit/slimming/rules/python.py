"""What CPython needs beside the modules that a run opened: sources of compiled ones, and its landmarks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tradewind.audit.slimming.given import Found, Given
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.rules.touching import CACHED

LIBRARY = re.compile(r"(?:.*/)?lib(?:32|64)?/(?:python|pypy)\d+\.\d+t?")
PROGRAM = re.compile(r"(?P<prefix>(?:.*/)?)bin/(?:python|pypy)(?P<version>\d+\.\d+t?)?\d*")
EMBEDDED = re.compile(
    r"(?P<prefix>(?:.*/)?)lib(?:32|64)?/(?:[^/]+/)?libpython(?P<version>\d+\.\d+t?)\.so[.\d]*"
)


def sources(given: Given, path: str) -> Found:
    """The source of a kept compiled module, unless the policy says `sourceless`.

    A file in `__pycache__` counts only while its source is there, with the size and time that it was made
    from.
    """
    found = CACHED.fullmatch(path.replace(".opt-1.", ".").replace(".opt-2.", "."))
    if found and given.policy.sources == "keep":
        source = f"{found['folder']}{found['module']}.py"
        if given.file(source):
            yield source, Reason("source", path)


def landmarks(given: Given, path: str) -> Found:
    """What CPython looks for to learn where it is installed; it opens none of it.

    `os` is a frozen module, so nothing opens `lib/python3.11/os.py`, but without it and `lib-dynload` the
    interpreter says "Could not find platform independent libraries". In a virtual environment the landmark is
    `pyvenv.cfg`. Folders of site packages are kept, empty or not: missing ones fall out of `sys.path`.
    """
    if LIBRARY.fullmatch(path) and given.directory(path):
        folders = [path]
    elif found := PROGRAM.fullmatch(path) or EMBEDDED.fullmatch(path):
        home, version = found["prefix"], found["version"] or "*"
        folders = [
            folder
            for library in (f"{home}lib", f"{home}lib64")
            for folder in given.tree.children.get(library, ())
            if LIBRARY.fullmatch(folder) and version in ("*", re.sub(r".*/[a-z]+", "", folder))
        ]
        if f"{home}pyvenv.cfg" in given.tree:
            yield f"{home}pyvenv.cfg", Reason("landmark", path)
    else:
        return
    for folder in folders:
        names = ("os.py", "lib-dynload", "site-packages", "dist-packages", "../python3/dist-packages")
        for name in names:
            end, hops = given.tree.resolve(f"{folder}/{name}")
            if end:
                for each in (*hops, end):
                    yield each, Reason("landmark", path)


def moved(given: Given, kept: Mapping[str, Reason]) -> dict[str, str]:
    """Under `sourceless`, where compiled files go: the new paths with the old ones, none of whose sources is
    kept.

    A module that was compiled for several interpreters keeps its source, since one file cannot serve both.
    """
    if given.policy.sources != "sourceless":
        return {}
    compiled: dict[str, list[str]] = {}
    for path in kept:
        if found := CACHED.fullmatch(path):
            compiled.setdefault(f"{found['folder']}{found['module']}.py", []).append(path)
    return {
        f"{source}c": paths[0]
        for source, paths in sorted(compiled.items())
        if len(paths) == 1
        and source not in kept
        and given.file(source)
        and f"{source}c" not in given.tree
        and not given.links_to.get(paths[0])
        and not given.tree.entries[paths[0]].node
    }
