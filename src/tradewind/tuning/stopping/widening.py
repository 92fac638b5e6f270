"""A race in rounds, each wider than the one before: a first trial is finished early, and better ones follow.

Ours. `Race` must be told beforehand what share of the steps it may run, and finishes nobody before it has run
most of them. Here a narrow race is run first: all trials to the first comparison, and from each comparison so
few go on that one comes to the end. Then the same race is run again, wider by a constant factor: whoever goes
on in it and was left behind before goes on from where it waits. Nothing is run twice, so that all rounds
together cost little more than the widest. However many steps it takes until the best trial is found, they
are about a constant factor more than a race of the right share takes, as where the budget of successive
halving is doubled (Jamieson and Talwalkar, AISTATS 2016).

In the round of width c, `c / step^1.4` trials run at a step, and at least one; who does is said by their
places in `Race`'s forecasts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.errors import Misuse
from tradewind.tuning.interface import PAUSE, Verdict
from tradewind.tuning.stopping.crossing import crossed, own, reached
from tradewind.tuning.stopping.race import Race
from tradewind.tuning.trial import OPEN, PAUSED, Trial

_EXPONENT = 1.4
_APART = 1.25
"""By what factor the steps of two comparisons differ at least."""


class Widening(Race):
    """Implements `Stopper`. Who goes on depends on the curves, not on the order in which trials arrived.

    Trials are compared when all that are expected have come to the first comparison, and then each time that
    all in the round have come as far. The study ends when `share` of all steps has been run.

    Args:
        max_steps: the steps of a whole trial.
        share: of the steps that all trials would run in full, after how many no further round begins.
        width: how many trials are expected; new ones begin before others go on until there are as many.
        start: the width of the first round, as a multiple of the number of trials. At 1 one of 64 goes on
            to the end of 50 steps, and 24 go beyond the first.
        growth: by what factor each round is wider than the one before.
        points: into how many equal parts a trial's steps are divided at most; the first comparison is after
            one part.
    """

    def __init__(
        self, max_steps: int, *, share: float = 0.4, width: int = 16, start: float = 1.5,
        growth: float = 1.25, points: int = 64,
    ) -> None:  # fmt: skip
        super().__init__(max_steps, share=share, top=1, width=width, points=points)
        for field, value, least in (("start", start, 0.0), ("growth", growth, 1.0)):
            if not least < value < math.inf:
                raise Misuse(
                    f"{value!r} is not above {least:g}", source="Widening", field=field,
                    fix="Give 1.5." if field == "start" else "Give 1.25.",
                )  # fmt: skip
        self.start, self.growth = start, growth
        part = math.ceil(max_steps / self.points)
        parts = [1]
        while parts[-1] * part < max_steps:
            parts.append(max(parts[-1] + 1, int(parts[-1] * _APART)))
        self._levels = tuple(parts)
        self._steps = tuple(min(each * part, max_steps) for each in parts)

    @property
    def compare_at(self) -> int:
        """The first step at which trials are compared."""
        return self._steps[0]

    @property
    def comparisons(self) -> tuple[int, ...]:
        """All steps at which trials are compared."""
        return self._steps[:-1]

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Pause at a comparison, unless all others have come as far and the trial stays in the round."""
        if reached(trial) >= self.max_steps or not any(crossed(trial, step) for step in self.comparisons):
            return Verdict()
        everyone = sorted(
            [*(each for each in own(trials) if each.number != trial.number), trial], key=_number
        )
        if len(everyone) >= self.width and trial.number in self._wanted(everyone):
            return Verdict()
        return Verdict(
            PAUSE, f"at {trial.steps[-1]} of {self.max_steps} steps it is compared with the others"
        )

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """Those in the round that have not come as far as the others."""
        everyone = own(trials)
        if len(everyone) < self.width and not exhausted:
            return ()
        wanted = set(self._wanted(everyone))
        return tuple(each.number for each in everyone if each.state == PAUSED and each.number in wanted)

    def _wanted(self, everyone: Sequence[Trial]) -> list[int]:
        """The numbers of those who are to run now."""
        far = {each.number: reached(each) for each in everyone}
        known = [each for each in everyone if each.state in OPEN or far[each.number] >= self.compare_at]
        count = len(known)
        spent = sum(far.values()) >= self.share * len(everyone) * self.max_steps
        finished = any(far[each.number] >= self.max_steps for each in known)
        width = self.start * count
        while count and not (spent and finished):
            behind = self._behind(known, far, width)
            if behind:
                return behind
            if width / self._levels[-1] ** _EXPONENT >= count:
                break
            width *= self.growth
        return []

    def _behind(self, known: Sequence[Trial], far: dict[int, int], width: float) -> list[int]:
        """Whom a round of that width waits for: the first comparison to which not all in it have come."""
        going = list(known)
        for at, (level, step) in enumerate(zip(self._levels, self._steps, strict=True)):
            count = max(1, round(width / level**_EXPONENT))
            if at and count < len(going):
                before = self._steps[at - 1]
                going = sorted((going[place] for place in self._places(going, before)[:count]), key=_number)
            behind = [each.number for each in going if far[each.number] < step and each.state in OPEN]
            if behind:
                return behind
            going = [each for each in going if far[each.number] >= step]
        return []


def _number(trial: Trial) -> int:
    return trial.number
