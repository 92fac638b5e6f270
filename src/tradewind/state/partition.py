"""Which server holds which rows: fixed partitions, and a versioned table of who owns them.

Every table is cut into the same number of partitions, which never changes: a dense table by ranges of rows,
a sparse one by a hash of the row. Servers own sets of partitions, so that more or fewer servers move whole
partitions and never re-hash (AgileML: Harlap et al., EuroSys 2017, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Misuse

PARTITIONS = 32
"""The usual number of partitions: the most servers that a job can ever use."""


class Routing(Struct, frozen=True):
    """Who owns which partition."""

    version: int
    """Raised by every change of owners."""
    owners: tuple[int, ...]
    """The server of each partition, by its number."""

    @property
    def servers(self) -> int:
        """How many servers there are."""
        return max(self.owners) + 1

    def owned(self, server: int) -> tuple[int, ...]:
        """The partitions of that server, ascending."""
        return tuple(p for p, owner in enumerate(self.owners) if owner == server)


def even_routing(servers: int, partitions: int = PARTITIONS, version: int = 0) -> Routing:
    """Runs of neighbouring partitions, as even as can be; Misuse for more servers than partitions."""
    if not 1 <= servers <= partitions:
        raise Misuse(
            f"{servers} servers cannot own {partitions} partitions",
            field="servers",
            fix=f"Give 1 to {partitions} servers.",
        )
    return Routing(version, tuple(p * servers // partitions for p in range(partitions)))


def routing_of(owned: Sequence[Sequence[int]], partitions: int, version: int) -> Routing:
    """The routing of servers that say what they own; Misuse if a partition is nobody's."""
    owners = [-1] * partitions
    for server, mine in enumerate(owned):
        for partition in mine:
            owners[partition] = server
    if -1 in owners:
        raise Misuse("no server holds some partitions", field="channels", fix="Give channels to all servers.")
    return Routing(version, tuple(owners))


def range_bounds(rows: int, partitions: int) -> NDArray[np.int64]:
    """Where each partition of a dense table of `rows` rows begins, and the end: shape (partitions + 1,)."""
    return np.arange(partitions + 1, dtype=np.int64) * rows // partitions


def share_of(whole: NDArray[Any], partitions: int, owned: Sequence[int]) -> NDArray[Any]:
    """Of all rows of a dense table, those of the partitions that are owned, partition after partition."""
    bounds = range_bounds(len(whole), partitions)
    runs = [whole[bounds[p] : bounds[p + 1]] for p in owned]
    return np.concatenate(runs) if runs else whole[:0]


@njit(cache=True, nogil=True)
def _first_outside(rows: Any, count: Any) -> Any:
    for i in range(rows.shape[0]):
        if rows[i] < 0 or rows[i] >= count:
            return i
    return -1


def check_rows(rows: NDArray[np.int64], count: int, key: str) -> None:
    """Misuse, naming the table `key`, unless all `rows` lie from 0 to `count` - 1."""
    at = _first_outside(rows, count)
    if at >= 0:
        raise Misuse(
            f"no row {rows[at]} in a table of {count}",
            source=key,
            field="rows",
            fix=f"Give rows from 0 to {count - 1}.",
        )


@njit(cache=True, nogil=True)
def _hash_partitions(rows: Any, partitions: int, out: Any) -> None:
    for i in range(rows.shape[0]):
        # the finaliser of splitmix64: neighbouring rows spread evenly
        x = np.uint64(rows[i])
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
        out[i] = x % np.uint64(partitions)


def partitions_of(rows: NDArray[np.int64], count: int, partitions: int, sparse: bool) -> NDArray[np.int64]:
    """The partition of each of `rows` of a table of `count` rows."""
    if sparse:
        out = np.empty(len(rows), np.int64)
        _hash_partitions(rows, partitions, out)
        return out
    bounds = range_bounds(count, partitions)
    return np.searchsorted(bounds, rows, side="right").astype(np.int64) - 1
