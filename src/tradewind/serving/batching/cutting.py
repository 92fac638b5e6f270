"""How many requests at the head of a queue make one batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice


def fitting(sizes: Sequence[int], largest: int, skip: int = 0) -> int:
    """Requests behind the first `skip` whose rows together are at most `largest`.

    The first of them goes whatever its rows; 0 only where there is none.
    """
    waiting = len(sizes) - skip
    if waiting <= 1:
        return max(waiting, 0)
    rows = taken = 0
    for each in islice(sizes, skip, None):
        rows += each
        if rows > largest and taken:
            break
        taken += 1
        if rows >= largest:
            break
    return taken


def rows_within(sizes: Sequence[int], largest: int) -> int:
    """Rows that wait, counted no further than `largest`."""
    rows = 0
    for each in sizes:
        rows += each
        if rows >= largest:
            return largest
    return rows
