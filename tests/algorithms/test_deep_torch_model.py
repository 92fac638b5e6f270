"""A torch model as a file: opened without its code, computed by numpy, written as ONNX."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import small_networks
import torch
from torch import nn

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.deep.torch_learner import TorchLearner
from tradewind.algorithms.deep.torch_model import TorchModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def model(made: nn.Module, loss: str = "cross_entropy", **changes) -> TorchModel:
    header = {
        "network": "small_networks:made", "arguments": {}, "loss": loss, "inputs": "dense", "shape": None,
        "features": 6, "classes": [0.0, 1.0, 2.0] if loss in ("cross_entropy", "nll") else None, **changes,
    }  # fmt: skip
    return TorchModel.of_network(made, header)


def reopened(found: TorchModel) -> TorchModel:
    """By way of JSON, as a file would be."""
    return TorchModel.of(found.arrays(), json.loads(json.dumps(found.header())))


LAYERS = [
    nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.SiLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.Softplus(),
    nn.Softmax(dim=1), nn.LogSoftmax(dim=-1), nn.BatchNorm1d(6), nn.BatchNorm1d(6, affine=False),
    nn.LayerNorm(6), nn.LayerNorm(6, elementwise_affine=False), nn.Dropout(0.5), nn.Identity(),
    nn.Linear(6, 6, bias=False),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers_are_the_same_by_torch_by_numpy_and_by_onnx(layer):
    network = nn.Sequential(nn.Linear(6, 6), layer, nn.Linear(6, 3))
    network.train()
    network(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))  # for running statistics
    found = model(network)
    expected = found.evaluate(X)
    assert reopened(found).evaluate(X) == pytest.approx(expected, abs=1e-5)
    (answer,) = onnxruntime.InferenceSession(onnx_bytes(found.graph())).run(None, {"X": X})
    assert answer == pytest.approx(expected, abs=1e-5)


class Operators(nn.Module):
    """What functions and methods can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.mix = nn.Parameter(torch.randn(15, 3, generator=torch.Generator().manual_seed(2)))
        self.register_buffer("shift", torch.arange(6.0))

    def forward(self, x, scale=0.5):
        """Three scores a row."""
        h = (x - self.shift) * scale / 2 + 1.0
        h = torch.cat([self.layer(h), torch.exp(-h.abs()), nn.functional.gelu(h)], dim=1)
        h = nn.functional.dropout(torch.sigmoid(h) + h.tanh(), 0.5, self.training)
        h = nn.functional.leaky_relu(h @ self.mix, 0.1).unsqueeze(1).squeeze(1).flatten(1)
        return nn.functional.softplus(h).sqrt().contiguous()


@pytest.mark.parametrize("loss", ["cross_entropy", "nll"])
def test_functions_are_the_same_by_torch_by_numpy_and_by_onnx(loss):
    found = model(Operators(), loss)
    expected = found.evaluate(X)
    assert reopened(found).evaluate(X) == pytest.approx(expected, abs=1e-5)
    (answer,) = onnxruntime.InferenceSession(onnx_bytes(found.graph())).run(None, {"X": X})
    assert answer == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_one_value_a_row(loss):
    found = model(nn.Linear(6, 1), loss, classes=[0.0, 1.0] if loss == "bce" else None)
    expected = found.evaluate(X)
    assert expected.shape == (40,)
    assert reopened(found).evaluate(X) == pytest.approx(expected, abs=1e-6)
    (answer,) = onnxruntime.InferenceSession(onnx_bytes(found.graph())).run(None, {"X": X})
    assert answer == pytest.approx(expected, abs=1e-5)


def test_the_arrays_and_the_header_are_enough_for_numpy():
    found = model(small_networks.perceptron(6, 3))
    a = found.arrays()
    operators = [each[0] for each in found.header()["graph"]["nodes"]]
    assert operators == ["Gemm", "Relu", "Gemm", "Softmax", "Identity"]
    h = np.maximum(X @ a["0.weight"].T + a["0.bias"], 0)
    scores = h @ a["2.weight"].T + a["2.bias"]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert found.evaluate(X) == pytest.approx(chances, abs=1e-6)


def test_a_file_runs_no_code_that_it_names():
    found = model(small_networks.Repeated(6, 3), network="os:system", arguments={"command": "true"})
    again = reopened(found)
    assert found.header()["graph"] is None and "depends on the rows" in found.header()["formula"]
    for ask in (again.module, lambda: again.evaluate(X)):
        with pytest.raises(Misuse, match="not run because a file says so"):
            ask()
    with pytest.raises(Misuse, match="depends on the rows"):
        found.graph()


def test_it_is_built_by_code_that_is_given():
    learner = TorchLearner("small_networks:Repeated", epochs=2).fit(X, np.arange(40) % 3)
    again = reopened(learner.model_).built_by(small_networks.Repeated)
    assert np.array_equal(again.evaluate(X), learner.model_.evaluate(X))
    assert isinstance(again.module(), small_networks.Repeated) and not again.module().training
    with pytest.raises(Misuse, match="another network"):
        reopened(learner.model_).built_by(small_networks.perceptron)


def test_what_does_not_belong_together_is_told():
    found = model(small_networks.perceptron(6, 3))
    with pytest.raises(Misuse, match="loss"):
        TorchModel.of(found.arrays(), {k: v for k, v in found.header().items() if k != "loss"})
    with pytest.raises(Misuse, match="5 features"):
        found.evaluate(X[:, :5])
    with pytest.raises(Misuse, match="metric"):
        found.score(batch_of(X, np.zeros(40)), "r2")
    with pytest.raises(Misuse, match="labels"):
        found.score(batch_of(X), "accuracy")


def test_half_precision_is_kept_in_float32():
    network = nn.Sequential(nn.Linear(6, 3))
    network.register_buffer("mark", torch.ones(2, dtype=torch.bfloat16))
    found = model(network)
    assert found.arrays()["mark"].dtype == np.float32
