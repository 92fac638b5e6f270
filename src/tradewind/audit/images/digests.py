"""Digests of files, and one digest of a whole tree that does not depend on where or when it was written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tradewind.audit.images.regions import CHUNK
from tradewind.audit.trees import Files


def file_digests(
    files: Files,
    paths: Iterable[str] | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, str]:
    """The SHA-256, in hexadecimal, of each file among `paths` (of all files without), by path.

    A file of several names is read once. `progress` is told of bytes as they are read, by any of the threads,
    of which there are `workers`, else as many as processors. Misuse for a file that cannot be read.
    """
    tree = files.tree
    wanted = [entry for entry in tree if entry.kind == "file"] if paths is None else [
        entry for path in paths if (entry := tree.get(path)) is not None and entry.kind == "file"
    ]  # fmt: skip
    first: dict[int, str] = {}
    to_read = [
        entry for entry in wanted if not entry.node or first.setdefault(entry.node, entry.path) == entry.path
    ]

    def digest(path: str) -> str:
        found = hashlib.sha256()
        with files.open(path) as file:
            while piece := file.read(CHUNK):
                found.update(piece)
                if progress is not None:
                    progress(len(piece))
        return found.hexdigest()

    # A few at a time: handing over one small file costs more than reading it.
    to_read.sort(key=lambda entry: (-entry.size, entry.path))
    count = workers or os.cpu_count() or 1
    large = [[entry.path] for entry in to_read if entry.size >= CHUNK]
    small = [entry.path for entry in to_read if entry.size < CHUNK]
    parts = large + [small[at : at + 64] for at in range(0, len(small), 64)]
    with ThreadPoolExecutor(count) as pool:
        done = pool.map(lambda part: [(path, digest(path)) for path in part], parts)
        found = dict(pair for part in done for pair in part)
    return {entry.path: found[first[entry.node] if entry.node else entry.path] for entry in wanted}


def tree_digest(files: Files, contents: dict[str, str] | None = None, *, workers: int | None = None) -> str:
    """The digest of a tree, as `sha256:` and hexadecimal.

    It covers the path, kind, mode, size, target and content of each entry. Times, owners, extended
    attributes, layers, and which names share one file are left out: a copy made by somebody who is not root
    has the same digest. `contents` are the files' digests where they are known already.
    """
    contents = file_digests(files, workers=workers) if contents is None else contents
    total = hashlib.sha256(b"tradewind-tree-1\0")
    for entry in sorted(files.tree, key=lambda each: os.fsencode(each.path)):
        # Links have no mode of their own everywhere; no field can hold a zero byte.
        mode = "" if entry.kind == "link" else f"{entry.mode:o}"
        content = contents[entry.path] if entry.kind == "file" else ""
        for field in (entry.path, entry.kind, mode, str(entry.size), entry.target, content):
            total.update(os.fsencode(field) + b"\0")
    return "sha256:" + total.hexdigest()
