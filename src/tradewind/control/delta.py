"""Views as differences: what changed since the view before, exact to the byte.

A view is a frozen Struct whose tuples hold many values of which few change. Its canonical JSON is cut at the
fields and at the elements of tuples; a packed view holds the pieces that are new and says where the others
stood in the view before. A value that is the same object as before costs nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

_encode = msgspec.json.Encoder(order="deterministic").encode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

_Pieces = list[bytes]
_NOTHING: Any = object()
"""The value of a slot before the first."""


class _Group:
    """A Struct whose fields are told apart, and the slots of those that are not Structs themselves."""

    def __init__(self, kind: type, path: tuple[str, ...]) -> None:
        self.kind, self.path = kind, path
        self.slots: list[tuple[int, str]] = []
        self.seen: Any = None


class Packer:
    """Packs one view after another."""

    def __init__(self) -> None:
        self._groups: list[_Group] = []
        self._frames: list[bytes] = []
        self._values: list[Any] = []
        self._pieces: list[_Pieces] = []
        self._parts: list[bytes] = []
        self._whole = b""

    def pack(self, view: Any, complete: bool) -> tuple[bytes, bytes, bool]:
        """`view` packed, its canonical JSON (as `msgspec.json.encode` makes it), whether it is complete.

        A complete one does not need the view before. One that is made differently (a field that was a Struct
        is None now) is complete without being asked.
        """
        changes = self._changes(view)
        if changes is None:
            self._begin(view)
            changes = self._changes(view) or {}
            complete = True
        if changes:
            self._whole = b"".join(self._parts)
        if complete:
            tuples = [isinstance(value, tuple) for value in self._values]
            return _pack([self._frames, self._pieces, tuples]), self._whole, True
        return _pack(changes), self._whole, False

    def _changes(self, view: Any) -> dict[int, Any] | None:
        """Take `view` in; what changed by slot, or None if it is not made as the one before."""
        if not self._groups:
            return None
        changes: dict[int, Any] = {}
        for group in self._groups:
            holder = view
            for name in group.path:
                holder = getattr(holder, name)
            if holder is group.seen:
                continue
            if type(holder) is not group.kind:
                return None
            for slot, name in group.slots:
                value = getattr(holder, name) if name else holder
                if value is self._values[slot]:
                    continue
                if _open(value):
                    return None
                change = self._update(slot, value)
                if change is not None:
                    changes[slot] = change
            group.seen = holder
        return changes

    def _begin(self, view: Any) -> None:
        self._groups, self._frames, self._values = [], [b""], []
        self._plan(view, ())
        self._pieces = [[] for _ in self._values]
        self._parts = [b""] * (2 * len(self._values) + 1)
        self._parts[::2] = self._frames

    def _plan(self, value: Any, path: tuple[str, ...]) -> None:
        """Cut `value` at its fields: groups of slots, and the text between the slots."""
        group = _Group(type(value), path)
        self._groups.append(group)
        if not _open(value):
            self._slot(group, "")
            return
        for at, name in enumerate(value.__struct_fields__):
            self._frames[-1] += (b"{" if at == 0 else b",") + _encode(name) + b":"
            field = getattr(value, name)
            if _open(field):
                self._plan(field, (*path, name))
            else:
                self._slot(group, name)
        self._frames[-1] += b"}"

    def _slot(self, group: _Group, name: str) -> None:
        group.slots.append((len(self._values), name))
        self._values.append(_NOTHING)
        self._frames.append(b"")

    def _update(self, slot: int, value: Any) -> Any:
        """Take the value in; what changed: None, bytes, or a list of bytes and places in the one before."""
        before, old = self._values[slot], self._pieces[slot]
        self._values[slot] = value
        if not isinstance(value, tuple):
            piece = _encode(value)
            if old and old[0] == piece and not isinstance(before, tuple):
                return None
            self._pieces[slot], self._parts[2 * slot + 1] = [piece], piece
            return piece
        old_is_tuple = isinstance(before, tuple)
        if not old_is_tuple:
            before, old = (), []
        # What leads and what trails is mostly the same; only the middle is looked at more closely.
        most = min(len(before), len(value))
        head = 0
        while head < most and value[head] is before[head]:
            head += 1
        trail = 0
        while trail < most - head and value[-1 - trail] is before[-1 - trail]:
            trail += 1
        pieces: _Pieces = old[:head]
        change: list[Any] = [[0, head]] if head else []
        middle = value[head : len(value) - trail]
        places = {text: at for at, text in enumerate(old)} if middle else {}
        for each in middle:
            piece = _encode(each)
            pieces.append(piece)
            place = places.get(piece)
            if place is None:
                change.append(piece)
            else:
                _extend(change, place, 1)
        if trail:
            pieces += old[len(old) - trail :]
            _extend(change, len(old) - trail, trail)
        if old_is_tuple and pieces == old:
            return None
        self._pieces[slot] = pieces
        self._parts[2 * slot + 1] = b"[" + b",".join(pieces) + b"]"
        return change


class Unpacker:
    """Puts packed views together again, in their order."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._pieces: list[_Pieces] = []
        self._tuples: list[bool] = []

    def unpack(self, packed: bytes, complete: bool) -> bytes:
        """The canonical JSON of the next view. Raises LookupError, TypeError or msgspec's errors."""
        content = _unpack(packed)
        if complete:
            self._frames, self._pieces, self._tuples = content
        else:
            for slot, change in content.items():
                self._tuples[slot] = isinstance(change, list)
                self._pieces[slot] = self._apply(self._pieces[slot], change)
        parts = []
        for frame, pieces, several in zip(self._frames, self._pieces, self._tuples, strict=False):
            parts.append(frame)
            parts.append(b"[" + b",".join(pieces) + b"]" if several else pieces[0])
        parts.append(self._frames[-1])
        return b"".join(parts)

    @staticmethod
    def _apply(old: _Pieces, change: Any) -> _Pieces:
        if isinstance(change, bytes):
            return [change]
        pieces: _Pieces = []
        for each in change:
            if isinstance(each, bytes):
                pieces.append(each)
            else:
                start, count = each
                if start + count > len(old):
                    raise LookupError(f"{start + count} pieces of {len(old)}")
                pieces += old[start : start + count]
        return pieces


def _extend(change: list[Any], start: int, count: int) -> None:
    """Add a run of pieces of the view before, joined to the last run where it goes on."""
    last = change[-1] if change else None
    if isinstance(last, list) and last[0] + last[1] == start:
        last[1] += count
    else:
        change.append([start, count])


def _open(value: Any) -> bool:
    """Whether the fields of `value` can be told apart in its JSON."""
    if not isinstance(value, Struct) or not value.__struct_fields__:
        return False
    config = value.__struct_config__
    plain = config.tag is None and not config.omit_defaults and not config.array_like
    return plain and value.__struct_encode_fields__ == value.__struct_fields__
