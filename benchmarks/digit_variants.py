"""Real variants of one task, trained and written as ONNX: the digit in a picture of 8 by 8 pixels.

The pictures are scikit-learn's (UCI, Optical Recognition of Handwritten Digits): half to learn from, half
to test on, each of those as it is and moved by a pixel to four sides. The architectures reach from a linear
model to convolutional networks that vote; each of those in fp32 and in int8 (onnxruntime, static, QDQ,
calibrated on the training half).
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import nn

INPUT, OUTPUT = "picture", "scores"
SHIFTS = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))


@dataclass(frozen=True)
class Made:
    """A model that was written."""

    architecture: str
    precision: str
    path: Path


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures and labels to learn from, pictures and labels to test on."""
    X, y = load_digits(return_X_y=True)
    learn, test, told, truth = train_test_split(
        (X / 16).astype(np.float32), y, test_size=0.5, random_state=0, stratify=y
    )
    places = np.repeat(np.array(SHIFTS), len(test), axis=0)
    return learn, told, moved(np.tile(test, (len(SHIFTS), 1)), places), np.tile(truth, len(SHIFTS))


def moved(pictures: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Each picture cut anew from itself with a black edge, at its own corner; (1, 1) leaves it as it is."""
    wide = np.pad(pictures.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    rows = corners[:, 0, None] + np.arange(8)
    columns = corners[:, 1, None] + np.arange(8)
    return wide[np.arange(len(wide))[:, None, None], rows[:, :, None], columns[:, None, :]].reshape(-1, 64)


def convolutional(
    widths: tuple[int, int, int], learn: np.ndarray, told: np.ndarray, snapshots: int = 1
) -> list[nn.Module]:
    """Three layers and a linear one, learnt from pictures that are moved anew in each pass.

    Of several snapshots each comes three passes after the last, with the rate of learning raised anew in
    between (Huang et al., "Snapshot ensembles: train 1, get M for free", ICLR 2017).
    """
    torch.manual_seed(0)
    first, second, third = widths
    model = nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1), nn.ReLU(), nn.Conv2d(first, second, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(second, third, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(third * 16, 10),
    )  # fmt: skip
    chance = np.random.default_rng(0)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    taken = []
    for cycle in range(snapshots):
        passes = 3 if cycle else 12
        for at in range(passes):
            some = moved(learn, np.array(SHIFTS)[chance.integers(0, len(SHIFTS), len(learn))])
            order = chance.permutation(len(some))
            for start in range(0, len(order), 64):
                done = (at + start / len(order)) / passes
                optimiser.param_groups[0]["lr"] = 3e-3 * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
                chosen = order[start : start + 64]
                optimiser.zero_grad()
                scores = model(torch.tensor(some[chosen]).view(-1, 1, 8, 8))
                nn.functional.cross_entropy(scores, torch.tensor(told[chosen])).backward()
                optimiser.step()
        taken.append(copy.deepcopy(model))
    return taken


def written(models: list[nn.Module], path: Path) -> Path:
    """Convolutional networks that vote, as one ONNX graph."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def add(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    picture = add("Reshape", [INPUT, constant("square", np.array([-1, 1, 8, 8]))], "square_picture")
    votes = []
    for at, model in enumerate(models):
        value = picture
        for count, layer in enumerate(model):
            name = f"m{at}_{count}"
            if isinstance(layer, nn.Conv2d | nn.Linear):
                weight = constant(f"{name}_w", layer.weight.detach().numpy())
                bias = constant(f"{name}_b", layer.bias.detach().numpy())
                if isinstance(layer, nn.Conv2d):
                    value = add("Conv", [value, weight, bias], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
                else:
                    value = add("Gemm", [value, weight, bias], name, transB=1)
            elif isinstance(layer, nn.MaxPool2d):
                value = add("MaxPool", [value], name, kernel_shape=[2, 2], strides=[2, 2])
            else:
                value = add("Relu" if isinstance(layer, nn.ReLU) else "Flatten", [value], name)
        votes.append(add("Softmax", [value], f"m{at}_vote", axis=1))
    add("Sum", votes, OUTPUT)
    return saved(nodes, constants, path)


def saved(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], path: Path) -> Path:
    """The graph as a file."""
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", 64])
    wanted = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", 10])
    graph = helper.make_graph(nodes, path.stem, [given], [wanted], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def linear(learn: np.ndarray, told: np.ndarray, path: Path) -> Path:
    """A logistic regression."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(max_iter=300).fit(learn, told)
    weight = numpy_helper.from_array(model.coef_.astype(np.float32), "w")
    bias = numpy_helper.from_array(model.intercept_.astype(np.float32), "b")
    return saved([helper.make_node("Gemm", [INPUT, "w", "b"], [OUTPUT], transB=1)], [weight, bias], path)


def quantized(path: Path, learn: np.ndarray) -> Path:
    """The same in int8."""

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter([{INPUT: learn[at : at + 64]} for at in range(0, 256, 64)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    target = path.with_name(f"{path.stem}-int8.onnx")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it would rather have the graph prepared, which brings nothing here
    with contextlib.redirect_stdout(None):
        quantize_static(path, target, Pictures(), per_channel=True)
    logging.disable(before)
    return target


def made(folder: Path, voters: int = 8) -> list[Made]:
    """Every variant's model, trained and written into a folder."""
    torch.set_num_threads(1)
    learn, told, _, _ = digits()
    small = convolutional((16, 32, 32), learn, told)
    large = convolutional((32, 64, 128), learn, told, voters)
    found = [Made("linear", "fp32", linear(learn, told, folder / "linear.onnx"))]
    for name, models in (("cnn-small", small), ("cnn", large[:1]), ("cnn-vote", large[1:])):
        path = written(models, folder / f"{name}.onnx")
        found.append(Made(name, "fp32", path))
        found.append(Made(name, "int8", quantized(path, learn)))
    return found
