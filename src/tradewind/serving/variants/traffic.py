"""What callers ask for, counted: the classes of queries that a fleet is scaled for.

Quick to grow and slow to shrink: a class counts with its rate in the last two seconds, or in the last ten if
that was more, and is remembered with next to nothing for a while after its last query, so that a variant
that does it stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from tradewind.serving.variants.scaling.interface import Class, theta
from tradewind.serving.variants.selection.interface import Query, Standing

_LAST, _LONG = 2, 10
"""Turns that a rate is taken over: the least, and the most."""
_LEAST = 0.01
"""The share of a replica's time that a class counts as at least: no program sees less."""
_KINDS = 48
"""Kinds of queries told apart: a caller may demand any numbers, and must not make the program large."""


class Traffic:
    """Counts queries by kind, turn by turn. `idle` is for how many turns a kind is remembered."""

    def __init__(self, idle: int = 60) -> None:
        self._idle = max(idle, _LONG)
        self._now: dict[Query, int] = {}
        self._past: dict[Query, deque[float]] = {}

    def came(self, query: Query) -> None:
        """A query came."""
        known = self._now
        if query in known:
            known[query] += query.rows
        elif len(known) < _KINDS:
            known[query] = query.rows
        else:  # with the others of its name, if there are any
            like = next((each for each in known if _named(each) == _named(query)), None)
            known[like or next(iter(known))] += query.rows

    def turn(self, seconds: float, largest: int) -> None:
        """A turn of so many seconds is over. Requests are told apart by rows up to powers of 2, `largest` at
        most."""
        rates: dict[Query, float] = {}
        for query, rows in self._now.items():
            kind = replace(query, rows=min(1 << (query.rows - 1).bit_length(), max(largest, query.rows)))
            rates[kind] = rates.get(kind, 0.0) + rows / seconds
        self._now = {}
        for kind in rates:
            self._past.setdefault(kind, deque(maxlen=self._idle))
        for kind, past in list(self._past.items()):
            past.append(rates.get(kind, 0.0))
            if len(past) == past.maxlen and not any(past):
                del self._past[kind]
        for kind in sorted(self._past, key=self.rate)[: max(0, len(self._past) - _KINDS)]:
            del self._past[kind]

    def classes(self, standings: Sequence[Standing], always: Sequence[Query] = ()) -> tuple[Class, ...]:
        """The classes there are, with their rates; those of `always` even where nobody asks.

        Of those that no variant does there is no word: what cannot be done is refused.
        """
        found: list[Class] = []
        for kind in dict.fromkeys((*self._past, *always)):
            best = max((theta(kind, each, slowed=False) for each in standings), default=0.0)
            if best > 0:
                rate = max(self.rate(kind), _LEAST * best)
                found.append(Class(f"{_named(kind)}/{len(found)}", kind, rate))
        return tuple(found)

    def rate(self, kind: Query) -> float:
        """Rows a second that a kind counts with; 0 for one that is not remembered."""
        past = self._past.get(kind)
        if not past:
            return 0.0
        last = [*past][-_LONG:]
        return max(sum(last[-_LAST:]) / len(last[-_LAST:]), sum(last) / len(last))


def _named(query: Query) -> str:
    return query.variant or query.architecture or query.task
