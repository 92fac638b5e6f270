"""Embeddings as a model asks for them: from memory where they are, else from the table, in one round trip.

Tu, Li and Lin (2018) fetch every embedding from the database in every call, and name a local cache as what is
missing. Which cache serves best is measured, on a stream of ids that was seen: `hit_rates`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tradewind.serving.server.embeddings.hot_set import HotSet, most_asked
from tradewind.serving.server.embeddings.least_recent import LeastRecent
from tradewind.serving.server.embeddings.tiny_lfu import TinyLfu

HOT_SET = "hot_set"


class Policy(Protocol):
    """Decides which keys are kept, and in which slot.

    1. `touch` comes for every key that is asked for; `admit` right after it answered -1, if at all.
    2. No two keys that are kept have one slot; slots are from 0 up to the capacity.
    """

    name: str

    def touch(self, key: int) -> int:
        """The slot of a key; -1 if it is not kept."""
        ...

    def admit(self, key: int) -> int:
        """A slot for a key that is not kept; -1 to not keep it."""
        ...


POLICIES: dict[str, Callable[[int], Policy]] = {
    LeastRecent.name: LeastRecent,
    TinyLfu.name: TinyLfu,
}
"""Caches that learn while they serve, by name."""


class Table(Protocol):
    """What is read from; `EmbeddingTable` is one."""

    width: int

    def read(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """The vectors that there are."""
        ...


class CachedEmbeddings:
    """Vectors of `table`, of which up to `capacity` are kept by `policy`, and those of `hot` always are.

    An id that the table has not is all zeros, and that is remembered as a vector is. One thread at a time.
    """

    def __init__(
        self, table: Table, capacity: int, policy: str = TinyLfu.name, hot: HotSet | None = None
    ) -> None:
        self._table, self._hot = table, hot
        self._policy = POLICIES[policy](capacity)
        self._kept = np.zeros((capacity, table.width), np.float32)
        self.asked = self.hits = 0
        """Ids asked for so far, each once a call, and those of them that no request was sent for."""

    @property
    def hit_rate(self) -> float:
        """The share of ids that were in memory; 0 before the first."""
        return self.hits / self.asked if self.asked else 0.0

    def vectors(self, ids: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """The vectors of `ids`, of any shape (...), as (..., width); at most one read of the table."""
        given = np.asarray(ids, np.int64)
        different, places = np.unique(given.ravel(), return_inverse=True)
        found = np.zeros((len(different), self._table.width), np.float32)
        left = np.arange(len(different))
        if self._hot is not None and len(different):
            rows = self._hot.find(different)
            there = rows >= 0
            found[there] = self._hot.vectors[rows[there]]
            left = left[~there]
        missing: list[int] = []
        for at in left.tolist():
            slot = self._policy.touch(int(different[at]))
            if slot >= 0:
                found[at] = self._kept[slot]
            else:
                missing.append(at)
        self.asked += len(different)
        self.hits += len(different) - len(missing)
        if missing:
            read = self._table.read(different[missing].tolist())
            for at in missing:
                key = int(different[at])
                if key in read:
                    found[at] = read[key]
                slot = self._policy.admit(key)
                if slot >= 0:
                    self._kept[slot] = found[at]
        result: NDArray[np.float32] = found[places].reshape(*given.shape, self._table.width)
        return result


def hit_rates(stream: NDArray[np.int64], capacity: int) -> dict[str, float]:
    """How often each kind of cache has what is asked for, in the second half of `stream`, after the first."""
    half = len(stream) // 2
    seen, judged = np.asarray(stream[:half], np.int64), np.asarray(stream[half:], np.int64)
    rates = {}
    for name, made in POLICIES.items():
        policy = made(capacity)
        for key in seen.tolist():
            if policy.touch(key) < 0:
                policy.admit(key)
        hits = 0
        for key in judged.tolist():
            if policy.touch(key) >= 0:
                hits += 1
            else:
                policy.admit(key)
        rates[name] = hits / max(1, len(judged))
    rates[HOT_SET] = float(np.isin(judged, most_asked(seen, capacity)).mean()) if len(judged) else 0.0
    return rates


def best(rates: dict[str, float]) -> str:
    """The kind of cache with the best rate; of equals the first in the order of names."""
    return min(rates, key=lambda name: (-rates[name], name))
