"""Estimators with `partial_fit` as learners: exact where they count, as good where they step, else told."""

from __future__ import annotations

import warnings

import numpy as np
import own_estimators
import pytest
from learning_here import MODES, learned, model_in, progress, tables
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.partial_fit import PartialFitLearner
from tradewind.algorithms.partial_fit_merging import KNOWN
from tradewind.errors import Misuse

pytestmark = pytest.mark.filterwarnings("ignore:Class PassiveAggressive.*:FutureWarning")

LINEAR, BAYES = "sklearn.linear_model:", "sklearn.naive_bayes:"
ARGUMENTS = {
    LINEAR + "SGDClassifier": {"loss": "log_loss", "alpha": 0.001},
    LINEAR + "SGDRegressor": {"eta0": 0.02},
    LINEAR + "PassiveAggressiveClassifier": {"C": 0.01},
    LINEAR + "PassiveAggressiveRegressor": {"C": 0.1},
}


def rows(classes: int = 3, count: int = 400, features: int = 8):
    chance = np.random.default_rng(classes)
    x = chance.normal(size=(count, features))
    scores = x @ chance.normal(size=(features, classes)) + 0.3 * chance.normal(size=(count, classes))
    return x.astype(np.float32), scores.argmax(axis=1).astype(float)


def counts(classes: int = 3, count: int = 300, words: int = 20):
    chance = np.random.default_rng(classes)
    y = chance.integers(classes, size=count)
    topics = chance.dirichlet(np.full(words, 0.3), classes)
    return chance.poisson(12 * topics[y]).astype(np.float32), y.astype(float)


def given(home: str, **settings) -> PartialFitLearner:
    return PartialFitLearner(home, arguments=ARGUMENTS.get(home), **settings)


def data(home: str):
    """Of two classes for linear ones: for more scikit-learn sets the whole process's warnings."""
    if home.startswith(BAYES):
        return rows() if home.endswith("GaussianNB") else counts()
    x, y = rows(classes=2)
    return (x, (x @ np.arange(8.0) + 2)) if home.endswith("Regressor") else (x, y)


