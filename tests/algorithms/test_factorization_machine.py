"""Factorization machines by both faces: what they learn, what they refuse, and the laws of algorithms."""

import warnings

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.factorization_machine import (
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
)
from tradewind.algorithms.linear.fitting import merged
from tradewind.algorithms.local_state import LocalState
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.engine import Engine
from tradewind.testing.algorithms import AlgorithmLaws, reader_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state

BOTH = pytest.mark.parametrize("kind", [FactorizationMachineClassifier, FactorizationMachineRegressor])


def ratings(n=6000, users=40, items=30, *, seed=1, classes=False):
    """Sparse indicators of user and item, with a truth of rank two; (X, y)."""
    chance = np.random.default_rng(seed)
    user, item = chance.integers(0, users, n), chance.integers(0, items, n)
    p, q = chance.normal(size=(users, 2)), chance.normal(size=(items, 2))
    score = (p[user] * q[item]).sum(axis=1) + 0.5 * chance.normal(size=users)[user]
    indices = np.stack([user, users + item], axis=1).ravel()
    X = csr_matrix((np.ones(2 * n, np.float32), indices, np.arange(0, 2 * n + 1, 2)), (n, users + items))
    if classes:
        return X, (chance.random(n) < 1 / (1 + np.exp(-2 * score))).astype(float)
    return X, 3.0 + 2.0 * score + 0.2 * chance.normal(size=n)


class TestLawsOnDenseRows(AlgorithmLaws):
    """On sparse rows the catalogue's machines are held to them."""

    batch, epochs = 10, 12
    lower_is_better = True
    tolerance = 0.05

    def learner(self):
        # long steps that come late, on rows that hold every feature, overshoot now and then
        return FactorizationMachineRegressor(
            4, rate=0.1, factors_rate=0.1, initial_scale=0.3, sample_size=200
        )

    def data(self):
        chance = np.random.default_rng(5)
        X = 10 + chance.normal(size=(240, 5)) * [1, 2, 3, 4, 5]
        return X, X[:, 0] + (X[:, 1] - 10) * (X[:, 2] - 10), chance.uniform(0.5, 1.5, 240)

    def quality(self, model):
        rows = self.rows()
        return model.score(rows, "rmse") / np.std(rows.labels)


