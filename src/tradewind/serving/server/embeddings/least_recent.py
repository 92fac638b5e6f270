"""Least recently used: whoever was not asked for the longest goes."""

from __future__ import annotations


class LeastRecent:
    """Keeps `capacity` keys; a key's slot, from 0 to `capacity` - 1, stays its own until it goes."""

    name = "least_recent"

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def touch(self, key: int) -> int:
        """The slot of a key that is asked for; -1 if it is not kept."""
        slot = self._slots.pop(key, -1)
        if slot >= 0:
            self._slots[key] = slot  # last, and so the most recent
        return slot

    def admit(self, key: int) -> int:
        """A slot for a key that was not kept; the least recent gives up its own. -1 where none is kept."""
        if len(self._slots) < self._capacity:
            slot = len(self._slots)
        elif self._capacity:
            slot = self._slots.pop(next(iter(self._slots)))
        else:
            return -1
        self._slots[key] = slot
        return slot
