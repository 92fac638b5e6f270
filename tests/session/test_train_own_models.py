"""Whole runs of a user's own models: trained, opened from the run's folder, written as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.deep.neural_topic_model import NeuralTopicModel
from tradewind.algorithms.deep.torch_learner import TorchLearner
from tradewind.algorithms.latent_dirichlet_allocation import LatentDirichletAllocation
from tradewind.algorithms.partial_fit import PartialFitLearner
from tradewind.errors import Misuse
from tradewind.session.models import export, load
from tradewind.session.spec import make_spec
from tradewind.session.train import inline, local, train

NETWORK = """
from torch import nn


class Net(nn.Module):
    \"\"\"A user's network, with running statistics and dropout.\"\"\"

    def __init__(self, features, classes, hidden=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(hidden, classes),
        )

    def forward(self, x):
        return self.layers(x)


class Twice(Net):
    \"\"\"Its forward looks at the rows, so it is no sequence of operators.\"\"\"

    def forward(self, x):
        return self.layers(x) if float(x.sum()) != 0 else self.layers(x * 2)
"""


@pytest.fixture
def own_model(tmp_path, monkeypatch) -> str:
    """The name of a module of the user's, in a folder that is not installed."""
    (tmp_path / "users_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "users_network"


def rows(classes: int = 2, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(classes)
    y = chance.integers(classes, size=count)
    return (chance.normal(size=(count, 4)) + 2 * np.eye(4)[y]).astype(np.float32), y.astype(float)


def written(folder: Path) -> dict[str, str]:
    """The rows as a file, and where it is."""
    x, y = rows()
    cells = [",".join(f"{each:.6g}" for each in (*row, label)) for row, label in zip(x, y, strict=True)]
    (folder / "rows.csv").write_text("a,b,c,d,y\n" + "\n".join(cells) + "\n")
    return {"path": str(folder / "rows.csv"), "label": "y"}


def counts(count: int = 240) -> np.ndarray:
    """Documents of one of four topics each, with three words of its own to a topic."""
    chance = np.random.default_rng(5)
    likely = np.repeat(np.eye(4), 3, axis=1) + 0.05
    return chance.poisson(20 * (likely / likely.sum(axis=1, keepdims=True))[np.arange(count) % 4]).astype(
        np.float32
    )


def ran(learner: Any, data: Any, folder: Path, **settings: Any) -> Any:
    settings = {"epochs": 6, "batch": 20, "parts": 4, **settings}
    done = train(learner, data, runtime=inline(), out=str(folder / "runs"), **settings)
    assert done.outcome == "done" and (Path(done.directory) / "model" / "card.json").is_file()
    return done


def comes_back(done: Any, x: np.ndarray, within: float = 0.0) -> Any:
    """The model of the run's folder, whose answers are the run's; and so are those of its ONNX."""
    model = load(done.directory)
    expected = done.model.evaluate(batch_of(x))
    assert np.abs(model.evaluate(batch_of(x)) - expected).max() <= within
    path = export(done, Path(done.directory) / "model.onnx")
    (answer,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"X": x})
    assert answer == pytest.approx(expected, abs=1e-5)
    return model


def test_a_network(tmp_path, own_model):
    x, y = rows(3)
    learner = TorchLearner(f"{own_model}:Net", rate=0.05, arguments={"hidden": 6})
    done = ran(learner, (x, y), tmp_path)
    model = comes_back(done, x, 1e-5)
    assert done.model.score(batch_of(x, y)) > 0.8
    net = done.model.module()
    assert type(net).__name__ == "Net" and net.layers[0].out_features == 6 and not net.training
    with pytest.raises(Misuse, match="not run because a file says so"):
        model.module()
    again = model.built_by(type(net))
    assert np.array_equal(again.evaluate(x), done.model.evaluate(x))


def test_a_network_that_onnx_cannot_say(tmp_path, own_model):
    x, y = rows()
    done = ran(TorchLearner(f"{own_model}:Twice", rate=0.05), (x, y), tmp_path, epochs=2)
    with pytest.raises(Misuse, match="depends on the rows"):
        export(done, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    opened = load(done.directory).built_by(type(done.model.module()))
    assert np.array_equal(opened.evaluate(x), done.model.evaluate(x))


@pytest.mark.parametrize("estimator", [SGDClassifier(loss="log_loss"), MultinomialNB(), GaussianNB()])
def test_an_estimator(tmp_path, estimator):
    x, y = rows()
    x = np.maximum(np.round(x), 0) if isinstance(estimator, MultinomialNB) else x
    epochs = 6 if isinstance(estimator, SGDClassifier) else 1
    done = ran(PartialFitLearner.of(estimator), (x, y), tmp_path, epochs=epochs)
    model = comes_back(done, x)
    assert model.score(batch_of(x, y)) > 0.8
    assert type(model.estimator) is type(estimator)
    if epochs == 1:
        assert np.array_equal(model.predict(x), estimator.fit(x.astype(float), y).predict(x.astype(float)))


@pytest.mark.parametrize(
    "learner",
    [
        NeuralTopicModel(4, encoder_layers=(8,), rate=0.02, warm_up=0),
        LatentDirichletAllocation(4, alpha=0.1),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_topics(tmp_path, learner):
    x = counts()
    done = ran(learner, x, tmp_path, epochs=10)
    model = comes_back(done, x)
    assert model.score(batch_of(x), "") < 8.5  # twelve words, of which a document has three
    shares = model.evaluate(batch_of(x))
    assert len({tuple(row.argsort()[-1:]) for row in shares}) >= 2


def test_a_spec_names_what_a_call_is_given(tmp_path, own_model):
    """As docs/your-own-model.md has it."""
    data = written(tmp_path)
    ours = ran(TorchLearner(f"{own_model}:Net", rate=0.05), data, tmp_path, epochs=2).model.arrays()
    spec = {
        "learner": {"kind": "TorchLearner", "network": f"{own_model}:Net", "rate": 0.05}, "data": data,
        "epochs": 2, "batch": 20, "parts": 4, "runtime": "inline", "out": str(tmp_path / "spec"),
    }  # fmt: skip
    theirs = train(make_spec(spec)).model.arrays()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_network_that_the_workers_lack_is_told_before_anything_is_rented(tmp_path):
    with pytest.raises(Misuse, match="'no_such_package:Net' cannot be imported"):
        train(
            TorchLearner("no_such_package:Net"), rows(), out=str(tmp_path / "runs"),
            provider=local(history="aws-2020"),
        )  # fmt: skip
    assert not any((tmp_path / "runs").glob("*/model"))


def test_over_real_processes_it_is_what_it_is_here(tmp_path, own_model):
    """A network of the user's, with running statistics and dropout, to the last bit."""
    (tmp_path / "prices.csv").write_text(
        "zone,instance_type,time,price\n"
        "us-east-1a,p2.xlarge,2020-02-01T00:00:00Z,0.3\nus-east-1a,p2.xlarge,2020-02-09T00:00:00Z,0.3\n"
    )
    learner, data = TorchLearner(f"{own_model}:Net", rate=0.05), written(tmp_path)
    here = ran(learner, data, tmp_path / "here", epochs=2)
    there = train(
        learner, data, epochs=2, batch=20, parts=4, out=str(tmp_path / "there"),
        provider=local(history=str(tmp_path / "prices.csv"), boot=1, speed=60),
        workers={"count": 2, "instance_types": ["p2.xlarge"]},
    )  # fmt: skip
    assert there.outcome == "done"
    ours, theirs = here.model.arrays(), there.model.arrays()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert np.array_equal(value, theirs[name]), name
