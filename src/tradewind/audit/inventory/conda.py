"""Packages of conda, mamba and pixi: each prefix's `conda-meta` records, and what is left in the cache.

A prefix is any folder with `conda-meta/*.json` in it. The packages' own metadata says what belongs to whom;
hard links between the cache and a prefix are one file, so what is linked counts once.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from tradewind.audit.inventory.categories import category_of
from tradewind.audit.inventory.places import Places, readable
from tradewind.audit.packages import Package, Requirement
from tradewind.audit.trees import Files, Tree
from tradewind.errors import Misuse

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class _Record(Struct):
    """The fields of a conda-meta record that an audit needs."""

    name: str
    version: str
    files: list[str] = []
    depends: list[str] = []
    requested_spec: str | None = None
    requested_specs: list[str] | None = None
    subdir: str = ""
    license: str | None = None
    sha256: str | None = None
    md5: str | None = None


def conda_packages(files: Files, places: Places) -> tuple[list[Package], list[str]]:
    """The packages of all prefixes, in order of their records, and what could not be read, in sentences."""
    found, notes = [], []
    decoder = msgspec.json.Decoder(_Record)
    for path, entry in files.tree.entries.items():
        if not path.endswith(".json") or entry.kind != "file":
            continue
        folder = path.rpartition("/")[0]
        if not ("/" + folder).endswith("/conda-meta"):
            continue
        prefix = folder.removesuffix("conda-meta").rstrip("/")
        try:
            record = decoder.decode(files.read(path))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Misuse) as problem:
            notes.append(f"{path} is no readable record of conda ({problem}): its package is not told")
            continue
        claimed = places.files(f"{prefix}/{each}" if prefix else each for each in record.files)
        hashes = (("sha256", record.sha256), ("md5", record.md5))
        found.append(
            Package(
                manager="conda",
                name=record.name.lower(),
                version=record.version,
                files=tuple(sorted(claimed | {path})),
                records=tuple(sorted({path, *(each for each in claimed if "/share/doc/" in each)})),
                requires=tuple(
                    Requirement(alternatives=(asked[0].lower(),))
                    for spec in record.depends
                    # Names that begin with two underscores are the machine's own: __glibc, __cuda.
                    if (asked := _NAME.match(spec.rpartition("::")[2])) and not asked[0].startswith("__")
                ),
                category=category_of("conda", record.name.lower()),
                asked_for=bool(record.requested_spec or record.requested_specs),
                architecture=record.subdir,
                summary="",
                license=readable(record.license or ""),
                folder=prefix,
                hashes=tuple((method, value) for method, value in hashes if value),
            )
        )
    notes += _caches(files.tree)
    return found, notes


def _caches(tree: Tree) -> list[str]:
    """What the package caches hold beside what their prefixes link to."""
    notes = []
    for path in tree.entries:
        if path.rpartition("/")[2] != "urls.txt" or not ("/" + path).endswith("/pkgs/urls.txt"):
            continue
        cache = path.rpartition("/")[0]
        inside = [p for p, e in tree.entries.items() if p.startswith(cache + "/") and e.kind == "file"]
        linked = {p for p in inside if any(not n.startswith(cache + "/") for n in _names(tree, p))}
        left = tree.bytes_of(p for p in inside if p not in linked)
        notes.append(
            f"{cache} is conda's cache of packages: {left} bytes of it are linked into no environment"
        )
    return notes


def _names(tree: Tree, path: str) -> tuple[str, ...]:
    node = tree.entries[path].node
    return tree.names[node] if node else (path,)
