import json

import numpy as np
import pytest

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.model import LinearModel
from tradewind.errors import Misuse

X = np.random.default_rng(0).normal(size=(60, 4))


def two_classes():
    return LinearModel(
        np.array([1.0, -2, 0, 0.5]), np.array(0.25), loss="logistic", classes=np.array([-1.0, 1])
    )


def regression():
    return LinearModel(np.array([1.0, -2, 0, 0.5]), np.array(0.25), loss="squared", label_scale=3.0)


def more_classes():
    weights = np.random.default_rng(1).normal(size=(4, 3))
    return LinearModel(weights, np.array([0.1, 0, -0.1]), loss="softmax", classes=np.array([2.0, 5, 7]))


@pytest.mark.parametrize("make", [two_classes, regression, more_classes])
def test_plain_numpy_and_its_header_are_enough_to_use_it(make):
    model = make()
    arrays, header = model.arrays(), json.loads(json.dumps(model.header()))
    scores = X @ arrays["weights"] + arrays["bias"]
    assert scores == pytest.approx(model.scores(batch_of(X)))
    again = LinearModel.of(arrays, header)
    assert again.predict(batch_of(X)).tolist() == model.predict(batch_of(X)).tolist()
    assert again.evaluate(batch_of(X)).tobytes() == model.evaluate(batch_of(X)).tobytes()


def test_named_classes_travel_in_the_header():
    model = LinearModel(np.ones(4), np.array(0.0), loss="logistic", classes=np.array(["no", "yes"]))
    assert "classes" not in model.arrays()
    again = LinearModel.of(model.arrays(), json.loads(json.dumps(model.header())))
    assert set(again.predict(batch_of(X))) == {"no", "yes"}


def test_answers_of_each_kind():
    batch = batch_of(X)
    model = two_classes()
    scores = X @ model.weights + 0.25
    assert model.evaluate(batch) == pytest.approx(1 / (1 + np.exp(-scores)))
    assert (model.predict(batch) == np.where(scores >= 0, 1, -1)).all()
    model.threshold = 0.9
    assert (model.predict(batch) == np.where(model.evaluate(batch) >= 0.9, 1, -1)).all()
    assert regression().evaluate(batch) == pytest.approx(scores)
    many = more_classes()
    assert many.evaluate(batch).sum(axis=1) == pytest.approx(np.ones(60))
    assert set(many.predict(batch)) <= {2.0, 5.0, 7.0}


def test_scores_by_each_metric():
    model = two_classes()
    batch = batch_of(X, model.predict(batch_of(X)))
    for metric in ("accuracy", "auc", "f_beta", "precision", "recall", "precision_at_target_recall"):
        assert model.score(batch, metric) == 1.0
    assert model.score(batch, "loss_function") == pytest.approx(model.score(batch, "log_loss"))
    values = batch_of(X, regression().evaluate(batch_of(X)) + 1.0)
    assert regression().score(values, "mse") == pytest.approx(1.0)
    assert regression().score(values, "mae") == pytest.approx(1.0)
    assert regression().score(values, "loss_function") == pytest.approx(0.5 / 9)
    many = more_classes()
    labelled = batch_of(X, many.predict(batch_of(X)))
    assert many.score(labelled, "macro_f_beta") == 1.0
    assert many.score(labelled, "top_k_accuracy", k=2) == 1.0


def test_two_classes_under_softmax_have_the_metrics_of_two():
    weights = np.random.default_rng(1).normal(size=(4, 2))
    model = LinearModel(weights, np.zeros(2), loss="softmax", classes=np.array([0.0, 1]))
    batch = batch_of(X, model.predict(batch_of(X)))
    assert model.score(batch, "auc") == model.score(batch, "accuracy") == 1.0


def test_bad_rows_and_metrics_are_refused():
    with pytest.raises(Misuse, match="the rows have 3 features, the model was trained on 4"):
        two_classes().evaluate(batch_of(X[:, :3]))
    with pytest.raises(Misuse, match="'roc' is no metric"):
        two_classes().score(batch_of(X, np.ones(60)), "roc")
    with pytest.raises(Misuse, match="no labels"):
        two_classes().score(batch_of(X), "accuracy")
    with pytest.raises(Misuse, match="the label 3 of row 0"):
        two_classes().score(batch_of(X, np.full(60, 3.0)), "accuracy")


def test_arrays_of_another_model_are_refused():
    model = two_classes()
    with pytest.raises(Misuse, match="Open a LinearModel"):
        LinearModel.of(model.arrays(), {**model.header(), "kind": "Tree"})
    with pytest.raises(Misuse, match="Restore both files"):
        LinearModel.of({**model.arrays(), "weights": np.ones(3)}, model.header())
    with pytest.raises(Misuse, match="bias"):
        LinearModel.of({"weights": model.weights}, model.header())


@pytest.mark.parametrize("make", [two_classes, more_classes])
def test_a_row_without_a_score_has_no_class(make):
    holed = X.copy()
    holed[7, 2] = np.nan
    model = make()
    assert np.isnan(model.evaluate(holed)[7]).all() and not np.isnan(model.evaluate(holed)[6]).any()
    for asked in (model.predict, lambda rows: model.score(batch_of(rows, model.predict(X)))):
        with pytest.raises(Misuse, match="row 7 holds NaN"):
            asked(holed)
    values = regression().predict(holed)
    assert np.isnan(values[7]) and not np.isnan(values[:7]).any()
