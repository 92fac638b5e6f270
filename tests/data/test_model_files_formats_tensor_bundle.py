"""The index of a TensorFlow checkpoint, written here as LevelDB's table."""

from tradewind.data.model_files.formats.tensor_bundle import shard_sizes
from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.scanner import scan_bytes
from tradewind.data.model_files.scanning import Scanning


def varint(value):
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def block(pairs):
    content = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs
    )
    return content + b"\0\0\0\0" + b"\1\0\0\0"


def index(tensors, kind=0):
    entries = [(b"", b"\x08\x01")]
    for name, (offset, size) in sorted(tensors.items()):
        value = (
            b"\x08\x01"
            + b"\x12\x04"
            + b"\x12\x02\x08\x02"
            + b"\x20"
            + varint(offset)
            + b"\x28"
            + varint(size)
        )
        entries.append((name.encode(), value))
    data = block(entries)
    content = data + bytes([kind]) + b"crc!"
    top = block([(b"\xff", varint(0) + varint(len(data)))])
    place = len(content)
    content += top + b"\0crc!"
    footer = varint(0) + varint(0) + varint(place) + varint(len(top))
    return content + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def test_an_index_is_clean_and_says_how_long_its_shard_is():
    whole = index({"a": (0, 8), "b": (8, 40)})
    assert judged(whole) == ("checkpoint-index", "clean", set())
    assert shard_sizes(Source(whole), Scanning(Allowed(), Budget())) == {0: 48}


def test_what_is_wrong_is_told():
    assert judged(index({"a": ((1 << 64) - 4, 8)}))[2] == {"checkpoint-size"}
    assert judged(index({"a": (0, 8)}, kind=1))[2] == {"checkpoint-malformed"}
    whole = index({"a": (0, 8)})
    assert judged(b"\xff" * 8 + whole[8:])[1] != "clean"
    assert not [cut for cut in range(len(whole)) if judged(whole[:cut])[1] == "clean"]
