"""torch's first files, of before 2017: a tar with the pickles of the object, its tensors and its storages."""

from __future__ import annotations

import struct
import tarfile
from typing import Any

from tradewind.data.model_files.containers.tar_archive import recognises as is_tar
from tradewind.data.model_files.containers.tar_archive import structure
from tradewind.data.model_files.containers.windows import window
from tradewind.data.model_files.inspection import Inspection, Reading, Source
from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.plain import read_pickle
from tradewind.data.model_files.pickles.stream import Broken
from tradewind.data.model_files.pickles.stubs import Named
from tradewind.data.model_files.pickles.torch_legacy import element_size

_MEMBERS = {"pickle", "storages", "tensors"}


class _Wrong(Exception):
    """A part is none that torch wrote."""


def recognises(source: Source) -> bool:
    """Whether the file is a tar with the three members that torch wrote."""
    if not is_tar(source):
        return False
    found = set()
    try:
        with tarfile.open(fileobj=source.file(), mode="r:") as archive:
            for _ in range(16):
                member = archive.next()
                if member is None:
                    break
                found.add(member.name)
    except (tarfile.TarError, ValueError, EOFError, OSError, IndexError, KeyError, RecursionError):
        return False
    return found >= _MEMBERS


def inspect(source: Source, inspection: Inspection) -> None:
    """Inspect the pickles of each part, and hand on whatever else is in the archive."""
    keys: set[str] = set()

    def known(identifier: Any) -> Any:
        if type(identifier) is tuple and len(identifier) == 4 and type(identifier[0]) is Named:
            return identifier[0]
        if str(identifier) not in keys if type(identifier) in (str, int) else True:
            raise ValueError("the persistent identifier is none of a tensor in the archive")
        return Named("torch.Tensor")

    members = {member.name: member for member in structure(source, inspection)}
    for name in ("storages", "tensors", "pickle"):
        member = members.pop(name, None)
        if member is None:
            continue
        part = Source(window(source, member.offset_data, member.size), f"{source.name}!{name}".lstrip("!"))
        try:
            if name == "storages":
                end = _storages(part, inspection, keys)
            elif name == "tensors":
                end = _tensors(part, inspection, keys)
            else:
                end = read_pickle(part, inspection, persistent=known)[1]
        except Broken:
            continue
        except _Wrong as error:
            inspection.found(rules.STORAGE, f"the {name}: {error}", source=part)
            continue
        if end != part.size:
            inspection.found(
                rules.TRAILING, f"{part.size - end:,} bytes follow the {name}", source=part, offset=end
            )
    for name, member in members.items():
        inspection.inside(window(source, member.offset_data, member.size), name, source)


def _storages(part: Source, inspection: Inspection, keys: set[str]) -> int:
    count, at = read_pickle(part, inspection)
    for _ in range(_number(count, part)):
        described, at = read_pickle(part, inspection, at)
        if type(described) is not tuple or len(described) != 3:
            raise _Wrong("one is not described")
        try:
            size = element_size(described[2])
        except ValueError as error:
            raise _Wrong(str(error)) from None
        numel = int.from_bytes(part.read(at, 8), "little", signed=True)
        if numel < 0 or at + 8 + numel * size > part.size:
            raise _Wrong("one ends beyond the file")
        at += 8 + numel * size
        keys.add(str(described[0]) if type(described[0]) in (int, str) else "")
    views, at = read_pickle(part, inspection, at)
    if type(views) is not list:
        raise _Wrong("the views are none")
    for view in views:
        if type(view) is tuple and view and type(view[0]) in (int, str):
            keys.add(str(view[0]))
    return at


def _tensors(part: Source, inspection: Inspection, keys: set[str]) -> int:
    count, at = read_pickle(part, inspection)
    for _ in range(_number(count, part)):
        described, at = read_pickle(part, inspection, at)
        if type(described) is not tuple or len(described) != 3 or str(described[1]) not in keys:
            raise _Wrong("one is not described, or views no storage of the file")
        head = part.read(at, 4)
        if len(head) < 4 or not 0 <= struct.unpack("<i", head)[0] <= 64:
            raise _Wrong("one has no dimensions")
        at += 8 + 16 * struct.unpack("<i", head)[0] + 8
        keys.add(str(described[0]) if type(described[0]) in (int, str) else "")
    return at


def _number(value: Any, part: Source) -> int:
    if type(value) is not int or not 0 <= value <= part.size:
        raise _Wrong("how many there are is no number")
    return value


READING = Reading(
    "torch-tar",
    recognises,
    inspect,
    {rule.id: rule for rule in (*rules.PICKLES, *rules.TORCH)},
    refines="tar",
)
