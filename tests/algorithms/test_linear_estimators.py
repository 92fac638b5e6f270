import pickle
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_rows
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import tradewind
from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.estimators import LinearClassifier, LinearRegressor
from tradewind.algorithms.linear.fitting import Stopping, merged
from tradewind.errors import Misuse


@pytest.mark.parametrize("estimator", [LinearClassifier(), LinearRegressor()], ids=lambda e: type(e).__name__)
def test_scikit_learn_finds_nothing_to_complain_of(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert not failed
    assert len(results) >= 50
    assert len(list(estimator_checks_generator(estimator))) == len(results)


def click_rows(n=12_000, d=300, seed=0):
    chance = np.random.default_rng(seed)
    X = random_rows(n, d, 0.05, "csr", np.float32, rng=chance)
    X.data[:] = 1.0
    p = 1 / (1 + np.exp(-(X @ chance.normal(size=d) - 0.3)))
    return X, np.where(chance.random(n) < p, "yes", "no")


def test_real_classes_are_learned_as_well_as_by_a_solver():
    X, y = load_breast_cancer(return_X_y=True)
    ours = cross_val_score(LinearClassifier(random_state=0), X, y, cv=4).mean()
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    solver = cross_val_score(LogisticRegression(), scaled, y, cv=4).mean()
    assert ours > solver - 0.02


def test_ten_classes_are_learned_by_softmax():
    X, y = load_digits(return_X_y=True)
    learner = LinearClassifier(random_state=0, epochs=8).fit(X[:1200], y[:1200])
    assert learner.score(X[1200:], y[1200:]) > 0.88
    assert learner.coef_.shape == (10, 64) and learner.intercept_.shape == (10,)


def test_real_values_are_learned():
    X, y = load_diabetes(return_X_y=True)
    learner = LinearRegressor(random_state=0, epochs=60, patience=10).fit(X, y)
    residual = np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y, rcond=None)[1][0]
    least = 1 - residual / ((y - y.mean()) ** 2).sum()
    assert learner.score(X, y) > least - 0.02


def test_sparse_and_dense_rows_give_the_same_answers_without_scaling():
    X, y = click_rows(2000)
    settings = {"normalize_data": False, "random_state": 0, "epochs": 3}
    sparse = LinearClassifier(**settings).fit(X, y)
    dense = LinearClassifier(**settings).fit(X.toarray(), y)
    assert sparse.score(X, y) > 0.7
    assert sparse.predict_proba(X) == pytest.approx(sparse.predict_proba(X.toarray()))
    assert np.mean(sparse.predict(X) == dense.predict(X)) > 0.97


def test_a_fit_is_repeatable_to_the_last_bit():
    X, y = click_rows()
    first, second = (LinearClassifier(random_state=3, epochs=2).fit(X, y) for _ in range(2))
    assert first.coef_.tobytes() == second.coef_.tobytes()
    assert first.coef_.tobytes() != LinearClassifier(random_state=4, epochs=2).fit(X, y).coef_.tobytes()


@pytest.mark.parametrize("sparse", [True, False])
def test_pieces_are_learned_as_the_whole_in_one_pass(sparse):
    X, y = click_rows()
    X = X if sparse else X[:, :40].toarray()
    whole = LinearClassifier(shuffle=False, epochs=1, sample_size=4000).fit(X, y)
    pieces = LinearClassifier(shuffle=False, epochs=1, sample_size=4000)
    for start in range(0, 12_000, 4000):
        pieces.partial_fit(X[start : start + 4000], y[start : start + 4000], classes=["no", "yes"])
    assert whole.coef_.tobytes() == pieces.coef_.tobytes()
    assert whole.intercept_.tobytes() == pieces.intercept_.tobytes()


def test_a_row_that_counts_twice_is_a_row_given_twice():
    X, y = click_rows(500)
    counts = np.random.default_rng(1).integers(0, 4, 500)
    weighted = LinearClassifier(random_state=0).fit(X, y, sample_weight=counts)
    again = np.repeat(np.arange(500), counts)
    repeated = LinearClassifier(random_state=0).fit(X[again], y[again])
    assert weighted.coef_.tobytes() == repeated.coef_.tobytes()


def test_merging_keeps_every_row_and_no_order():
    X = np.array([[1.0, 2], [0, 0], [1, 2], [1, 2], [-0.0, 0]])
    y = np.array([1.0, 0, 1, 0, 0])
    for rows in (X, csr_matrix(X)):
        batch, labels, weights = merged(batch_of(rows), y, np.array([1.0, 1, 2, 1, 0.5]))
        assert sorted(zip(labels.tolist(), weights.tolist(), strict=True)) in (
            [(0.0, 1.0), (0.0, 1.5), (1.0, 3.0)],
            [(0.0, 1.5), (0.0, 1.0), (1.0, 3.0)],
        )
        again = merged(batch_of(rows[::-1]), y[::-1], np.array([0.5, 1, 2, 1, 1]))
        assert again[2].tolist() == weights.tolist()
        assert len(batch) == 3


