"""W-TinyLFU: a newcomer stays only where it was asked for more often than the one that would go for it.

Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM Transactions on
Storage 13(4), 2017), sections 3 and 5: frequencies in a count-min sketch of 4-bit counters, halved as often
as ten times the cache has been asked for; a window of one percent that always admits; behind it a segmented
LRU, four fifths of which are protected.
"""

from __future__ import annotations

from collections import OrderedDict

_ROWS = (
    (0x9E3779B97F4A7C15, 31),
    (0xC2B2AE3D27D4EB4F, 29),
    (0x165667B19E3779F9, 33),
    (0xD6E8FEB86659FD93, 27),
)
_MASK = (1 << 64) - 1
_MOST = 15
_SAMPLE = 10
_WINDOW, _PROTECTED = 0.01, 0.8


class Sketch:
    """How often keys were asked for lately; it overestimates where keys collide, until it halves."""

    def __init__(self, capacity: int) -> None:
        bits = max(4, (4 * capacity - 1).bit_length())
        self._mask = (1 << bits) - 1
        self._rows = tuple(bytearray(1 << bits) for _ in _ROWS)
        self._left = self._sample = max(1, _SAMPLE * capacity)

    def add(self, key: int) -> None:
        """Count a key once more, in those of its counters that are least: a conservative update."""
        places = self._places(key)
        least = min(row[place] for row, place in zip(self._rows, places, strict=True))
        if least < _MOST:
            for row, place in zip(self._rows, places, strict=True):
                if row[place] == least:
                    row[place] = least + 1
        self._left -= 1
        if not self._left:
            self._left = self._sample
            for row in self._rows:
                row[:] = row.translate(_HALVED)

    def __call__(self, key: int) -> int:
        """The count of a key, at most 15."""
        return min(row[place] for row, place in zip(self._rows, self._places(key), strict=True))

    def _places(self, key: int) -> list[int]:
        found = []
        for factor, shift in _ROWS:
            mixed = ((key ^ (key >> 32)) + 1) * factor & _MASK
            mixed ^= mixed >> shift
            found.append(mixed * factor >> 24 & self._mask)
        return found


_HALVED = bytes(value // 2 for value in range(256))


class TinyLfu:
    """Keeps `capacity` keys; a key's slot stays its own until it goes."""

    name = "tiny_lfu"

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._window_most = min(capacity, max(1, round(_WINDOW * capacity)))
        self._main_most = capacity - self._window_most
        self._protected_most = int(_PROTECTED * self._main_most)
        self._sketch = Sketch(capacity)
        self._window: OrderedDict[int, int] = OrderedDict()
        self._probation: OrderedDict[int, int] = OrderedDict()
        self._protected: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._window) + len(self._probation) + len(self._protected)

    def touch(self, key: int) -> int:
        """The slot of a key that is asked for, which is counted; -1 if it is not kept."""
        self._sketch.add(key)
        for segment in (self._protected, self._window):
            if key in segment:
                segment.move_to_end(key)
                return segment[key]
        slot = self._probation.pop(key, -1)
        if slot >= 0:
            if not self._protected_most:
                self._probation[key] = slot
                return slot
            self._protected[key] = slot
            if len(self._protected) > self._protected_most:
                old, its = self._protected.popitem(last=False)
                self._probation[old] = its
        return slot

    def admit(self, key: int) -> int:
        """A slot for a key that was not kept; another may go for it. -1 where none is kept."""
        if not self._capacity:
            return -1
        if len(self) < self._capacity:
            slot = len(self)
            if len(self._window) >= self._window_most:
                old, its = self._window.popitem(last=False)
                self._probation[old] = its
        elif not self._main_most:
            _, slot = self._window.popitem(last=False)
        else:
            slot = self._contested()
        self._window[key] = slot
        return slot

    def _contested(self) -> int:
        """The slot that is given up: of the window's oldest, or of the one that it is compared with."""
        candidate, its = self._window.popitem(last=False)
        segment = self._probation or self._protected
        victim = next(iter(segment))
        if self._sketch(candidate) > self._sketch(victim):
            slot = segment.pop(victim)
            self._probation[candidate] = its
            return slot
        return its
