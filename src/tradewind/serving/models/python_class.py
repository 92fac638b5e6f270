"""A class of the user's own as a model: named by the operator, never by an artefact.

    class Doubler:
        signature = Signature(
            inputs=(TensorSpec("x", "FP32", (-1, 4)),), outputs=(TensorSpec("y", "FP32", (-1, 4)),)
        )

        def __init__(self, folder: Path): ...      # the argument may be left out
        def load(self) -> None: ...                # optional: once, before the first answer
        def predict(self, inputs): return {"y": inputs["x"] * 2}
        def close(self) -> None: ...               # optional

`signature` may as well be a mapping of plain values: `{"inputs": {"x": ["FP32", [-1, 4]]}, "outputs": {"y":
["FP32", [-1, 4]]}, "batched": True}`, so that such a class need not import Tradewind. It may be set in
`__init__` or by `load`. `batched`, True unless said, is whether requests may be concatenated along axis 0. A
single output may be answered as an array instead of a mapping; lists and numbers become arrays; nothing else
is cast. `predict` is called from any thread, by one at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.errors import Misuse, suggestion
from tradewind.serving.models.answers import checked, rows_of
from tradewind.serving.tensors import DTYPES, Signature, Tensors, TensorSpec

PLATFORM = "python"


class PythonModel:
    """An instance of a user's class, whose answers are held against its signature each time."""

    platform = PLATFORM

    def __init__(self, made: Any, home: str, memory: int = 0) -> None:
        """Misuse where it has no `predict`, or no signature that can be meant."""
        if not callable(getattr(made, "predict", None)):
            raise Misuse(
                "it has no method predict", source=home, field="predict", fix="Define predict(inputs)."
            )
        self._made: Any = made
        self._home, self.memory = home, memory
        self.signature = signature_of(made, home)

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`; Misuse, naming the output that is not what the signature says."""
        if self._made is None:
            raise Misuse("the model is closed", source=self._home)
        try:
            found = self._made.predict(inputs)
        except Exception as problem:
            raise Misuse(
                f"predict raised {type(problem).__name__}: {problem}", source=self._home, field="predict"
            ) from problem
        if not isinstance(found, Mapping) and len(self.signature.outputs) == 1:
            found = {self.signature.outputs[0].name: found}
        if isinstance(found, Mapping):
            found = {name: _array(each) for name, each in found.items()}
        return checked(found, self.signature, rows_of(inputs, self.signature), self._home)

    def close(self) -> None:
        """Let go of the instance, after its own `close`."""
        made, self._made = self._made, None
        if callable(getattr(made, "close", None)):
            made.close()


def open_class(home: str, folder: Path | None = None) -> PythonModel:
    """An instance of what `module:Class` names, loaded. Misuse where it cannot be had.

    `folder` is where its own files are, for a class whose constructor takes an argument. The caller vouches
    for the code: this is called with names that the operator gave.
    """
    kind = imported(home)
    try:
        wants = any(
            each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
            for each in inspect.signature(kind).parameters.values()
        )
        made = kind(folder) if wants else kind()
        if callable(getattr(made, "load", None)):
            made.load()
    except Exception as problem:
        raise Misuse(
            f"it cannot be made: {type(problem).__name__}: {problem}", source=home,
            fix="Make it importable, with a constructor that takes the model's folder or nothing.",
        ) from problem  # fmt: skip
    held = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) if folder else 0
    return PythonModel(made, home, held)


def imported(home: str) -> Any:
    """What `module:Class` names; Misuse, with the reason, where it cannot be imported."""
    module, colon, name = home.partition(":")
    if not (colon and module and name):
        raise Misuse(f"{home!r} names no class", field="class", fix="Write it as module:Class.")
    try:
        found: Any = import_module(module)
    except Exception as problem:
        raise Misuse(
            f"{module} cannot be imported ({type(problem).__name__}: {problem})", source=home, field="class",
            fix="Install it, or put its folder on PYTHONPATH.",
        ) from problem  # fmt: skip
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        known = [each for each in dir(found) if inspect.isclass(getattr(found, each, None))]
        raise Misuse(
            f"{module} has no {name!r}", source=home, field="class", fix=suggestion(name, known)
        ) from None
    if not callable(found):
        raise Misuse(f"{name} cannot be called", source=home, field="class", fix="Name a class.")
    return found


def signature_of(made: Any, home: str) -> Signature:
    """The `signature` of a class or an instance; Misuse, naming the field, where there is none that fits."""
    told = getattr(made, "signature", None)
    if isinstance(told, Signature):
        found = told
    elif isinstance(told, Mapping):
        found = Signature(
            _specs(told, "inputs", home), _specs(told, "outputs", home), bool(told.get("batched", True))
        )
    else:
        raise Misuse(
            "it has no signature", source=home, field="signature",
            fix='Such as {"inputs": {"x": ["FP32", [-1, 4]]}, "outputs": {"y": ["FP32", [-1]]}}.',
        )  # fmt: skip
    if hasattr(made, "batched"):
        found = Signature(found.inputs, found.outputs, bool(made.batched))
    for each in (*found.inputs, *found.outputs):
        if each.datatype not in DTYPES:
            raise Misuse(
                f"{each.datatype!r} is no datatype", source=home, field=f"signature.{each.name}",
                fix=suggestion(each.datatype, DTYPES),
            )  # fmt: skip
        if any(length < -1 for length in each.shape):
            raise Misuse(
                f"{list(each.shape)} is no shape", source=home, field=f"signature.{each.name}",
                fix="Give lengths, -1 for any.",
            )  # fmt: skip
        if found.batched and each.shape[:1] != (-1,):
            raise Misuse(
                f"it is batched, and {list(each.shape)} has no open axis 0", source=home,
                field=f"signature.{each.name}", fix="Begin the shape with -1, or say batched = False.",
            )  # fmt: skip
    if not found.outputs or (found.batched and not found.inputs):
        raise Misuse("it has no inputs or no outputs", source=home, field="signature", fix="Name each one.")
    return found


def _specs(told: Mapping[str, Any], side: str, home: str) -> tuple[TensorSpec, ...]:
    try:
        return tuple(
            TensorSpec(str(name), str(datatype), tuple(int(length) for length in shape))
            for name, (datatype, shape) in told[side].items()
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Misuse(
            "it is no mapping of names to a datatype and a shape", source=home, field=f"signature.{side}",
            fix='Write it as {"x": ["FP32", [-1, 4]]}.',
        ) from None  # fmt: skip


def _array(found: Any) -> Any:
    if isinstance(found, np.ndarray):
        if found.dtype.kind in "UO":  # the protocol's texts are bytes
            texts = [each.encode() if isinstance(each, str) else each for each in found.ravel()]
            whole = np.empty(len(texts), object)
            whole[:] = texts
            return whole.reshape(found.shape)
        return found
    return np.asarray(found) if isinstance(found, list | int | float | bool | np.generic) else found
