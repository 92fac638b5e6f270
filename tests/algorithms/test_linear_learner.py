import json

import numpy as np
import pytest
from reference_state import ReferenceState
from scipy.sparse import random as random_rows

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.interface import PROGRESS
from tradewind.algorithms.linear_learner import LinearLearner
from tradewind.errors import Misuse


def rows(seed=0, n=4000, d=30, kind="classes", sparse=True):
    chance = np.random.default_rng(seed)
    X = random_rows(n, d, 0.3, "csr", rng=chance)
    X.data[:] = chance.normal(size=X.nnz) * (1 + X.indices % 5)
    score = X @ chance.normal(size=d) + 0.5
    if kind == "classes":
        y = np.where(chance.random(n) < 1 / (1 + np.exp(-score)), 1.0, -1.0)
    elif kind == "three":
        y = np.digitize(score, [-1, 2]).astype(float)
    else:
        y = 50 + 20 * score
    return batch_of(X if sparse else X.toarray(), y)


def batches(batch, size=200):
    return (batch.rows(i, i + size) for i in range(0, len(batch), size))


def learned(learner, batch, epochs=3, synchronized=False):
    state = ReferenceState(synchronized)
    learner.initialize(state, batch.rows(0, learner.sample_size))
    for _ in range(epochs):
        learner.update(state, batches(batch), synchronized)
    return state


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("loss", ["logistic", "hinge", "softmax"])
def test_classes_are_learned(loss, sparse):
    batch = rows(sparse=sparse)
    learner = LinearLearner(loss)
    model = learner.finalize(learned(learner, batch))
    best = np.mean(batch.labels == -1)
    assert model.score(batch, "accuracy") > max(best, 1 - best) + 0.15
    assert set(model.predict(batch)) == {-1.0, 1.0}


def test_more_than_two_classes_are_learned():
    batch = rows(kind="three")
    learner = LinearLearner("softmax")
    model = learner.finalize(learned(learner, batch))
    assert model.score(batch, "accuracy") > 0.8
    assert model.weights.shape == (30, 3)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(
    "loss",
    ["squared", "absolute", "huber", "quantile", "eps_insensitive_absolute", "eps_insensitive_squared"],
)
def test_values_are_learned_in_their_own_units(loss, sparse):
    batch = rows(kind="values", sparse=sparse)
    learner = LinearLearner(loss)
    model = learner.finalize(learned(learner, batch))
    assert model.score(batch, "r2") > 0.97


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd", "ftrl"])
@pytest.mark.parametrize("synchronized", [True, False])
def test_every_optimizer_learns(optimizer, synchronized):
    batch = rows()
    learner = LinearLearner(optimizer=optimizer)
    state = learned(learner, batch, epochs=4, synchronized=synchronized)
    assert learner.finalize(state).score(batch, "auc") > 0.9


def test_progress_counts_losses_and_rows_of_every_batch():
    batch = rows(n=1000)
    learner = LinearLearner()
    state = learned(learner, batch, epochs=1)
    total, weight = state.pull(PROGRESS)
    assert weight == 1000
    assert 0.2 < total / weight < 0.7
    assert state.pull("losses")[0] == pytest.approx(total)


def test_a_batch_pulls_and_pushes_its_own_features_only():
    batch = rows(d=500)
    learner = LinearLearner()
    state = ReferenceState()
    learner.initialize(state, batch)
    asked, pushed = [], []
    pull, push = state.pull, state.push
    state.pull = lambda key, rows=None: asked.append((key, rows)) or pull(key, rows)
    state.push = lambda key, delta, rows=None: pushed.append((key, rows)) or push(key, delta, rows)
    one = batch.rows(0, 2)
    learner.update(state, iter([one]), False)
    mine = [*np.unique(one.indices).tolist(), 500]
    assert [found.tolist() for key, found in asked if key == "weights"] == [mine]
    assert [found.tolist() for key, found in pushed if key == "weights"] == [mine]


def test_going_on_after_a_stop_is_the_same_as_never_stopping():
    batch = rows()
    for optimizer in ("adagrad", "sgd"):
        learner = LinearLearner(optimizer=optimizer)
        whole = learned(learner, batch, epochs=1)
        parts = ReferenceState()
        learner.initialize(parts, batch.rows(0, learner.sample_size))
        learner.update(parts, (batch.rows(i, i + 200) for i in range(0, 1000, 200)), False)
        again = LinearLearner(**json.loads(json.dumps(learner.parameters())))
        again.update(parts, (batch.rows(i, i + 200) for i in range(1000, 4000, 200)), False)
        assert whole.tables["weights"].tobytes() == parts.tables["weights"].tobytes()


