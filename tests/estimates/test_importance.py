"""How much each hyper-parameter matters: against what is known exactly, and against optuna's evaluator."""

import numpy as np
import optuna
import pytest
from optuna.importance import FanovaImportanceEvaluator

from tradewind.errors import Misuse
from tradewind.estimates.importance import LEAST, Column, importance

PLAIN = [Column()] * 4


def additive(x):
    """Main effects only, with variances of 16 times that of (u - 0.3)^2, then 0.12 and about 0.05."""
    return 4 * (x[:, 0] - 0.3) ** 2 + 1.2 * x[:, 1] + 0.3 * np.sin(6 * x[:, 2])


def test_shares_of_an_additive_function_are_those_of_its_variance():
    chance = np.random.default_rng(3)
    x = chance.random((500, 4))
    u = (np.arange(10_000) + 0.5) / 10_000
    alone = np.array([(4 * (u - 0.3) ** 2).var(), (1.2 * u).var(), (0.3 * np.sin(6 * u)).var(), 0.0])
    found = importance(x, additive(x), PLAIN)
    means = np.array([share.mean for share in found.shares])
    assert np.abs(means - alone / alone.sum()).max() < 0.04
    assert found.together == pytest.approx(1 - means.sum()) and found.together < 0.12
    assert found.fit > 0.95 and found.trials == 500
    for share, true in zip(found.shares, alone / alone.sum(), strict=True):
        assert share.low <= share.mean <= share.high
        assert (share.low > found.chance) == (true > 0), "what does something clears what chance gets"


def test_the_order_is_that_of_optunas_evaluator():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = "abcde"
    x = np.random.default_rng(8).random((120, 5))
    y = 2 * np.abs(x[:, 3] - 0.5) + 1.1 * x[:, 1] ** 2 + 0.4 * x[:, 4] + 0.15 * x[:, 0]
    study = optuna.create_study()
    ranges = {name: optuna.distributions.FloatDistribution(0, 1) for name in names}
    for row, value in zip(x.tolist(), y.tolist(), strict=True):
        params = dict(zip(names, row, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=value))
    theirs = FanovaImportanceEvaluator(seed=0, n_trees=32).evaluate(study)
    ours = importance(x, y, [Column()] * 5)
    order = sorted(range(5), key=lambda at: -ours.shares[at].mean)
    assert [names[at] for at in order[:4]] == sorted(theirs, key=lambda name: -theirs[name])[:4]
    for at, name in enumerate(names):
        assert ours.shares[at].mean == pytest.approx(theirs[name], abs=0.1)


def test_a_conditional_parameter_counts_by_how_often_it_has_a_place():
    chance = np.random.default_rng(5)
    kind, slope = chance.integers(2, size=500), chance.random(500)
    y = np.where(kind == 1, 2.0 * slope, 0.0)
    x = np.column_stack([(kind + 0.5) / 2, np.where(kind == 1, slope, np.nan)])
    found = importance(x, y, [Column(2), Column(0, ((0, ((0.5, 1.0),)),))])
    # Where there is one it explains 4/12, which is half of the time; the kind explains a mean of 1 or 0.
    whole = 0.25 + 0.5 * 4 / 12
    assert found.shares[0].mean == pytest.approx(0.25 / whole, abs=0.05)
    assert found.shares[1].mean == pytest.approx(0.5 * 4 / 12 / whole, abs=0.05)
    assert found.together < 0.05, "with conditions, too, shares add up"


def test_a_condition_may_have_a_condition() -> None:
    chance = np.random.default_rng(11)
    kind, number, slope = chance.integers(3, size=600), chance.random(600), chance.random(600)
    there = kind == 2
    deep = there & (number > 0.75)
    y = np.where(deep, 6.0 * slope, 0.0)
    x = np.column_stack([(kind + 0.5) / 3, np.where(there, number, np.nan), np.where(deep, slope, np.nan)])
    columns = [Column(3), Column(0, ((0, ((2 / 3, 1.0),)),)), Column(0, ((1, ((0.75, 1.0),)),))]
    found = importance(x, y, columns)
    part = 1 / 3 * 1 / 4
    whole = part * (3.0 + 9.0) - (part * 3.0) ** 2
    assert found.shares[2].mean == pytest.approx(part * 3.0 / whole, abs=0.06)
    assert found.shares[1].mean == pytest.approx(1 / 3 * 9 * 0.25 * 0.75 / whole, abs=0.08)
    assert found.together < 0.08


def test_the_order_of_categories_says_nothing():
    chance = np.random.default_rng(6)
    kind, other = chance.integers(6, size=300), chance.random(300)
    y = np.array([0.0, 3.0, 0.0, 3.0, 0.0, 3.0])[kind] + other
    columns = [Column(6), Column()]
    found = importance(np.column_stack([(kind + 0.5) / 6, other]), y, columns)
    again = importance(np.column_stack([(np.array([0, 3, 1, 4, 2, 5])[kind] + 0.5) / 6, other]), y, columns)
    assert found.shares[0].mean == pytest.approx(again.shares[0].mean, abs=0.02)
    assert found.shares[0].mean == pytest.approx(2.25 / (2.25 + 1 / 12), abs=0.05)


def test_noise_is_said_to_be_noise():
    chance = np.random.default_rng(7)
    found = importance(chance.random((60, 4)), chance.standard_normal(60), PLAIN)
    assert found.fit < 0.1
    assert sum(share.low > found.chance for share in found.shares) <= 1


def test_more_trials_make_it_surer_and_a_diverged_one_changes_little():
    x = np.random.default_rng(9).random((400, 4))
    y = additive(x)
    few, many = importance(x[:30], y[:30], PLAIN), importance(x, y, PLAIN)
    assert all(a.high - a.low > b.high - b.low for a, b in zip(few.shares[:2], many.shares[:2], strict=True))
    y[7] = 1e9
    diverged = importance(x, y, PLAIN)
    assert [share.mean for share in diverged.shares] == pytest.approx(
        [share.mean for share in many.shares], abs=0.05
    )


def test_equal_arguments_give_equal_answers_and_losses_may_have_any_scale():
    x = np.random.default_rng(1).random((40, 4))
    found = importance(x, additive(x), PLAIN)
    assert importance(x, additive(x), PLAIN) == found
    assert importance(x, additive(x), PLAIN, seed=1) != found
    for scale in (2.0**-60, 2.0**1000):
        assert importance(x, scale * additive(x), PLAIN).shares == found.shares


def test_where_nothing_can_be_said():
    x = np.random.default_rng(2).random((LEAST, 4))
    assert importance(x[1:], additive(x)[1:], PLAIN) is None, "too few"
    assert importance(x, np.ones(LEAST), PLAIN) is None, "all the same"
    assert importance(x, additive(x), PLAIN) is not None
    assert importance(np.zeros((0, 4)), [], PLAIN) is None


@pytest.mark.parametrize(
    ("points", "losses", "match"),
    [
        (np.zeros((12, 3)), np.arange(12), r"points of shape \(12, 3\) for 12 losses and 4 columns"),
        (np.zeros((12, 4)), np.arange(11), "points"),
        (np.zeros(12), np.arange(12), "points"),
        (np.zeros((12, 4)), [np.nan] * 12, "finite"),
    ],
)
def test_what_cannot_be_meant(points, losses, match):
    with pytest.raises(Misuse, match=match):
        importance(points, losses, PLAIN)
