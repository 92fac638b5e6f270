"""LZ4 frames, unfolded without a library."""

import pickle

import pytest

from tradewind.data.model_files.containers.lz4 import MAGIC, unfolded
from tradewind.data.model_files.inspection import Source
from tradewind.data.model_files.scanner import scan_bytes


def stored(*blocks, flags=0x60, size=None):
    """A frame of blocks that are not compressed."""
    head = bytes((flags | (8 if size is not None else 0), 0x40))
    head += size.to_bytes(8, "little") if size is not None else b""
    body = b"".join((len(each) | 1 << 31).to_bytes(4, "little") + each for each in blocks)
    return MAGIC + head + b"\x00" + body + bytes(4)


def packed(block, flags=0x60):
    return MAGIC + bytes((flags, 0x40, 0)) + len(block).to_bytes(4, "little") + block + bytes(4)


def whole(content):
    return b"".join(unfolded(Source(content)))


def literals(content):
    """A block of literals alone, as a writer that finds nothing to copy makes it."""
    count = len(content)
    if count < 15:
        return bytes((count << 4,)) + content
    more, extra = divmod(count - 15, 255)
    return b"\xf0" + b"\xff" * more + bytes((extra,)) + content


def test_blocks_as_they_are():
    assert whole(stored(b"abc", b"def")) == b"abcdef"
    assert whole(stored(b"abc", size=3)) == b"abc"
    assert whole(stored()) == b""


def test_literals_and_copies():
    assert whole(packed(literals(b"x" * 1000))) == b"x" * 1000
    assert whole(packed(b"\x30abc\x03\x00\x10d")) == b"abcabcad"
    assert whole(packed(b"\x1fa\x01\x00\xff\x00\x10b")) == b"a" * 275 + b"b"


def test_copies_from_the_block_before():
    second = b"\x00\x03\x00\x10z"
    frame = MAGIC + b"\x40\x40\x00" + (3 | 1 << 31).to_bytes(4, "little") + b"abc"
    frame += len(second).to_bytes(4, "little") + second + bytes(4)
    assert whole(frame) == b"abcabcaz"


@pytest.mark.parametrize(
    "content",
    [
        b"", MAGIC, stored(b"abc")[:-1], stored(b"abc") + b"x", stored(b"abc", size=4), packed(b"\x30ab"),
        packed(b"\x10a\x05\x00\x10b"), packed(b"\x10a\x00\x00\x10b"), packed(b"\xf0\xff"), packed(b""),
        MAGIC + b"\x61\x40\x00" + bytes(4), MAGIC + b"\x20\x40\x00" + bytes(4),
        MAGIC + b"\x60\x00\x00" + bytes(4),
        packed(b"\x1fa\x01\x00" + b"\xff" * 600 + b"\x00\x10b"),
    ],
    ids=["empty", "head", "cut", "trailing", "length", "literals", "before", "zero", "count", "nothing",
         "dictionary", "version", "size", "bomb"],
)  # fmt: skip
def test_damage(content):
    with pytest.raises(ValueError, match=r".+"):
        whole(content)


def test_what_is_inside_is_inspected():
    good, bad = pickle.dumps({"a": 1}), b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."
    scan = scan_bytes(packed(literals(good)))
    assert (scan.verdict, scan.format) == ("clean", "lz4!pickle")
    assert {each.rule for each in scan_bytes(packed(literals(bad))).findings} == {
        "pickle-global",
        "pickle-call",
    }
    assert scan_bytes(packed(literals(good)) + b"x").verdict == "blocked"