def test_every_batch_pushes_equally_often_even_an_empty_one_or_one_of_no_weight():
    batch = rows(n=600)
    learner = LinearLearner()
    state = ReferenceState()
    learner.initialize(state, batch)
    counts = []
    for one in (
        batch.rows(0, 200),
        batch.rows(0, 0),
        batch_of(batch.matrix()[:5], batch.labels[:5], np.zeros(5)),
    ):
        before, weights = state.pushes, state.tables["weights"].copy()
        learner.update(state, iter([one]), False)
        counts.append(state.pushes - before)
    assert len(set(counts)) == 1
    assert weights.tobytes() == state.tables["weights"].tobytes()


def test_balanced_classes_find_the_rare_one():
    chance = np.random.default_rng(5)
    X = chance.normal(size=(4000, 3))
    y = (X[:, 0] + chance.normal(size=4000) > 2.6).astype(float)
    batch = batch_of(X, y)
    recalls = {}
    for weight in (1.0, "balanced", 40.0):
        learner = LinearLearner(positive_weight=weight)
        recalls[weight] = learner.finalize(learned(learner, batch)).score(batch, "recall")
    assert recalls[1.0] < 0.3 < 0.7 < recalls["balanced"]
    assert recalls[40.0] > 0.7


def test_automatic_class_weights_are_chosen_by_the_criterion():
    chance = np.random.default_rng(6)
    X = chance.normal(size=(3000, 3))
    batch = batch_of(X, (X[:, 0] + chance.normal(size=3000) > 2.4).astype(float))
    learner = LinearLearner(positive_weight="auto", criterion="loss_function")
    state = learned(learner, batch)
    assert len(learner.candidates) == 2
    assert learner.finalize(state, model=1).settings["positive_weight"] == "balanced"
    assert learner.finalize(state, validation=batch).settings["positive_weight"] == 1.0


def test_finalize_chooses_from_the_pack_and_sets_the_threshold():
    batch = rows()
    learner = LinearLearner(rate=[1e-6, 0.3], criterion="f_beta")
    state = learned(learner, batch)
    assert learner.finalize(state).settings["model"] == 1
    assert learner.finalize(state, model=0).settings["rate"] == 1e-6
    assert learner.finalize(state, threshold=0.7).threshold == 0.7
    tuned = learner.finalize(state, validation=batch, f_beta=3.0)
    plain = learner.finalize(state)
    assert tuned.threshold < 0.5
    assert tuned.score(batch, "f_beta", beta=3.0) > plain.score(batch, "f_beta", beta=3.0)
    with pytest.raises(Misuse, match="no model 2"):
        learner.finalize(state, model=2)
    with pytest.raises(Misuse, match="Did you mean 'threshold'"):
        learner.finalize(state, treshold=0.3)
    with pytest.raises(Misuse, match="2 is no probability"):
        learner.finalize(state, threshold=2)
    with pytest.raises(Misuse, match="is no criterion"):
        learner.finalize(state, validation=batch, criterion="best")


def test_losses_of_values_may_learn_classes():
    batch = rows()
    learner = LinearLearner(["squared", "logistic", "huber"], task="classification")
    state = learned(learner, batch)
    model = learner.finalize(state, validation=batch)
    assert model.score(batch, "accuracy") > 0.8


def test_the_model_is_for_raw_features():
    batch = rows(sparse=False)
    learner = LinearLearner()
    state = learned(learner, batch)
    model = learner.finalize(state)
    weights, shift, scale = (np.asarray(state.pull(key), float) for key in ("weights", "shift", "scale"))
    scaled = (batch.dense - shift) / scale
    expected = scaled @ weights[:-1, 0] + weights[-1, 0]
    assert model.scores(batch) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_without_an_intercept_there_is_none():
    batch = rows(sparse=False)
    learner = LinearLearner(bias=False)
    model = learner.finalize(learned(learner, batch))
    assert model.bias == 0
    assert model.score(batch, "accuracy") > 0.7


def test_a_start_of_small_random_weights_is_the_seeds():
    batch = rows(n=100)
    states = []
    for seed in (0, 0, 1):
        states.append(ReferenceState())
        LinearLearner(initial_scale=0.07, seed=seed).initialize(states[-1], batch)
    first, same, other = (state.tables["weights"] for state in states)
    assert first.tobytes() == same.tobytes() != other.tobytes()
    assert 0 < np.abs(first[:-1]).max() <= 0.07


@pytest.mark.parametrize("labels", [[1.0], [0.0, 1.0], [0.0]])
def test_classes_may_be_named_where_the_first_rows_do_not_show_them(labels):
    batch = rows(n=len(labels))
    known = batch_of(batch.matrix(), np.array(labels))
    state = ReferenceState()
    LinearLearner(classes=(0, 1)).initialize(state, known)
    assert state.pull("classes").tolist() == [0, 1]


