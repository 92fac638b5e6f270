"""Population-based training: trials that train side by side and copy one another.

Jaderberg et al., "Population based training of neural networks" (2017), with truncation selection and the
perturbation of its section 4.1.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tradewind.errors import Misuse
from tradewind.tuning.interface import BECOME, Verdict
from tradewind.tuning.search.sobol import sobol_points
from tradewind.tuning.space import Choice, Dimension, Float, Space
from tradewind.tuning.trial import FAILED, STOPPED, Setting, Trial, Value


class PopulationTraining:
    """Implements `Searcher`, for the first of each member, and `Stopper`, for what becomes of it.

    Whenever a member has trained for another `interval` steps, it is ranked by its last loss among the last
    losses that the members had by that step. One of the worst `share` becomes one of the best `share`, drawn
    evenly, and goes on with the other's checkpoint and a setting near its: each value is drawn anew with
    chance `anew`, or else a number is multiplied by one of `factors`, within its bounds, and a choice kept.
    Values whose condition begins to hold are drawn anew too. A member that lags compares by what it has; so
    what becomes of one depends, as in the paper, on how far the others have come.

    Args:
        space: of the settings.
        max_steps: the steps of a whole trial.
        interval: steps from one look to the next.
        members: of the population; at least 2.
        share: of the worst, and of the best, above 0 and at most a half.
        anew: the chance that a value is drawn from all.
        factors: by which numbers are perturbed.
        seed: what chance draws from, with the member's number and the step.
    """

    copies = True
    """See `interface.copies`."""

    def __init__(
        self,
        space: Space,
        max_steps: int,
        *,
        interval: int,
        members: int = 20,
        share: float = 0.2,
        anew: float = 0.25,
        factors: Sequence[float] = (0.8, 1.2),
        seed: int = 0,
    ) -> None:
        for field, fine, fix in (
            ("max_steps", max_steps >= 1, "Give 1 or more."),
            ("interval", interval >= 1, "Give 1 or more."),
            ("members", members >= 2, "Give 2 or more."),
            ("share", 0.0 < share <= 0.5, "Give a share above 0 and at most 0.5."),
            ("anew", 0.0 <= anew <= 1.0, "Give a chance from 0 to 1."),
            ("factors", len(factors) > 0 and all(each > 0 for each in factors), "Give numbers above 0."),
        ):
            if not fine:
                raise Misuse("is out of range", source="population", field=field, fix=fix)
        self.space, self.max_steps, self.interval, self.members = space, max_steps, interval, members
        self.share, self.anew, self.factors, self.seed = share, anew, tuple(factors), seed

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """Point `number` of Sobol's sequence; None once the population is whole."""
        if sum(1 for each in trials if not each.foreign) >= self.members:
            return None
        return space.setting(sobol_points(self.seed, len(space), number, 1)[0])

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Become one of the best, if it is one of the worst and an interval is over."""
        reached = trial.steps[-1] if trial.steps else 0
        before = trial.steps[-2] if len(trial.steps) > 1 else 0
        if reached >= self.max_steps or reached // self.interval == before // self.interval:
            return Verdict()
        members = [each for each in trials if not each.foreign and each.state not in (FAILED, STOPPED)]
        ranked = sorted(
            (_rank(each.loss_at(reached)), each.number)
            for each in members
            if each.loss_at(reached) is not None
        )
        many = int(self.share * len(ranked)) or (1 if len(ranked) > 1 else 0)
        numbers = [number for _, number in ranked]
        if trial.number not in numbers[len(numbers) - many :] or not many:
            return Verdict()
        best = [number for loss, number in ranked[:many] if loss < math.inf]
        if not best:
            return Verdict()
        chance = np.random.Generator(np.random.PCG64([self.seed, trial.number, reached]))
        chosen = best[int(chance.integers(len(best)))]
        parent = next(each for each in members if each.number == chosen)
        return Verdict(
            BECOME,
            f"at step {reached} its loss is among the worst {many} of {len(ranked)}; "
            f"it goes on from trial {parent.number}, among the best",
            parent.number,
            self._near(parent.setting, chance),
        )

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """None: it pauses no trial."""
        return ()

    def _near(self, setting: Setting, chance: np.random.Generator) -> Setting:
        found: Setting = {}
        for each in self.space.parameters:
            # Drawn whether needed or not, so that one value does not depend on another's need.
            afresh, factor = (
                chance.random() < self.anew,
                self.factors[int(chance.integers(len(self.factors)))],
            )
            unit = chance.random()
            if not self.space.has(each.name, found):
                continue
            if afresh or each.name not in setting:
                found[each.name] = _at(each.of, unit)
            else:
                found[each.name] = _perturbed(each.of, setting[each.name], factor)
        return found


def _rank(loss: float | None) -> float:
    return math.inf if loss is None or math.isnan(loss) else loss


def _at(kind: Dimension, unit: float) -> Value:
    return Space.of({"value": kind}).setting([unit])["value"]


def _perturbed(kind: Dimension, value: Value, factor: float) -> Value:
    if isinstance(kind, Choice):
        return value
    assert isinstance(value, int | float)
    moved = value * factor
    if isinstance(kind, Float):
        return min(max(moved, kind.low), kind.high)
    # A small whole number moves by one at least.
    whole = round(moved)
    if whole == value and factor != 1.0:
        whole += (1 if factor > 1.0 else -1) * (1 if value >= 0 else -1)
    return min(max(whole, kind.low), kind.high)
