"""Protocol buffers' wire format, read by position: enough for ONNX and SavedModel, without their libraries.

Fields are walked one by one and skipped by their stated lengths, so that a file of gigabytes costs what its
structure costs, not what its tensors do. Nothing is allocated for a length that a file only claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tradewind.data.model_files.inspection import Source

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_BLOCK = 64 << 10
_LONGEST_KEY = 20
"""Bytes of a field's key and its length, each a varint of at most 10."""
_COUNTED = 256


class Malformed(ValueError):
    """The bytes are no message of protocol buffers."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire: int
    begin: int
    """Where its content begins, from the start of the source."""
    end: int
    value: int
    """Of a varint; else 0."""


class Message:
    """The bytes of one source, read as messages. `spend` is told how many fields were walked, now and
    then."""

    def __init__(self, source: Source, spend: Callable[[int], None] | None = None) -> None:
        self.size = source.size
        self._source, self._spend = source, spend
        self._walked = 0
        self._first = self._last = 0
        self._block = b""

    def fields(self, start: int = 0, stop: int | None = None) -> Iterator[Field]:
        """The fields of the message between two positions; Malformed where they do not fill it exactly."""
        end = self.size if stop is None else stop
        at = start
        while at < end:
            if at < self._first or min(at + _LONGEST_KEY, self.size) > self._last:
                self._load(at)
            block, base = self._block, self._first
            key, place = _varint(block, at - base)
            number, wire = key >> 3, key & 7
            value = 0
            if number == 0 or number >= 1 << 29:
                raise Malformed(f"a field of number {number}")
            if wire == VARINT:
                begin = base + place
                value, place = _varint(block, place)
                at = base + place
            elif wire == BYTES:
                length, place = _varint(block, place)
                begin = base + place
                at = begin + length
            elif wire in (FIXED64, FIXED32):
                begin = base + place
                at = begin + (8 if wire == FIXED64 else 4)
            else:
                raise Malformed(f"a field of wire type {wire}")
            if at > end:
                raise Malformed("a field that ends behind its message")
            self._walked += 1
            if self._walked >= _COUNTED and self._spend is not None:
                self._spend(self._walked)
                self._walked = 0
            yield Field(number, wire, begin, at, value)

    def content(self, field: Field, limit: int) -> bytes:
        """The bytes of a field; Malformed if there are more than `limit`."""
        if field.end - field.begin > limit:
            raise Malformed(f"a text of {field.end - field.begin} bytes")
        if self._first <= field.begin and field.end <= self._last:
            return self._block[field.begin - self._first : field.end - self._first]
        return self._source.read(field.begin, field.end - field.begin)

    def text(self, field: Field, limit: int = 1 << 16) -> str:
        """The text of a field. Bytes that are no UTF-8 stay recognisable, so that no name is mistaken."""
        return self.content(field, limit).decode("utf-8", "backslashreplace")

    def varints(self, field: Field, limit: int) -> list[int]:
        """The numbers of a repeated field, packed or not; Malformed if its bytes are more than `limit`."""
        if field.wire == VARINT:
            return [field.value]
        content, found, place = self.content(field, limit), [], 0
        while place < len(content):
            value, place = _varint(content, place)
            found.append(value)
        return found

    def _load(self, at: int) -> None:
        self._block = self._source.read(at, _BLOCK)
        self._first, self._last = at, at + len(self._block)


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(block: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    try:
        while shift < 64:
            byte = block[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 1 << 64:
                    raise Malformed("a number of more than 64 bits")
                return value, place
            shift += 7
    except IndexError:
        raise Malformed("it is cut off in a number") from None
    raise Malformed("a number of more than 10 bytes")
