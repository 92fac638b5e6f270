"""When a step is crossed, and what counts there."""

import math

from tradewind.tuning.stopping.crossing import crossed, curve_until, least_first, loss_by, own, reached
from tradewind.tuning.trial import RUNNING, Trial

NAN = float("nan")


def test_a_step_is_crossed_once() -> None:
    said = []
    for count in range(5):
        trial = Trial(0, {}, RUNNING, (2, 5, 6, 9)[:count], (1.0,) * count)
        said.append(crossed(trial, 5))
    assert said == [False, False, True, False, False]
    assert not crossed(Trial(0, {}, RUNNING, (2, 7, 4), (1.0,) * 3), 3), "back again is no crossing"
    assert reached(Trial(0, {}, RUNNING, (2, 7, 4), (1.0,) * 3)) == 7
    assert reached(Trial(0, {})) == 0


def test_the_loss_at_a_step() -> None:
    trial = Trial(0, {}, RUNNING, (2, 5, 9), (3.0, NAN, 1.0))
    assert [loss_by(trial, step) for step in (1, 2, 4, 5, 8, 9, 90)] == [
        3.0, 3.0, 3.0, math.inf, math.inf, 1.0, 1.0,
    ]  # fmt: skip
    assert loss_by(Trial(0, {}), 5) == math.inf
    assert curve_until(trial, 1) == ((2,), (3.0,))
    assert curve_until(trial, 5)[0] == (2, 5)
    assert curve_until(Trial(0, {}), 5) == ((), ())


def test_orders() -> None:
    assert least_first([2.0, NAN, 1.0, math.inf, 1.0]) == [2, 4, 0, 1, 3]
    trials = [Trial(3, {}), Trial(1, {}, foreign="other"), Trial(0, {})]
    assert [each.number for each in own(trials)] == [0, 3]
