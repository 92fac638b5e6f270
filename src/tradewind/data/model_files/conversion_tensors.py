"""Tensors and arrays out of the stubs that a scanned pickle leaves: bytes, a dtype and a shape, nothing made.

What cannot be a tensor of safetensors without loss (quantised, sparse, records) is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.data.model_files.inspection import Source
from tradewind.data.model_files.pickles.arrays import UnknownArray, element_of
from tradewind.data.model_files.pickles.stubs import Array, Blob, Made, Named, Stored
from tradewind.data.model_files.pickles.torch_legacy import element_size

DTYPES = {
    "b1": "BOOL", "u1": "U8", "i1": "I8", "i2": "I16", "u2": "U16", "i4": "I32", "u4": "U32", "i8": "I64",
    "u8": "U64", "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64",
}  # fmt: skip
"""safetensors' dtypes by numpy's."""
_STORAGES = {
    "Float": "F32", "Double": "F64", "Half": "F16", "BFloat16": "BF16", "Byte": "U8", "Char": "I8",
    "Short": "I16", "Int": "I32", "Long": "I64", "Bool": "BOOL", "ComplexFloat": "C64",
}  # fmt: skip
_TORCH = {
    "torch.float8_e4m3fn": ("F8_E4M3", 1), "torch.float8_e5m2": ("F8_E5M2", 1), "torch.uint16": ("U16", 2),
    "torch.uint32": ("U32", 4), "torch.uint64": ("U64", 8), "torch.float32": ("F32", 4),
    "torch.float16": ("F16", 2), "torch.bfloat16": ("BF16", 2), "torch.float64": ("F64", 8),
    "torch.int64": ("I64", 8), "torch.int32": ("I32", 4), "torch.uint8": ("U8", 1),
}  # fmt: skip
_LARGEST = 64 << 30


class Refused(ValueError):
    """What cannot be written without loss; the message says what it is."""


class Tensor(Struct, frozen=True):
    """One tensor as safetensors keeps it."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes
    """In row order, little-endian."""
    storage: str = ""
    """The storage that it views, where several may view one."""


Storages = Callable[[Stored], bytes]
"""The bytes of a storage."""


def tensor_of(made: Made, storages: Storages) -> Tensor | None:
    """The tensor that a call of torch's would make; None if the call makes none."""
    name, args = made.name, made.args
    if name == "torch._utils._rebuild_parameter" and args and type(args[0]) is Made:
        return tensor_of(args[0], storages)
    if name == "torch._utils._rebuild_parameter_with_state":
        return tensor_of(args[0], storages) if args and type(args[0]) is Made else None
    if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return _view(args, None, storages)
    if name == "torch._utils._rebuild_tensor_v3":
        return _view(args, args[6] if len(args) > 6 else None, storages)
    if name.startswith("torch._utils._rebuild") or name.startswith("torch.Tensor"):
        raise Refused(f"a tensor made by {name.rpartition('.')[2]} (quantised, sparse or of a subclass)")
    return None


def _view(args: Any, dtype: Any, storages: Storages) -> Tensor:
    storage, offset, sizes, strides = args[:4]
    if type(storage) is not Stored:
        raise Refused("a tensor without a storage")
    sizes, strides = _lengths(sizes), _lengths(strides)
    # The last argument: of _v2 behind the hooks, of _v3 behind the dtype.
    more = args[7:] if dtype is not None else args[6:]
    if any(type(each) is dict and each for each in more):
        raise Refused("a tensor with metadata, such as a conjugated view")
    if dtype is None:
        base = storage.kind.removeprefix("torch.cuda.").removeprefix("torch.").removesuffix("Storage")
        if base not in _STORAGES:
            raise Refused(f"a storage of {base or storage.kind}")
        kind, size = _STORAGES[base], element_size(Named(storage.kind))
    else:
        if type(dtype) is not Named or dtype.name not in _TORCH:
            raise Refused(f"a tensor of {getattr(dtype, 'name', 'no dtype')}")
        kind, size = _TORCH[dtype.name]
    if storage.location == "meta":
        raise Refused("a tensor without bytes, on the device meta")
    count = 1
    for each in sizes:
        count *= each
    if count * size > _LARGEST:
        raise Refused(f"a tensor of {count} elements")
    if not count:
        return Tensor(kind, sizes, b"", storage.key)
    content = storages(storage)
    last = offset + sum((many - 1) * step for many, step in zip(sizes, strides, strict=True))
    if (last + 1) * size > len(content):
        raise Refused("a tensor that is longer than its storage")
    flat = np.frombuffer(content, np.dtype(f"V{size}"))
    viewed = np.lib.stride_tricks.as_strided(flat[offset:], sizes, [each * size for each in strides])
    return Tensor(kind, sizes, viewed.tobytes(), storage.key)


