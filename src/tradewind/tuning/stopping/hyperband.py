"""Hyperband: brackets of ASHA, from one that stops very early to one that never stops.

Li et al., "Hyperband", JMLR 18, 2018, arXiv 1603.06560, algorithm 1, with ASHA (MLSys 2020) inside the
brackets in place of synchronous successive halving: a bracket that waits for its slowest trial waits longest
where trials are revoked. Which bracket a trial is in follows from its number alone, so that parallel drivers
and a driver that was killed agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.tuning.interface import Verdict
from tradewind.tuning.stopping.asha import STOPPING, Asha
from tradewind.tuning.stopping.crossing import checked_count, checked_steps, own
from tradewind.tuning.trial import Trial


class Hyperband:
    """Implements `Stopper`. Within a bracket the order of arrival counts, as in ASHA.

    Bracket s has its first rung at `max_steps / eta^s`. Of each cycle of trials it gets
    `ceil((S + 1) / (s + 1) * eta^s)`, S being the greatest s, spread as evenly as their shares allow.

    Args:
        max_steps: the steps of a whole trial.
        eta: one in `eta` goes on from each rung.
        least: the fewest steps of a first rung.
        variant: of ASHA, "stopping" or "promotion".
    """

    def __init__(self, max_steps: int, *, eta: int = 3, least: int = 1, variant: str = STOPPING) -> None:
        self.max_steps = checked_steps(max_steps, "Hyperband")
        self.eta = checked_count(eta, 2, "Hyperband", "eta")
        self.least, self.variant = checked_count(least, 1, "Hyperband", "least"), variant
        most = 0
        while max_steps >= least * eta ** (most + 1):
            most += 1
        levels = list(range(most, -1, -1))
        self.brackets = tuple(
            Asha(max_steps, eta=eta, first=max(least, math.ceil(max_steps / eta**s)), variant=variant)
            for s in levels
        )
        self._cycle = _spread([math.ceil((most + 1) / (s + 1) * eta**s) for s in levels])

    def bracket(self, number: int) -> int:
        """The place among `brackets` of the one that trial `number` is in; 0 stops earliest."""
        return self._cycle[number % len(self._cycle)]

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """What the trial's bracket says."""
        place = self.bracket(trial.number)
        said = self.brackets[place].judge(trial, self._members(trials, place))
        if not said.reason:
            return said
        return Verdict(said.action, f"bracket {place + 1} of {len(self.brackets)}: {said.reason}")

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """What the brackets say, the one that stops earliest first."""
        return tuple(
            number
            for place, rule in enumerate(self.brackets)
            for number in rule.resumed(self._members(trials, place), exhausted)
        )

    def _members(self, trials: Sequence[Trial], place: int) -> list[Trial]:
        return [each for each in own(trials) if self.bracket(each.number) == place]


def _spread(counts: Sequence[int]) -> list[int]:
    """Places by number, so that after any of them each has close to its share."""
    total, given = sum(counts), [0] * len(counts)
    found: list[int] = []
    for number in range(total):
        lags = [count * (number + 1) / total - have for count, have in zip(counts, given, strict=True)]
        place = lags.index(max(lags))
        given[place] += 1
        found.append(place)
    return found
