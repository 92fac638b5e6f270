"""Tensors as JSON: the `data` of a tensor in the Open Inference Protocol, and values of any nesting.

Open Inference Protocol v2, "Tensor Data": row-major, flat or nested as the shape is; booleans, numbers, and
texts for BYTES. JSON has no NaN and no infinity: both are written as the texts "NaN", "Infinity" and
"-Infinity", as the JSON of protocol buffers has them, so that nothing is lost; they are read as these texts,
as null (NaN), and as the bare words that Python's and Triton's own writers put.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from types import GenericAlias
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.serving.tensors import DTYPES

_KINDS: dict[str, Any] = {"b": bool, "i": int, "u": int, "f": float, "O": str}
_WORDS: dict[str, Any] = {
    "b": "true or false",
    "i": "an integer",
    "u": "an integer",
    "f": "a number",
    "O": "a text",
}
_SPECIAL = float | Literal["NaN", "Infinity", "-Infinity"] | None
_FLAT: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(GenericAlias(list, (_KINDS[dtype.kind],))) for name, dtype in DTYPES.items()
}
_DEEPEST = 32
_BARE_WORDS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_LONG, _PIECE = 1 << 18, 1 << 16
"""Characters of a list that is read in pieces, and of one."""
_AS_TEXT = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def array_of(data: Raw | bytes, datatype: str, shape: Sequence[int]) -> NDArray[Any]:
    """The array of `datatype`, one of `DTYPES`, and `shape` that the JSON in `data` holds, flat or nested.

    Raises Misuse if the datatype is unknown, a value is of another kind or out of its range, a nesting is
    not that of the shape, or there are too few or too many values.
    """
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise Misuse(f"{datatype!r} is no datatype", field="datatype", fix=f"Use one of {', '.join(DTYPES)}.")
    if len(shape) > _DEEPEST or min(shape, default=0) < 0:
        raise Misuse(f"{list(shape)} is no shape", field="shape", fix="Give up to 32 lengths, none negative.")
    count = math.prod(shape)
    text = bytes(data)
    if not text.startswith(b"[[") and text.startswith(b"["):
        if len(text) > _LONG and dtype.kind != "O":
            pieced = _in_pieces(text, datatype, count)
            if pieced is not None:
                return _shaped(pieced, shape)
        try:
            values = _FLAT[datatype].decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _slowly(text, datatype, shape)
        if len(values) != count:
            raise Misuse(f"{len(values)} values; shape {list(shape)} takes {count}", field="data")
        flat = _filled(values, dtype)
        return flat if len(shape) == 1 and count else _shaped(flat, shape)
    return _slowly(text, datatype, shape)


def nested_array_of(data: Raw | bytes, datatype: str) -> NDArray[Any]:
    """The array of `datatype` that the JSON in `data` holds, its shape as the lists are nested.

    A bare value is an array without dimensions. Raises Misuse as `array_of` does, and for ragged lists.
    """
    text = bytes(data)
    return _nested(text, datatype, _depth_of(text))


def values_of(array: NDArray[Any]) -> list[Any]:
    """The values of `array` for JSON, flat and row-major; NaN and infinities as floats (see `without_nan`).

    Raises Misuse if an element of BYTES is no UTF-8 text.
    """
    if array.dtype.kind in "SUO":
        return _texts(array.ravel().tolist())
    return array.ravel().tolist()


def nested_values_of(array: NDArray[Any]) -> Any:
    """The values of `array` for JSON, in lists nested as its shape; a bare value without dimensions."""
    if array.dtype.kind in "SUO":
        texts = np.empty(array.size, object)
        texts[:] = _texts(array.ravel().tolist())
        return texts.reshape(array.shape).tolist()
    return array.tolist()


def encode(value: Any) -> bytes:
    """`value` as JSON; NaN and infinities in it as texts."""
    encoded = msgspec.json.encode(value)
    # msgspec writes them as null, which else is rare: only then is it worth looking at every value.
    return msgspec.json.encode(without_nan(value)) if b"null" in encoded else encoded


def without_nan(value: Any) -> Any:
    """`value`, of lists and dicts, with the texts "NaN", "Infinity" and "-Infinity" for such floats."""
    if type(value) is float:
        return value if math.isfinite(value) else _AS_TEXT[str(value)]
    if type(value) is list:
        return [without_nan(element) for element in value]
    if type(value) is dict:
        return {key: without_nan(element) for key, element in value.items()}
    return value


def decode(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """What `decoder` makes of `body`, also where it holds the bare words NaN, Infinity and -Infinity.

    Raises Misuse that says what is wrong and where.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Misuse(f"the body is not as it should be: {error}") from None
    except msgspec.DecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise Misuse(f"the body is no JSON: {error}") from None
    except UnicodeDecodeError:
        raise Misuse("the body is no JSON: it is not in UTF-8") from None
    except RecursionError:
        raise Misuse("the body is nested too deep") from None
    quoted = _BARE_WORDS.sub(lambda found: found[0] if found[0][:1] == b'"' else b'"%b"' % found[0], body)
    try:
        return decoder.decode(quoted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misuse(f"the body is no JSON: {error}") from None


def _in_pieces(text: bytes, datatype: str, count: int) -> NDArray[Any] | None:
    """The `count` numbers of a long flat list; None where it is anything else, or of another length.

    As Python's numbers they would take ten times the room, and other threads would have to wait for all.
    """
    end = text.rindex(b"]") if text.rstrip().endswith(b"]") else 0
    if not 0 < count <= end:
        return None
    dtype = DTYPES[datatype]
    found = np.empty(count, dtype)
    at, filled = 1, 0
    while True:
        cut = text.find(b",", at + _PIECE, end)
        cut = end if cut < 0 else cut
        try:
            values = _FLAT[datatype].decode(b"[" + text[at:cut] + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not values or filled + len(values) > count:
            return None
        found[filled : filled + len(values)] = _filled(values, dtype)
        filled += len(values)
        if cut == end:
            return found if filled == count else None
        at = cut + 1


def _slowly(text: bytes, datatype: str, shape: Sequence[int]) -> NDArray[Any]:
    """`array_of` for nested lists, and for lists that hold something unusual."""
    depth = _depth_of(text)
    found = _nested(text, datatype, depth)
    if found.shape == tuple(shape):
        return found
    if depth == 0:
        raise Misuse("give a list", field="data")
    if depth != 1:
        raise Misuse(
            f"the lists are nested as shape {list(found.shape)}, not as the {list(shape)} given",
            field="data",
            fix="Nest them as the shape, or give one flat list.",
        )
    if found.size != math.prod(shape):
        raise Misuse(f"{found.size} values; shape {list(shape)} takes {math.prod(shape)}", field="data")
    return _shaped(found, shape)


def _shaped(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError):  # empty, with another dimension that is beyond all bounds
        raise Misuse(f"no array has the shape {list(shape)}", field="shape") from None


def _nested(text: bytes, datatype: str, depth: int) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    if depth > _DEEPEST:
        raise Misuse(f"lists are nested {depth} deep", field="data", fix=f"Use up to {_DEEPEST} dimensions.")
    try:
        values = _decoder(dtype.kind, depth).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"a value is not {_WORDS[dtype.kind]} of {datatype}: {error}", field="data") from None
    if dtype.kind in "iu":
        values = _integers(values, datatype)
    if dtype.kind == "O":
        shape, flat = _unnested(values, depth)
        return _filled(flat, dtype).reshape(shape)
    return _filled(values, dtype)


def _integers(values: Any, datatype: str) -> Any:
    """Numbers without a fraction as integers: JSON does not tell 1.0 from 1."""
    if type(values) is list:
        return [_integers(value, datatype) for value in values]
    if type(values) is float:
        if not values.is_integer():
            raise Misuse(f"{values} is not an integer of {datatype}", field="data")
        return int(values)
    return values


def _filled(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "O":
        texts: NDArray[Any] = np.empty(len(values), object)
        texts[:] = [text.encode() for text in values]
        return texts
    try:
        with np.errstate(over="raise"):
            return np.array(values, dtype)
    except (OverflowError, FloatingPointError):
        raise Misuse(f"a value is beyond the range of {dtype.name}", field="data") from None
    except ValueError:
        raise Misuse("the lists are of unequal lengths", field="data") from None


@functools.lru_cache(maxsize=256)
def _decoder(kind: str, depth: int) -> msgspec.json.Decoder[Any]:
    held: Any = _SPECIAL if kind == "f" else int | float if kind in "iu" else _KINDS[kind]
    for _ in range(depth):
        held = list[held]
    return msgspec.json.Decoder(held)


def _depth_of(text: bytes) -> int:
    depth = 0
    for byte in text:
        if byte == 0x5B:
            depth += 1
            if depth > _DEEPEST:
                break
        elif byte not in b" \t\r\n":
            break
    return depth


def _unnested(values: Any, depth: int) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of lists nested `depth` deep, and what is in them. Raises Misuse if they are ragged."""
    shape: list[int] = []
    level = [values]
    for _ in range(depth):
        lengths = {len(inner) for inner in level}
        if len(lengths) > 1:
            raise Misuse("the lists are of unequal lengths", field="data")
        shape.append(lengths.pop() if lengths else 0)
        level = [element for inner in level for element in inner]
    return tuple(shape), level


def _texts(elements: list[Any]) -> list[str]:
    try:
        return [element.decode() if isinstance(element, bytes) else str(element) for element in elements]
    except UnicodeDecodeError:
        raise Misuse(
            "holds bytes that are no UTF-8 text, which JSON cannot carry", fix="Ask for binary data."
        ) from None
