"""Calls that are harmless only with harmless arguments.

Most of what a list allows makes an object of its arguments and nothing else. These few call, import, load or
allocate what they are given; their arguments have to be what the library itself writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.arrays import UnknownArray, element_of, text_of
from tradewind.data.model_files.pickles.reader import Reader
from tradewind.data.model_files.pickles.stubs import Blob, Made, Named, Stored

_LARGEST = 1 << 20
_CODECS = {"latin1", "latin-1", "ascii", "utf-8", "utf8", "iso-8859-1"}
_BASES = {
    f"builtins.{each}"
    for each in ("object", "dict", "list", "tuple", "set", "frozenset", "str", "bytes", "int", "float",
    "complex")
}  # fmt: skip
_PLAIN = (str, bytes, bytearray, list, tuple, dict, set, frozenset, Blob)


class _Unfit(Exception):
    """Arguments that the library never writes."""


def checked(machine: Reader, made: Made, opcode: str) -> Any:
    """What the call returns: `made`, or another stub; told if its arguments are not fit for it."""
    check = _CHECKS.get(made.name)
    if check is None and made.kind == "call" and "__pyx_unpickle_" not in made.name:
        for each in made.args:
            if type(each) is Named and _only_made(machine, each.name):
                machine.danger(
                    rules.ARGUMENTS, f"{made.name} is given {each.name}, which it could call", opcode,
                    made.name,
                    made.args,
                )  # fmt: skip
    if check is None:
        check = _pyx if made.name.rpartition(".")[2].startswith("__pyx_unpickle_") else None
    if check is None:
        return made
    try:
        if made.kwargs:
            raise _Unfit("named arguments are given")
        found = check(machine, made, opcode)
    except _Unfit as error:
        machine.danger(rules.ARGUMENTS, f"{made.name}: {error}", opcode, made.name, made.args)
        return made
    return made if found is None else found


def _only_made(machine: Reader, name: str) -> bool:
    """Whether a class may be made, but not called: nobody vouches for its constructor."""
    return (
        name in machine.allowed.news and name not in machine.allowed.calls and not name.startswith("numpy.")
    )


def _class(machine: Reader, value: Any) -> str:
    """The name of an argument that is a class which may be made."""
    if type(value) is not Named or not (
        value.name in machine.allowed.calls or value.name in machine.allowed.news
    ):
        raise _Unfit("what it makes is no class that may be made")
    return str(value.name)


def _reconstructor(machine: Reader, made: Made, opcode: str) -> Any:
    if len(made.args) != 3:
        raise _Unfit("it takes a class, its base and a state")
    name = _class(machine, made.args[0])
    base = made.args[1]
    if type(base) is not Named or base.name not in _BASES:
        raise _Unfit("the base is no plain type")
    if base.name != "builtins.object":
        _plain(machine, Made(base.name, (made.args[2],)), opcode)
    return Made(name, () if base.name == "builtins.object" else (made.args[2],), None, "new")


def _newobj(machine: Reader, made: Made, opcode: str) -> Any:
    if not made.args or type(made.args[0]) is not Named:
        raise _Unfit("what it makes is no class")
    ex = made.name.endswith("_ex__")
    if ex and (len(made.args) != 3 or type(made.args[1]) is not tuple or type(made.args[2]) is not dict):
        raise _Unfit("it takes a class, a tuple and a mapping")
    args, kwargs = (made.args[1], made.args[2]) if ex else (made.args[1:], None)
    return machine.called(made.args[0], args, "NEWOBJ_EX" if ex else "NEWOBJ", kwargs)


def _pyx(machine: Reader, made: Made, opcode: str) -> Any:
    if len(made.args) < 3 or type(made.args[1]) is not int:
        raise _Unfit("it takes a class, a checksum and a state")
    if type(made.args[0]) is not Named or made.args[0].name not in machine.allowed.globals:
        raise _Unfit("what it makes is no class that is allowed")
    return Made(made.name, made.args, None, "new")


def _of_class(machine: Reader, made: Made, opcode: str) -> Any:
    if not made.args:
        raise _Unfit("it takes a class")
    _class(machine, made.args[0])


def _encode(machine: Reader, made: Made, opcode: str) -> Any:
    if not 1 <= len(made.args) <= 2 or type(made.args[0]) not in (str, Blob):
        raise _Unfit("it encodes what is no string")
    if len(made.args) == 2 and (type(made.args[1]) is not str or made.args[1].lower() not in _CODECS):
        raise _Unfit("the codec is none that pickles use")
    if type(made.args[0]) is str and len(made.args) == 2:
        try:
            return made.args[0].encode(made.args[1])
        except UnicodeError:
            raise _Unfit("the string cannot be encoded") from None


def _plain(machine: Reader, made: Made, opcode: str) -> Any:
    for each in made.args[:1]:
        lazy = type(each) is Made and each.name == "builtins.range"
        if lazy or (type(each) is int and made.name.endswith(("bytes", "bytearray")) and each > _LARGEST):
            raise _Unfit("it would allocate what the file does not hold")


def _partial(machine: Reader, made: Made, opcode: str) -> Any:
    if not made.args or type(made.args[0]) is not Named:
        raise _Unfit("it holds what is no global")


def _shape(machine: Reader, made: Made, opcode: str) -> Any:
    if len(made.args) != 3 or type(made.args[0]) is not Named:
        raise _Unfit("it takes a class, a shape and a type")
    shape = made.args[1]
    shape = shape if type(shape) is tuple else (shape,)
    count = 1
    for each in shape:
        if type(each) is not int or each < 0:
            raise _Unfit("the shape is none")
        count *= each
    if count > _LARGEST:
        raise _Unfit("it would allocate what the file does not hold")
    kind = made.args[2]
    if type(kind) not in (str, bytes, Made) or (type(kind) is Made and kind.name != "numpy.dtype"):
        raise _Unfit("the type is none")


def _dtype(machine: Reader, made: Made, opcode: str) -> Any:
    if not made.args:
        return
    if type(made.args[0]) is Named:
        return  # numpy.float64 itself, or an abstract type
    if type(made.args[0]) is not str:
        raise _Unfit("the type is no text")
    try:
        text_of(made.args[0])
    except UnknownArray as error:
        raise _Unfit(str(error)) from None


def _scalar(machine: Reader, made: Made, opcode: str) -> Any:
    if not made.args:
        raise _Unfit("it takes a type")
    try:
        element = element_of(made.args[0])
    except UnknownArray as error:
        raise _Unfit(str(error)) from None
    content = made.args[1] if len(made.args) > 1 else None
    if isinstance(content, bytes | str) and not element.objects and len(content) < element.size:
        raise _Unfit("its bytes are fewer than its type takes")


def _random(machine: Reader, made: Made, opcode: str) -> Any:
    for each in made.args:
        if type(each) is Named and not each.name.startswith("numpy.random."):
            raise _Unfit("it would call what does not belong to numpy.random")


def _bytes_file(machine: Reader, made: Made, opcode: str) -> Any:
    if len(made.args) != 1 or type(made.args[0]) not in (bytes, Blob):
        raise _Unfit("it takes the bytes of a file")
    machine.nested.append((made.args[0], made.name))


def _from_type(machine: Reader, made: Made, opcode: str) -> Any:
    if len(made.args) != 4 or type(made.args[1]) is not Named:
        raise _Unfit("it takes a function, a type, arguments and a state")
    made_of = machine.called(made.args[0], made.args[2], "REDUCE")
    state = made.args[3]
    slots = state[1] if type(state) is tuple and len(state) == 2 and type(state[1]) is dict else {}
    if any(type(each) is str and each.startswith("__") for each in slots):
        raise _Unfit("it would set a special attribute")
    return made_of


def _tensor(machine: Reader, made: Made, opcode: str) -> Any:
    if len(made.args) < 4:
        raise _Unfit("it takes a storage, an offset, a size and strides")
    storage, offset, size, stride = made.args[:4]
    if type(storage) is Made and storage.name == "torch.storage._load_from_bytes":
        return  # the storage's own file is inspected by itself
    if type(storage) is not Stored:
        raise _Unfit("what it views is no storage of this file")
    size, stride = _lengths(size), _lengths(stride)
    if type(offset) is not int or offset < 0 or len(size) != len(stride):
        raise _Unfit("the view is none")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.numel:
        if made.name.endswith("_v3"):
            return  # counted in elements of the type that comes later; the storage is of bytes
        machine.danger(
            rules.VIEW, f"element {last:,} of a storage of {storage.numel:,} is reached", opcode, made.name,
            made.args,
        )  # fmt: skip


def _lengths(value: Any) -> tuple[int, ...]:
    if type(value) is Made and value.name == "torch.Size" and len(value.args) == 1:
        value = value.args[0]
    if type(value) not in (tuple, list) or not all(
        type(each) is int and 0 <= each < 1 << 62 for each in value
    ):
        raise _Unfit("sizes or strides are none")
    return tuple(value)


_CHECKS: dict[str, Callable[[Reader, Made, str], Any]] = {
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _newobj,
    "copyreg.__newobj_ex__": _newobj,
    "_codecs.encode": _encode,
    "functools.partial": _partial,
    "numpy.dtype": _dtype,
    "pandas.core.indexes.base._new_Index": _of_class,
    "pandas.core.indexes.datetimes._new_DatetimeIndex": _of_class,
    "pandas.core.indexes.period._new_PeriodIndex": _of_class,
    "pandas.core.indexes.interval._new_IntervalIndex": _of_class,
    "sklearn.neighbors._ball_tree.newObj": _of_class,
    "sklearn.neighbors._kd_tree.newObj": _of_class,
    "sklearn.metrics._dist_metrics.newObj": _of_class,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._tensor._rebuild_from_type": _from_type,
    "torch.storage._load_from_bytes": _bytes_file,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_qtensor": _tensor,
}
for _name in ("list", "tuple", "set", "frozenset", "dict", "bytes", "bytearray"):
    _CHECKS[f"builtins.{_name}"] = _plain
for _name in ("deque", "Counter", "OrderedDict"):
    _CHECKS[f"collections.{_name}"] = _plain
for _module in ("numpy.core", "numpy._core"):
    _CHECKS[f"{_module}.multiarray._reconstruct"] = _shape
    _CHECKS[f"{_module}.multiarray.scalar"] = _scalar
for _name in ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"):
    _CHECKS[f"numpy.random._pickle.{_name}"] = _random
