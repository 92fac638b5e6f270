"""Who has been silent for too long: several probes in a row that failed, over a stated time.

One probe that failed says nothing: answers come late on a busy machine, and a recovery for nothing costs more
than the wait.
"""

from __future__ import annotations

LEAST = 3
"""Probes in a row that must have failed, however long they took."""


class Silence:
    """Counts failed probes by name; a name is given up after `bound` seconds of them."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._missed: dict[str, tuple[int, float]] = {}
        """How many failed in a row, and the moment of the first."""

    def heard(self, who: str) -> None:
        """A probe was answered, or nobody cares any more."""
        self._missed.pop(who, None)

    def missed(self, who: str, now: float) -> bool:
        """A probe failed; whether that was one too many."""
        count, since = self._missed.get(who, (0, now))
        self._missed[who] = count + 1, since
        return count + 1 >= LEAST and now - since >= self._bound
