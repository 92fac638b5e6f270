"""PyTorch's networks: programs of torch.export, and weights with a network that the user names."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.data.tensor_files import read_tensors
from tradewind.errors import Corrupt, MissingExtra, Misuse
from tradewind.serving.models.python_class import imported, signature_of
from tradewind.serving.models.torch_archive import Program, read_program, refused
from tradewind.serving.tensors import Signature, Tensors, TensorSpec

PLATFORM = "pytorch"
_TARGET = re.compile(r"torch\.ops\.aten\.([a-z0-9][a-zA-Z0-9_]*|_[a-zA-Z0-9_]+)\.([a-zA-Z0-9_]+)")
_INTERNAL = {
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_assert_scalar", "_assert_tensor_metadata",
    "_cdist_forward", "_embedding_bag", "_log_softmax", "_native_batch_norm_legit_no_training",
    "_pdist_forward", "_scaled_dot_product_flash_attention_for_cpu", "_softmax", "_to_copy", "_unsafe_view",
}  # fmt: skip
"""Operators that exported programs hold although their names are internal."""
_TEXTS = {
    "UPLO", "approximate", "assert_msg", "driver", "equation", "indexing", "interpolation", "mode", "norm",
    "ord", "p", "pad_mode", "padding", "padding_side", "reduce", "rounding_mode", "side",
}  # fmt: skip
"""Texts that operators take for a choice. An operator with another text is refused: some name files."""
_REFUSED = {"from_file", "save", "set_data", "manual_seed", "seed", "warn"}
_NUMBERS: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge", "and_")
} | {"_operator.getitem": operator.getitem}
_AS_THEY_ARE = {
    "as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string", "as_strings",
    "as_int_lists", "as_float_lists",
}  # fmt: skip


class ExportedModel:
    """A program of torch.export, one operator of ATen after the other, on the processor.

    Inputs have their names in the network; outputs those of the mapping that it gives, or `output_0` and so
    on. Batched if axis 0 of each was exported as dynamic. `threads` holds for all of torch in this process.
    """

    platform = PLATFORM

    def __init__(self, program: Program, *, threads: int = 1, source: str = "program") -> None:
        """Misuse for an operator that is not one of ATen on tensors, or that alters the weights."""
        torch = ready()
        torch.set_num_threads(threads)
        self._torch, self._source = torch, source
        self._held: Any = {name: torch.from_numpy(each) for name, each in program.held.items()}
        self.memory = sum(each.nbytes for each in program.held.values())
        self._constants = program.constants
        self._inputs = program.inputs
        self._outputs = program.outputs
        self._steps = [self._step(node) for node in program.nodes]
        ports = [*program.inputs, *(port for _, port in program.outputs)]
        self.signature = Signature(
            tuple(TensorSpec(each.value, each.datatype, each.shape) for each in program.inputs),
            tuple(TensorSpec(name, each.datatype, each.shape) for name, each in program.outputs),
            batched=bool(program.inputs) and all(each.shape[:1] == (-1,) for each in ports),
        )

    def _step(self, node: Mapping[str, Any]) -> tuple[Any, list[Any], dict[str, Any], list[Any]]:
        target = str(node["target"])
        call = _NUMBERS.get(target) or self._operator(target)
        places, named = [], {}
        for each in node["inputs"]:
            made = self._argument(each["arg"], target)
            if each.get("kind") == 2:
                named[str(each["name"])] = made
            else:
                places.append(made)
            if each["name"] in ("train", "training") and each["arg"].get("as_bool"):
                raise refused(f"{target} is as in training", self._source, "nodes")
        first = node["inputs"][0]["arg"].get("as_tensor", {}).get("name") if node["inputs"] else None
        if first in self._held and target.split(".")[-2].endswith("_"):
            raise refused(f"{target} alters the weights", self._source, "nodes")
        return call, places, named, [_outcome(each, target, self._source) for each in node["outputs"]]

    def _operator(self, target: str) -> Any:
        found = _TARGET.fullmatch(target)
        name = found[1] if found else ""
        if found is None or name in _REFUSED or (name.startswith("_") and name not in _INTERNAL):
            raise refused(f"the operator {target} is none that is run here", self._source, "nodes")
        try:
            overload = getattr(getattr(self._torch.ops.aten, name), found[2])
            arguments = overload._schema.arguments
        except AttributeError:
            raise refused(f"torch has no operator {target}", self._source, "nodes") from None
        for each in arguments:
            if "str" in str(each.type) and each.name not in _TEXTS:
                raise refused(f"the operator {target} is none that is run here", self._source, "nodes")
        return overload

    def _argument(self, argument: Mapping[str, Any], target: str) -> Callable[[dict[str, Any]], Any]:
        """What gives the argument's value when the values of the names are known."""
        ((form, told),) = argument.items()
        torch = self._torch
        if form == "as_none":
            return lambda _: None
        if form in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
            return _named(told)
        if form in ("as_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats", "as_optional_tensors"):
            each_of = [_named(each.get("as_tensor", each)) for each in told]
            return lambda values: [each(values) for each in each_of]
        if form == "as_optional_tensor":
            return _named(told.get("as_tensor", told))
        if form == "as_scalar_type":
            return _always(self._dtype(told))
        if form == "as_memory_format":
            formats = (
                torch.contiguous_format,
                torch.channels_last,
                torch.channels_last_3d,
                torch.preserve_format,
            )
            return _always(formats[told - 1])
        if form == "as_layout":
            return _always(torch.strided)
        if form == "as_device":
            return _always(torch.device("cpu"))
        if form not in _AS_THEY_ARE:
            raise refused(f"{target} takes {form.removeprefix('as_')}", self._source, "nodes")
        return _always(told)

    def _dtype(self, number: int) -> Any:
        torch = self._torch
        kinds = {
            1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
            7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16, 28: torch.uint16,
            34: torch.uint32, 35: torch.uint64,
        }  # fmt: skip
        if number not in kinds:
            raise refused(f"the dtype {number} is not known here", self._source, "nodes")
        return kinds[number]

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`; Misuse where an operator refuses them."""
        if self._held is None:
            raise Misuse("the model is closed", source=self._source)
        torch = self._torch
        values = {**self._held, **self._constants}
        for port in self._inputs:
            given = inputs[port.value]
            values[port.value] = torch.from_numpy(given if given.flags.writeable else given.copy())
        try:
            with torch.inference_mode():
                for call, places, named, outcomes in self._steps:
                    answer = call(
                        *[each(values) for each in places],
                        **{name: each(values) for name, each in named.items()},
                    )
                    _put(values, outcomes, answer)
        except (
            ArithmeticError,
            LookupError,
            NotImplementedError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as problem:
            told = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
            raise Misuse(told, source=self._source, fix="Send what the network can take.") from None
        return {name: values[port.value].contiguous().numpy() for name, port in self._outputs}

    def close(self) -> None:
        """Let go of the weights."""
        self._held = None


class NetworkModel:
    """A network of the user's own class, with its weights, called with its inputs in the signature's order.

    The class has a `signature`, see `python_class`; its answer is a tensor, a sequence of them in the order
    of the signature's outputs, or a mapping.
    """

    platform = PLATFORM

    def __init__(self, network: Any, signature: Signature, memory: int, source: str) -> None:
        self._network: Any = network.eval()
        self.signature, self.memory, self._source = signature, memory, source
        self._torch = ready()

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`."""
        if self._network is None:
            raise Misuse("the model is closed", source=self._source)
        torch = self._torch
        given = [torch.from_numpy(np.array(inputs[each.name])) for each in self.signature.inputs]
        with torch.inference_mode():
            found = self._network(*given)
        names = [each.name for each in self.signature.outputs]
        if isinstance(found, torch.Tensor):
            found = (found,)
        pairs = found.items() if isinstance(found, Mapping) else zip(names, found, strict=False)
        return {str(name): each.contiguous().numpy() for name, each in pairs}

    def close(self) -> None:
        """Let go of the network."""
        self._network = None


def open_exported(path: Path, *, threads: int = 1) -> ExportedModel:
    """The program of a `.pt2` file; nothing in it is unpickled or evaluated. Misuse for what is refused."""
    ready()
    return ExportedModel(read_program(path), threads=threads, source=str(path))


def open_weights(path: Path, home: str, *, threads: int = 1) -> NetworkModel:
    """A network, which `module:Class` of the operator's makes without arguments, with weights in safetensors.

    Misuse where the class cannot be had, has no signature, or the weights are not its own.
    """
    torch = ready()
    torch.set_num_threads(threads)
    made = imported(home)
    signature = signature_of(made, home)
    try:
        arrays, _ = read_tensors(path)
    except Corrupt as problem:
        raise Misuse(str(problem), fix="Fetch the file again.") from None
    network = made()
    try:
        network.load_state_dict({name: torch.from_numpy(np.array(each)) for name, each in arrays.items()})
    except (AttributeError, RuntimeError) as problem:
        raise Misuse(
            f"they are not the weights of {home}: {str(problem).splitlines()[-1].strip()}", source=str(path),
            fix="Give the class that was trained.",
        ) from None  # fmt: skip
    return NetworkModel(network, signature, sum(each.nbytes for each in arrays.values()), str(path))


def ready() -> Any:
    """torch, imported; MissingExtra without it."""
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("torch", "deep", "A PyTorch model") from None
    return torch


def _always(value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda _: value


def _named(told: Mapping[str, Any]) -> Callable[[dict[str, Any]], Any]:
    for key in ("name", "as_name"):
        if key in told:
            name = str(told[key])
            return lambda values: values[name]
    return _always(next((told[key] for key in ("as_int", "as_float", "as_bool") if key in told), None))


def _outcome(told: Mapping[str, Any], target: str, source: str) -> Any:
    """The name, or names, of what a node gives; None for what nobody reads."""
    ((form, about),) = told.items()
    if form == "as_none":
        return None
    if form in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
        return str(about.get("name", about.get("as_name")))
    if form in ("as_tensors", "as_optional_tensors"):
        return [str(each.get("as_tensor", each).get("name")) for each in about]
    raise refused(f"{target} gives {form.removeprefix('as_')}", source, "nodes")


def _put(values: dict[str, Any], outcomes: list[Any], answer: Any) -> None:
    if len(outcomes) == 1:
        _put_one(values, outcomes[0], answer)
    elif outcomes:  # an assertion gives nothing
        for outcome, each in zip(outcomes, answer, strict=True):
            _put_one(values, outcome, each)


def _put_one(values: dict[str, Any], outcome: Any, answer: Any) -> None:
    if isinstance(outcome, list):
        for name, each in zip(outcome, answer, strict=True):
            values[name] = each
    elif outcome is not None:
        values[outcome] = answer
