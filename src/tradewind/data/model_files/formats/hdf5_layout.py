"""The layout of HDF5 as far as the scanner needs it, after the published File Format Specification 3.0.

Every address and length is checked against the file before anything is read, and each block is visited once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tradewind.data.model_files.inspection import Source

_UNDEFINED = (1 << 64) - 1
_LARGEST = 64 << 20
_MOST_BLOCKS = 10_000


class NotUnderstood(ValueError):
    """A structure that is damaged, or that this reader does not know."""


class Message(NamedTuple):
    """One message of an object's header."""

    kind: int
    body: bytes
    at: int


class Attribute(NamedTuple):
    """An attribute and the texts in it, as bytes; none of a numeric one."""

    path: str
    name: str
    texts: list[bytes]
    at: int


class Layout:
    """A file's structures by address. `spend` is told how many were read."""

    def __init__(self, source: Source, spend: Callable[[int], None]) -> None:
        self._source, self._spend = source, spend
        self._offsets = self._lengths = 8
        self._heaps: dict[int, dict[int, bytes]] = {}

    def read(self, at: int, count: int) -> bytes:
        """Exactly `count` bytes."""
        if at < 0 or count > _LARGEST or at + count > self._source.size:
            raise NotUnderstood(f"{count} bytes at {at} are outside of the file")
        self._spend(1 + (count >> 12))
        return self._source.read(at, count)

    def superblock(self) -> tuple[int, int]:
        """Where the file ends by its own word, and the address of the root group."""
        start = self.read(0, 96) if self._source.size >= 96 else self.read(0, 48)
        version = start[8]
        if version in (0, 1):
            self._sizes(start[13], start[14])
            at = 24 + (4 if version == 1 else 0)
            base, _, end, _, _, root = (_number(start[at + 8 * i : at + 8 * i + 8]) for i in range(6))
        elif version in (2, 3):
            self._sizes(start[9], start[10])
            base, extension, end, root = (_number(start[12 + 8 * i : 20 + 8 * i]) for i in range(4))
            if extension != _UNDEFINED:
                self.messages(extension)
        else:
            raise NotUnderstood(f"a superblock of version {version}")
        if base:
            raise NotUnderstood(f"a base address of {base}")
        return end, root

    def _sizes(self, offsets: int, lengths: int) -> None:
        if (offsets, lengths) != (8, 8):
            raise NotUnderstood(f"addresses of {offsets} and lengths of {lengths} bytes")

    def messages(self, address: int) -> list[Message]:
        """The messages of an object's header, through all of its continuations."""
        start = self.read(address, 6)
        if start[:4] == b"OHDR":
            return list(self._second(address))
        if start[0] != 1:
            raise NotUnderstood(f"no object's header at {address}")
        return list(self._first(address))

    def _first(self, address: int) -> Iterator[Message]:
        start = self.read(address, 12)
        count, size = _number(start[2:4]), _number(start[8:12])
        waiting = [(address + 16, size)]
        blocks = 0
        while waiting:
            at, size = waiting.pop(0)
            block, place = self.read(at, size), 0
            blocks += 1
            if blocks > _MOST_BLOCKS:
                raise NotUnderstood("a header without end")
            while place + 8 <= len(block) and count:
                kind, length, flags = (
                    _number(block[place : place + 2]),
                    _number(block[place + 2 : place + 4]),
                    block[place + 4],
                )
                body = block[place + 8 : place + 8 + length]
                if len(body) != length:
                    raise NotUnderstood(f"a message at {at + place} is cut off")
                if kind == 0x10:
                    waiting.append((_number(body[:8]), _number(body[8:16])))
                else:
                    yield from self._message(kind, body, flags, at + place)
                place += 8 + length
                count -= 1

    def _second(self, address: int) -> Iterator[Message]:
        start = self.read(address, 6)
        flags = start[5]
        if start[4] != 2:
            raise NotUnderstood(f"a header of version {start[4]} at {address}")
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = _number(self.read(at, width))
        waiting = [(at + width, size)]
        blocks = 0
        head = 6 if flags & 4 else 4
        while waiting:
            at, size = waiting.pop(0)
            block, place = self.read(at, size), 0
            blocks += 1
            if blocks > _MOST_BLOCKS:
                raise NotUnderstood("a header without end")
            while place + head <= len(block):
                kind, length, bits = block[place], _number(block[place + 1 : place + 3]), block[place + 3]
                body = block[place + head : place + head + length]
                if len(body) != length:
                    raise NotUnderstood(f"a message at {at + place} is cut off")
                if kind == 0x10:
                    inner, long = _number(body[:8]), _number(body[8:16])
                    if long < 8 or self.read(inner, 4) != b"OCHK":
                        raise NotUnderstood(f"no continuation at {inner}")
                    waiting.append((inner + 4, long - 8))
                else:
                    yield from self._message(kind, body, bits, at + place)
                place += head + length

    def _message(self, kind: int, body: bytes, flags: int, at: int) -> Iterator[Message]:
        if kind > 0x18:
            raise NotUnderstood(f"a message of kind {kind} at {at}")
        if flags & 2 and kind not in (0, 3):
            raise NotUnderstood(f"a shared message of kind {kind} at {at}")
        if flags & 2 and kind == 3:
            # The type is committed elsewhere; that object is in a group too, and is visited there.
            return
        if kind:
            yield Message(kind, body, at)

    def symbol_table(self, message: Message) -> list[tuple[str, int, str | None]]:
        """Name, header's address and None of each member of an old group; soft links lead inside, and are
        left out."""
        tree, heap = _number(message.body[:8]), _number(message.body[8:16])
        start = self.read(heap, 32)
        if start[:4] != b"HEAP":
            raise NotUnderstood(f"no heap of names at {heap}")
        names = self.read(_number(start[24:32]), min(_number(start[8:16]), _LARGEST))
        found: list[tuple[str, int, str | None]] = []
        waiting, seen = [tree], set()
        while waiting:
            at = waiting.pop()
            if at in seen:
                raise NotUnderstood(f"a tree of names that leads to itself at {at}")
            seen.add(at)
            node = self.read(at, 8)
            if node[:4] == b"TREE":
                used = _number(node[6:8])
                body = self.read(at + 24, used * 16 + 8)
                waiting += [_number(body[8 + 16 * i : 16 + 16 * i]) for i in range(used)]
            elif node[:4] == b"SNOD":
                used = _number(node[6:8])
                body = self.read(at + 8, used * 40)
                for i in range(used):
                    entry = body[40 * i : 40 * i + 40]
                    begin = _number(entry[:8])
                    name = names[begin : names.find(b"\0", begin)].decode("utf-8", "backslashreplace")
                    if _number(entry[16:20]) != 2:
                        found.append((name, _number(entry[8:16]), None))
            else:
                raise NotUnderstood(f"no tree of names at {at}")
        return found

    def link(self, message: Message) -> tuple[str, int | None, str | None]:
        """Name, address of what it leads to inside, or what it leads to outside."""
        body = message.body
        if body[:1] != b"\1":
            raise NotUnderstood(f"a link of version {body[:1]!r}")
        flags, place = body[1], 2
        kind = 0
        if flags & 8:
            kind, place = body[place], place + 1
        place += (8 if flags & 4 else 0) + (1 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length, place = _number(body[place : place + width]), place + width
        name = body[place : place + length].decode("utf-8", "backslashreplace")
        place += length
        if kind == 0:
            return name, _number(body[place : place + 8]), None
        if kind == 1:
            return name, None, None
        return name, None, body[place + 3 :].decode("utf-8", "backslashreplace").strip("\0")

    def only_compact(self, message: Message) -> None:
        """NotUnderstood if a group's links or an object's attributes are in a fractal heap."""
        body = message.body
        place = 2
        if message.kind == 0x02:
            place += 8 if body[1] & 1 else 0
        else:
            place += 2 if body[1] & 1 else 0
        if _number(body[place : place + 8]) != _UNDEFINED:
            raise NotUnderstood("links or attributes are stored densely")

    def attribute(self, message: Message, path: str) -> Attribute:
        """An attribute with its texts."""
        body = message.body
        if len(body) < 8 or body[0] not in (1, 2, 3):
            raise NotUnderstood(f"an attribute of version {body[:1]!r}")
        if body[1] & 3 and body[0] > 1:
            raise NotUnderstood("an attribute of a shared type")
        sizes = [_number(body[2 + 2 * i : 4 + 2 * i]) for i in range(3)]
        place = 9 if body[0] == 3 else 8
        parts = []
        for size in sizes:
            part = body[place : place + size]
            if len(part) != size:
                raise NotUnderstood("an attribute that is cut off")
            parts.append(part)
            place += -(-size // 8) * 8 if body[0] == 1 else size
        name = parts[0].rstrip(b"\0").decode("utf-8", "backslashreplace")
        count = 1
        for each in self.dimensions(parts[2]):
            count *= each
        return Attribute(path, name, self._texts(parts[1], body[place:], count), message.at)

    def dimensions(self, space: bytes) -> list[int]:
        """The lengths of a dataspace; [0] of an empty one."""
        if len(space) < 4 or space[0] not in (1, 2):
            raise NotUnderstood(f"a dataspace of version {space[:1]!r}")
        rank, place = space[1], 8 if space[0] == 1 else 4
        if space[0] == 2 and space[3] == 2:
            return [0]
        if rank > 32 or len(space) < place + 8 * rank:
            raise NotUnderstood(f"a dataspace of {rank} dimensions")
        return [_number(space[place + 8 * i : place + 8 * i + 8]) for i in range(rank)]

    def _texts(self, kind: bytes, values: bytes, count: int) -> list[bytes]:
        size = datatype_size(kind)
        form = kind[0] & 15
        if size * count > len(values):
            raise NotUnderstood("an attribute with fewer values than it claims")
        if form in (3, 5):
            return [values[i * size : i * size + size] for i in range(min(count, 1 << 20))]
        if form == 9:
            return [
                each
                for i in range(min(count, 1 << 20))
                if (each := self._global(values[i * size : i * size + size])) is not None
            ]
        return []

    def _global(self, value: bytes) -> bytes | None:
        """What a value of variable length stands for: an object of a global heap."""
        length, address, index = _number(value[:4]), _number(value[4:12]), _number(value[12:16])
        if not length or address in (0, _UNDEFINED):
            return None
        if address not in self._heaps:
            self._heaps[address] = self._heap(address)
        if index not in self._heaps[address]:
            raise NotUnderstood(f"no object {index} in the heap at {address}")
        return self._heaps[address][index]

    def _heap(self, address: int) -> dict[int, bytes]:
        start = self.read(address, 16)
        if start[:4] != b"GCOL":
            raise NotUnderstood(f"no heap at {address}")
        size = _number(start[8:16])
        block, place, found = self.read(address, size), 16, {}
        while place + 16 <= len(block):
            index, length = _number(block[place : place + 2]), _number(block[place + 8 : place + 16])
            if index == 0:
                break
            if place + 16 + length > len(block):
                raise NotUnderstood(f"an object behind the heap at {address}")
            found[index] = block[place + 16 : place + 16 + length]
            place += 16 + -(-length // 8) * 8
        return found

    def filters(self, message: Message) -> list[int]:
        """The numbers of the filters that a dataset is packed by."""
        body = message.body
        version, count = body[0], body[1]
        place = 8 if version == 1 else 2
        found = []
        for _ in range(count):
            number, place = _number(body[place : place + 2]), place + 2
            length = 0
            if version == 1 or number >= 256:
                length, place = _number(body[place : place + 2]), place + 2
            values = _number(body[place + 2 : place + 4])
            place += 4 + (-(-length // 8) * 8 if version == 1 else length)
            place += 4 * (values + (values % 2 if version == 1 else 0))
            found.append(number)
            if place > len(body):
                raise NotUnderstood("filters that are cut off")
        return found

    def layout_class(self, message: Message) -> int:
        """0 compact, 1 contiguous, 2 chunked, 3 virtual."""
        body = message.body
        if body[0] in (1, 2):
            return body[2]
        if body[0] in (3, 4):
            return body[1]
        raise NotUnderstood(f"a layout of version {body[0]}")


def datatype_size(kind: bytes) -> int:
    """Bytes of one element."""
    if len(kind) < 8:
        raise NotUnderstood("a type that is cut off")
    return _number(kind[4:8])


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")