@BOTH
def test_scikit_learn_finds_nothing_to_complain_of(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(kind(), on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 50


def test_pairs_are_learned_that_no_linear_model_sees():
    X, y = ratings()
    fm = FactorizationMachineRegressor(epochs=20).fit(X[:5000], y[:5000])
    linear = LinearRegression().fit(X[:5000], y[:5000])
    assert linear.score(X[5000:], y[5000:]) < 0.4
    assert fm.score(X[5000:], y[5000:]) > 0.97


def test_classes_are_learned_under_their_own_names():
    X, y = ratings(classes=True)
    names = np.where(y > 0, "yes", "no")
    fm = FactorizationMachineClassifier().fit(X[:5000], names[:5000])
    assert fm.classes_.tolist() == ["no", "yes"] and set(fm.predict(X[5000:])) == {"no", "yes"}
    assert fm.score(X[5000:], names[5000:]) > 0.7 > 0.63 > LogisticRegression().fit(X, y).score(X, y)
    likely = fm.predict_proba(X[5000:])
    assert likely.sum(axis=1) == pytest.approx(np.ones(1000))
    assert likely[:, 1] == pytest.approx(1 / (1 + np.exp(-fm.decision_function(X[5000:]))))


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("consistency", ["bulk_synchronous", "stale_synchronous", "asynchronous"])
def test_a_job_learns_as_well_as_fit(classes, consistency):
    """Held-out loss within 3 %, whatever the number of workers."""
    X, y = ratings(classes=classes)
    kind = FactorizationMachineClassifier if classes else FactorizationMachineRegressor
    held = batch_of(X[5000:], y[5000:])
    best = kind(epochs=15, seed=3).fit(X[:5000], y[:5000]).model_.score(held, "loss_function")
    job = Job(
        learner=learner_of(kind(seed=3)), data={}, parts=2, batch=100, epochs=15, consistency=consistency,
        staleness=1 if consistency == "stale_synchronous" else 0,
    )  # fmt: skip
    data = open_data(X[:5000], y[:5000])
    engine = fresh_state(job, kind(seed=3), data)
    learn_here(job, kind(seed=3), data, engine)
    found = kind(seed=3).finalize(reader_of(engine.snapshot())).score(held, "loss_function")
    assert found < best * 1.03 + (0 if classes else 0.002)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_every_optimizer_learns_pairs(optimizer):
    X, y = ratings(3000, 20, 15)
    fm = FactorizationMachineRegressor(
        4, optimizer=optimizer, factors_rate=1.0 if optimizer == "sgd" else None, initial_scale=0.3
    )
    batch, state = batch_of(X, y), LocalState()
    fm.initialize(state, batch)
    for _ in range(60):
        fm.update(state, state.draw(batch.rows(at, at + 100) for at in range(0, 3000, 100)), False)
    assert fm.finalize(state).score(batch, "r2") > 0.9


@pytest.mark.parametrize("suffix", ["csv", "libsvm", "parquet"])
def test_jobs_read_csv_libsvm_and_parquet(tmp_path, suffix):
    """Each learns the same from the same rows, the dense formats from dense batches."""
    X, y = ratings(800, 8, 6)
    dense, path = X.toarray(), tmp_path / f"ratings.{suffix}"
    names = [f"f{i}" for i in range(dense.shape[1])]
    if suffix == "csv":
        lines = [",".join(map(str, [*row.tolist(), label])) for row, label in zip(dense, y, strict=True)]
        path.write_text("\n".join([",".join([*names, "label"]), *lines]) + "\n")
    elif suffix == "libsvm":
        path.write_text(
            "".join(f"{y[i]} {' '.join(f'{j + 1}:1' for j in X[i].indices)}\n" for i in range(800))
        )
    else:
        columns = {**dict(zip(names, dense.T, strict=True)), "label": y}
        parquet.write_table(pyarrow.table(columns), path)
    data = open_data(str(path), features=14) if suffix == "libsvm" else open_data(str(path))
    job = Job(learner=learner_of(FactorizationMachineRegressor(3)), data={}, parts=2, batch=50, epochs=4)

    def learned(rows):
        engine = fresh_state(job, FactorizationMachineRegressor(3), rows)
        learn_here(job, FactorizationMachineRegressor(3), rows, engine)
        return FactorizationMachineRegressor(3).finalize(reader_of(engine.snapshot()))

    found, wanted = learned(data), learned(open_data(X, y))
    assert found.evaluate(X) == pytest.approx(wanted.evaluate(X), rel=1e-4, abs=1e-4)
    assert found.score(batch_of(X, y), "r2") > 0.5


@BOTH
def test_only_features_that_were_met_are_kept_and_count(kind):
    X, y = ratings(500, 6, 5, classes=True)
    wide = csr_matrix((X.data, X.indices, X.indptr), (500, 1 << 20))
    fm = kind(4).fit(wide, y)
    assert not fm.model_.factors[11:].any() and not fm.coef_[11:].any() and fm.model_.factors[:11].all()
    strange = csr_matrix((np.ones(2, np.float32), [3, 500_000], [0, 2]), (1, 1 << 20))
    known = csr_matrix((np.ones(1, np.float32), [3], [0, 1]), (1, 1 << 20))
    assert fm.predict(strange).tolist() == fm.predict(known).tolist()
    batch = batch_of(wide, y)
    job = Job(learner=learner_of(kind(4)), data={}, parts=2, batch=100)
    engine = fresh_state(job, kind(4), open_data(batch))
    learn_here(job, kind(4), open_data(batch), engine)
    assert len(reader_of(engine.snapshot()).entries("factors")[0]) == 11
    model = kind(4).finalize(reader_of(engine.snapshot()))
    assert not model.factors[11:].any() and model.factors[:11].all()


@BOTH
def test_a_weight_of_two_is_a_row_given_twice(kind):
    X, y = ratings(300, 8, 6, classes=True)
    weights = np.random.default_rng(2).integers(0, 3, 300)
    twice = np.repeat(np.arange(300), weights)
    ours, theirs = kind(4).fit(X, y, sample_weight=weights), kind(4).fit(X[twice], y[twice])
    assert ours.model_.factors.tobytes() == theirs.model_.factors.tobytes()


def test_weights_of_a_batch_count_as_rows_given_as_often():
    X, y = ratings(100, 8, 6, classes=True)
    weights = np.random.default_rng(2).integers(1, 4, 100)
    twice = np.repeat(np.arange(100), weights)
    tables = []
    for rows in (batch_of(X, y, weights), batch_of(X[twice], y[twice])):
        fm, state = FactorizationMachineClassifier(3, l2=0.1, factors_l2=0.2), LocalState()
        fm.initialize(state, rows)
        fm.update(state, state.draw([rows]), False)
        tables.append((state.pull("factors"), state.pull("progress")))
    assert tables[0][0] == pytest.approx(tables[1][0], rel=1e-5, abs=1e-6)
    assert tables[0][1] == pytest.approx(tables[1][1])


def test_decay_shrinks_what_it_is_asked_to():
    X, y = ratings()
    free, weights, factors = (
        FactorizationMachineRegressor(4, epochs=8, l2=l2, factors_l2=other).fit(X, y)
        for l2, other in ((0, 0), (1, 0), (0, 1))
    )
    assert np.abs(weights.coef_).sum() < 0.5 * np.abs(free.coef_).sum()
    assert np.abs(factors.factors_).sum() < 0.5 * np.abs(free.factors_).sum()


def test_held_back_rows_bring_back_the_best_pass():
    X, y = ratings(600, 60, 60)
    common = {"epochs": 40, "tolerance": 0.0, "patience": 40, "l2": 0, "factors_l2": 0, "factors_rate": 0.5}
    fm = FactorizationMachineRegressor(**common, validation_fraction=0.3).fit(X, y)
    rows, labels, _ = merged(batch_of(X), y, np.ones(600))
    back = np.sort(np.random.default_rng(0).permutation(len(rows))[: round(0.3 * len(rows))])
    held = batch_of(rows.matrix()[back], labels[back])
    assert fm.n_iter_ == 40 and np.argmin(fm.loss_curve_) < 39
    assert fm.model_.score(held, "loss_function") == pytest.approx(min(fm.loss_curve_))


def test_partial_fit_goes_on_where_fit_of_one_pass_would():
    X, y = ratings(20_000)
    whole = FactorizationMachineRegressor(epochs=1, shuffle=False).fit(X, y)
    parts = FactorizationMachineRegressor()
    for at in range(0, 20_000, 10_000):
        parts.partial_fit(X[at : at + 10_000], y[at : at + 10_000])
    assert parts.model_.factors.tobytes() == whole.model_.factors.tobytes()


def test_constant_and_empty_columns_are_harmless():
    chance = np.random.default_rng(0)
    X = np.hstack([chance.normal(size=(400, 2)), np.full((400, 1), 7.0), np.zeros((400, 1))])
    fm = FactorizationMachineRegressor(epochs=30).fit(X, X[:, 0] * X[:, 1])
    assert fm.score(X, X[:, 0] * X[:, 1]) > 0.9
    assert not fm.coef_[3] and not fm.factors_[3].any()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"num_factors": 0}, "num_factors"),
        ({"num_factors": -3}, "num_factors"),
        ({"rate": 0.0}, "rate"),
        ({"l2": -1.0}, "l2"),
        ({"optimizer": "newton"}, "optimizer"),
        ({"initial_scale": 0.0}, "initial_scale"),
        ({"epochs": 0}, "epochs"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
    ],
)
@BOTH
def test_arguments_that_cannot_be_meant_are_refused_by_both_faces(kind, arguments, field):
    X, y = ratings(50, 4, 4, classes=True)
    with pytest.raises(ValueError, match=field):
        kind(**arguments).fit(X, y)
    with pytest.raises(Misuse) as refused:
        kind(**arguments).check()
    assert refused.value.field == field


