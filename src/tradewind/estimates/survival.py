"""How long a lease lives: the chance that it is not revoked yet, over its age."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from msgspec import Struct

_HOUR = 3600.0


class Survival(Struct, frozen=True):
    """The chance that a lease still lives, over its age: linear between the ages given, 1 at age 0."""

    ages: tuple[float, ...]
    """Seconds, ascending from 0."""
    alive: tuple[float, ...]

    def at(self, age: float) -> float:
        """The chance at that age; after the last age given it falls on at the last rate."""
        ages, alive = self.ages, self.alive
        if age >= ages[-1]:
            if len(ages) < 2 or alive[-1] <= 0:
                return alive[-1]
            before = alive[-2] if alive[-2] > 0 else 1.0
            return float(alive[-1] * (alive[-1] / before) ** ((age - ages[-1]) / (ages[-1] - ages[-2])))
        high = bisect_right(ages, age)
        share = (age - ages[high - 1]) / (ages[high] - ages[high - 1])
        return alive[high - 1] + share * (alive[high] - alive[high - 1])

    def seconds(self, start: float, end: float) -> float:
        """The expected seconds that it lives between two ages."""
        if end <= start:
            return 0.0
        corners = [start, *(age for age in self.ages if start < age < end), end]
        last = self.ages[-1]
        if end > last:  # the tail is curved: cut it into the last stretch's lengths
            stretch = max(self.ages[-1] - (self.ages[-2] if len(self.ages) > 1 else 0.0), (end - last) / 64)
            corner = max(last, start) + stretch
            while corner < end:
                corners.insert(-1, corner)
                corner += stretch
        total = 0.0
        for first, second in pairwise(corners):
            total += (second - first) * (self.at(first) + self.at(second)) / 2
        return total


CERTAIN = Survival((0.0, _HOUR), (1.0, 1.0))
"""Of a lease that nobody takes away."""
