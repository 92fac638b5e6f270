"""A torch module as a graph of ONNX operators, where its forward is one sequence of known operators.

Traced with torch.fx (Reed et al., MLSys 2022): no rows are needed, and what depends on the values of rows
cannot be written down and is refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from tradewind.algorithms.graph import Node
from tradewind.errors import Misuse


class Traced:
    """The nodes of a network under way; its parameters are constants by the names of its state_dict."""

    def __init__(self, network: nn.Module, given: str) -> None:
        """Trace `network`, whose one input is the value `given`; Misuse where it cannot be written down."""
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._network, self._count = network, 0
        self._names: dict[fx.Node, Any] = {}
        try:
            traced = fx.symbolic_trace(network)
        except Exception as problem:  # whatever the user's own forward makes of a proxy
            raise _unwritten(f"its forward depends on the rows: {str(problem).splitlines()[0]}") from problem
        self._modules = dict(traced.named_modules())
        self.output = given
        taken = False
        for node in traced.graph.nodes:
            if node.op == "placeholder":
                if taken and not node.args:
                    raise _unwritten("its forward takes more than the rows")
                self._names[node] = node.args[0] if taken else given
                taken = True
            elif node.op == "output":
                found = self._value(node.args[0])
                if not isinstance(found, str):
                    raise _unwritten("its forward returns more than one tensor")
                self.output = found
            elif node.op == "get_attr":
                self._names[node] = str(node.target)
            else:
                self._names[node] = self._called(node)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node more; the name of its value."""
        self._count += 1
        self.nodes.append(Node(kind, inputs, (f"value/{self._count}",), attributes))
        return f"value/{self._count}"

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of a constant."""
        self._count += 1
        self.constants[f"constant/{self._count}"] = np.asarray(value, dtype)
        return f"constant/{self._count}"

    def _value(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self._names[argument]
        return [self._value(each) for each in argument] if isinstance(argument, (list, tuple)) else argument

    def _called(self, node: fx.Node) -> Any:
        arguments = [self._value(each) for each in node.args]
        named = {name: self._value(each) for name, each in node.kwargs.items()}
        if node.op == "call_module":
            module, name = self._modules[str(node.target)], str(node.target)
            for kind, write in _MODULES.items():
                if type(module) is kind:
                    return write(self, module, name, arguments[0])
            raise _unwritten(f"{name} is a {type(module).__name__}")
        called = str(node.target) if node.op == "call_method" else _FUNCTIONS.get(node.target, "")
        if called not in _CALLS:
            raise _unwritten(f"it calls {getattr(node.target, '__name__', node.target)}")
        try:
            return _CALLS[called](self, *arguments, **named)
        except (TypeError, ValueError) as problem:
            raise _unwritten(f"{called} with such arguments") from problem


def _unwritten(problem: str) -> Misuse:
    return Misuse(
        f"{problem}, which is not written as ONNX here", source="network", field="graph",
        fix="Use model.module() and torch.onnx.export, or a Sequential of usual layers.",
    )  # fmt: skip


def _linear(graph: Traced, module: nn.Linear, name: str, x: str) -> str:
    inputs = (x, f"{name}.weight") + (() if module.bias is None else (f"{name}.bias",))
    return graph.add("Gemm", *inputs, transB=1)


def _pair(value: Any) -> list[int]:
    return [int(each) for each in value] if isinstance(value, (tuple, list)) else [int(value)] * 2


def _conv(graph: Traced, module: nn.Conv2d, name: str, x: str) -> str:
    if isinstance(module.padding, str) or module.padding_mode != "zeros" or module.groups != 1:
        raise _unwritten(f"{name} pads or groups its channels in a way")
    if _pair(module.dilation) != [1, 1]:
        raise _unwritten(f"{name} is dilated")
    inputs = (x, f"{name}.weight") + (() if module.bias is None else (f"{name}.bias",))
    return graph.add(
        "Conv", *inputs, strides=_pair(module.stride), pads=_pair(module.padding) * 2,
        kernel_shape=_pair(module.kernel_size),
    )  # fmt: skip


def _max_pool(graph: Traced, module: nn.MaxPool2d, name: str, x: str) -> str:
    if _pair(module.dilation) != [1, 1] or module.ceil_mode or module.return_indices:
        raise _unwritten(f"{name} is dilated, rounds up or tells places")
    return graph.add(
        "MaxPool", x, kernel_shape=_pair(module.kernel_size), strides=_pair(module.stride),
        pads=_pair(module.padding) * 2,
    )  # fmt: skip


def _batch_norm(graph: Traced, module: Any, name: str, x: str) -> str:
    if not module.track_running_stats:
        raise _unwritten(f"{name} keeps no running statistics")
    if module.affine:
        scale, bias = f"{name}.weight", f"{name}.bias"
    else:
        scale = graph.constant(np.ones(module.num_features))
        bias = graph.constant(np.zeros(module.num_features))
    return graph.add(
        "BatchNormalization", x, scale, bias, f"{name}.running_mean", f"{name}.running_var",
        epsilon=module.eps,
    )  # fmt: skip


def _layer_norm(graph: Traced, module: nn.LayerNorm, name: str, x: str) -> str:
    shape = module.normalized_shape
    scale = f"{name}.weight" if module.elementwise_affine else graph.constant(np.ones(shape))
    biased = module.elementwise_affine and module.bias is not None
    bias = f"{name}.bias" if biased else graph.constant(np.zeros(shape))
    return graph.add("LayerNormalization", x, scale, bias, axis=-len(shape), epsilon=module.eps)


def _gelu(graph: Traced, x: str, approximate: str = "none") -> str:
    if approximate != "none":
        raise _unwritten("an approximate GELU")
    half = graph.add("Mul", x, graph.constant([0.5]))
    part = graph.add("Erf", graph.add("Mul", x, graph.constant([1 / math.sqrt(2)])))
    return graph.add("Mul", half, graph.add("Add", part, graph.constant([1.0])))


def _silu(graph: Traced, x: str, inplace: bool = False) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _axis(dim: int | None) -> int:
    if dim is None:
        raise _unwritten("a softmax over an axis that is not named")
    return dim


def _softplus(graph: Traced, x: str, beta: float = 1.0, threshold: float = 20.0) -> str:
    if beta != 1:
        raise _unwritten("a softplus of its own steepness")
    return graph.add("Softplus", x)


def _two(kind: str) -> Callable[..., str]:
    def write(graph: Traced, a: Any, b: Any) -> str:
        return graph.add(
            kind, *(each if isinstance(each, str) else graph.constant([each]) for each in (a, b))
        )

    return write


def _one(kind: str) -> Callable[..., str]:
    return lambda graph, x, inplace=False: graph.add(kind, x)


def _flatten(graph: Traced, x: str, start_dim: int = 0, end_dim: int = -1) -> str:
    if (start_dim, end_dim) != (1, -1):
        raise _unwritten("a flatten that is not of each row")
    return graph.add("Flatten", x, axis=1)


def _same(graph: Traced, x: str, *_: Any, **__: Any) -> str:
    return x


def _functional_linear(graph: Traced, x: str, weight: str, bias: str | None = None) -> str:
    return graph.add("Gemm", x, weight, *(() if bias is None else (bias,)), transB=1)


def _simple(write: Callable[..., str], *settings: str) -> Callable[..., str]:
    """A module written by a function's writer, with the module's settings of that name."""
    return lambda graph, module, name, x: write(graph, x, *(getattr(module, each) for each in settings))


def _softmax(graph: Traced, x: str, dim: int | None = None, **_: Any) -> str:
    return graph.add("Softmax", x, axis=_axis(dim))


def _log_softmax(graph: Traced, x: str, dim: int | None = None, **_: Any) -> str:
    return graph.add("LogSoftmax", x, axis=_axis(dim))


def _leaky(graph: Traced, x: str, negative_slope: float = 0.01, inplace: bool = False) -> str:
    return graph.add("LeakyRelu", x, alpha=float(negative_slope))


def _elu(graph: Traced, x: str, alpha: float = 1.0, inplace: bool = False) -> str:
    return graph.add("Elu", x, alpha=float(alpha))


def _cat(graph: Traced, tensors: list[str], dim: int = 0) -> str:
    return graph.add("Concat", *tensors, axis=dim)


def _squeeze(graph: Traced, x: str, dim: int) -> str:
    return graph.add("Squeeze", x, graph.constant([dim], np.int64))


def _unsqueeze(graph: Traced, x: str, dim: int) -> str:
    return graph.add("Unsqueeze", x, graph.constant([dim], np.int64))


_MODULES: dict[type, Callable[..., str]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.MaxPool2d: _max_pool,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.ReLU: _simple(_one("Relu")),
    nn.Sigmoid: _simple(_one("Sigmoid")),
    nn.Tanh: _simple(_one("Tanh")),
    nn.GELU: _simple(_gelu, "approximate"),
    nn.SiLU: _simple(_silu),
    nn.LeakyReLU: _simple(_leaky, "negative_slope"),
    nn.ELU: _simple(_elu, "alpha"),
    nn.Softplus: _simple(_softplus, "beta"),
    nn.Softmax: _simple(_softmax, "dim"),
    nn.LogSoftmax: _simple(_log_softmax, "dim"),
    nn.Flatten: _simple(_flatten, "start_dim", "end_dim"),
    nn.Dropout: _simple(_same),
    nn.Identity: _simple(_same),
}

_CALLS: dict[str, Callable[..., str]] = {
    "add": _two("Add"),
    "sub": _two("Sub"),
    "mul": _two("Mul"),
    "div": _two("Div"),
    "matmul": _two("MatMul"),
    "neg": _one("Neg"),
    "exp": _one("Exp"),
    "log": _one("Log"),
    "sqrt": _one("Sqrt"),
    "abs": _one("Abs"),
    "relu": _one("Relu"),
    "sigmoid": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "gelu": _gelu,
    "silu": _silu,
    "leaky_relu": _leaky,
    "elu": _elu,
    "softplus": _softplus,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "flatten": _flatten,
    "dropout": _same,
    "contiguous": _same,
    "linear": _functional_linear,
    "cat": _cat,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
}

_F = nn.functional
_FUNCTIONS: dict[Any, str] = {
    operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.truediv: "div",
    operator.matmul: "matmul", operator.neg: "neg", _F.linear: "linear", _F.dropout: "dropout",
    torch.concat: "cat",
}  # fmt: skip
for _place in (torch, _F):
    for _name in _CALLS:
        if hasattr(_place, _name):
            _FUNCTIONS.setdefault(getattr(_place, _name), _name)
