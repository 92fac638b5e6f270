"""The median rule: the laws, and its verdict worked out by hand."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_laws import FEW, LENGTH, StoppingLaws

from tradewind.errors import Misuse
from tradewind.tuning.interface import GO_ON, STOP
from tradewind.tuning.stopping.median_rule import MedianRule
from tradewind.tuning.trial import COMPLETED, RUNNING, Trial


class TestLaws(StoppingLaws):
    @staticmethod
    def make() -> MedianRule:
        return MedianRule(LENGTH, least=3)


def trial(number: int, losses: list[float]) -> Trial:
    return Trial(number, {}, RUNNING, tuple(range(1, len(losses) + 1)), tuple(losses))


@FEW
@given(st.integers(0, 10**6), st.integers(3, 12), st.integers(2, 9))
def test_the_rule_as_documented(seed, count, step) -> None:
    chance = np.random.default_rng(seed)
    others = [trial(n, chance.random(chance.integers(1, 12)).tolist()) for n in range(count)]
    mine = trial(count, chance.random(step).tolist())
    averages = [statistics.fmean(each.losses[:step]) for each in others if len(each.losses) >= step]
    worse = len(averages) >= 5 and mine.losses[-1] > statistics.median(averages)
    said = MedianRule(40, warm_up=0.0).judge(mine, [*others, mine])
    assert said.action == (STOP if worse else GO_ON)


def test_nothing_in_the_first_tenth_and_with_too_few() -> None:
    others = [trial(n, [0.1] * 20) for n in range(5)]
    assert MedianRule(50).judge(trial(9, [1.0] * 5), others).action == GO_ON
    assert MedianRule(50).judge(trial(9, [1.0] * 6), others).action == STOP
    assert MedianRule(50).judge(trial(9, [1.0] * 6), others[:4]).action == GO_ON
    assert MedianRule(50, least=4).judge(trial(9, [1.0] * 6), others[:4]).action == STOP


def test_running_and_finished_trials_count_alike() -> None:
    steps, losses = tuple(range(1, 51)), (0.1,) * 50
    finished = [Trial(n, {}, COMPLETED, steps, losses, 0.1) for n in range(3)]
    running = [trial(n, [0.1] * 7) for n in range(3, 5)]
    assert MedianRule(50).judge(trial(9, [1.0] * 7), [*finished, *running]).action == STOP


def test_nan_counts_as_infinite() -> None:
    others = [trial(n, [0.1, math.nan, 0.1, 0.1, 0.1, 0.1]) for n in range(3)]
    others += [trial(n, [0.5] * 6) for n in range(3, 5)]
    rule = MedianRule(50)
    assert rule.judge(trial(9, [1e9] * 6), others).action == GO_ON
    assert rule.judge(trial(9, [math.nan] * 6), others).action == STOP


def test_bad_arguments() -> None:
    with pytest.raises(Misuse, match="least"):
        MedianRule(10, least=0)
    with pytest.raises(Misuse, match="warm_up"):
        MedianRule(10, warm_up=-0.1)