def _lengths(value: Any) -> tuple[int, ...]:
    if type(value) is Made and value.name == "torch.Size":
        value = value.args[0]
    if type(value) not in (tuple, list) or not all(type(each) is int and each >= 0 for each in value):
        raise Refused("a tensor whose shape is none")
    return tuple(value)


def array_of(stub: Any, listed: Callable[[Any], Any]) -> Any:
    """The numpy array that a stub stands for, None if it stands for none.

    An array of texts or objects is given as plain JSON; `listed` turns each object into that.
    """
    if type(stub) is Array:
        content = stub.source.read(stub.offset, stub.size)
        return _array(content, stub.dtype, stub.shape, stub.order == "F")
    if type(stub) is not Made:
        return None
    module, _, name = stub.name.rpartition(".")
    if name == "_reconstruct" and module.startswith("numpy."):
        state = stub.states[-1] if stub.states else None
        if type(state) is not tuple or len(state) != 5:
            raise Refused("an array without a state")
        _, shape, dtype, fortran, data = state
        element = _element(dtype)
        if element.objects:
            return {"objects": [listed(each) for each in data], "shape": list(shape)}
        return _array(_bytes(data), element.text, shape, bool(fortran))
    if name == "_frombuffer" and module.startswith("numpy."):
        data, dtype, shape, order = stub.args
        return _array(_bytes(data), _element(dtype).text, shape, order == "F")
    if name == "scalar" and module.startswith("numpy.") and len(stub.args) == 2:
        element = _element(stub.args[0])
        if element.objects:
            raise Refused("a scalar that is an object")
        return _array(_bytes(stub.args[1]), element.text, (), False)
    return None


def _element(stub: Any) -> Any:
    try:
        return element_of(stub)
    except UnknownArray as problem:
        raise Refused(f"an array's type: {problem}") from None


def _bytes(data: Any) -> bytes:
    if type(data) is Blob:
        return data.read(data.size)
    if type(data) is str:  # as Python 2 wrote bytes
        return data.encode("latin-1")
    if type(data) in (bytes, bytearray):
        return bytes(data)
    if type(data) is Made and data.name == "_codecs.encode":
        return str(data.args[0]).encode("latin-1")
    raise Refused("an array whose bytes are none")


def _array(content: bytes, dtype: str, shape: tuple[int, ...], fortran: bool) -> Any:
    if not dtype:
        raise Refused("an array of records")
    kind = np.dtype(dtype)
    found: NDArray[Any] = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
    if kind.kind in "SU":
        texts = found.ravel().tolist()
        plain = [each.decode("latin-1") if isinstance(each, bytes) else each for each in texts]
        return {"texts": plain, "dtype": kind.str, "shape": list(found.shape)}
    if kind.kind in "mM":
        return {"times": found.ravel().view("<i8").tolist(), "dtype": kind.str, "shape": list(found.shape)}
    return found


def tensor_of_array(array: NDArray[Any]) -> Tensor:
    """An array as safetensors keeps it. Refused for a dtype that it has not."""
    kind = DTYPES.get(array.dtype.str[1:])
    if kind is None:
        raise Refused(f"an array of {array.dtype}")
    little = array.astype(array.dtype.newbyteorder("<"), order="C")
    return Tensor(kind, array.shape, little.tobytes())


def source_bytes(source: Source) -> bytes:
    """All bytes of a source."""
    return source.read(0, source.size)
