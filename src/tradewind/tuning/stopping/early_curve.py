"""EarlyCurve: run all to a share of their steps, then go on with those that a curve foretells to end best.

SpotTune (Li et al., ICDCS 2020, arXiv 2012.03576), formula 2.3; the curve, its stages and how it is clipped
are in `tradewind.estimates.learning_curve`. Several go on and not only the first, for the curve alone picks
worse than the last loss does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.estimates.learning_curve import Forecast, forecasts, foretold
from tradewind.tuning.stopping.crossing import checked_share, curve_until, own
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.trial import Trial


class EarlyCurve(LastValue):
    """Implements `Stopper`. Which trials go on does not depend on the order in which they arrived.

    Args:
        max_steps: the steps of a whole trial.
        theta: SpotTune's coefficient of stopping early, in (0, 1]: the share of the steps after which trials
            are compared. Less stops sooner.
        top: how many of them go on.
        boundaries: the steps at which the learning rate changes, where that is known. Otherwise a new stage
            is where a step takes off more than 15 % of the loss.
    """

    def __init__(
        self, max_steps: int, *, theta: float = 0.3, top: int = 3, boundaries: Sequence[int] | None = None
    ) -> None:
        super().__init__(max_steps, share=checked_share(theta, "EarlyCurve", "theta"), top=top)
        self.theta = theta
        self.boundaries = None if boundaries is None else tuple(boundaries)

    def score(self, trial: Trial) -> float:
        """The loss foretold for the last step from what there is at the share; infinite after nan."""
        steps, losses = curve_until(trial, self.pause_at)
        found = foretold(steps, losses, self.max_steps, boundaries=self.boundaries)
        return math.inf if math.isnan(found) else found

    def forecasts(self, trials: Sequence[Trial], *, level: float = 0.8) -> dict[int, Forecast]:
        """What is expected of each trial's last step, from all that it has reported, with an interval."""
        known = [each for each in own(trials) if each.steps]
        found = forecasts([(each.steps, each.losses) for each in known], self.max_steps, level=level)
        return {each.number: one for each, one in zip(known, found, strict=True)}
