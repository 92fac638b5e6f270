"""Run-time estimates: which predictor answers, and errors of a stated size."""

import math

import numpy as np
import pytest

from tradewind.advice.renting.run_time_estimates import History, Injected, PastErrors, Shuffled
from tradewind.advice.renting.tasks import Task
from tradewind.errors import Misuse
from tradewind.market.resources import Resources


def tasks(count, seed=0):
    times = np.random.default_rng(seed).lognormal(6, 1, count)
    return [
        Task(id=f"t{at}", arrival=0.0, resources=Resources(vcpus=1), run_time=float(each))
        for at, each in enumerate(times)
    ]


def taught(*seen):
    history = History()
    for at, (features, seconds) in enumerate(seen):
        history.observe(f"t{at}", features, seconds)
    return history


USER_A, USER_B = ("user", "a"), ("user", "b")


def test_the_feature_whose_tasks_are_alike_answers():
    rows = [((USER_A, ("job", "x")), 100.0), ((USER_A, ("job", "y")), 5000.0)] * 6
    history = taught(*rows)
    assert history.estimate("n", (USER_A, ("job", "x"))).seconds == pytest.approx(100)
    assert history.estimate("n", (USER_B, ("job", "y"))).seconds == pytest.approx(5000)
    assert history.estimate("n", (USER_B, ("job", "y"))).spread == pytest.approx(0, abs=1e-9)


def test_where_run_times_drift_the_moving_average_answers():
    history = taught(*(((USER_A,), 10.0 * 2**at) for at in range(12)))
    # The mean of logs lies far behind; the moving average a little: log2 by half of the last step and so on.
    expected = 10 * 2 ** (11 - sum(0.5**step for step in range(1, 12)))
    assert history.estimate("n", (USER_A,)).seconds == pytest.approx(expected, rel=1e-6)


def test_the_unseen_gets_the_median_of_all_and_nothing_known_a_guess_that_says_so():
    history = taught(*(((USER_A,), float(seconds)) for seconds in (10, 20, 30, 4000, 50_000)))
    assert history.estimate("n", (USER_B,)).seconds == pytest.approx(30)
    assert History().estimate("n", ()).spread == 1.5


def test_an_injected_error_has_its_size_and_none_is_none():
    many = tasks(3000)
    truth = np.array([task.run_time for task in many])
    for error in (0.3, 1.0):
        estimator = Injected(many, error, seed=2)
        said = np.array([estimator.estimate(task.id, ()).seconds for task in many])
        assert np.log(said / truth).std() == pytest.approx(math.log1p(error), rel=0.06)
        assert abs(np.log(said / truth).mean()) < 0.05
        for task in many[:300]:
            estimator.observe(task.id, (), task.run_time)
        assert estimator.estimate("t0", ()).spread == pytest.approx(math.log1p(error), rel=0.25)
    sure = Injected(many, 0.0).estimate("t7", ())
    assert (sure.seconds, sure.spread) == (many[7].run_time, 0.0)
    with pytest.raises(Misuse, match="error"):
        Injected(many, -0.1)


def test_an_error_is_a_tasks_own_whatever_others_there_are():
    few, many = tasks(3), tasks(50)
    assert Injected(few, 0.3).estimate("t1", ()) == Injected(many[:3], 0.3).estimate("t1", ())


def test_shuffled_run_times_are_the_same_ones():
    many = tasks(40)
    shuffled = Shuffled(many, seed=1)
    said = [shuffled.estimate(task.id, ()).seconds for task in many]
    truth = [task.run_time for task in many]
    assert sorted(said) == sorted(truth) and said != truth


def test_a_spread_is_told_once_three_errors_are_known():
    errors = PastErrors()
    for _ in range(2):
        errors.add(100.0, 200.0)
    assert errors.spread == 1.5
    errors.add(100.0, 50.0)
    assert errors.spread == pytest.approx(math.log(2))
