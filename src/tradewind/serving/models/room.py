"""The accounts of a limited memory: what is charged for what, what is in use, and what would go first."""

from __future__ import annotations

from msgspec import Struct


class _Entry(Struct):
    size: int
    uses: int
    touched: int
    leaving: bool = False


class Room:
    """Bytes under a limit, charged to numbered entries; pure accounting, nothing is freed here.

    1. What is charged is never below zero, and never above the limit.
    2. An entry in use, or that is leaving already, is never proposed to go.
    3. Entries are proposed in the order of their last use, the oldest first, and no more than are needed.
    """

    def __init__(self, limit: int) -> None:
        """`limit` in bytes, at least 0."""
        if limit < 0:
            raise ValueError(f"a limit of {limit} bytes")
        self.limit = limit
        self.charged = 0
        self._entries: dict[int, _Entry] = {}
        self._next = 0
        self._moment = 0

    @property
    def free(self) -> int:
        """Bytes that are charged to nobody."""
        return self.limit - self.charged

    def victims(self, size: int) -> tuple[int, ...] | None:
        """The entries that must go so that `size` bytes are free; None where that cannot be had now."""
        found, got = [], self.free
        if got < size:
            idle = [n for n, each in self._entries.items() if not each.uses and not each.leaving]
            for number in sorted(idle, key=lambda n: self._entries[n].touched):
                found.append(number)
                got += self._entries[number].size
                if got >= size:
                    break
        return tuple(found) if got >= size else None

    def take(self, size: int) -> int:
        """Charge `size` bytes to a new entry, which is in use once; its number. ValueError if not free."""
        if not 0 <= size <= self.free:
            raise ValueError(f"{size} bytes of {self.free} free ones")
        self._next += 1
        self._moment += 1
        self._entries[self._next] = _Entry(size, 1, self._moment)
        self.charged += size
        return self._next

    def resize(self, number: int, size: int) -> None:
        """Charge an entry another size. ValueError if that is not free; nothing is changed then."""
        entry = self._entries[number]
        if size < 0 or size - entry.size > self.free:
            raise ValueError(f"{size} bytes instead of {entry.size}, {self.free} free")
        self.charged += size - entry.size
        entry.size = size

    def lend(self, number: int) -> None:
        """One more uses the entry."""
        entry = self._entries[number]
        self._moment += 1
        entry.uses, entry.touched = entry.uses + 1, self._moment

    def give_back(self, number: int) -> int:
        """One less uses the entry; how many still do. ValueError if nobody did."""
        entry = self._entries[number]
        if not entry.uses:
            raise ValueError("given back more often than lent")
        self._moment += 1
        entry.uses, entry.touched = entry.uses - 1, self._moment
        return entry.uses

    def leave(self, number: int) -> None:
        """The entry is on its way out; it stays charged until it is gone."""
        self._entries[number].leaving = True

    def forget(self, number: int) -> None:
        """The entry is gone; its bytes are free."""
        self.charged -= self._entries.pop(number).size

    def size(self, number: int) -> int:
        """Bytes charged to an entry."""
        return self._entries[number].size

    def uses(self, number: int) -> int:
        """How many use an entry."""
        return self._entries[number].uses