def test_labels_that_are_not_two_classes_are_refused():
    X, _ = ratings(60, 4, 4)
    fm = FactorizationMachineClassifier()
    three = np.arange(60) % 3
    with pytest.raises(ValueError, match="binary"):
        fm.fit(X, three)
    with pytest.raises(Misuse, match="the labels have 3"):
        fm.initialize(LocalState(), batch_of(X, three.astype(float)))
    with pytest.raises(Misuse, match="one class only"):
        fm.initialize(LocalState(), batch_of(X, np.ones(60)))
    with pytest.raises(Misuse, match="no labels"):
        fm.initialize(LocalState(), batch_of(X))
    state, known = LocalState(), FactorizationMachineClassifier(classes=[-1, 1])
    known.initialize(state, batch_of(X, np.ones(60)))
    with pytest.raises(Misuse, match="the label 0 of row 0"):
        known.update(state, state.draw([batch_of(X, np.zeros(60))]), False)
    with pytest.raises(Misuse, match="weight is negative"):
        known.update(state, state.draw([batch_of(X, np.ones(60), -np.ones(60))]), False)
    with pytest.raises(Misuse, match="threshold"):
        known.finalize(state, threshold=2.0)
    assert known.finalize(state, threshold=0.3).threshold == 0.3


@BOTH
def test_bad_rows_are_refused_by_both_faces(kind):
    X, y = ratings(60, 4, 3, classes=True)
    X = X.toarray().astype(float)
    fitted, state, learner = kind(4).fit(X, y), LocalState(), kind(4)
    learner.initialize(state, batch_of(X, y))
    before = state.pull("factors").copy()

    def learn(rows):
        learner.update(state, state.draw([rows]), False)

    holed, wide, huge = X.copy(), np.hstack([X, X[:, :1]]), X.copy()
    holed[9, 2], huge[9, 2] = np.nan, 1e300
    for wrong in (holed, csr_matrix(holed)):
        with pytest.raises(ValueError, match="contains NaN"):
            kind().fit(wrong, y)
        with pytest.raises(ValueError, match="contains NaN"):
            fitted.predict(wrong)
        with pytest.raises(Misuse, match="row 9 holds NaN"):
            learn(batch_of(wrong, y))
    with pytest.raises(ValueError, match="8 features, but"):
        fitted.predict(wide)
    with pytest.raises(Misuse, match="8 features, the model was trained on 7"):
        fitted.model_.evaluate(csr_matrix(wide))
    with pytest.raises(Misuse, match="8 features, the state was made for 7"):
        learn(batch_of(wide, y))
    with pytest.raises(Misuse, match="column 2 holds values"):
        kind().fit(huge, y)
    for size in (1e30, 1e300):
        with pytest.raises(Misuse, match=r"leaves float32\..* look for huge values"):
            learn(batch_of(X * size, y))
    with pytest.raises(Misuse, match="there is a column 7, there are 7"):
        learn(Batch(7, indptr=np.array([0, 1]), indices=np.array([7], np.int32),
                    values=np.ones(1, np.float32), labels=np.zeros(1)))  # fmt: skip
    assert state.pull("factors").tobytes() == before.tobytes(), "nothing of a refused batch is pushed"


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_units_in_which_factors_leave_float32_are_refused(size):
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = X[:, 0] * X[:, 1]
    with pytest.raises(Misuse, match="column 1 holds values") as refused:
        FactorizationMachineRegressor().fit(X * [1, size], y)
    assert refused.value.field == "features" and "other units" in refused.value.fix
    with pytest.raises(Misuse, match="the labels are too large or too small"):
        FactorizationMachineRegressor().fit(X, y * size)
    near, scale = FactorizationMachineRegressor(epochs=3), 2.0 ** round(0.75 * np.log2(size))
    plain = FactorizationMachineRegressor(epochs=3).fit(X, y).predict(X)
    found = near.fit(X * scale, y * scale).predict(X * scale)
    assert found / scale == pytest.approx(plain, rel=1e-3, abs=1e-3)