@pytest.mark.parametrize("name", ["SGDClassifier", "MultinomialNB", "PassiveAggressiveRegressor"])
def test_scikit_learn_finds_nothing_to_complain_of(name):
    home = next(each for each in KNOWN if each.endswith(":" + name))
    arguments = {"C": 0.01} if name.startswith("Passive") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(PartialFitLearner(home, arguments=arguments, epochs=3), on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 50


@pytest.mark.parametrize("kind", [MultinomialNB, BernoulliNB, ComplementNB])
@pytest.mark.parametrize(("consistency", "staleness"), MODES)
def test_counts_are_those_of_one_fit_to_the_last_bit(kind, consistency, staleness):
    x, y = counts()
    whole = kind(alpha=0.5).fit(x.astype(float), y)
    learner = PartialFitLearner.of(kind(alpha=0.5))
    for parts in (1, 2, 4):
        settings = {"consistency": consistency, "staleness": staleness, "parts": parts, "epochs": 1}
        model = model_in(learner, learned(learner, (x, y), **settings))
        for name in ("class_count_", "feature_count_", "feature_log_prob_", "class_log_prior_"):
            assert np.array_equal(model.arrays()[name], getattr(whole, name)), name
        assert np.array_equal(model.predict(batch_of(x)), whole.predict(x.astype(float)))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_moments_are_those_of_one_fit(shift):
    x, y = rows()
    x = x.astype(float) + shift
    whole = GaussianNB().fit(x, y)
    learner = PartialFitLearner.of(GaussianNB())
    for parts in (1, 2, 4):
        model = model_in(learner, learned(learner, (x, y), parts=parts, epochs=1))
        for name in ("theta_", "var_", "class_prior_", "class_count_"):
            assert model.arrays()[name] == pytest.approx(getattr(whole, name), rel=1e-5 if shift else 1e-6)
        assert model.evaluate(batch_of(x)) == pytest.approx(whole.predict_proba(x), abs=1e-4)


@pytest.mark.parametrize("home", [each for each, how in KNOWN.items() if how.how == "mean"])
def test_steps_of_several_workers_are_as_good_as_those_of_one(home):
    x, y = (each[:200] for each in data(home))
    learner = given(home)
    scores = {}
    for parts in (1, 2, 4):
        engine = learned(learner, (x, y), parts=parts, batch=20, epochs=8)
        model = model_in(learner, engine)
        scores[parts] = model.score(batch_of(x, y))
        assert progress(engine)[1] == 200 * 8
    assert scores[1] > 0.8 and min(scores.values()) > scores[1] - 0.05


@pytest.mark.parametrize("name", ["SGDClassifier", "MultinomialNB"])
def test_a_job_that_is_stopped_learns_the_same_bits(name):
    home = next(each for each in KNOWN if each.endswith(":" + name))
    learner = given(home)
    whole = learned(learner, data(home), parts=2, batch=20, epochs=2)
    for stops in ([3], [1, 4, 7], [9, 2]):
        assert tables(learned(learner, data(home), parts=2, batch=20, epochs=2, stops=stops)) == tables(whole)


@pytest.mark.parametrize(("consistency", "staleness"), MODES[1:])
def test_without_barriers_it_learns_as_well(consistency, staleness):
    x, y = rows(classes=2)
    learner = given(LINEAR + "SGDClassifier")
    settings = {"parts": 4, "batch": 10, "epochs": 10, "consistency": consistency, "staleness": staleness}
    model = model_in(learner, learned(learner, (x, y), **settings))
    assert model.score(batch_of(x, y)) > 0.85


def test_the_face_learns_what_the_estimator_does_by_itself():
    x, y = load_digits(return_X_y=True)
    ours = PartialFitLearner.of(MultinomialNB()).fit(x, y)
    alone = MultinomialNB().fit(x, y)
    assert np.array_equal(ours.predict_proba(x), alone.predict_proba(x)) and ours.n_iter_ == 1
    ours = PartialFitLearner.of(SGDClassifier(random_state=0), epochs=5).fit(x, y)
    alone = SGDClassifier(random_state=0, max_iter=5, tol=None).fit(x, y)
    assert ours.score(x, y) > alone.score(x, y) - 0.03
    assert not hasattr(ours, "predict_proba") and ours.decision_function(x).shape == (len(x), 10)


def test_what_is_learned_in_pieces_is_what_is_learned_at_once():
    x, y = counts()
    pieces = PartialFitLearner.of(BernoulliNB())
    for at in range(0, 300, 100):
        pieces.partial_fit(x[at : at + 100], y[at : at + 100], classes=[0, 1, 2])
    assert np.array_equal(pieces.feature_log_prob_, BernoulliNB().fit(x.astype(float), y).feature_log_prob_)


def test_weights_of_rows_count():
    x, y = counts()
    weights = np.random.default_rng(0).integers(0, 3, 300).astype(np.float32)
    learner = PartialFitLearner.of(MultinomialNB())
    model = model_in(learner, learned(learner, (x, y, weights), epochs=1))
    whole = MultinomialNB().fit(x.astype(float), y, sample_weight=weights)
    assert np.array_equal(model.arrays()["feature_count_"], whole.feature_count_)
    with pytest.raises(Misuse, match="weights"):
        learned(given(LINEAR + "PassiveAggressiveClassifier"), (x, y, weights))


def test_sparse_rows_are_learned_as_dense_ones_are():
    x, y = counts()
    for home in (BAYES + "MultinomialNB", LINEAR + "SGDClassifier"):
        learner = given(home)
        dense = model_in(learner, learned(learner, (x, y), epochs=4, parts=1))
        sparse = model_in(learner, learned(learner, (csr_matrix(x), y), epochs=4, parts=1))
        # scikit-learn steps a sparse row's intercept less
        assert sparse.score(batch_of(x, y)) == pytest.approx(
            dense.score(batch_of(csr_matrix(x), y)), abs=0.05
        )
    with pytest.raises(Misuse, match="sparse"):
        learned(given(BAYES + "GaussianNB"), (csr_matrix(x), y))


# estimators of the user's own


def test_a_users_sums_are_merged_exactly():
    x, y = rows(classes=2)
    learner = PartialFitLearner.of(own_estimators.Centroids, merge="sum")
    engine = learned(learner, (x, y), parts=4, epochs=1)
    model = model_in(learner, engine)
    alone = own_estimators.Centroids().partial_fit(x.astype(float), y, classes=np.array([0.0, 1.0]))
    assert model.arrays()["sums_"] == pytest.approx(alone.sums_, rel=1e-12)
    assert np.array_equal(model.predict(batch_of(x)), alone.predict(x.astype(float)))


def test_a_users_steps_are_mixed():
    x, _ = rows()
    y = x @ np.arange(8.0) + 2
    learner = PartialFitLearner.of(own_estimators.Steps(rate=0.1), merge="mean")
    assert learner.arguments == {"rate": 0.1}
    for parts in (1, 2, 4):
        model = model_in(learner, learned(learner, (x, y), parts=parts, batch=10, epochs=20))
        assert model.score(batch_of(x, y)) > 0.97


@pytest.mark.parametrize(
    ("estimator", "settings", "words"),
    [
        ("sklearn.neural_network:MLPClassifier", {}, "optimizer"),
        ("sklearn.cluster:MiniBatchKMeans", {}, "centres"),
        ("sklearn.decomposition:IncrementalPCA", {}, "bases"),
        ("sklearn.ensemble:RandomForestClassifier", {}, "no partial_fit"),
        ("sklearn.linear_model:SGDClassifier", {"arguments": {"average": True}}, "averaged"),
        ("sklearn.linear_model:SGDClassifier", {"merge": "sum"}, "by mean, not by sum"),
        ("sklearn.linear_model:SGDClassifier", {"arguments": {"los": "hinge"}}, "los"),
        ("sklearn.linear_model:SGDClassifier", {"arguments": {"alpha": -1.0}}, "'alpha' parameter"),
        ("sklearn.linear_model:SGDClassifier", {"arguments": {"early_stopping": True}}, "early_stopping"),
        ("sklearn.linear_model:SGDClassifier", {"arguments": {"class_weight": "balanced"}}, "balanced"),
        ("sklearn.linear_model:SGDClassifer", {}, "cannot be imported"),
        ("sklearn", {}, "names nothing"),
        ("own_estimators:Centroids", {}, "merge='sum'"),
        ("own_estimators:Secretive", {"merge": "mean"}, "'generator'"),
        ("own_estimators:Growing", {"merge": "sum"}, "'seen_'"),
    ],
)
def test_what_cannot_be_merged_is_refused_with_the_reason(estimator, settings, words):
    with pytest.raises(Misuse, match=words):
        PartialFitLearner(estimator, **settings).check()


def test_an_estimator_that_no_worker_could_make_is_told():
    class Local(own_estimators.Steps):
        pass

    with pytest.raises(Misuse, match="top of a module"):
        PartialFitLearner.of(Local)
    with pytest.raises(Misuse, match="plain values"):
        PartialFitLearner.of(SGDClassifier(random_state=np.random.RandomState(0)))
    assert PartialFitLearner.of(SGDRegressor(alpha=0.1)).arguments == {"alpha": 0.1}
    assert PartialFitLearner.of(SGDRegressor()).estimator == "sklearn.linear_model:SGDRegressor"


def test_rows_that_are_wrong_are_told():
    x, y = rows()
    with pytest.raises(Misuse, match="the label 2 is none of"):
        learned(PartialFitLearner(LINEAR + "SGDClassifier", classes=(0.0, 1.0)), (x, y))
    with pytest.raises(Misuse, match="Negative"):
        learned(given(BAYES + "MultinomialNB"), (x, y))


def test_a_clone_keeps_its_arguments():
    learner = PartialFitLearner(LINEAR + "SGDClassifier", arguments={"alpha": 0.5}, epochs=2)
    assert clone(learner).get_params() == learner.get_params()
