"""PyTorch's programs answer as torch does, and run nothing but operators on tensors."""

from __future__ import annotations

import json
import sys
import types
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from tradewind.algorithms.deep.torch_model import TorchModel
from tradewind.data.model_files.layout import write_model_file
from tradewind.errors import Misuse
from tradewind.serving.models.answers import first_answer
from tradewind.serving.models.learner import open_learner
from tradewind.serving.models.torch import open_exported, open_weights
from tradewind.serving.tensors import TensorSpec

SIGNATURE = {"inputs": {"x": ["FP32", [-1, 4]]}, "outputs": {"y": ["FP32", [-1, 2]]}}


class Net(torch.nn.Module):
    """What usual networks hold: weights, buffers, words, a convolution, attention, lengths, branches off."""

    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(10, 8)
        self.conv = torch.nn.Conv1d(8, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm1d(8)
        self.out = torch.nn.Linear(8, 3)
        self.drop = torch.nn.Dropout(0.5)
        self.register_buffer("shift", torch.arange(3.0), persistent=False)

    def forward(self, codes, weight):
        h = self.words(codes).transpose(1, 2)
        h = self.drop(self.norm(self.conv(h)).relu()).transpose(1, 2)
        h = torch.nn.functional.scaled_dot_product_attention(h, h, h)
        first, second = h.split(4, dim=2)
        flat = (h.reshape(h.shape[0], h.shape[1], -1).mean(dim=1) * weight[:, None]).to(torch.float32)
        logits = self.out(flat) + self.shift
        return {"chances": logits.softmax(-1), "halves": first.sum((1, 2)) - second.sum((1, 2)) + 2.0}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    net = Net().eval()
    rows = torch.export.Dim("rows")
    example = (torch.zeros(2, 5, dtype=torch.int64), torch.ones(2))
    program = torch.export.export(net, example, dynamic_shapes=({0: rows}, {0: rows}))
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    torch.export.save(program, path)
    return net, path


def altered(path, tmp_path, change):
    """A copy of an archive whose program was changed."""
    made = tmp_path / "altered.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("/model.json"):
                told = json.loads(content)
                change(told["graph_module"]["graph"])
                content = json.dumps(told)
            new.writestr(name, content)
    return made


def test_a_program_answers_as_the_network_does(exported):
    net, path = exported
    model = open_exported(path)
    assert model.signature.inputs == (
        TensorSpec("codes", "INT64", (-1, 5)),
        TensorSpec("weight", "FP32", (-1,)),
    )
    assert model.signature.outputs == (
        TensorSpec("chances", "FP32", (-1, 3)),
        TensorSpec("halves", "FP32", (-1,)),
    )
    assert model.signature.batched and model.platform == "pytorch"
    assert model.memory >= sum(each.nbytes for each in net.state_dict().values())
    first_answer(model, "m")
    codes = np.random.default_rng(0).integers(0, 10, (7, 5))
    weight = np.linspace(0, 2, 7, dtype="f4")
    weight.flags.writeable = False  # as it comes from the wire
    found = model.predict({"codes": codes, "weight": weight})
    with torch.no_grad():
        wanted = net(torch.from_numpy(codes), torch.from_numpy(weight.copy()))
    for name, each in wanted.items():
        assert np.allclose(found[name], each.numpy(), atol=1e-6), name
    with pytest.raises(Misuse, match=r"net\.pt2: .*range"):
        model.predict({"codes": codes + 10, "weight": weight})
    model.close()
    with pytest.raises(Misuse, match="closed"):
        model.predict({"codes": codes, "weight": weight})


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.load",
        "torch.ops.aten._cuda_getCurrentRawStream.default",
        "torch.ops.aten.__getattr__.default",
        "torch.ops.higher_order.cond",
        "torch.ops.mine.op.default",
        "_operator.attrgetter",
        "math.sin",
        "torch.ops.aten.relu.nothing",
        "torch.ops.aten.relu.default.__globals__",
        "#mine:op",
        "",
    ],
)
def test_no_other_function_is_called(exported, tmp_path, target):
    def change(graph):
        graph["nodes"][0]["target"] = target

    with pytest.raises(Misuse, match=r"nodes: (the operator|torch has no)") as problem:
        open_exported(altered(exported[1], tmp_path, change))
    assert target in str(problem.value)


