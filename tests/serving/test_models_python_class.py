"""A user's class serves by a small protocol, and whatever it does wrong is one clear error."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.serving.models.answers import first_answer
from tradewind.serving.models.python_class import open_class, signature_of
from tradewind.serving.tensors import Signature, TensorSpec

PLAIN = {"inputs": {"x": ["FP32", [-1, 2]]}, "outputs": {"y": ["FP32", [-1]]}}
SPECS = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),))
ROWS = np.arange(6, dtype="f4").reshape(3, 2)


@pytest.fixture
def home(monkeypatch):
    """A function that makes a module of classes, and gives its name."""

    def made(**classes):
        module = types.ModuleType("served_by_test")
        vars(module).update(classes)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module.__name__

    return made


def answering(answer, signature=PLAIN, **more):
    return type("Mine", (), {"signature": signature, "predict": lambda self, inputs: answer(inputs), **more})


@pytest.mark.parametrize("signature", [PLAIN, SPECS, {**PLAIN, "batched": True}])
def test_a_class_answers_by_a_mapping_or_an_array(home, signature):
    for answer in (lambda given: given["x"].sum(axis=1), lambda given: {"y": given["x"].sum(axis=1)}):
        model = open_class(home(Mine=answering(answer, signature)) + ":Mine")
        assert model.signature == SPECS and model.platform == "python"
        assert model.predict({"x": ROWS})["y"].tolist() == [1, 5, 9]
        first_answer(model, "m")


def test_it_is_made_with_its_folder_loaded_once_and_closed_once(home, tmp_path):
    (tmp_path / "weights").write_bytes(bytes(100))
    calls = []

    class Mine:
        signature = PLAIN

        def __init__(self, folder):
            self.folder = folder

        def load(self):
            calls.append(("load", self.folder))

        def predict(self, inputs):
            return inputs["x"][:, 0]

        def close(self):
            calls.append(("close", self.folder))

    model = open_class(home(Mine=Mine) + ":Mine", tmp_path)
    assert model.memory == 100
    model.close()
    model.close()
    assert calls == [("load", tmp_path), ("close", tmp_path)]
    with pytest.raises(Misuse, match="closed"):
        model.predict({"x": ROWS})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda given: None, "answers with NoneType"),
        (lambda given: {"z": given["x"]}, "y: the output is missing"),
        (lambda given: {"y": object()}, "y: the output is a object"),
        (lambda given: given["x"].sum(axis=1).astype("f8"), "y: the output is FP64, its signature says FP32"),
        (lambda given: given["x"], r"y: the output has shape \[3, 2\]"),
        (lambda given: given["x"][:2, 0], "y: 3 rows came in and 2 go out"),
        (lambda given: 1 / 0, "predict raised ZeroDivisionError"),
    ],
)
def test_a_wrong_answer_is_one_error(home, answer, told):
    name = home(Mine=answering(answer)) + ":Mine"
    if "NoneType" in told:
        told = "y: the output is a NoneType"
    with pytest.raises(Misuse, match=told) as problem:
        open_class(name).predict({"x": ROWS})
    assert problem.value.source == name


def test_texts_may_be_given_as_texts(home):
    told = {"inputs": {"x": ["BYTES", [-1]]}, "outputs": {"y": ["BYTES", [-1]]}}
    model = open_class(home(Mine=answering(lambda given: np.array(["é", "b"]), told)) + ":Mine")
    assert model.predict({"x": np.array([b"1", b"2"], object)})["y"].tolist() == ["é".encode(), b"b"]


def test_one_that_is_not_batched_may_have_any_shapes(home):
    told = {"inputs": {"x": ["FP32", [2]]}, "outputs": {"y": ["FP64", []]}, "batched": False}
    model = open_class(home(Mine=answering(lambda given: float(given["x"].sum()), told)) + ":Mine")
    assert not model.signature.batched
    assert model.predict({"x": np.array([1, 2], "f4")})["y"] == 3.0
    kind = answering(lambda given: given["x"], PLAIN, batched=False)
    assert not signature_of(kind, "m").batched


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere_to_be_found:Mine", "nowhere_to_be_found cannot be imported .ModuleNotFoundError"),
        ("Mine", "names no class"),
        (":Mine", "names no class"),
        ("served_by_test:Mime", "Did you mean 'Mine'"),
        ("served_by_test:number", "number cannot be called"),
        ("served_by_test:Raising", "cannot be made: KeyError: 'no key'"),
        ("served_by_test:Silent", "no method predict"),
        ("served_by_test:Unsigned", "has no signature"),
    ],
)
def test_a_class_that_cannot_be_had_is_told(home, name, told):
    def raising(self):
        raise KeyError("no key")

    home(
        Mine=answering(lambda given: given),
        number=3,
        Unsigned=answering(lambda given: given, None),
        Raising=type("Raising", (), {"load": raising}),
        Silent=type("Silent", (), {"signature": PLAIN}),
    )
    with pytest.raises(Misuse, match=told):
        open_class(name)


@pytest.mark.parametrize(
    ("signature", "field"),
    [
        ({"inputs": {"x": ["FP31", [-1]]}, "outputs": PLAIN["outputs"]}, "signature.x"),
        ({"inputs": {"x": ["FP32", [-2]]}, "outputs": PLAIN["outputs"]}, "signature.x"),
        ({"inputs": {"x": ["FP32", [3]]}, "outputs": PLAIN["outputs"]}, "signature.x"),
        ({"inputs": {"x": "FP32"}, "outputs": PLAIN["outputs"]}, "signature.inputs"),
        ({"inputs": PLAIN["inputs"]}, "signature.outputs"),
        ({"inputs": {}, "outputs": PLAIN["outputs"]}, "signature"),
        ({"inputs": PLAIN["inputs"], "outputs": {}}, "signature"),
    ],
)
def test_a_signature_that_cannot_be_meant_names_its_field(signature, field):
    with pytest.raises(Misuse) as problem:
        signature_of(answering(None, signature), "mine:Mine")
    assert problem.value.field == field and problem.value.source == "mine:Mine"
