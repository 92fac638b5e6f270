"""Grid search: every combination once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tradewind.errors import Misuse
from tradewind.tuning.space import Space
from tradewind.tuning.trial import Setting, Trial, Value

_Key = frozenset[tuple[str, bool, Value]]


class FullGrid:
    """Implements `Searcher`: the first combination, the last parameter running fastest, that is not taken.

    Args:
        points: how many values of each number are tried, evenly spaced on its scale, both bounds among them;
            a whole number with fewer values has all of them tried. With 1 a space without reals is gone
            through whole. O(trials) for a proposal.
    """

    def __init__(self, points: int = 5) -> None:
        if isinstance(points, bool) or not isinstance(points, int) or points < 1:
            raise Misuse(f"{points!r} values", source="grid", field="points", fix="Give 1 or more.")
        self.points = points
        self._space: Space | None = None
        self._rest: Iterator[Setting] = iter(())
        self._known: list[tuple[Setting, _Key]] = []

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """The first combination that no trial of this study has; None when all are taken."""
        if self._space != space:
            self._space, self._rest, self._known = space, space.grid(self.points), []
        taken = {_key(each.setting) for each in trials if not each.foreign}
        for setting, key in self._known:
            if key not in taken:
                return dict(setting)
        # Gone through as far as it is needed: a grid may have more combinations than anyone will try.
        for setting in self._rest:
            self._known.append((setting, _key(setting)))
            if self._known[-1][1] not in taken:
                return dict(setting)
        return None


def _key(setting: Setting) -> _Key:
    """Tells True from 1, which are equal."""
    return frozenset((name, isinstance(value, bool), value) for name, value in setting.items())
