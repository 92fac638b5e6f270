"""Bayesian optimisation: finds, repeats itself, waits for nobody, keeps a budget."""

import math

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.tuning.search.gaussian_process import GaussianProcessSearch
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.search.sobol import SobolSearch
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, FAILED, RUNNING, STOPPED, Trial

PLANE = Space.of({"x": {"low": -5.0, "high": 10.0}, "y": {"low": 0.0, "high": 15.0}})
MIXED = Space.of(
    {
        "rate": {"low": 1e-5, "high": 1.0, "log": True},
        "layers": {"low": 1, "high": 6},
        "kind": ["a", "b", True],
        "momentum": {"low": 0.0, "high": 1.0, "when": {"kind": "b"}},
    }
)


def branin(setting):
    x, y = setting["x"], setting["y"]
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def mixed(setting):
    rest = (setting["momentum"] - 0.9) ** 2 if setting["kind"] == "b" else 0.3
    return (math.log10(setting["rate"]) + 3) ** 2 / 4 + abs(setting["layers"] - 4) / 5 + rest


def run(search, space, objective, count, trials=(), **known):
    trials = list(trials)
    for number in range(count):
        setting = search.propose(space, trials, number)
        if setting is None:
            break
        trials.append(
            Trial(
                number,
                setting,
                COMPLETED,
                final=objective(setting),
                **{k: f(setting) for k, f in known.items()},
            )
        )
    return trials


def best(trials):
    return min(each.final for each in trials)


def test_it_finds_the_least_of_branin():
    ours = [best(run(GaussianProcessSearch(s, initial=6), PLANE, branin, 26)) for s in range(2)]
    drawn = [best(run(RandomSearch(s), PLANE, branin, 26)) for s in range(2)]
    assert max(ours) < 0.41 < min(drawn)


def test_it_finds_the_least_where_kinds_are_mixed():
    trials = run(GaussianProcessSearch(1, initial=8), MIXED, mixed, 32)
    assert best(trials) < 0.02
    assert all(MIXED.fits(each.setting) for each in trials)


def test_the_first_are_sobols_and_all_is_repeated():
    search = GaussianProcessSearch(3, initial=6)
    trials = run(search, MIXED, mixed, 12)
    sobol = SobolSearch(3)
    assert [each.setting for each in trials[:6]] == [sobol.propose(MIXED, (), n) for n in range(6)]
    for number in (3, 9):
        assert (
            GaussianProcessSearch(3, initial=6).propose(MIXED, trials[:number], number)
            == trials[number].setting
        )
    assert GaussianProcessSearch(4, initial=6).propose(MIXED, trials[:9], 9) != trials[9].setting


def test_parallel_trials_differ():
    trials = run(GaussianProcessSearch(0, initial=6), PLANE, branin, 14)
    search = GaussianProcessSearch(0, initial=6)
    for number in range(14, 18):
        trials.append(Trial(number, search.propose(PLANE, trials, number), RUNNING))
    points = np.array([PLANE.point(each.setting) for each in trials[14:]])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(4)
    assert gaps.min() > 0.02


def test_a_small_space_is_exhausted_and_then_ends():
    space = Space.of(
        {"n": {"low": 1, "high": 5}, "c": ["a", "b"], "d": {"values": [1, True], "when": {"c": "a"}}}
    )
    trials = run(GaussianProcessSearch(0, initial=4), space, lambda s: s["n"] + (s["c"] == "a"), 40)
    assert len(trials) == space.size == 15
    assert len({tuple((type(v), v) for v in each.setting.values()) for each in trials}) == 15


def test_failures_are_kept_away_from():
    def half(setting):
        return math.nan if setting["x"] > 2.5 else branin(setting)

    trials = run(GaussianProcessSearch(0, initial=8), PLANE, half, 24)
    later = [each.setting["x"] > 2.5 for each in trials[12:]]
    assert sum(later) <= 5
    lost = [Trial(n, PLANE.setting([n / 12, 0.5]), FAILED) for n in range(12)]
    assert PLANE.fits(GaussianProcessSearch(0).propose(PLANE, lost, 12))


def test_improvement_per_dollar_spends_less():
    def price(setting):
        return math.exp((setting["x"] + 5) / 3)

    plain = run(GaussianProcessSearch(2, initial=6), PLANE, branin, 22, dollars=price)
    thrifty = run(GaussianProcessSearch(2, initial=6, price="dollars"), PLANE, branin, 22, dollars=price)
    assert sum(each.dollars for each in thrifty[6:]) < 0.7 * sum(each.dollars for each in plain[6:])
    # The cheapest of the three minima is found all the same.
    assert best(thrifty) < 0.8


def test_a_budget_is_kept_and_ends_the_search():
    def price(setting):
        return math.exp((setting["x"] + 5) / 3)

    search = GaussianProcessSearch(1, initial=6, price="dollars", budget=160.0)
    trials = run(search, PLANE, branin, 200, dollars=price)
    spent = sum(each.dollars for each in trials)
    assert len(trials) < 200 and 140.0 < spent <= 160.0
    assert (
        search.propose(
            PLANE, [*trials, Trial(500, trials[0].setting, COMPLETED, final=1.0, dollars=99.0)], 501
        )
        is None
    )


@pytest.mark.parametrize("identical", [(), ("old",)])
def test_an_earlier_study_is_a_head_start(identical):
    scale = 1.0 if identical else 1e4
    old = [
        Trial(n, each.setting, COMPLETED, final=each.final * scale, foreign="old")
        for n, each in enumerate(run(SobolSearch(7), PLANE, branin, 30))
    ]
    search = GaussianProcessSearch(0, initial=8, identical=identical)
    assert best(run(search, PLANE, branin, 8, old)[30:]) < 1.0
    assert best(run(GaussianProcessSearch(0, initial=8), PLANE, branin, 8)) > 1.0


def test_a_curve_that_stopped_counts():
    trials = run(GaussianProcessSearch(0, initial=6), PLANE, branin, 10)
    low = min(trials, key=lambda each: each.final).setting
    near = {"x": min(low["x"] + 0.5, 10.0), "y": low["y"]}
    stopped = Trial(10, near, STOPPED, (1, 2), (500.0, 300.0))
    found = [
        GaussianProcessSearch(0, initial=6).propose(PLANE, [*trials, *more], 11) for more in ([], [stopped])
    ]
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"initial": 0}, "initial"),
        ({"candidates": 1.5}, "candidates"),
        ({"fantasies": True}, "fantasies"),
        ({"price": "euros"}, "price"),
        ({"budget": 5.0}, "budget"),
        ({"budget": -5.0, "price": "dollars"}, "budget"),
        ({"budget": math.nan, "price": "dollars"}, "budget"),
    ],
)
def test_bad_arguments_are_told(arguments, field):
    with pytest.raises(Misuse, match=field):
        GaussianProcessSearch(**arguments)
