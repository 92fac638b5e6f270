"""The decay-curve rule: the laws, and that what finished curves say of a trial decides about it."""

import math

import numpy as np
import pytest
from stopping_laws import LENGTH, StoppingLaws

from tradewind.errors import Misuse
from tradewind.tuning.interface import GO_ON, STOP
from tradewind.tuning.stopping.decay_curve import DecayCurve
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.trial import COMPLETED, RUNNING, STOPPED, Trial

STEPS = tuple(range(1, 41))


class TestLaws(StoppingLaws):
    # Distances of features are rounded otherwise after a shift; a chance close to the bound may tip.
    shift_free = False

    @staticmethod
    def make() -> DecayCurve:
        return DecayCurve(LENGTH, least=3, chance=0.1)


def decaying(end: float, noise: float = 0.003, seed: int = 0) -> list[float]:
    k = np.arange(40.0)
    return (end + (1 - end) * np.exp(-k / 8) + np.random.default_rng(seed).normal(0, noise, 40)).tolist()


def finished(count: int) -> list[Trial]:
    ends = np.linspace(0.2, 0.8, count)
    curves = [decaying(end, seed=at) for at, end in enumerate(ends)]
    return [Trial(n, {}, COMPLETED, STEPS, tuple(each), each[-1]) for n, each in enumerate(curves)]


def running(end: float, step: int) -> Trial:
    return Trial(99, {}, RUNNING, STEPS[:step], tuple(decaying(end, seed=99)[:step]))


def test_a_hopeless_curve_stops_and_a_hopeful_one_goes_on() -> None:
    rule = DecayCurve(40)
    assert rule.judge(running(0.7, 12), finished(12)).action == STOP
    assert rule.judge(running(0.1, 12), finished(12)).action == GO_ON
    assert rule.judge(running(0.19, 12), finished(12)).action == GO_ON


def test_more_is_stopped_the_later_it_is_and_the_greater_the_chance_asked_for() -> None:
    ends = np.linspace(0.15, 0.6, 19)

    def stopped(step: int, chance: float) -> int:
        rule = DecayCurve(40, chance=chance)
        return sum(rule.judge(running(end, step), finished(12)).action == STOP for end in ends)

    assert stopped(8, 0.01) <= stopped(32, 0.01)
    assert stopped(12, 0.001) <= stopped(12, 0.01) <= stopped(12, 0.3)
    assert 0 < stopped(32, 0.01) < len(ends)


def test_nothing_before_enough_have_finished() -> None:
    rule = DecayCurve(40)
    assert rule.judge(running(0.7, 20), finished(4)).action == GO_ON
    assert rule.judge(running(0.7, 4), finished(12)).action == GO_ON
    stopped = [Trial(n, {}, STOPPED, STEPS[:9], (0.5,) * 9) for n in range(8)]
    assert rule.judge(running(0.7, 20), stopped).action == GO_ON


def test_it_is_judged_between_the_parts() -> None:
    assert DecayCurve(40).judge(running(0.7, 13), finished(12)).action == GO_ON
    assert DecayCurve(40, checks=40).judge(running(0.7, 13), finished(12)).action == STOP
    sparse = Trial(99, {}, RUNNING, (2, 7, 15), tuple(decaying(0.7)[at] for at in (2, 7, 15)))
    assert DecayCurve(40).judge(sparse, finished(12)).action == STOP


def test_curves_without_a_spread_or_with_a_diverged_one() -> None:
    same = [Trial(n, {}, COMPLETED, STEPS, (0.5,) * 40, 0.5) for n in range(6)]
    assert DecayCurve(40).judge(Trial(9, {}, RUNNING, STEPS[:20], (0.5,) * 20), same).action == GO_ON
    wild = [*finished(12), Trial(50, {}, COMPLETED, STEPS, (1e18,) * 40, 1e18)]
    assert DecayCurve(40).judge(running(0.7, 20), wild).action == STOP
    assert DecayCurve(40).judge(running(0.1, 20), wild).action == GO_ON
    gone = Trial(9, {}, RUNNING, STEPS[:20], (0.5,) * 19 + (math.nan,))
    assert DecayCurve(40).judge(gone, finished(12)).action == STOP


def test_it_saves_steps_and_keeps_the_best() -> None:
    curves = [decaying(end, seed=n) for n, end in enumerate(np.random.default_rng(1).uniform(0.2, 0.8, 30))]
    found = replay(DecayCurve(40), curves, workers=2)
    assert found.chosen == int(np.argmin([each[-1] for each in curves]))
    assert found.reports < 0.75 * 30 * 40


def test_bad_arguments() -> None:
    with pytest.raises(Misuse, match="chance"):
        DecayCurve(10, chance=2.0)
    with pytest.raises(Misuse, match="least"):
        DecayCurve(10, least=1)
