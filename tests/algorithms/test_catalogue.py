"""Every learner and model by name: they are there, they fit together, and a missing extra is told."""

import builtins
import importlib

import pytest

from tradewind.algorithms import catalogue
from tradewind.algorithms.catalogue import LEARNERS, MODELS, model_from, resolved
from tradewind.errors import MissingExtra, Misuse


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_is_where_it_is_said_to_be(name):
    kind = resolved(LEARNERS[name])
    assert kind.__name__ == name
    assert all(hasattr(kind, each) for each in ("initialize", "update", "finalize", "parameters", "check"))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_where_it_is_said_to_be(name):
    kind = resolved(MODELS[name])
    assert all(hasattr(kind, each) for each in ("of", "arrays", "header", "evaluate", "score", "graph"))


def test_an_unknown_kind_is_told_with_the_likely_one():
    with pytest.raises(Misuse, match="Did you mean 'LinearModel'"):
        model_from({}, {"kind": "LinearModell"})
    with pytest.raises(Misuse, match="kind"):
        model_from({}, {})


def test_a_package_that_is_not_installed_is_told_with_its_extra(monkeypatch):
    def without(name, *rest, **more):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest, **more)

    real = builtins.__import__
    monkeypatch.setattr(catalogue, "import_module", lambda name: without("torch"))
    with pytest.raises(MissingExtra, match=r"tradewind\[deep\]"):
        resolved("tradewind.algorithms.deep.gradients:GradientLearner")
    monkeypatch.setattr(catalogue, "import_module", importlib.import_module)
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        resolved("nowhere_at_all:X")
