"""torch's files of today: a zip with the object's pickle and one stored member for each storage."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from msgspec.structs import replace

from tradewind.data.model_files.containers.zip_archive import opened
from tradewind.data.model_files.containers.zip_directory import Doubt, Member, looks_like_zip, members_of
from tradewind.data.model_files.inspection import Allowed, Inspection, Reading, Source
from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.plain import read_pickle, runs_as_pickle
from tradewind.data.model_files.pickles.stream import Broken
from tradewind.data.model_files.pickles.stubs import Named, Stored
from tradewind.data.model_files.pickles.torch_legacy import element_size, stored

_PICKLE = re.compile(r"([^/]+/)?data\.pkl")
_PLAIN = re.compile(
    r"version|byteorder|\.format_version|\.storage_alignment|\.data/(serialization_id|version)"
)
_WORD = re.compile(rb"[\w.\-]{0,64}\s?")
_SHAPES = "traced_inputs"
_SCRIPTED_PICKLES = ("constants", _SHAPES)
_SCRIPTED = re.compile(r"__torch__(\.\w+)*")


def root_of(members: list[Member]) -> str | None:
    """The folder that an archive of torch's has everything in, with its slash; None if it is none."""
    found = [match for member in members if (match := _PICKLE.fullmatch(member.name))]
    return (found[0][1] or "") if len(found) == 1 else None


def recognises(source: Source) -> bool:
    """Whether the file is an archive with one `data.pkl`."""
    if not looks_like_zip(source):
        return False
    try:
        return root_of(members_of(source)) is not None
    except Doubt:
        return False


class Storages:
    """The storages of one pickle of an archive, in the folder that is named as the pickle is."""

    def __init__(self, members: dict[str, Member], folder: str, shapes: bool = False) -> None:
        """`shapes` where torch keeps the shapes of tensors alone, and leaves their storages empty."""
        self._members, self._folder, self._shapes = members, folder, shapes
        self.used: dict[str, Stored] = {}

    def identified(self, identifier: Any) -> Any:
        """The storage that an identifier names. ValueError where the archive does not hold just that."""
        found = stored(identifier, 5)
        member = self._members.get(f"{self._folder}{found.key}")
        if found.location == "meta":
            return found
        if member is None:
            raise ValueError(f"storage {found.key} is not in the archive")
        size = element_size(Named(found.kind)) * found.numel
        if member.size != size and not (self._shapes and not member.size):
            raise ValueError(f"storage {found.key} has {member.size:,} bytes and not {size:,}")
        if member.method or member.flags & 1:
            raise ValueError(f"storage {found.key} is compressed or encrypted, as torch never writes it")
        self.used[member.name] = found
        return found


def scripted(allowed: Allowed, members: list[Member], root: str) -> Allowed:
    """What the archive's own code defines besides: classes below `__torch__`, which no Python module is."""
    if not any(member.name.startswith(f"{root}code/") for member in members):
        return allowed
    names = _Scripted()
    return replace(
        allowed,
        globals=_Either(allowed.globals, names),
        calls=_Either(allowed.calls, names),
        builds=_Either(allowed.builds, names),
    )


class _Scripted(frozenset[str]):
    """Names below `__torch__`: made from the archive's code by torch itself, never imported."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _SCRIPTED.fullmatch(name) is not None


class _Either(frozenset[str]):
    """Names of either of two sets, without copying the larger."""

    def __new__(cls, *parts: frozenset[str]) -> _Either:
        """The union of `parts`."""
        self = super().__new__(cls)
        self.parts = parts
        return self

    parts: tuple[frozenset[str], ...]

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in self.parts)


def inspect(source: Source, inspection: Inspection) -> None:
    """Inspect the pickles of an archive whose structure was checked; hand on all that is no storage."""
    try:
        members = members_of(source, inspection.budget.members)
    except Doubt:
        return  # told by the archive's own check
    root = root_of(members)
    if root is None:
        return
    by_name = {member.name: member for member in members}
    allowed = scripted(inspection.allowed, members, root)
    script = allowed is not inspection.allowed
    pickles: dict[str, Storages] = {}
    for stem in ("data", *(_SCRIPTED_PICKLES if script else ())):
        name = f"{root}{stem}.pkl"
        storages = pickles[name] = Storages(by_name, f"{root}{stem}/", shapes=stem == _SHAPES)
        member = by_name.get(name)
        content = opened(source, member, inspection) if member is not None else None
        if content is not None:
            _pickle(content, name, source, inspection, allowed, storages)
    used = {name for storages in pickles.values() for name in storages.used}
    for member in members:
        own = member.name.removeprefix(root)
        if member.name in pickles or member.name.endswith("/") or (script and own.startswith("code/")):
            continue
        content = opened(source, member, inspection)
        if content is None or (_PLAIN.fullmatch(own) and _WORD.fullmatch(content.read(80))):
            continue
        constant = script and own.startswith("constants/")
        if member.name in used or constant:
            head = Source(content, f"{source.name}!{member.name}".lstrip("!"))
            if runs_as_pickle(head):
                inspection.inside(content, member.name, source)
        else:
            inspection.inside(content, member.name, source)


def _pickle(
    content: BinaryIO, name: str, source: Source, inspection: Inspection, allowed: Allowed, storages: Storages
) -> None:
    """Inspect one of the archive's pickles; nothing may follow it."""
    inner = Source(content, f"{source.name}!{name}".lstrip("!"))
    before, inspection.allowed = inspection.allowed, allowed
    try:
        _, end = read_pickle(inner, inspection, persistent=storages.identified)
    except Broken:
        return
    finally:
        inspection.allowed = before
    if end != inner.size:
        inspection.found(
            rules.TRAILING, f"{inner.size - end:,} bytes follow the pickle", source=inner, offset=end
        )


READING = Reading(
    "torch-zip",
    recognises,
    inspect,
    {rule.id: rule for rule in (*rules.PICKLES, *rules.TORCH)},
    refines="zip",
)
