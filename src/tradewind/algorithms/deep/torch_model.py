"""A trained torch module as named arrays: its state_dict, and how it computes if that can be written down."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.deep.tracing import Traced
from tradewind.algorithms.graph import Graph, Node, Port, rows
from tradewind.algorithms.graph_in_numpy import run
from tradewind.errors import Misuse, suggestion

KIND = "TorchModel"
"""What its header calls it."""

LABELS = {"cross_entropy": "classes", "nll": "classes", "bce": "binary", "mse": "number"}
"""The losses with a name, and what they take labels for."""

INPUTS = ("dense", "integers", "sparse", "bags")
_AT_ONCE = 1024
"""Rows given to the network at a time."""


class TorchModel:
    """A network that has learned, and its answers.

    - `cross_entropy` and `nll`: the probability of each class (n, k); `bce`: of the second class (n,)
    - `mse`: values (n,); a loss of the user's own: what the network gives

    A file names the code that made its network but never runs it: a model that was read from one computes
    with numpy, by the operators in its header where there are any, and otherwise asks for `built_by`.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any], network: nn.Module | None = None
    ) -> None:
        """`arrays` is a state_dict, `header` as `header` gives it; `network`, if there, has these weights."""
        self._arrays, self._header, self._network = dict(arrays), dict(header), network
        classes = header.get("classes")
        self.classes = None if classes is None else np.asarray(classes, np.float64)
        self.loss = str(header["loss"])
        self.features = int(header["features"])

    @classmethod
    def of_network(cls, network: nn.Module, header: Mapping[str, Any]) -> TorchModel:
        """The model of a trained network; its operators go into the header if they can be written down."""
        network.eval()
        arrays = {}
        for name, tensor in network.state_dict().items():
            plain = tensor.detach().cpu()
            arrays[name] = (plain.float() if plain.dtype in _NARROW else plain).numpy().copy()
        model = cls(arrays, {"kind": KIND, "version": 1, **header}, network)
        try:
            graph = model._traced()
        except Misuse as problem:
            model._header["graph"], model._header["formula"] = None, f"as the network does: {problem}"
        else:
            model._header["graph"] = _written(graph)
            model._header["formula"] = "ONNX operators in order; names are arrays, or values of earlier ones"
        return model

    @property
    def metric(self) -> str:
        """Accuracy for classes, r2 for values, and `loss`, which is the user's own, for the rest."""
        if self.classes is not None:
            return "accuracy"
        return "r2" if "number" in (self._header.get("target"), LABELS.get(self.loss)) else "loss"

    def module(self) -> nn.Module:
        """The network with its weights, in evaluation mode; Misuse where its code must be given."""
        if self._network is None:
            raise Misuse(
                f"the network is made by {self._header['network']}, which is not run because a file says so",
                source="model", field="network", fix="Give it: model.built_by(TheClass).",
            )  # fmt: skip
        return self._network

    def built_by(self, network: Callable[..., nn.Module]) -> TorchModel:
        """The model with its network, which `network` makes of the arguments in the header."""
        made = network(**self._header["arguments"])
        tensors = {name: torch.from_numpy(np.array(each)) for name, each in self._arrays.items()}
        try:
            made.load_state_dict(tensors)
        except RuntimeError as problem:
            raise Misuse(
                f"it makes another network: {str(problem).splitlines()[-1].strip()}", source="built_by",
                field="network", fix=f"Give {self._header['network']}, as it was.",
            ) from problem  # fmt: skip
        return TorchModel(self._arrays, self._header, made.eval())

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """The answer for each row, see above. Misuse for rows of another width."""
        found = batch if isinstance(batch, Batch) else batch_of(batch)
        if found.features != self.features:
            raise Misuse(
                f"the rows have {found.features} features, the model was trained on {self.features}",
                field="features", fix="Give the columns that it was trained on, in their order.",
            )  # fmt: skip
        if self._network is None and self._header.get("graph"):
            return run(self.graph(), {"X": _dense(found)})[0]
        network, answers = self.module(), []
        with torch.no_grad():
            for part in _parts(found):
                inputs = inputs_of(part, self._header["inputs"], self._header.get("shape"))
                answers.append(self._linked(network(*inputs)).numpy())
        return np.concatenate(answers)

    def predict(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """The class or the value of each row, (n,)."""
        answer = self.evaluate(batch)
        if self.classes is None:
            return answer
        at = answer.argmax(axis=1) if answer.ndim == 2 else (answer > 0.5).astype(np.int64)
        return np.asarray(self.classes[at])

    def score(self, batch: Batch, metric: str = "") -> float:
        """`accuracy` and `cross_entropy` of classes, `r2` and `mse` of values; by the rows' weights."""
        known = ("accuracy", "cross_entropy") if self.classes is not None else ("r2", "mse")
        if self.metric == "loss" or (metric and metric not in known):
            fix = "Judge by model.evaluate(batch)." if self.metric == "loss" else suggestion(metric, known)
            raise Misuse(f"{metric!r} is no metric of this model", field="metric", fix=fix)
        if batch.labels is None:
            raise Misuse("the rows have no labels", source="score", field="labels", fix="Give them.")
        labels = np.asarray(batch.labels, np.float64)
        weights = np.ones(len(labels)) if batch.weights is None else np.asarray(batch.weights, np.float64)
        answer = np.asarray(self.evaluate(batch), np.float64)
        if self.classes is None:
            left = float(np.average(np.square(labels - answer), weights=weights))
            if metric == "mse":
                return left
            spread = np.average(np.square(labels - np.average(labels, weights=weights)), weights=weights)
            return 1 - left / float(spread) if spread else float(left == 0)
        chances = answer if answer.ndim == 2 else np.stack([1 - answer, answer], axis=1)
        if metric == "cross_entropy":
            right = chances[np.arange(len(labels)), np.searchsorted(self.classes, labels)]
            return float(np.average(-np.log(np.maximum(right, 1e-12)), weights=weights))
        return float(np.average(self.classes[chances.argmax(axis=1)] == labels, weights=weights))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state_dict: parameters and buffers under torch's names."""
        return dict(self._arrays)

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return dict(self._header)

    def graph(self) -> Graph:
        """`evaluate` on dense rows; Misuse where the network cannot be written down."""
        if self._header.get("graph"):
            return _read(self._header["graph"], self._arrays, self.features)
        return self._traced()

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> TorchModel:
        """The model that gave `arrays` and `header`; nothing that they name is imported."""
        for field in ("network", "arguments", "loss", "inputs", "features"):
            if field not in header:
                raise Misuse(
                    "it is missing", source="model", field=field, fix="Give the file as it was written."
                )
        return cls({name: np.asarray(each) for name, each in arrays.items()}, header)

    def _linked(self, output: torch.Tensor) -> torch.Tensor:
        """The network's output as an answer."""
        if self.loss == "cross_entropy":
            return torch.softmax(output, 1)
        if self.loss == "nll":
            return torch.exp(output)
        if self._one_a_row(output):
            output = output.reshape(len(output))
        return torch.sigmoid(output) if self.loss == "bce" else output

    def _one_a_row(self, output: torch.Tensor) -> bool:
        """Whether the answer is a number a row, though the network may give a column."""
        numbers = self.loss in ("bce", "mse") or self._header.get("target") == "number"
        return numbers and output.numel() == len(output)

    def _traced(self) -> Graph:
        if self._header["inputs"] != "dense":
            raise Misuse(
                f"inputs as {self._header['inputs']} are not dense rows", source="network", field="inputs",
                fix="Use model.module() and torch.onnx.export.",
            )  # fmt: skip
        network, shape = self.module(), self._header.get("shape")
        traced = Traced(network, "X" if shape is None else "rows")
        if shape is not None:
            traced.nodes.insert(0, Node("Reshape", ("X", traced.constant([-1, *shape], np.int64)), ("rows",)))
        given = inputs_of(Batch(self.features, dense=np.zeros((2, self.features))), "dense", shape)
        with torch.no_grad():
            output = network(*given)
            answer = self._linked(output)
        last = traced.output
        if self.loss == "cross_entropy":
            last = traced.add("Softmax", last, axis=1)
        elif self.loss == "nll":
            last = traced.add("Exp", last)
        elif self._one_a_row(output) and output.ndim == 2:
            last = traced.add("Squeeze", last, traced.constant([1], np.int64))
        if self.loss == "bce":
            last = traced.add("Sigmoid", last)
        traced.nodes.append(Node("Identity", (last,), ("Y",)))
        made = {"X", *(name for node in traced.nodes for name in node.outputs)}
        used = {name for node in traced.nodes for name in node.inputs} - made - set(traced.constants)
        for name in used - set(self._arrays):
            raise Misuse(
                f"{name} is not in the state_dict", source="network", field="graph",
                fix="Register it as a persistent buffer.",
            )  # fmt: skip
        return Graph(
            tuple(traced.nodes), (rows(self.features),), (Port("Y", ("rows", *answer.shape[1:])),),
            {**{name: self._arrays[name] for name in sorted(used)}, **traced.constants},
        )  # fmt: skip


_NARROW = (torch.bfloat16, torch.float16)


def inputs_of(batch: Batch, inputs: str, shape: Any = None) -> tuple[torch.Tensor, ...]:
    """What a network's forward is given of rows.

    `dense`: (n, d) or (n, *shape) float32; `integers`: the same, int64; `sparse`: a COO tensor (n, d);
    `bags`: indices (nnz,), offsets (n,) and values (nnz,) for an EmbeddingBag.
    """
    if inputs in ("dense", "integers"):
        found = torch.from_numpy(np.array(_dense(batch), np.float32 if inputs == "dense" else np.int64))
        return (found if shape is None else found.reshape(len(batch), *shape),)
    if batch.sparse:
        assert batch.indptr is not None and batch.indices is not None and batch.values is not None
        indptr, indices, values = batch.indptr, batch.indices.astype(np.int64), batch.values
    else:
        dense = np.asarray(batch.dense)
        at, indices = (each.astype(np.int64) for each in np.nonzero(dense))
        indptr = np.concatenate(([0], np.cumsum(np.bincount(at, minlength=len(dense)))))
        values = dense[at, indices]
    bounds, columns = (
        torch.from_numpy(np.array(indptr, np.int64)),
        torch.from_numpy(np.array(indices, np.int64)),
    )
    numbers = torch.from_numpy(np.array(values, np.float32))
    if inputs == "bags":
        return columns, bounds[:-1], numbers
    place = torch.repeat_interleave(torch.arange(len(batch)), bounds[1:] - bounds[:-1])
    size = (len(batch), batch.features)
    found = torch.sparse_coo_tensor(torch.stack([place, columns]), numbers, size, check_invariants=False)
    return (found.coalesce(),)


def filled(
    network: Callable[..., Any], arguments: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a network, with those of `known` that it takes and that are not given."""
    try:
        takes = inspect.signature(network).parameters
    except (TypeError, ValueError):
        return dict(arguments)
    return {**{name: each for name, each in known.items() if name in takes}, **arguments}


def _dense(batch: Batch) -> NDArray[Any]:
    matrix: Any = batch.matrix()
    return np.asarray(matrix.toarray() if batch.sparse else matrix)


def _parts(batch: Batch) -> Iterator[Batch]:
    for at in range(0, max(len(batch), 1), _AT_ONCE):
        yield batch.rows(at, min(len(batch), at + _AT_ONCE))


def _written(graph: Graph) -> dict[str, Any]:
    """A graph as JSON; its constants that are no arrays of the model are written out."""
    own = {name: each for name, each in graph.constants.items() if name.startswith("constant/")}
    return {
        "nodes": [
            [each.operator, list(each.inputs), list(each.outputs), each.attributes] for each in graph.nodes
        ],
        "output": list(graph.outputs[0].shape),
        "constants": {name: [each.tolist(), str(each.dtype)] for name, each in own.items()},
    }  # fmt: skip


def _read(plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], features: int) -> Graph:
    nodes = tuple(Node(kind, tuple(a), tuple(b), dict(how)) for kind, a, b, how in plain["nodes"])
    used = {name for node in nodes for name in node.inputs}
    own = {name: np.asarray(value, dtype) for name, (value, dtype) in plain["constants"].items()}
    return Graph(
        nodes, (rows(features),), (Port("Y", tuple(plain["output"])),),
        {**{name: each for name, each in arrays.items() if name in used}, **own},
    )  # fmt: skip
