"""Storages of torch's files: what a persistent identifier may be, and where the bytes of each must lie.

The old form is five pickles (a magic number, a version, the writer's machine, the object, the storages' keys)
and then, for each key, the number of elements in eight bytes and the elements.
"""

from __future__ import annotations

import re
from typing import Any

from tradewind.data.model_files.inspection import Inspection, Source
from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.machine import Persistent
from tradewind.data.model_files.pickles.stubs import Named, Stored

MAGIC = 0x1950A86A20F9469CFC6C
"""What a file of torch's old form begins with, as a pickled number."""
SIZES = {
    "Float": 4, "Double": 8, "Half": 2, "BFloat16": 2, "Byte": 1, "Char": 1, "Short": 2, "Int": 4, "Long": 8,
    "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16, "QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1,
    "QUInt2x4": 1,
}  # fmt: skip
"""Bytes of one element, by the name of the storage's class without its end."""
_LOCATION = re.compile(r"(cpu|cuda|mps|xpu|hpu|xla|npu|meta|privateuseone|mtia|maia|ipu)(:\d{1,4})?")
_KEY = re.compile(r"[\w.\-]{1,64}")


def element_size(kind: Any) -> int:
    """Bytes of one element of a storage's class. ValueError if the stub is none."""
    name = kind.name if type(kind) is Named else ""
    if name == "torch.storage.UntypedStorage":
        return 1
    base = name.removeprefix("torch.cuda.").removeprefix("torch.").removesuffix("Storage")
    if not name.endswith("Storage") or base not in SIZES:
        raise ValueError(f"{name or 'what is no class'} is no storage")
    return SIZES[base]


def stored(identifier: Any, parts: int) -> Stored:
    """The storage that an identifier of `parts` parts names. ValueError, with the reason, if it is none."""
    if type(identifier) is not tuple or len(identifier) != parts or _text(identifier[0]) != "storage":
        raise ValueError("the persistent identifier is none of a storage")
    kind, key, location, numel = identifier[1:5]
    element_size(kind)
    key, location = _text(key), _text(location)
    if not _KEY.fullmatch(key):
        raise ValueError("a storage's key is none")
    if not _LOCATION.fullmatch(location):
        raise ValueError("a storage lies where torch knows no place")
    if type(numel) is not int or not 0 <= numel < 1 << 60:
        raise ValueError("a storage's length is none")
    return Stored(kind.name, key, location, numel, identifier[5] if parts == 6 else None)


def _text(value: Any) -> str:
    if type(value) is bytes:
        return value.decode("latin-1")
    return value if type(value) is str else ""


class Storages:
    """The storages that one file of the old form names, and then holds."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.legacy = False
        """Whether the file began as torch's do."""
        self.offsets: dict[str, int] = {}
        """Where the elements of each storage begin."""
        self._sizes: dict[str, tuple[int, int]] = {}

    def identified(self, count: int) -> Persistent | None:
        """What resolves identifiers in the pickle after `count` others; None where there may be none."""
        return self._stored if self.legacy and count == 3 else None

    def _stored(self, identifier: Any) -> Any:
        if type(identifier) is tuple and identifier and _text(identifier[0]) == "module":
            return self._module(identifier)
        found = stored(identifier, 6)
        view = found.view
        if view is not None:
            if type(view) is not tuple or len(view) != 3 or not all(type(each) is int for each in view[1:]):
                raise ValueError("a storage's view is none")
            if not 0 <= view[1] <= view[1] + view[2] <= found.numel:
                raise ValueError("a storage's view reaches beyond it")
        size = element_size(Named(found.kind))
        if self._sizes.setdefault(found.key, (size, found.numel)) != (size, found.numel):
            raise ValueError("a storage is described twice, and differently")
        return found if view is None else Stored(found.kind, found.key, found.location, view[2], view)

    @staticmethod
    def _module(identifier: tuple[Any, ...]) -> Any:
        """A module's class with its source, which torch would compare with the installed one."""
        if len(identifier) != 4 or type(identifier[1]) is not Named:
            raise ValueError("a module's identifier is none")
        return identifier[1]

    def passed(self, keys: Any, offset: int, inspection: Inspection) -> int:
        """Where the storages end that begin at `offset`, in the order of `keys`; what is wrong is told."""
        if type(keys) is not list or not all(type(each) in (str, bytes) for each in keys):
            inspection.found(
                rules.STORAGE, "the keys of the storages are none", source=self._source, offset=offset
            )
            return self._source.size
        names = [_text(each) for each in keys]
        if len(set(names)) < len(names) or set(names) != set(self._sizes):
            inspection.found(
                rules.STORAGE, "the storages that the file lists are not those that it uses",
                source=self._source, offset=offset,
            )  # fmt: skip
        for name in names:
            size, numel = self._sizes.get(name, (1, -1))
            told = int.from_bytes(self._source.read(offset, 8), "little", signed=True)
            if told != numel or offset + 8 + size * numel > self._source.size:
                inspection.found(
                    rules.STORAGE, f"storage {name} has {told:,} elements where the pickle says {numel:,}",
                    source=self._source, offset=offset, name=name,
                )  # fmt: skip
                return self._source.size
            self.offsets[name] = offset + 8
            offset += 8 + size * numel
        return offset
