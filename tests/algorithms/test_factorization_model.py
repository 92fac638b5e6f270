"""A finished factorization machine: used with numpy alone, saved, exported, and of features as they are."""

import itertools

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.factorization.model import FactorizationModel
from tradewind.algorithms.factorization.scaling import fold_back, measure
from tradewind.algorithms.linear.scaling import Scaling
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse

CHANCE = np.random.default_rng(4)
X = CHANCE.normal(size=(50, 6))
X[CHANCE.random(X.shape) < 0.4] = 0
WEIGHTS, FACTORS = CHANCE.normal(size=6), CHANCE.normal(size=(6, 3)).astype(np.float32)


def by_pairs(x, weights, factors, bias):
    """The definition, pair by pair."""
    score = bias + x @ weights
    for i, j in itertools.combinations(range(len(x)), 2):
        score += x[i] * x[j] * float(factors[i] @ factors[j])
    return score


def values():
    return FactorizationModel(WEIGHTS, 0.7, factors=FACTORS, loss="squared", label_shift=1.0, label_scale=2.0)


def classes(names=(0.0, 1.0)):
    return FactorizationModel(
        WEIGHTS, 0.7, factors=FACTORS, loss="logistic", classes=np.array(names), threshold=0.4
    )


@pytest.mark.parametrize("rows", [X, csr_matrix(X)], ids=["dense", "sparse"])
def test_scores_are_the_sum_over_pairs(rows):
    wanted = [by_pairs(x, WEIGHTS, FACTORS.astype(float), 0.7) for x in X]
    assert values().evaluate(rows) == pytest.approx(np.array(wanted), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "model", [values(), classes(), classes(("no", "yes"))], ids=["values", "0/1", "no/yes"]
)
def test_numpy_alone_gives_its_answers_from_arrays_and_header(model):
    arrays, header = model.arrays(), model.header()
    scores = arrays["bias"][0] + X @ arrays["weights"]
    scores += ((X @ arrays["factors"]) ** 2 - X**2 @ arrays["factors"] ** 2).sum(1) / 2
    if header["task"] == "regression":
        assert model.predict(X) == pytest.approx(scores, rel=1e-5, abs=1e-5)
        return
    likely = 1 / (1 + np.exp(-scores))
    assert model.evaluate(X) == pytest.approx(likely, abs=1e-5)
    names = np.array(header["class_names"]) if header["class_names"] else arrays["classes"]
    assert model.predict(X).tolist() == names[(likely >= header["threshold"]).astype(int)].tolist()


@pytest.mark.parametrize(
    "model", [values(), classes(), classes(("no", "yes"))], ids=["values", "0/1", "no/yes"]
)
def test_it_is_made_again_of_arrays_and_header(model):
    again = FactorizationModel.of(model.arrays(), model.header())
    assert again.header() == model.header() and again.header()["kind"] == "FactorizationModel"
    assert again.predict(csr_matrix(X)).tolist() == model.predict(csr_matrix(X)).tolist()


@pytest.mark.parametrize("model", [values(), classes()], ids=["values", "classes"])
def test_onnxruntime_gives_the_same_answers(model):
    session = onnxruntime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
    found = session.run(None, {"X": X.astype(np.float32)})[0]
    assert found == pytest.approx(model.evaluate(X.astype(np.float32)), rel=1e-5, abs=1e-5)


def test_each_metric_is_there():
    model = values()
    batch = batch_of(X, model.predict(X) + 1)
    assert model.metric == "r2" and model.score(batch, "rmse") == pytest.approx(1)
    assert model.score(batch, "loss_function") == pytest.approx(0.5 / 4)
    two = classes()
    truth = batch_of(X, two.predict(X))
    assert two.score(truth) == two.score(truth, "auc") == 1.0
    with pytest.raises(Misuse, match="is no metric"):
        two.score(truth, "rmse")


@pytest.mark.parametrize("shift", [0.0, 1.0, 1000.0])
def test_scaling_is_undone_in_weights_factors_and_bias(shift):
    """A shift of a thousand deviations too, which a factor rounded afterwards would multiply by a million."""
    scaling = Scaling(CHANCE.normal(size=6) * shift, CHANCE.uniform(0.5, 2, 6), 3.0, 5.0)
    table = CHANCE.normal(size=(6, 4)).astype(np.float32)
    raw = X + scaling.shift
    weights, factors, bias = fold_back(scaling, table, 0.25)
    scaled = (raw - scaling.shift) / scaling.scale
    wanted = [
        3 + 5 * by_pairs(x, table[:, -1].astype(float), table[:, :-1].astype(float), 0.25) for x in scaled
    ]
    model = FactorizationModel(weights, bias, factors=factors, loss="squared")
    assert model.evaluate(raw) == pytest.approx(np.array(wanted), rel=1e-4, abs=1e-4)
    assert model.evaluate(csr_matrix(raw)) == pytest.approx(model.evaluate(raw), rel=1e-3, abs=0.02)


def test_mostly_empty_dense_columns_are_scaled_as_sparse_ones():
    dense = np.column_stack([
        np.r_[np.zeros(70), np.ones(30)], np.r_[np.zeros(70), np.full(30, 4.0)],
        np.linspace(5, 7, 100), np.zeros(100), np.full(100, 3.0),
    ])  # fmt: skip
    found = measure(batch_of(dense, dense[:, 0]), features=True, labels=False)
    assert found.shift == pytest.approx([0, 0, 6, 0, 3]) and found.scale[:2].tolist() == [1, 4]
    assert found.scale[2] == pytest.approx(dense[:, 2].std()) and found.scale[3:].tolist() == [1, 1]
    plain = measure(batch_of(dense, dense[:, 2]), features=False, labels=True)
    assert not plain.shift.any() and (plain.scale == 1).all() and plain.label_shift == pytest.approx(6)


def test_arrays_that_do_not_fit_are_refused():
    model = values()
    with pytest.raises(Misuse, match="Open a FactorizationModel"):
        FactorizationModel.of(model.arrays(), {**model.header(), "kind": "LinearModel"})
    for broken in ({"factors": FACTORS[:4]}, {"weights": WEIGHTS[:4]}):
        with pytest.raises(Misuse, match="Restore both files"):
            FactorizationModel.of({**model.arrays(), **broken}, model.header())
    without = {name: array for name, array in model.arrays().items() if name != "factors"}
    with pytest.raises(Misuse, match="factors"):
        FactorizationModel.of(without, model.header())
    with pytest.raises(Misuse, match="5 features, the model was trained on 6"):
        model.evaluate(X[:, :5])
