"""Arrow: its laws, and that it looks at what the machines did."""

import numpy as np
from configurations import SPACE, measured, view, world

from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.arrow import Arrow
from tradewind.testing.advisors import AdvisorLaws


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Arrow(starts=2, least=4, trees=20)


def test_without_metrics_it_says_so():
    runs = [measured(n, 300.0 + 40 * n) for n in (2, 3, 6, 7)]
    assert Arrow().next(view(*runs)).reason.endswith("by features alone: no metrics of the machines are told")
    told = [measured(n, 300.0 + 40 * n, cpu_user=0.5) for n in (2, 3, 6, 7)]
    assert "alone" not in Arrow().next(view(*told)).reason
    # what one run does not tell cannot be compared
    assert "alone" in Arrow().next(view(*told[:3], runs[3])).reason


def test_metrics_change_what_is_believed():
    """Runs that were short of memory, as they tell, say that less memory is no good."""
    numbers, seconds = (1, 3, 5, 7, 9), (4000.0, 3500.0, 900.0, 500.0, 300.0)
    plain = view(*(measured(n, s) for n, s in zip(numbers, seconds, strict=True)))
    told = view(*(measured(n, s, memory=float(n < 4)) for n, s in zip(numbers, seconds, strict=True)))
    one, other = Arrow().predict(plain), Arrow().predict(told)
    assert np.abs(one.logs - other.logs).max() > 0.01
    for n, s in zip(numbers, seconds, strict=True):
        assert np.isclose(other.seconds[n], s) and np.isclose(one.seconds[n], s)


def test_it_prefers_what_resembles_the_good():
    """Of one family all that was run was three times as dear: what was not is believed to be so too."""
    seen = (0, 2, 5, 7, 8, 10)
    runs = [measured(n, 3600.0 * (3 if n > 7 else 1) / SPACE[n].per_hour) for n in seen]
    found = Arrow().predict(view(*runs))
    assert found.logs[[9, 11]].min() > found.logs[[1, 3, 4, 6]].max() + 0.3


def test_it_beats_chance_on_a_small_world():
    truth = world()
    best = min(run.dollars for run in truth.values() if run.whole)
    ends = [replayed(Arrow(trees=40), view(seed=seed), truth, most=7)[0].best.dollars for seed in range(6)]
    assert np.mean(ends) < 1.1 * best
