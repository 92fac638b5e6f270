import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from tradewind.algorithms.linear import metrics
from tradewind.algorithms.linear.calibration import calibrate
from tradewind.errors import Misuse

SEARCHED = ["accuracy", "f_beta", "precision_at_target_recall", "recall_at_target_precision"]


def value_at(threshold, positive, p, weights, criterion, beta, target):
    right, wrong, missed, left = metrics.counts(positive, p >= threshold, weights)
    if criterion == "accuracy":
        return (right + left) / weights.sum()
    if criterion == "f_beta":
        return metrics.f_beta(right, wrong, missed, beta)
    precision, recall = metrics.precision(right, wrong), metrics.precision(right, missed)
    held, wanted = (recall, precision) if criterion.startswith("precision") else (precision, recall)
    return wanted if held >= target - 1e-12 else 0.0


@pytest.mark.parametrize("criterion", SEARCHED)
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(1, 3)), min_size=1, max_size=25),
    beta=st.sampled_from([0.5, 1.0, 2.0]),
    target=st.sampled_from([0.3, 0.8]),
)
def test_the_threshold_is_as_good_as_any_that_brute_force_finds(criterion, rows, beta, target):
    positive = np.array([row[0] for row in rows])
    p, weights = np.array([row[1] / 8 for row in rows]), np.array([float(row[2]) for row in rows])
    threshold, value = calibrate(
        positive, p, criterion, weights=weights, beta=beta, target_precision=target, target_recall=target
    )
    grid = np.concatenate([np.linspace(-0.5, 1.5, 801), np.unique(p)])
    found = np.array([value_at(t, positive, p, weights, criterion, beta, target) for t in grid])
    assert value == pytest.approx(found.max(), abs=1e-9)
    reached = value_at(threshold, positive, p, weights, criterion, beta, target)
    assert reached == pytest.approx(value, abs=1e-9)
    if value_at(0.5, positive, p, weights, criterion, beta, target) >= value - 1e-12 and value > 0:
        assert threshold == 0.5


def test_of_equal_thresholds_the_one_closest_to_one_half_is_taken():
    positive = np.array([False, False, True, True])
    assert calibrate(positive, np.array([0.1, 0.2, 0.7, 0.9]), "accuracy") == (0.5, 1.0)
    assert calibrate(positive, np.array([0.1, 0.6, 0.7, 0.9]), "accuracy")[0] == pytest.approx(0.65)


def test_a_loss_asks_for_no_threshold():
    threshold, value = calibrate(np.array([True, False]), np.array([0.9, 0.8]), "cross_entropy_loss")
    assert threshold == 0.5 and np.isnan(value)


def test_a_target_out_of_reach_scores_nothing():
    positive = np.array([True, False, False, False])
    threshold, value = calibrate(
        positive, np.array([0.1, 0.4, 0.5, 0.9]), "recall_at_target_precision", target_precision=0.9
    )
    assert value == 0.0 and threshold <= 0.1


def test_an_unknown_criterion_and_no_rows_are_refused():
    with pytest.raises(Misuse, match="Did you mean 'accuracy'"):
        calibrate(np.array([True]), np.array([0.5]), "acuracy")
    with pytest.raises(Misuse, match="no row to score"):
        calibrate(np.array([], bool), np.array([]), "accuracy")
    with pytest.raises(Misuse, match="weight zero"):
        calibrate(np.array([True]), np.array([0.5]), "accuracy", weights=np.array([0.0]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(4, 60))
def test_metrics_are_those_of_scikit_learn(seed, rows):
    chance = np.random.default_rng(seed)
    truth = np.concatenate([[0, 1], chance.integers(0, 2, rows - 2)])
    p = np.round(chance.random(rows), 1)
    weights = chance.random(rows) + 0.1
    chosen = p >= 0.5
    assert metrics.auc(truth == 1, p, weights) == pytest.approx(
        peer.roc_auc_score(truth, p, sample_weight=weights)
    )
    right, wrong, missed, _ = metrics.counts(truth == 1, chosen, weights)
    assert metrics.f_beta(right, wrong, missed, 2.0) == pytest.approx(
        peer.fbeta_score(truth, chosen, beta=2.0, sample_weight=weights, zero_division=0)
    )
    table = np.stack([1 - p * 0.9 - 0.05, p * 0.9 + 0.05], axis=1)
    assert metrics.log_loss(truth, table, weights) == pytest.approx(
        peer.log_loss(truth, table, sample_weight=weights)
    )
    z = chance.normal(size=rows)
    assert metrics.REGRESSION["r2"](p, z, weights) == pytest.approx(
        peer.r2_score(p, z, sample_weight=weights) if p.std() else float("nan"), nan_ok=True
    )
    assert metrics.REGRESSION["mae"](p, z, weights) == pytest.approx(
        peer.mean_absolute_error(p, z, sample_weight=weights)
    )
