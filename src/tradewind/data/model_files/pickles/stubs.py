"""What stands on the machine's stack for what a pickle names, makes and fills: notes without behaviour.

No class here has a method that the machine, a container or an f-string would call by itself: equality and
hash are those of any object, and what is shown is built by `preview`, within limits.
"""

from __future__ import annotations

from typing import Any

from tradewind.data.model_files.inspection import Source

_SHOWN, _NODES, _DEPTH = 120, 24, 4


class Named:
    """A global: a class, a function or whatever else its module holds under the name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Made:
    """What calling something would return."""

    __slots__ = ("args", "element", "items", "kind", "kwargs", "name", "states")

    def __init__(self, name: str, args: Any, kwargs: Any = None, kind: str = "call") -> None:
        self.name = name
        """The class that is made, or the function that is called."""
        self.args, self.kwargs = args, kwargs
        self.kind = kind
        """`call` where it would be called, `new` where it is made without being initialised."""
        self.states: list[Any] = []
        """What BUILD gave it, in order."""
        self.element: Any = None
        """What a type of numpy's was found to describe; None until it is asked for."""
        self.items: list[Any] | tuple[()] = ()
        """What was appended, or pairs of key and value, in order."""


class Blob:
    """A long string that was passed over."""

    __slots__ = ("kind", "offset", "size", "source")

    def __init__(self, source: Source, offset: int, size: int, kind: str) -> None:
        self.source, self.offset, self.size = source, offset, size
        self.kind = kind
        """`bytes`, `bytearray` or `str` (in UTF-8)."""

    def read(self, limit: int) -> bytes:
        """Its first bytes, at most `limit`."""
        return self.source.read(self.offset, min(limit, self.size))


class Array:
    """A numpy array whose elements lie in the file between two opcodes, as joblib puts them."""

    __slots__ = ("dtype", "offset", "order", "shape", "size", "source")

    def __init__(
        self, source: Source, dtype: str, shape: tuple[int, ...], order: str, offset: int, size: int
    ) -> None:
        self.source = source
        self.dtype = dtype
        """As numpy writes it: `<f8`; empty for a structured type."""
        self.shape, self.order, self.offset, self.size = shape, order, offset, size


class Stored:
    """A storage that a persistent identifier names: elements of one type in a member or at the file's end."""

    __slots__ = ("key", "kind", "location", "numel", "view")

    def __init__(self, kind: str, key: str, location: str, numel: int, view: Any = None) -> None:
        self.kind = kind
        """The storage's class, `torch.FloatStorage`."""
        self.key, self.location, self.numel, self.view = key, location, numel, view


class Opaque:
    """A key of a mapping or set that is not compared: too nested, or nothing that could be hashed safely."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def key_of(value: Any) -> Any:
    """What stands for `value` as a key, so that hashing takes constant time.

    Hashing nested tuples recurses in C without a limit, and visits a shared one as often as it is reached;
    large integers can be chosen to collide. Such keys are told apart by identity. TypeError for what Python
    cannot hash either.
    """
    kind = type(value)
    if kind is str or kind is bytes or value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -(1 << 60) < value < 1 << 60 else Opaque(value)
    if kind is list or kind is dict or kind is set or kind is bytearray:
        raise TypeError(f"a {kind.__name__} is no key")
    if kind is tuple and len(value) <= 32:
        if all(type(each) in (str, bytes, bool, float) or each is None for each in value):
            return value
        if all((type(each) is int and -(1 << 60) < each < 1 << 60) or type(each) is str for each in value):
            return value
    return Opaque(value)


def preview(value: Any) -> str:
    """The beginning of a value in words, within limits of length, depth and nodes."""
    left = [_NODES]
    return _shown(value, _DEPTH, left)[:_SHOWN]


def _shown(value: Any, depth: int, left: list[int]) -> str:
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        return "..."
    kind = type(value)
    if kind is str or kind is bytes:
        return repr(value[:_SHOWN])
    if value is None or kind is bool or kind is float:
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() < 256 else f"int of {value.bit_length()} bits"
    if kind is bytearray:
        return f"bytearray({bytes(value[:_SHOWN])!r})"
    if kind is tuple or kind is list or kind is set or kind is frozenset:
        parts = []
        for each in value:
            parts.append(_shown(each, depth - 1, left))
            if left[0] < 0:
                break
        opening, closing = ("[", "]") if kind is list else ("(", ")") if kind is tuple else ("{", "}")
        return opening + ", ".join(parts) + closing
    if kind is dict:
        parts = []
        for key, each in value.items():
            parts.append(f"{_shown(key, depth - 1, left)}: {_shown(each, depth - 1, left)}")
            if left[0] < 0:
                break
        return "{" + ", ".join(parts) + "}"
    if kind is Named:
        return str(value.name)
    if kind is Made:
        return f"{value.name}{_shown(value.args, depth - 1, left)}"
    if kind is Blob:
        return f"{value.kind} of {value.size:,} bytes"
    if kind is Array:
        return f"array of {value.dtype or 'records'} {value.shape}"
    if kind is Stored:
        return f"{value.kind} {value.key!r}"
    if kind is Opaque:
        return _shown(value.value, depth - 1, left)
    return kind.__name__
