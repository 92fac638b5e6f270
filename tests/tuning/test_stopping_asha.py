"""ASHA: the laws, rungs, both variants by hand, and that a replay from any moment decides the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_laws import FEW, LENGTH, StoppingLaws, curves, speeds_and_workers

from tradewind.errors import Misuse
from tradewind.tuning.interface import GO_ON, PAUSE, STOP
from tradewind.tuning.stopping.asha import PROMOTION, Asha
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.trial import COMPLETED, PAUSED, RUNNING, Trial


class TestStopping(StoppingLaws):
    @staticmethod
    def make() -> Asha:
        return Asha(LENGTH, eta=2, first=2)


class TestPromotion(StoppingLaws):
    @staticmethod
    def make() -> Asha:
        return Asha(LENGTH, eta=3, first=2, variant=PROMOTION)


def at(number: int, step: int, loss: float, state: str = RUNNING) -> Trial:
    return Trial(number, {}, state, tuple(range(1, step + 1)), (loss,) * step)


@pytest.mark.parametrize(
    ("arguments", "rungs"),
    [
        ({"max_steps": 81}, (1, 3, 9, 27)),
        ({"max_steps": 51}, (2, 6, 18)),
        ({"max_steps": 51, "eta": 4, "first": 4}, (4, 16)),
        ({"max_steps": 16, "eta": 2, "first": 16}, ()),
        ({"max_steps": 1}, ()),
    ],
)
def test_rungs(arguments, rungs) -> None:
    assert Asha(**arguments).rungs == rungs


def test_one_in_three_passes_a_rung() -> None:
    rule = Asha(27, first=3)
    there = [at(0, 3, 0.5), at(1, 5, 0.3)]
    assert rule.judge(at(2, 3, 0.2), [*there, at(2, 3, 0.2)]).action == GO_ON
    assert rule.judge(at(2, 3, 0.4), [*there, at(2, 3, 0.4)]).action == STOP
    five = [at(n, 3, 0.1 * n) for n in range(5)]
    assert rule.judge(at(9, 3, 0.05), [*five, at(9, 3, 0.05)]).action == GO_ON
    assert rule.judge(at(9, 3, 0.15), [*five, at(9, 3, 0.15)]).action == STOP
    assert rule.judge(at(9, 4, 0.15), [*five, at(9, 4, 0.15)]).action == GO_ON, "no rung"


def test_paused_trials_are_promoted_when_worse_ones_come() -> None:
    rule = Asha(27, first=3, variant=PROMOTION)
    two = [at(0, 3, 0.5), at(1, 3, 0.3)]
    assert rule.judge(two[0], two[:1]).action == PAUSE
    paused = [at(0, 3, 0.5, PAUSED), at(1, 3, 0.3, PAUSED)]
    assert rule.resumed(paused, False) == ()
    assert rule.resumed([*paused, at(2, 3, 0.4, PAUSED)], False) == (1,)
    going = [at(0, 3, 0.5, PAUSED), at(1, 7, 0.3), at(2, 3, 0.4, PAUSED)]
    assert rule.resumed(going, False) == ()
    assert rule.resumed(paused, True) == (1,)


def test_the_highest_rung_is_first() -> None:
    rule = Asha(27, first=3, variant=PROMOTION)
    low = [at(n, 3, 0.1 * n, PAUSED) for n in range(3)]
    high = [at(n, 9, 0.1 * n, PAUSED) for n in range(10, 16)]
    found = rule.resumed([*low, *high], False)
    assert found[:2] == (10, 11)
    assert set(found[2:]) <= {0, 1, 2}


def test_the_first_report_beyond_a_rung_counts_for_it() -> None:
    rule = Asha(27, first=3)
    sparse = Trial(0, {}, RUNNING, (2, 7), (0.1, 0.9))
    other = Trial(1, {}, RUNNING, (2, 7), (0.9, 0.5))
    assert rule.judge(sparse, [sparse, other]).action == STOP
    assert rule.judge(other, [sparse, other]).action == GO_ON


@FEW
@given(curves(), speeds_and_workers(), st.sampled_from(["stopping", PROMOTION]))
def test_the_same_arrivals_give_the_same_decisions(losses, pace, variant) -> None:
    """Another driver, made anew before each verdict, says what one that lived all along has said."""

    class Anew:
        max_steps = LENGTH

        @staticmethod
        def judge(trial, trials):
            return Asha(LENGTH, variant=variant).judge(trial, trials)

        @staticmethod
        def resumed(trials, exhausted):
            return Asha(LENGTH, variant=variant).resumed(trials, exhausted)

    speeds = pace[0][: len(losses)]
    lived = replay(Asha(LENGTH, variant=variant), losses, workers=pace[1], speeds=speeds)
    assert lived.order == replay(Anew(), losses, workers=pace[1], speeds=speeds).order


def test_promotion_runs_fewer_steps_than_all() -> None:
    chance = np.random.default_rng(0)
    losses = chance.random((27, 1)) + chance.normal(0, 0.01, (27, 27))
    found = replay(Asha(27, variant=PROMOTION), losses.tolist(), workers=3)
    assert found.reports <= 27 * 27 * 0.25
    assert sum(each.state == COMPLETED for each in found.trials) >= 1


def test_bad_arguments() -> None:
    with pytest.raises(Misuse, match="eta"):
        Asha(10, eta=1)
    with pytest.raises(Misuse, match="variant"):
        Asha(10, variant="both")
    with pytest.raises(Misuse, match="first"):
        Asha(10, first=0)


def test_nan_never_passes() -> None:
    assert Asha(27).judge(at(0, 1, math.nan), [at(0, 1, math.nan)]).action == STOP
