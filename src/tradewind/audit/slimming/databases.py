"""The files that we add to a slim image: what of the package database still is true, and a note.

A `RECORD` and a list of dpkg stay as they were, naming removed files too: they are signed or hashed, and tell
what was installed. What of it is there is told by the note and by the bill of materials beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.policy import Policy, meaning
from tradewind.audit.trees import Files

STATUS = "var/lib/dpkg/status"
FOLDER = "usr/share/tradewind"
"""Where in a slim image our own files are."""
NOTE = f"{FOLDER}/slimmed.json"
MOST_STATUS = 256 << 20
"""Bytes of a status database that is read at most."""


def keeping(inventory: Inventory, paths: Iterable[str]) -> dict[str, int]:
    """The packages that own at least one of `paths` that is more than a record, with the number of such
    files.
    """
    records = {path for package in inventory.packages.values() for path in package.records}
    found: dict[str, int] = {}
    for path in paths:
        owner = inventory.owners.get(path)
        entry = inventory.tree.get(path)
        if owner is not None and path not in records and entry is not None and entry.kind != "directory":
            found[owner] = found.get(owner, 0) + 1
    return dict(sorted(found.items()))


def kept_files(closure: Closure) -> set[str]:
    """The original's paths whose content is in the slim image, those that were moved among them."""
    return {*closure.kept, *closure.moved.values()}


def made_files(
    files: Files,
    inventory: Inventory,
    closure: Closure,
    policy: Policy | None = None,
    *,
    digest: str = "",
    extra: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The files to add to the slim image, by path: the filtered status of dpkg, the note, and `extra`.

    `extra` goes below `usr/share/tradewind/` under its own names: a bill of materials, for one. `digest` is
    the original tree's. A path that is kept as it was, or that the policy drops, is not among them.
    """
    policy = policy or Policy()
    there = keeping(inventory, kept_files(closure))
    made: dict[str, bytes] = {}
    if policy.databases and (status := filtered_status(files, inventory, there)) is not None:
        made[STATUS] = status
    note = _note(inventory, closure, there, digest)
    made[NOTE] = json.dumps(note, indent=1).encode() + b"\n"
    made |= {f"{FOLDER}/{name}": content for name, content in (extra or {}).items()}
    dropped = meaning(policy.drop)
    return {path: made[path] for path in sorted(made) if path not in closure.kept and not dropped(path)}


def filtered_status(files: Files, inventory: Inventory, there: Iterable[str]) -> bytes | None:
    """The paragraphs of dpkg's status database, as they are written, of the packages in `there`.

    None where the tree has no such file of its own.
    """
    entry = files.tree.get(STATUS)
    if entry is None or entry.kind != "file":
        return None
    packages = [inventory.packages[key] for key in there]
    wanted = {(each.name, each.architecture) for each in packages if each.manager == "apt"}
    kept = []
    for paragraph in re.split(rb"\n[ \t]*\n", files.read(STATUS, MOST_STATUS)):
        name, architecture = _field(paragraph, b"Package").lower(), _field(paragraph, b"Architecture")
        if (name, architecture) in wanted:
            kept.append(paragraph.strip(b"\n") + b"\n\n")
    return b"".join(kept)


def _field(paragraph: bytes, name: bytes) -> str:
    found = re.search(rb"^" + name + rb":[ \t]*([^\n]*)", paragraph, re.MULTILINE)
    return found[1].decode("utf-8", "replace").strip() if found else ""


def _note(inventory: Inventory, closure: Closure, there: Mapping[str, int], digest: str) -> dict[str, Any]:
    """What was done to the image, for whoever finds it without the rest."""
    removed = [package for key, package in inventory.packages.items() if key not in there]
    return {
        "format": "tradewind-slimmed-1",
        "meaning": "Files were removed from this image. RECORD files and lists of dpkg tell what was "
        "installed; of the packages below, `files` counts what of it is here.",
        "original": {"digest": digest, "bytes": inventory.tree.bytes, "entries": len(inventory.tree)},
        "kept": {"bytes": closure.kept.bytes, "removed_files": len(closure.removed)},
        "packages": [
            {
                "package": key,
                "version": inventory.packages[key].version,
                "files": count,
                "of": len(set(inventory.owned[key]) - set(inventory.packages[key].records)),
            }
            for key, count in there.items()
        ],
        "removed_packages": [{"package": each.key, "version": each.version} for each in removed],
        "placeholders": sorted(closure.placeholders),
        "moved": closure.moved,
    }
