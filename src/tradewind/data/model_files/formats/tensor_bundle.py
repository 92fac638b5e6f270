"""TensorFlow's checkpoints: the index of `variables.index`, which says where in its shards each tensor lies.

The index is a table of LevelDB's form: blocks of keys and values, and a footer with a magic number. No value
in it can run anything; what is checked is that it can be walked, and that its shards are as long as it says.
"""

from __future__ import annotations

from math import prod

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.wire import BYTES, FIXED32, VARINT, Malformed, Message, signed
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_LARGEST = 64 << 20
RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "checkpoint-malformed",
            "undecided",
            "The index cannot be walked to its end.",
            "Fetch the file again.",
        ),
        Rule(
            "checkpoint-size",
            "blocked",
            "A tensor is said to lie where no shard can have bytes.",
            "Fetch the file again.",
        ),
    )
}


def recognises(source: Source) -> bool:
    """Whether the bytes end as a table does."""
    if source.size < _FOOTER:
        return False
    return int.from_bytes(source.read(source.size - 8, 8), "little") == _MAGIC


def inspect(source: Source, inspection: Inspection) -> None:
    """Walk the index."""
    try:
        shard_sizes(source, inspection)
    except (Malformed, IndexError) as problem:
        inspection.found(RULES["checkpoint-malformed"], str(problem) or "it is cut off", source=source)


def shard_sizes(source: Source, inspection: Inspection) -> dict[int, int]:
    """The least bytes of each shard, by its number. Malformed, or IndexError, where the index is damaged."""
    footer = source.read(source.size - _FOOTER, _FOOTER)
    _, place = _varint(footer, 0)
    _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, place = _varint(footer, place)
    sizes: dict[int, int] = {}
    for _, handle in _entries(_block(source, offset, size)):
        first, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        for key, value in _entries(_block(source, first, length)):
            inspection.spend(opcodes=1)
            if key:
                _entry(key, value, sizes, source, inspection)
    return sizes


def _entry(key: bytes, value: bytes, sizes: dict[int, int], source: Source, inspection: Inspection) -> None:
    """One tensor: its shard, where it begins there and how long it is (tensor_bundle.proto)."""
    message = Message(Source(value))
    shard = begin = size = 0
    dims: list[int] = []
    for field in message.fields():
        if field.wire == VARINT and field.number in (3, 4, 5):
            shard = field.value if field.number == 3 else shard
            begin = signed(field.value) if field.number == 4 else begin
            size = signed(field.value) if field.number == 5 else size
        elif field.wire == BYTES and field.number == 2:
            for part in message.fields(field.begin, field.end):
                if part.number == 2 and part.wire == BYTES:
                    inner = [each.value for each in message.fields(part.begin, part.end) if each.number == 1]
                    dims += [signed(each) for each in inner] or [0]
        elif field.number == 6 and field.wire != FIXED32:
            raise Malformed("a checksum of another kind")
    if begin < 0 or size < 0 or any(each < 0 for each in dims) or prod(dims) > 1 << 50:
        inspection.found(
            RULES["checkpoint-size"],
            f"{size} bytes at {begin}",
            source=source,
            name=key.decode("utf-8", "replace"),
        )
        return
    sizes[shard] = max(sizes.get(shard, 0), begin + size)


def _block(source: Source, offset: int, size: int) -> bytes:
    if size > _LARGEST or offset + size + 5 > source.size:
        raise Malformed(f"a block of {size} bytes at {offset}")
    content = source.read(offset, size + 5)
    if content[size] != 0:
        raise Malformed("a block that is compressed")
    return content[:size]


def _entries(block: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and values, each key given by how much of the one before it shares."""
    if len(block) < 4:
        raise Malformed("a block that is cut off")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise Malformed("a block of restarts alone")
    found: list[tuple[bytes, bytes]] = []
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or place + fresh + length > end:
            raise Malformed("an entry that is cut off")
        key = key[:shared] + block[place : place + fresh]
        found.append((key, block[place + fresh : place + fresh + length]))
        place += fresh + length
    return found


def _varint(block: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = block[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise Malformed("a number of more than 64 bits")


READING = Reading("checkpoint-index", recognises, inspect, RULES)