def test_class_weights_move_the_border():
    X, y = click_rows()
    shares = {}
    for weight in (None, {"yes": 20.0, "no": 1.0}, "balanced"):
        learner = LinearClassifier(random_state=0, epochs=2, class_weight=weight).fit(X, y)
        shares[str(weight)] = np.mean(learner.predict(X) == "yes")
    assert shares["{'yes': 20.0, 'no': 1.0}"] > 0.8 > shares["None"]


def test_it_stops_when_the_loss_no_longer_falls():
    X, y = click_rows(3000)
    learner = LinearClassifier(random_state=0, epochs=60, tolerance=0.01, patience=2).fit(X, y)
    assert 3 <= learner.n_iter_ < 60
    assert len(learner.loss_curve_) == learner.n_iter_
    held = LinearClassifier(random_state=0, epochs=60, validation_fraction=0.2).fit(X, y)
    assert held.n_iter_ < 60


@pytest.mark.parametrize(
    ("curve", "due"),
    [
        ([1.0], False),
        ([1.0, 0.9995, 0.9993, 0.9991], True),
        ([1.0, 0.9995, 0.9993, 0.99], False),
        ([1.0, 0.5, 0.6, 0.7], False),
        ([1.0, 0.5, 0.6, 0.7, 0.55], True),
        ([0.0], True),
        ([9.0, 8, 7, 6, 5], True),
    ],
)
def test_the_rule_of_stopping(curve, due):
    assert Stopping(epochs=5, tolerance=0.001, patience=3).due(curve) is due


def test_a_pack_holds_the_separate_models_and_chooses_the_best():
    X, y = click_rows()
    rates = [1e-5, 0.05, 0.15]
    settings = {"shuffle": False, "epochs": 2}
    pack = LinearClassifier(rate=rates, **settings).fit(X, y)
    for rate, model in zip(rates, pack.models_, strict=True):
        alone = LinearClassifier(rate=rate, **settings).fit(X, y)
        assert alone.coef_[0].tobytes() == model.weights.tobytes()
    assert pack.model_.settings["rate"] in (0.05, 0.15)
    assert pack.score(X, y) > 0.75
    assert len(LinearClassifier(num_models="auto", epochs=1).fit(X, y).models_) == 12


def test_the_criterion_sets_the_threshold_on_rows_held_back():
    X, y = click_rows()
    plain = LinearClassifier(random_state=0, epochs=2).fit(X, y)
    keen = LinearClassifier(
        random_state=0, epochs=2, validation_fraction=0.2, criterion="precision_at_target_recall",
        target_recall=0.95,
    ).fit(X, y)  # fmt: skip
    chosen = keen.predict(X) == "yes"
    assert plain.model_.threshold == 0.5 > keen.model_.threshold
    assert np.mean(chosen[y == "yes"]) > 0.9


def test_a_fitted_learner_travels():
    X, y = click_rows(1000)
    learner = LinearClassifier(random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(learner))
    assert again.predict(X).tolist() == learner.predict(X).tolist()
    assert clone(learner).get_params() == learner.get_params()
    assert not hasattr(clone(learner), "coef_")


def test_wide_rows_make_their_model_when_asked():
    narrow, y = click_rows(11_000)
    X = csr_matrix((narrow.data, narrow.indices * 600, narrow.indptr), shape=(11_000, 200_000))
    learner = LinearClassifier(epochs=1).fit(X, y)
    assert learner.score(X, y) > 0.7
    assert learner.coef_.shape == (1, 200_000)
    assert learner.model_.features == 200_000


@pytest.mark.parametrize("n", [500, 12_000])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_values_are_refused_and_nothing_is_learned(n, value):
    X, y = click_rows(n)
    X.data[len(X.data) // 2] = value
    learner = LinearClassifier()
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        learner.fit(X, y)
    assert not hasattr(learner, "coef_")


def test_bad_labels_columns_and_settings_are_refused():
    X, y = click_rows(500)
    with pytest.raises(ValueError, match="one class only"):
        LinearClassifier().fit(X, np.full(500, "no"))
    with pytest.raises(ValueError, match="Unknown label type"):
        LinearClassifier().fit(X, np.linspace(0, 1, 500))
    with pytest.raises(ValueError, match="features"):
        LinearClassifier().fit(X, y).predict(X[:, :5])
    with pytest.raises(ValueError, match="none of the classes"):
        LinearClassifier().partial_fit(X, y, classes=["no", "perhaps"])
    with pytest.raises(ValueError, match="first call"):
        LinearClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="at least one non-zero"):
        LinearRegressor().fit(X, np.arange(500), sample_weight=np.zeros(500))
    with pytest.raises(Misuse, match="Use LinearClassifier"):
        LinearRegressor("logistic").fit(X, np.arange(500))
    with pytest.raises(Misuse, match="0 epochs"):
        LinearClassifier(epochs=0).fit(X, y)
    with pytest.raises(Misuse, match="is no share"):
        LinearClassifier(validation_fraction=1.0).fit(X, y)
    with pytest.raises(Misuse, match="softmax"):
        LinearClassifier("hinge").fit(X, np.arange(500) % 3)


def test_the_front_door_knows_them():
    assert tradewind.LinearClassifier is LinearClassifier
    assert tradewind.LinearRegressor is LinearRegressor
