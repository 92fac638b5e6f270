"""scikit-learn's estimators come through skops with trusted types only, and answer as they do at home."""

from __future__ import annotations

import io
import json
import sys
import warnings
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tradewind.errors import MissingExtra, Misuse
from tradewind.serving.models.answers import first_answer
from tradewind.serving.models.sklearn import open_skops
from tradewind.serving.tensors import TensorSpec

DRAW = np.random.default_rng(2)
X = DRAW.normal(size=(60, 3))
Y = np.digitize(X[:, 0], [-0.5, 0.5])
NAMES = np.array(["low", "mid", "high"])[Y]


def saved(tmp_path, estimator):
    path = tmp_path / "model.skops"
    skops.io.dump(estimator, path)
    return path


TREES = ("sklearn.tree._tree.Tree",)
"""What forests are made of; skops leaves it to the operator, for damaged ones can crash a process."""


def opened(tmp_path, estimator, trusted=TREES):
    model = open_skops(saved(tmp_path, estimator), trusted)
    first_answer(model, "m")
    return model


def test_a_classifier_gives_classes_and_chances(tmp_path):
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES)
    model = opened(tmp_path, estimator)
    assert model.signature.inputs == (TensorSpec("X", "FP64", (-1, 3)),)
    assert model.signature.outputs == (
        TensorSpec("prediction", "BYTES", (-1,)),
        TensorSpec("probability", "FP64", (-1, 3)),
    )
    found = model.predict({"X": X})
    assert [each.decode() for each in found["prediction"]] == estimator.predict(X).tolist()
    assert np.array_equal(found["probability"], estimator.predict_proba(X))
    assert model.platform == "sklearn_skops" and model.memory == (tmp_path / "model.skops").stat().st_size
    model.close()
    with pytest.raises(Misuse, match="closed"):
        model.predict({"X": X})


@pytest.mark.parametrize(
    ("estimator", "labels", "method", "outputs"),
    [
        (LinearRegression(), X @ [1, 2, 3], "predict", {"prediction": "FP64"}),
        (LinearRegression(), X[:, :2], "predict", {"prediction": "FP64"}),
        (RidgeClassifier(), Y, "predict", {"prediction": "INT64", "score": "FP64"}),
        (RandomForestClassifier(5), Y > 0, "predict", {"prediction": "BOOL", "probability": "FP64"}),
        (KMeans(2, n_init=1), None, "predict", {"prediction": "INT32"}),
        (IsolationForest(n_estimators=5), None, "predict", {"prediction": "INT64", "score": "FP64"}),
        (PCA(2), None, "transform", {"transformed": "FP64"}),
    ],
    ids=lambda each: type(each).__name__ if hasattr(each, "fit") else "",
)
def test_estimators_answer_as_at_home(tmp_path, estimator, labels, method, outputs):
    estimator.fit(X, labels)
    model = opened(tmp_path, estimator)
    assert {each.name: each.datatype for each in model.signature.outputs} == outputs
    first = model.predict({"X": X})[next(iter(outputs))]
    assert np.array_equal(first, getattr(estimator, method)(X))


def test_several_targets_go_side_by_side(tmp_path):
    two = np.column_stack([Y, Y > 0])
    estimator = MultiOutputClassifier(DecisionTreeClassifier()).fit(X, two)
    found = opened(tmp_path, estimator).predict({"X": X})
    assert found["prediction"].shape == (60, 2)
    assert np.array_equal(found["probability"], np.hstack(estimator.predict_proba(X)))


def test_words_go_in_as_bytes(tmp_path):
    texts = ["good fine day", "bad sad day", "fine good", "sad bad"] * 3
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 3)
    model = opened(tmp_path, estimator)
    assert model.signature.inputs == (TensorSpec("text", "BYTES", (-1,)),)
    found = model.predict({"text": np.array([b"good", "sad é".encode()], object)})
    assert found["prediction"].tolist() == [1, 0]


def test_types_that_nobody_trusts_are_refused_by_name(tmp_path):
    for estimator, told in (
        (FunctionTransformer(json.dumps), r"json\.dumps"),
        (DecisionTreeClassifier().fit(X, Y), r"sklearn\.tree\._tree\.Tree"),
    ):
        with pytest.raises(Misuse, match=rf"trusted: it holds {told}, which nobody said to trust"):
            open_skops(saved(tmp_path, estimator))


def test_a_type_that_the_operator_trusts_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(DoublesColumns, "__module__", __name__)
    estimator = make_pipeline(DoublesColumns(), LinearRegression()).fit(X, X @ [1, 2, 3])
    path = saved(tmp_path, estimator)
    name = f"{__name__}.DoublesColumns"
    with pytest.raises(Misuse, match=name):
        open_skops(path)
    found = open_skops(path, [name]).predict({"X": X})["prediction"]
    assert np.array_equal(found, estimator.predict(X))


class DoublesColumns(StandardScaler):
    def transform(self, X, copy=None):
        return np.asarray(X) * 2


def test_a_module_that_a_file_names_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "booby_trap.py").write_text(
        f"open({str(tmp_path / 'sprung')!r}, 'w').close()\nclass Trap: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    estimator = LinearRegression().fit(X, Y)
    whole = skops.io.dumps(estimator)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    schema = json.loads(members["schema.json"])
    for field, value in (("__module__", "booby_trap"), ("__class__", "Trap")):
        schema[field] = value
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(Misuse, match=r"booby_trap\.Trap"):
        open_skops(tmp_path / "model.skops")
    assert "booby_trap" not in sys.modules and not (tmp_path / "sprung").exists()


def test_names_of_columns_are_forgotten_so_that_arrays_warn_of_nothing(tmp_path):
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(3)).fit(X, Y)
    alone = estimator.predict(X)
    for each in (estimator[0], estimator[1]):
        each.feature_names_in_ = np.array(["a", "b", "c"], object)
    model = opened(tmp_path, estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(model.predict({"X": X})["prediction"], alone)


def test_what_cannot_be_served_is_told(tmp_path):
    with pytest.raises(Misuse, match="does not say how many features"):
        open_skops(saved(tmp_path, LinearRegression()))
    with pytest.raises(Misuse, match="neither predict nor transform"):
        open_skops(saved(tmp_path, {"a": 1}))
    named = ColumnTransformer([("a", StandardScaler(), [0])]).fit(X)
    named.transformers_[0] = ("a", named.transformers_[0][1], ["a"])
    named._transformer_to_input_indices["a"] = [0]
    with pytest.raises(Misuse, match="name columns by number"):
        open_skops(saved(tmp_path, named))
    path = tmp_path / "cut.skops"
    path.write_bytes(saved(tmp_path, PCA(1).fit(X)).read_bytes()[:-30])
    with pytest.raises(Misuse, match="skops does not read it"):
        open_skops(path)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path, PCA(1).fit(X))
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[serving\]"):
        open_skops(path)