def bad(batch, **changes):
    given = {"indptr": batch.indptr, "indices": batch.indices, "values": batch.values,
             "labels": batch.labels, "weights": None, "features": batch.features}  # fmt: skip
    return type(batch)(**{**given, **changes})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"features": 31}, "the rows have 31 features, the state was made for 30"),
        ({"values": np.float32("nan")}, "row 0 holds NaN"),
        ({"labels": np.full(100, 2.0)}, "the label 2 of row 0 is none of the classes"),
        ({"labels": np.full(100, np.nan)}, "the label of row 0 is nan"),
        ({"labels": np.array(["a"] * 100)}, "are no numbers"),
        ({"labels": None}, "no labels"),
        ({"weights": np.full(100, -1.0)}, "a weight is negative"),
        ({"indices": -1}, "there is a column -1"),
        ({"indices": 30}, "there is a column 30"),
    ],
)
def test_bad_rows_are_refused_before_the_state_is_touched(change, match):
    batch = rows(n=100)
    learner = LinearLearner()
    state = ReferenceState()
    learner.initialize(state, batch)
    before = {key: table.copy() for key, table in state.tables.items()}
    for name in ("values", "indices"):
        if name in change:
            spoilt = getattr(batch, name).copy()
            spoilt[0] = change[name]
            change = {name: spoilt}
    with pytest.raises(Misuse, match=match):
        learner.update(state, iter([bad(batch, **change)]), False)
    assert all(state.tables[key].tobytes() == table.tobytes() for key, table in before.items())


@pytest.mark.parametrize(
    ("labels", "loss", "match"),
    [
        (np.ones(50), "logistic", "show one class only"),
        (np.arange(50) % 3, "logistic", "Use loss='softmax'"),
        (np.linspace(0, 1, 50), "logistic", "are no classes"),
    ],
)
def test_labels_of_a_wrong_kind_are_refused_at_the_start(labels, loss, match):
    batch = rows(n=50)
    state = ReferenceState()
    with pytest.raises(Misuse, match=match):
        LinearLearner(loss).initialize(state, batch_of(batch.matrix(), labels.astype(float)))
    assert not state.tables


def test_going_on_with_other_settings_is_refused():
    batch = rows(n=100)
    state = ReferenceState()
    LinearLearner().initialize(state, batch)
    with pytest.raises(Misuse, match="Go on with the settings"):
        LinearLearner(rate=[0.1, 0.2]).update(state, iter([batch]), False)


def test_a_loss_that_runs_away_is_told():
    batch = rows(kind="values")
    learner = LinearLearner("squared", optimizer="sgd", rate=1e6, schedule=False)
    state = ReferenceState()
    learner.initialize(state, batch)
    with np.errstate(all="ignore"), pytest.raises(Misuse, match="Give a smaller rate"):
        learner.update(state, batches(batch), False)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"loss": "logistc"}, "Did you mean 'logistic'"),
        ({"optimizer": "adagard"}, "Did you mean 'adagrad'"),
        ({"rate": -1.0}, "is no rate"),
        ({"l2": float("nan")}, "is no l2"),
        ({"quantile": 1.0}, "not between 0 and 1"),
        ({"huber_delta": 0}, "not positive"),
        ({"task": "classify"}, "is no task"),
        ({"task": "regression"}, "learns classes"),
        ({"loss": ["logistic", "squared"]}, "Say which task"),
        ({"positive_weight": 0}, "is no weight"),
        ({"num_models": 0}, "is no count"),
        ({"sample_size": 2.5}, "is no count"),
        ({"criterion": "acc"}, "is no criterion"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, match):
    with pytest.raises(Misuse, match=match):
        LinearLearner(**arguments)


def test_parameters_build_the_same_learner_again():
    learner = LinearLearner(["logistic", "hinge"], rate=(0.1, 0.2), classes=(0, 1), criterion="f_beta")
    text = json.dumps(learner.parameters())
    again = LinearLearner(**json.loads(text))
    assert again.candidates == learner.candidates
    assert json.dumps(again.parameters()) == text


def test_it_loads_without_scikit_learn():
    import subprocess
    import sys

    code = "import sys, tradewind.algorithms.linear_learner; print('sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge", "softmax", "crammer_singer"])
@pytest.mark.parametrize("size", [1e38, 1e300])
def test_a_gradient_that_leaves_float32_is_never_pushed(loss, size):
    """Also where the loss of a margin hides it."""
    chance = np.random.default_rng(0)
    X, y = chance.normal(size=(40, 3)), np.arange(40.0) % 2
    learner, state = LinearLearner(loss), ReferenceState()
    learner.initialize(state, batch_of(X, y))
    before = state.pull("weights").copy()
    for rows in (X * size, np.where(np.arange(40)[:, None] == 5, size, X)):
        with pytest.raises(Misuse, match=r"leaves float32\..* look for huge values"):
            learner.update(state, iter([batch_of(rows, y)]), False)
    assert state.pull("weights").tobytes() == before.tobytes()
