"""Inputs made up to a signature, and answers held against it: how a model is tried before it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradewind.errors import Misuse, TradewindError
from tradewind.serving.models.interface import LoadedModel
from tradewind.serving.tensors import DTYPES, Signature, Tensors, TensorSpec, datatype_of

Shapes = Mapping[str, Sequence[int]]
"""Lengths of the dimensions that a signature leaves open, by the input's name, without the rows."""


class RowsDiffer(Misuse):
    """A model that was taken for a batched one does not answer row by row."""


_TRIED = (1, 3)
"""Rows of the first requests; two counts, so that an output whose rows are not the input's is noticed."""


def made_up(signature: Signature, rows: int = 1, shapes: Shapes | None = None) -> Tensors:
    """Inputs of zeros, False and empty bytes that fit a signature.

    A dimension of any length is `rows` on axis 0, and 1 elsewhere unless `shapes` has it, which leaves such
    an axis 0 out. Misuse for shapes that name no input, or do not fit it.
    """
    given = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    if unknown := sorted(given.keys() - {each.name for each in signature.inputs}):
        raise Misuse(
            f"there is no input {unknown[0]!r}", field="shapes",
            fix=f"Inputs: {', '.join(each.name for each in signature.inputs)}.",
        )  # fmt: skip
    return {each.name: _zeros(each, rows, given.get(each.name)) for each in signature.inputs}


def _zeros(spec: TensorSpec, rows: int, shape: tuple[int, ...] | None) -> Any:
    begin, inner = ((rows,), spec.shape[1:]) if spec.shape[:1] == (-1,) else ((), spec.shape)
    if shape is None:
        shape = tuple(length if length >= 0 else 1 for length in inner)
    if not fits(shape, inner):
        raise Misuse(
            f"{list(shape)} does not fit {list(inner)}", field=f"shapes.{spec.name}",
            fix="Give a length for each dimension, without the rows.",
        )  # fmt: skip
    return np.full((*begin, *shape), b"" if spec.datatype == "BYTES" else 0, DTYPES[spec.datatype])


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is one that `wanted` allows, -1 standing for any length."""
    return len(shape) == len(wanted) and all(
        want in (-1, has) for has, want in zip(shape, wanted, strict=True)
    )


def checked(outputs: Any, signature: Signature, rows: int | None, source: str) -> Tensors:
    """The outputs in the signature's order, if each is there, an array, and of its datatype and shape.

    `rows` is what axis 0 of a batched model's outputs must be. Raises Misuse, which names the output.
    """
    if not isinstance(outputs, Mapping):
        raise Misuse(
            f"it answers with {type(outputs).__name__}", source=source, field="predict",
            fix="Give a mapping of outputs by name.",
        )  # fmt: skip
    found: Tensors = {}
    for spec in signature.outputs:
        array = outputs.get(spec.name)
        if not isinstance(array, np.ndarray):
            told = "is missing" if spec.name not in outputs else f"is a {type(array).__name__}, not an array"
            raise Misuse(f"the output {told}", source=source, field=spec.name, fix="Give a numpy array.")
        try:
            datatype = datatype_of(array)
        except KeyError:
            datatype = str(array.dtype)
        if datatype != spec.datatype:
            raise Misuse(
                f"the output is {datatype}, its signature says {spec.datatype}", source=source,
                field=spec.name, fix="Correct the signature, or the output's dtype.",
            )  # fmt: skip
        if not fits(array.shape, spec.shape):
            raise Misuse(
                f"the output has shape {list(array.shape)}, its signature says {list(spec.shape)}",
                source=source, field=spec.name, fix="Correct the signature, or the output.",
            )  # fmt: skip
        if signature.batched and rows is not None and len(array) != rows:
            raise RowsDiffer(
                f"{rows} rows came in and {len(array)} go out", source=source, field=spec.name,
                fix="Answer row by row, or say that the model is not batched.",
            )  # fmt: skip
        found[spec.name] = array
    return found


def rows_of(inputs: Tensors, signature: Signature) -> int | None:
    """Rows of a batched model's inputs; None for another's, and for one without inputs."""
    if not signature.batched or not signature.inputs:
        return None
    return len(inputs[signature.inputs[0].name])


def first_answer(
    model: LoadedModel, source: str, shapes: Shapes | None = None, *, alike: bool = False
) -> None:
    """Warm a model up by requests made up of zeros, and hold its answers against its signature.

    Misuse where it raises, or where an answer is not what the signature says; RowsDiffer where a batched one
    gives another count of rows, and if `alike`, where a row's answer is another beside equal rows.
    """
    alone: Tensors | None = None
    for rows in _TRIED if model.signature.batched else _TRIED[:1]:
        inputs = made_up(model.signature, rows, shapes)
        try:
            outputs = model.predict(inputs)
        except TradewindError as problem:
            raise Misuse(
                f"its first answer failed: {problem}", source=source, field="warmup",
                fix="Mend the model, give the shapes that it takes, or switch the warm-up off.",
            ) from problem  # fmt: skip
        except Exception as problem:
            raise Misuse(
                f"its first answer failed: {type(problem).__name__}: {problem}", source=source,
                field="warmup", fix="Mend the model, give the shapes it takes, or switch the warm-up off.",
            ) from problem  # fmt: skip
        found = checked(outputs, model.signature, rows, source)
        if alike and alone is not None:
            for name, array in found.items():
                if not _same(alone[name], array[:1]):
                    raise RowsDiffer(
                        "a row's answer depends on the rows beside it", source=source, field=name,
                        fix="Say that the model is not batched.",
                    )  # fmt: skip
        alone = found


def _same(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-2, atol=1e-3, equal_nan=True))
    return bool(np.array_equal(one, other))
