"""What of a forward is written down as operators, and what is refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tradewind.algorithms.deep.tracing import Traced
from tradewind.algorithms.graph import Graph, Port, rows
from tradewind.algorithms.graph_in_numpy import run
from tradewind.errors import Misuse

X = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)


class Forward(nn.Module):
    """A module whose forward is a function of it and the rows."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        """Whatever it was given."""
        return self.function(self, x)


def answer(network: nn.Module, given=X):
    """By the operators that were traced."""
    traced = Traced(network.eval(), "X")
    arrays = {name: each.detach().numpy() for name, each in network.state_dict().items()}
    graph = Graph(
        tuple(traced.nodes), (rows(given.shape[1]),), (Port(traced.output, ("rows", 1)),),
        {**arrays, **traced.constants},
    )  # fmt: skip
    return run(graph, {"X": given})[0]


F = nn.functional
WRITTEN = {
    "residual": lambda self, x: x + self.layer(x).relu(),
    "shared": lambda self, x: self.layer(torch.tanh(self.layer(x))),
    "number on the left": lambda self, x: 2.0 - 1.5 * x,
    "functional": lambda self, x: F.elu(F.linear(x, self.layer.weight, self.layer.bias), 0.5),
    "two ways": lambda self, x: torch.cat((x, self.layer(x)), 1) / 3,
    "gated": lambda self, x: F.silu(x) * F.gelu(x) - torch.exp(-torch.abs(x)),
    "logarithm": lambda self, x: F.log_softmax(x, dim=-1) + torch.softmax(x, dim=1),
    "dropped": lambda self, x: F.dropout(x, 0.9, self.training),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_forward_of_known_operators_is_written_down(name):
    torch.manual_seed(0)
    network = Forward(WRITTEN[name], layer=nn.Linear(6, 6)).eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(X)).numpy()
    assert answer(network) == pytest.approx(expected, abs=1e-5)


def test_layers_within_layers_go_by_their_names_in_the_state_dict():
    network = nn.Sequential(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), nn.Linear(4, 2))
    nodes = Traced(network, "X").nodes
    assert [each.operator for each in nodes] == ["Gemm", "Relu", "Gemm"]
    assert nodes[0].inputs == ("X", "0.0.weight", "0.0.bias") and nodes[2].inputs[1] == "1.weight"


class Two(nn.Module):
    """Takes more than rows."""

    def forward(self, x, y):
        """A sum."""
        return x + y


REFUSED = {
    "forward depends on the rows": Forward(lambda self, x: x if x.sum() > 0 else -x),
    "layer is a GRUCell": Forward(lambda self, x: self.layer(x), layer=nn.GRUCell(6, 6)),
    "layer is a ConvTranspose2d": Forward(lambda self, x: self.layer(x), layer=nn.ConvTranspose2d(1, 1, 2)),
    "layer is dilated": Forward(lambda self, x: self.layer(x), layer=nn.Conv2d(1, 1, 2, dilation=2)),
    "layer pads or groups": Forward(lambda self, x: self.layer(x), layer=nn.Conv2d(2, 2, 2, groups=2)),
    "layer is dilated, rounds up": Forward(lambda s, x: s.layer(x), layer=nn.MaxPool2d(2, ceil_mode=True)),
    "layer keeps no running statistics": Forward(
        lambda self, x: self.layer(x), layer=nn.BatchNorm1d(6, track_running_stats=False)
    ),
    "an approximate GELU": Forward(lambda self, x: F.gelu(x, approximate="tanh")),
    "it calls cumsum": Forward(lambda self, x: torch.cumsum(x, 1)),
    "returns more than one tensor": Forward(lambda self, x: (x, x)),
    "takes more than the rows": Two(),
    "a flatten that is not of each row": Forward(lambda self, x: torch.flatten(x)),
    "an axis that is not named": Forward(lambda self, x: self.layer(x), layer=nn.Softmax()),
    "a softplus of its own steepness": Forward(lambda self, x: F.softplus(x, beta=2)),
    "sub with such arguments": Forward(lambda self, x: torch.sub(x, x, alpha=2)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_written_down_is_refused_with_the_reason(words):
    with pytest.raises(Misuse, match=words) as told:
        Traced(REFUSED[words], "X")
    assert "is not written as ONNX here" in str(told.value) and "torch.onnx.export" in told.value.fix
