import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_state import ReferenceState
from scipy.sparse import random as random_rows

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.algorithms.linear.online import OnlineLearner
from tradewind.algorithms.linear.packing import Candidate, Pack, candidates
from tradewind.algorithms.linear.scaling import measure, no_scaling
from tradewind.errors import Misuse


def rows(seed=0, n=300, d=40, density=0.25):
    chance = np.random.default_rng(seed)
    X = random_rows(n, d, density, "csr", rng=chance)
    X.data[:] = chance.normal(size=X.nnz) * 3
    X.data[::2] = 1.0
    y = np.where(X @ chance.normal(size=d) + chance.normal(size=n) > 0, 1.0, -1.0)
    return batch_of(X, y)


def learned(models, batch, scaling, weights=None, keep=False):
    online = OnlineLearner(Pack(models, 1, 1.0), scaling)
    labels = batch.labels.astype(np.float32)
    for _ in range(2):
        bad, sums = online.learn(batch.indptr, batch.indices, batch.values, labels, weights, keep=keep)
        assert bad == -1
    return online, sums


MIXED = [
    Candidate("logistic", 0.0, 0.1),
    Candidate("logistic", 0.0, 0.3, l2=1e-3),
    Candidate("hinge", 1.0, 0.2, l1=1e-3),
    Candidate("squared", 0.0, 0.05, positive_weight=2.0),
    Candidate("huber", 0.7, 0.1),
    Candidate("quantile", 0.3, 0.1),
    Candidate("absolute", 0.0, 0.1, l1=1e-3, l2=1e-2),
    Candidate("eps_insensitive_squared", 0.1, 0.1),
    Candidate("eps_insensitive_absolute", 0.1, 0.1),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kinds", ["logistic", "mixed"])
def test_packed_models_are_the_separate_ones_to_the_last_bit(kinds, weighted):
    batch = rows()
    models = MIXED
    if kinds == "logistic":
        models = [Candidate("logistic", 0.0, 0.02 * 1.2**i) for i in range(19)]
    scaling = measure(batch, features=True, centre=False, labels=False)
    weights = np.random.default_rng(3).random(300).astype(np.float32) if weighted else None
    packed, sums = learned(models, batch, scaling, weights, keep=True)
    for number, each in enumerate(models):
        alone, own = learned([each], batch, scaling, weights, keep=True)
        assert packed.weights[:, number].tobytes() == alone.weights[:, 0].tobytes(), each
        assert packed.bias[number] == alone.bias[0]
        assert sums[number] == pytest.approx(own[0], rel=1e-6)


def reference(batch, candidate, passes=2):
    """The rule as numpy says it, in float64, with exact roots."""
    w, g = np.zeros(batch.features), np.zeros(batch.features)
    b, gb, total = 0.0, 0.0, 0.0
    for _ in range(passes):
        total = 0.0
        for i in range(len(batch)):
            own = slice(batch.indptr[i], batch.indptr[i + 1])
            j, x, y = batch.indices[own], batch.values[own].astype(np.float64), batch.labels[i]
            z = w[j] @ x + b
            total += np.logaddexp(0, -y * z)
            slope = -y / (1 + np.exp(y * z))
            gb += slope**2
            b -= candidate.rate * slope / np.sqrt(1 + gb)
            d = slope * x + candidate.l2 * w[j] + candidate.l1 * np.sign(w[j])
            g[j] += d**2
            w[j] -= candidate.rate * d / np.sqrt(1 + g[j])
    return w, b, total


@pytest.mark.parametrize("candidate", [MIXED[0], MIXED[1], Candidate("logistic", 0.0, 0.2, l1=0.01)])
def test_the_kernel_does_what_its_docstring_says(candidate):
    batch = rows(5)
    online, sums = learned([candidate], batch, no_scaling(40), keep=True)
    w, b, total = reference(batch, candidate)
    assert online.weights[:, 0] == pytest.approx(w, rel=5e-3, abs=2e-3)
    assert online.bias[0] == pytest.approx(b, rel=5e-3, abs=2e-3)
    assert sums[0] == pytest.approx(total, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(0, 40))
def test_rows_of_any_length_touch_their_own_features_only(seed, width):
    chance = np.random.default_rng(seed)
    d = 64
    indices = chance.choice(d, width, replace=False).astype(np.int32)
    online = OnlineLearner(Pack([Candidate("squared", 0.0, 0.1)], 1, 1.0), no_scaling(d))
    indptr = np.array([0, width], np.int64)
    bad, _ = online.learn(indptr, indices, np.ones(width, np.float32), np.ones(1, np.float32))
    assert bad == -1
    assert set(np.flatnonzero(online.weights[:, 0])) == set(indices.tolist())
    assert online.bias[0] > 0


def test_a_row_whose_score_is_no_number_is_named():
    batch = rows()
    batch.values[batch.indptr[7]] = np.nan
    for models in (MIXED[:1], MIXED[:3]):
        online = OnlineLearner(Pack(models, 1, 1.0), no_scaling(40))
        labels = batch.labels.astype(np.float32)
        assert online.learn(batch.indptr, batch.indices, batch.values, labels)[0] == 7


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd", "ftrl"])
def test_a_pack_over_a_state_is_the_separate_learners_to_the_last_bit(optimizer, synchronized):
    batch = rows(2)

    def final(rate, l2):
        learner = LinearLearner(rate=rate, l2=l2, optimizer=optimizer)
        state = ReferenceState(synchronized)
        learner.initialize(state, batch.rows(0, 100))
        learner.update(state, (batch.rows(i, i + 50) for i in range(0, 300, 50)), synchronized)
        return state.tables["weights"]

    packed = final([0.05, 0.2], [0.0, 1e-3])
    settings_in_order = [(0.05, 0.0), (0.2, 0.0), (0.05, 1e-3), (0.2, 1e-3)]
    for number, (rate, l2) in enumerate(settings_in_order):
        assert packed[:, number].tobytes() == final(rate, l2)[:, 0].tobytes()


def test_the_grid_of_an_automatic_pack_begins_with_what_was_given():
    found = candidates(("logistic",), {}, (0.1,), (0.0,), (0.0,), (1.0,), "auto")
    assert found[0] == Candidate("logistic", 0.0, 0.1)
    assert sorted({each.rate for each in found}) == pytest.approx([0.01, 0.1, 1.0])
    assert {each.l2 for each in found} == {0.0, 1e-5, 1e-3, 1e-1}
    assert len(found) == 12 == len(set(found))


def test_a_pack_has_the_size_asked_for():
    assert len(candidates(("logistic",), {}, (0.1,), (0.0,), (0.0,), (1.0,), 7)) == 7
    assert len(candidates(("logistic", "hinge"), {}, (0.1, 0.2), (0.0,), (0.0,), (1.0,), None)) == 4
    with pytest.raises(Misuse, match="12 different models, not 40"):
        candidates(("logistic",), {}, (0.1,), (0.0,), (0.0,), (1.0,), 40)
    with pytest.raises(Misuse, match="2 models, not 1"):
        candidates(("logistic",), {}, (0.1, 0.2), (0.0,), (0.0,), (1.0,), 1)


def test_softmax_shares_with_no_other_loss():
    with pytest.raises(Misuse, match="softmax cannot share"):
        Pack([Candidate("softmax", 0, 0.1), Candidate("logistic", 0, 0.1)], 3, 1.0)
