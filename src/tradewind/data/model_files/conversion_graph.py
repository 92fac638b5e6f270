"""What a scanned pickle would make, as named tensors and plain JSON.

Lists and mappings stay what they are; an object is its class's name with its state. Nothing of the class is
imported here, nor by whoever reads the result.
"""

from __future__ import annotations

import base64
from typing import Any

from tradewind.data.model_files.conversion_tensors import (
    Refused,
    Storages,
    Tensor,
    array_of,
    tensor_of,
    tensor_of_array,
)
from tradewind.data.model_files.pickles.stubs import Array, Blob, Made, Named, Opaque

_DEEPEST = 200
_MAPPINGS = {"collections.OrderedDict", "builtins.dict", "collections.defaultdict"}


class Graph:
    """The tensors and the structure of one value; made once, from the root."""

    def __init__(self, root: Any, storages: Storages) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._storages = storages
        self._open: set[int] = set()
        self._known: dict[int, str] = {}
        self._kept: list[Any] = []
        self.structure = self._told(root, ())

    @property
    def flat(self) -> bool:
        """Whether the value is a mapping from texts to tensors and nothing else, as a state dictionary is."""
        told = self.structure
        return isinstance(told, dict) and all(
            isinstance(each, dict) and set(each) == {"tensor"} and each["tensor"] == key
            for key, each in told.items()
        )

    def shared(self) -> list[list[str]]:
        """Names of tensors that viewed one storage; each has its own bytes now."""
        groups: dict[str, list[str]] = {}
        for name, tensor in self.tensors.items():
            if tensor.storage:
                groups.setdefault(tensor.storage, []).append(name)
        return [names for names in groups.values() if len(names) > 1]

    def _told(self, value: Any, path: tuple[str, ...]) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if abs(value) < 1 << 53 else {"int": str(value)}
        if kind is float:
            return value if value - value == 0 else {"float": str(value)}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind in (bytes, bytearray):
            return {"bytes": base64.b64encode(value).decode()}
        if kind is Blob:
            content = value.read(value.size)
            return content.decode() if value.kind == "str" else {"bytes": base64.b64encode(content).decode()}
        if kind is Named:
            return {"name": value.name}
        if len(path) > _DEEPEST:
            raise Refused(f"values that are nested more than {_DEEPEST} deep")
        if id(value) in self._open:
            raise Refused(f"{'.'.join(path) or 'the value'} holds itself")
        self._open.add(id(value))
        try:
            return self._composed(value, path)
        finally:
            self._open.discard(id(value))

    def _composed(self, value: Any, path: tuple[str, ...]) -> Any:
        kind = type(value)
        if kind in (Made, Array):
            if id(value) in self._known:  # one array that stands in several places
                return {"tensor": self._known[id(value)]}
            array = array_of(value, lambda each: self._told(each, (*path, "objects")))
            if isinstance(array, dict):
                return array
            tensor = None if array is None else tensor_of_array(array)
            if tensor is None and kind is Made:
                tensor = tensor_of(value, self._storages)
            if tensor is not None:
                self._kept.append(value)
                self._known[id(value)] = name = self._named(path)
                self.tensors[name] = tensor
                return {"tensor": name}
            return self._object(value, path)
        if kind is list:
            return [self._told(each, (*path, str(place))) for place, each in enumerate(value)]
        if kind in (tuple, set, frozenset):
            held = [self._told(each, (*path, str(place))) for place, each in enumerate(value)]
            return {kind.__name__: held}
        if kind is dict:
            return self._mapping(list(value.items()), path)
        if kind is Opaque:
            return self._told(value.value, path)
        raise Refused(f"a {kind.__name__}")

    def _mapping(self, pairs: list[tuple[Any, Any]], path: tuple[str, ...]) -> Any:
        plain = all(type(key) is str for key, _ in pairs) and len({key for key, _ in pairs}) == len(pairs)
        if plain:
            return {key: self._told(each, (*path, key)) for key, each in pairs}
        return {
            "pairs": [
                [self._told(key, (*path, "key")), self._told(each, (*path, str(place)))]
                for place, (key, each) in enumerate(pairs)
            ]
        }

    def _object(self, made: Made, path: tuple[str, ...]) -> Any:
        if made.name in _MAPPINGS and not made.args and made.items:
            return self._mapping(made.items, path)
        found: dict[str, Any] = {"object": made.name}
        if made.args:
            found["arguments"] = [self._told(each, (*path, str(n))) for n, each in enumerate(made.args)]
        if made.kwargs:
            found["keywords"] = self._told(made.kwargs, path)
        if made.states:
            found["state"] = self._told(made.states[-1], path)
        if made.items:
            found["items"] = [self._told(each, (*path, str(n))) for n, each in enumerate(made.items)]
        return found

    def _named(self, path: tuple[str, ...]) -> str:
        name = ".".join(path) or "value"
        if name == "__metadata__":
            name = "value.__metadata__"
        chosen, count = name, 1
        while chosen in self.tensors:
            count += 1
            chosen = f"{name}#{count}"
        return chosen
