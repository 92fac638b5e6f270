"""The vectors asked for most, in files that all processes map and none writes: one copy in memory for all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Corrupt, Misuse

_IDS, _VECTORS = "ids.npy", "vectors.npy"


class HotSet:
    """Ids, ascending, and their vectors (n, width), read-only. Nothing is learned after it was written."""

    def __init__(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        self.ids, self.vectors = ids, vectors

    @classmethod
    def open(cls, folder: Path) -> HotSet:
        """Map the files of a folder; Misuse where they are not there, Corrupt where they do not fit."""
        try:
            ids = np.load(folder / _IDS, mmap_mode="r", allow_pickle=False)
            vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise Misuse("there is no hot set here", source=str(folder), fix="Write one first.") from None
        except ValueError as problem:
            raise Corrupt(f"{folder}: {problem}") from None
        fits = ids.ndim == 1 and vectors.ndim == 2 and len(ids) == len(vectors)
        if not fits or ids.dtype != np.int64 or vectors.dtype != np.float32 or not (ids[1:] > ids[:-1]).all():
            raise Corrupt(f"{folder}: these are no ids, ascending, with a vector each")
        return cls(ids, vectors)

    def find(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each id; -1 for one that is not there."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[places] == ids, places, -1).astype(np.int64)


def write_hot_set(folder: Path, ids: Iterable[int], vectors: NDArray[np.float32]) -> None:
    """Write the files of a hot set to a new folder, whole or not at all. Misuse where the folder is there."""
    if folder.exists():
        raise Misuse("is there already", source=str(folder), fix="Write to a new folder, then switch to it.")
    keys = np.array([int(each) for each in ids], np.int64)
    order = np.argsort(keys, kind="stable")
    folder.parent.mkdir(parents=True, exist_ok=True)
    coming = Path(tempfile.mkdtemp(prefix=".coming-", dir=folder.parent))
    for name, array in ((_IDS, keys[order]), (_VECTORS, np.asarray(vectors, np.float32)[order])):
        with open(coming / name, "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
    os.rename(coming, folder)


def most_asked(stream: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The `capacity` ids that come most often in a stream, ascending; of equals the lower id."""
    ids, counts = np.unique(stream, return_counts=True)
    return np.sort(ids[np.lexsort((ids, -counts))[:capacity]]).astype(np.int64)