@BOTH
def test_empty_rows_are_learned_from_and_answered_by_the_bias(kind):
    X, y = ratings(400, 8, 6, classes=True)
    rows = X.toarray()
    rows[::2] = 0
    y[::2] = 1
    fitted = kind(4).fit(csr_matrix(rows), y)
    answer = fitted.model_.evaluate(csr_matrix((2, 14)))
    likely = 1 / (1 + np.exp(-fitted.intercept_)) if kind is FactorizationMachineClassifier else None
    assert answer == pytest.approx(np.full(2, fitted.intercept_ if likely is None else likely))
    assert answer.min() > 0.6
    state, learner, batch = LocalState(), kind(4), batch_of(csr_matrix(rows), y)
    learner.initialize(state, batch)
    nobody = batch_of(csr_matrix((0, 14)), y[:0])
    learner.update(state, state.draw([batch, nobody] * 20), False)
    assert learner.finalize(state).evaluate(csr_matrix((2, 14))).min() > 0.6


def test_rows_that_make_the_loss_infinite_are_told():
    X = np.random.default_rng(0).normal(size=(50, 3))
    fm = FactorizationMachineRegressor(normalize_data=False, epochs=1)
    with pytest.raises(Misuse, match="is not finite"):
        fm.fit(X * 1e25, X[:, 0])
    assert "_online" not in vars(fm)


def test_its_settings_are_remembered_and_cloned():
    fm = FactorizationMachineClassifier(5, seed=9, classes=(0, 1))
    assert clone(fm).get_params() == fm.get_params()
    assert fm.parameters()["classes"] == [0, 1]
    assert isinstance(fresh_state(
        Job(learner=learner_of(fm), data={}, parts=1, batch=10), fm,
        open_data(*ratings(40, 3, 3, classes=True)),
    ), Engine)  # fmt: skip
