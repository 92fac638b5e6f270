"""Copies of snapshots in an object store, for the day on which the disk that they lie on is gone.

A snapshot's two files go under its own name, the header last: one without a header is unfinished, and is not
seen. What is brought back is checked like any other snapshot.
"""

from __future__ import annotations

from pathlib import Path

from tradewind.data.durable_files import creating_directory, write_durably
from tradewind.data.model_files.layout import read_snapshot
from tradewind.data.object_store import ObjectStore
from tradewind.errors import Corrupt

HEADER = "state.json"
"""The file of a snapshot that makes its copy whole."""


def back_up(snapshot: Path, store: ObjectStore, keep: int = 2) -> None:
    """Copy the snapshot in a directory to the store, then remove all but the newest `keep` there."""
    files = sorted((each for each in snapshot.iterdir()), key=lambda each: each.name == HEADER)
    for file in files:
        store.put(f"{snapshot.name}/{file.name}", file.read_bytes())
    names = _whole(store)
    old = set(names[: max(0, len(names) - keep)])
    for key in sorted(store.list(), key=lambda each: not each.endswith(f"/{HEADER}")):
        if key.partition("/")[0] in old:
            store.delete(key)  # the header first: what is being removed is not whole any more


def bring_back(store: ObjectStore, root: Path) -> Path | None:
    """Put the newest whole copy under `root` as a snapshot; where it lies, None if the store has none.

    Raises Corrupt if there are copies and none of them is whole.
    """
    damaged = []
    for name in reversed(_whole(store)):
        keys = [key for key in store.list(f"{name}/") if key.partition("/")[0] == name]
        target = root / name
        try:
            with creating_directory(target) as partial:
                for key in keys:
                    write_durably(partial / key.rpartition("/")[2], store.get(key))
                read_snapshot(partial)
        except (Corrupt, KeyError) as problem:
            damaged.append(f"{name}: {problem}")
        else:
            return target
    if damaged:
        raise Corrupt("; ".join(damaged))
    return None


def _whole(store: ObjectStore) -> list[str]:
    """The names of the copies that have a header, oldest first."""
    names = [key.removesuffix(f"/{HEADER}") for key in store.list() if key.endswith(f"/{HEADER}")]
    return sorted((each for each in names if each.startswith("snapshot-")), key=_order)


def _order(name: str) -> tuple[str, int]:
    first, _, again = name.partition(".")
    return first, int(again or 0)
