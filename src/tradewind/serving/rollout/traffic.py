"""Which variant answers a request: P(v) = w_v / sum of w, the same one for the same inference id.

Amazon SageMaker, "ProductionVariant": the share of a variant is its weight over the sum of weights. What is
drawn is a place in [0, 1): of a hash of the inference id, so that a retry comes to the variant that the first
try came to; else of a sequence that fills the interval evenly, so that even few requests keep the shares.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from hashlib import blake2b
from itertools import accumulate

from msgspec import Struct

from tradewind.errors import Misuse

_STEP = (math.sqrt(5.0) - 1.0) / 2.0
"""The golden ratio's fractional part: its multiples, modulo 1, are as even as any sequence's."""
_WHOLE = float(1 << 53)


class Split(Struct, frozen=True):
    """Names, and the place in [0, 1) at which the part of each ends."""

    names: tuple[str, ...]
    ends: tuple[float, ...]

    def at(self, place: float) -> str:
        """The name whose part holds `place`, which is in [0, 1)."""
        return self.names[bisect_right(self.ends, place)]


def split_by(weights: dict[str, float]) -> Split:
    """The parts that weights make of the whole, in their order; those of weight 0 get none.

    Misuse where a weight is negative or not finite, or where none is positive.

    >>> split = split_by({"blue": 3.0, "green": 1.0})
    >>> split.at(0.74), split.at(0.75)
    ('blue', 'green')
    """
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise Misuse(f"{weight!r} is no weight", field=name, fix="Give 0 or more.")
    there = {name: weight for name, weight in weights.items() if weight > 0}
    # Halved first where the sum would be infinite; a weight too small to change the sum has no part.
    largest = max(there.values(), default=0.0)
    sums = list(accumulate(weight / largest for weight in there.values()))
    if not there:
        raise Misuse("no variant has a weight above 0", field="weights", fix="Give one of them a weight.")
    ends = tuple(each / sums[-1] for each in sums[:-1])
    return Split(tuple(there), (*ends, 1.0))


def place_of(id: str, seed: int = 0) -> float:
    """The place in [0, 1) that an inference id has."""
    digest = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8, key=seed.to_bytes(8, "little"))
    return (int.from_bytes(digest.digest(), "little") >> 11) / _WHOLE


def place_in_turn(turn: int) -> float:
    """The place in [0, 1) of the request that is `turn`th (from 1) among those without an id.

    >>> [round(place_in_turn(turn), 3) for turn in range(1, 4)]
    [0.618, 0.236, 0.854]
    """
    return (turn * _STEP) % 1.0


def part_of(place: float, share: float) -> tuple[bool, float]:
    """Whether `place` falls to the newer of two sides, which has `share`, and its place within that side.

    As the share grows nobody leaves the newer side, so that callers with an id change sides at most once.
    """
    if place < share:
        return True, place / share
    return False, min((place - share) / (1.0 - share), math.nextafter(1.0, 0.0))