def test_arguments_that_are_no_values_and_training_are_refused(exported, tmp_path):
    def graph_argument(graph):
        graph["nodes"][0]["inputs"][0]["arg"] = {"as_graph": {"name": "g", "graph": {}}}

    def training(graph):
        for node in graph["nodes"]:
            for each in node["inputs"]:
                if each["name"] == "train":
                    each["arg"] = {"as_bool": True}

    def in_place(graph):
        node = next(each for each in graph["nodes"] if each["target"] == "torch.ops.aten.relu.default")
        node["target"] = "torch.ops.aten.relu_.default"
        node["inputs"][0]["arg"] = {"as_tensor": {"name": "p_out_weight"}}

    for change, told in (
        (graph_argument, "takes graph"),
        (training, "as in training"),
        (in_place, "alters the weights"),
    ):
        with pytest.raises(Misuse, match=told):
            open_exported(altered(exported[1], tmp_path, change))


def test_lengths_that_are_fixed_and_single_outputs(tmp_path):
    program = torch.export.export(torch.nn.Linear(4, 2).eval(), (torch.zeros(3, 4),))
    torch.export.save(program, tmp_path / "m.pt2")
    model = open_exported(tmp_path / "m.pt2")
    assert model.signature.inputs == (TensorSpec("input", "FP32", (3, 4)),)
    assert model.signature.outputs == (TensorSpec("output_0", "FP32", (3, 2)),)
    assert not model.signature.batched
    first_answer(model, "m")


def test_weights_go_into_the_class_that_the_operator_names(tmp_path, monkeypatch):
    class Linear(torch.nn.Linear):
        signature = SIGNATURE

        def __init__(self):
            super().__init__(4, 2)

    module = types.ModuleType("nets_of_test")
    module.Linear, module.Bare = Linear, torch.nn.Identity
    monkeypatch.setitem(sys.modules, "nets_of_test", module)
    net = Linear()
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(net.state_dict(), path)
    model = open_weights(path, "nets_of_test:Linear")
    first_answer(model, "m")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("f4")
    wanted = x @ net.weight.detach().numpy().T + net.bias.detach().numpy()
    assert np.allclose(model.predict({"x": x})["y"], wanted, atol=1e-6) and model.memory == 40
    with pytest.raises(Misuse, match="no signature"):
        open_weights(path, "nets_of_test:Bare")
    safetensors.torch.save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(Misuse, match="not the weights of nets_of_test:Linear"):
        open_weights(path, "nets_of_test:Linear")


def test_a_network_that_was_trained_here_is_served_without_its_code(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    header = {
        "network": "a:B",
        "arguments": {},
        "loss": "cross_entropy",
        "inputs": "dense",
        "features": 4,
        "classes": [3.0, 7.0],
    }
    model = TorchModel.of_network(net, header)
    write_model_file(tmp_path, model.arrays(), model.header())
    opened = open_learner(tmp_path)
    first_answer(opened, "m")
    x = np.random.default_rng(1).normal(size=(6, 4)).astype("f4")
    with torch.no_grad():
        wanted = net(torch.from_numpy(x)).softmax(-1).numpy()
    found = opened.predict({"X": x})
    assert np.allclose(found["probability"], wanted, atol=1e-5)
    assert np.array_equal(found["prediction"], np.array([3, 7])[wanted.argmax(axis=1)])
    written = {**model.header(), "graph": None}
    write_model_file(tmp_path, model.arrays(), written)
    with pytest.raises(Misuse, match="a:B, which is not run"):
        open_learner(tmp_path)
