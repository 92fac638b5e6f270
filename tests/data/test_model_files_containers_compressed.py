"""Compressed streams: whole, nothing after them, within the budget; what is not read is said."""

import bz2
import gzip
import io
import lzma
import pickle
import zlib

import pytest
import zstandard

from tradewind.data.model_files.inspection import Budget
from tradewind.data.model_files.scanner import scan_bytes

GOOD = pickle.dumps({"a": list(range(500))}, 4)
BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."
PACKERS = {
    "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor().compress,
    "zfile": lambda content: b"ZF" + hex(len(content)).ljust(19).encode() + zlib.compress(content),
}  # fmt: skip


def rules(content, **options):
    return {finding.rule for finding in scan_bytes(content, **options).findings}


@pytest.mark.parametrize("kind", PACKERS)
def test_what_is_packed_is_inspected(kind):
    pack = PACKERS[kind]
    scan = scan_bytes(pack(GOOD))
    assert (scan.verdict, scan.format) == ("clean", f"{kind}!pickle")
    assert rules(pack(BAD)) == {"pickle-global", "pickle-call"}


@pytest.mark.parametrize("kind", PACKERS)
def test_cut_or_followed_streams_are_blocked(kind):
    content = PACKERS[kind](GOOD)
    for length in range(1, len(content), max(1, len(content) // 25)):
        assert scan_bytes(content[:length]).verdict != "clean", length
    assert scan_bytes(content + b"\0trailing").verdict == "blocked"
    assert "pickle-call" in rules(PACKERS[kind](BAD)[:-1] if kind in ("gzip", "zlib") else PACKERS[kind](BAD))


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz"])
def test_streams_in_a_row_are_one(kind):
    pack = PACKERS[kind]
    assert scan_bytes(pack(GOOD[:100]) + pack(GOOD[100:])).verdict == "clean"
    assert rules(pack(GOOD) + pack(BAD)) >= {"pickle-call"}


@pytest.mark.parametrize("kind", sorted(set(PACKERS) - {"zfile"}))
def test_bombs_stop_at_the_budget(kind):
    bomb = PACKERS[kind](bytes(5 << 20))
    assert rules(bomb, budget=Budget(unpacked=1 << 20)) >= {"scan-budget"}
    nested = GOOD
    for _ in range(12):
        nested = gzip.compress(nested)
    assert rules(nested) == {"scan-budget"}
    assert scan_bytes(nested).verdict == "undecided"


def test_what_is_not_read_is_never_clean():
    assert scan_bytes(b"7z\xbc\xaf\x27\x1c\0\4" + GOOD).verdict == "blocked"
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.ZstdCompressor().compress(GOOD)
    assert scan_bytes(skippable).verdict != "clean"


def test_a_damaged_checksum_is_seen():
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="w") as packed:
        packed.write(GOOD)
    content = bytearray(file.getvalue())
    content[-6] ^= 1
    assert "compressed-broken" in rules(bytes(content))
