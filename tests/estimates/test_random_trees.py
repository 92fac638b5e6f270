"""Regression trees that chance makes differ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from tradewind.errors import Misuse
from tradewind.estimates.random_trees import RandomTrees

STEP = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]])
KINDS = (
    {"trees": 60, "random_cuts": True},
    {"trees": 60, "looks": 3, "bootstrap": True},
    {"trees": 60, "random_cuts": True, "depth": 4},
)


def test_the_best_cut_of_a_step_by_hand():
    found = RandomTrees.fitted(STEP, [1.0, 1.0, 5.0, 9.0], trees=1, depth=1, seed=0)
    assert found.columns[0].tolist() == [0, -1, -1] and found.cuts[0, 0] == 1.5
    assert found.values[0].tolist() == [4.0, 1.0, 7.0]
    means, deviations = found.predict([[1.5, 0.0], [1.6, 0.0]])
    assert means.tolist() == [1.0, 7.0] and deviations.tolist() == [0.0, 0.0]


def test_without_bounds_a_tree_repeats_what_it_was_told():
    chance = np.random.default_rng(1)
    rows, targets = chance.random((70, 3)), chance.random(70)
    for random_cuts in (False, True):
        found = RandomTrees.fitted(rows, targets, trees=3, seed=2, random_cuts=random_cuts)
        assert np.allclose(found.each(rows), targets)


def test_nothing_to_cut_by_is_a_mean():
    found = RandomTrees.fitted(np.ones((4, 2)), [1.0, 2.0, 3.0, 6.0], trees=2, seed=0)
    assert found.predict([[0.0, 9.0]])[0].tolist() == [3.0]
    assert (
        RandomTrees.fitted(np.zeros((2, 0)), [1.0, 3.0], trees=1, seed=0).predict(np.zeros((1, 0)))[0] == 2.0
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from(KINDS))
def test_beliefs_lie_among_the_targets_and_are_those_of_the_seed(number, kind):
    chance = np.random.default_rng(number)
    rows = chance.integers(0, 4, (int(chance.integers(1, 30)), 4)).astype(float)
    targets, asked = chance.normal(size=len(rows)), chance.normal(size=(20, 4))
    found = RandomTrees.fitted(rows, targets, **kind, seed=(number, 3))
    means, deviations = found.predict(asked)
    assert (means >= targets.min() - 1e-9).all() and (means <= targets.max() + 1e-9).all()
    assert (deviations >= 0).all() and np.isfinite(deviations).all()
    again = RandomTrees.fitted(rows, targets, **kind, seed=(number, 3)).predict(asked)
    assert np.array_equal(means, again[0]) and np.array_equal(deviations, again[1])


@pytest.mark.parametrize("kind", KINDS)
def test_as_good_as_scikit_learns(kind):
    chance = np.random.default_rng(5)
    rows, asked = chance.random((150, 6)), chance.random((300, 6))

    def truth(at):
        return np.sin(4 * at[:, 0]) + 2 * at[:, 1] * at[:, 2]

    targets = truth(rows) + 0.1 * chance.normal(size=len(rows))
    if kind.get("bootstrap"):
        theirs = RandomForestRegressor(60, max_features=3, random_state=0)
    else:
        theirs = ExtraTreesRegressor(60, max_depth=kind.get("depth"), random_state=0)
    theirs.fit(rows, targets)
    spread = np.std([each.predict(asked) for each in theirs.estimators_], axis=0).mean()
    means, deviations = RandomTrees.fitted(rows, targets, **kind, seed=0).predict(asked)
    off = np.sqrt(np.mean((means - truth(asked)) ** 2))
    assert off < 1.1 * np.sqrt(np.mean((theirs.predict(asked) - truth(asked)) ** 2))
    assert deviations.mean() == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(
    ("rows", "targets", "more"),
    [
        (STEP, [1.0], {}),
        (np.zeros((0, 2)), [], {}),
        (STEP, [1.0, 2.0, 3.0, np.nan], {}),
        (np.full((1, 1), np.inf), [1.0], {}),
        (STEP, [1.0] * 4, {"trees": 0}),
        (STEP, [1.0] * 4, {"looks": 0}),
    ],
)
def test_what_cannot_be_is_refused(rows, targets, more):
    with pytest.raises(Misuse):
        RandomTrees.fitted(rows, targets, **({"trees": 1} | more), seed=0)
