"""tradewind.audit.images.packing"""

import gzip
import hashlib
import os
import random

import pytest
import zstandard

from tradewind.audit.images.packing import Packer

MIB = 1 << 20


def pack(content: bytes, packing: str, pieces: int, level: int | None = None) -> tuple[bytes, Packer]:
    found: list[bytes] = []
    with Packer(packing, found.append, level) as packer:  # type: ignore[arg-type]
        for at in range(0, len(content), pieces):
            packer.feed(content[at : at + pieces])
    return b"".join(found), packer


def unpacked(blob: bytes, packing: str) -> bytes:
    match packing:
        case "gzip":
            return gzip.decompress(blob)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
        case _:
            return blob


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 3 * MIB - 7])
def test_a_blob_is_the_same_however_it_comes_and_wherever(
    packing: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (random.Random(size).randbytes(5000) * (size // 5000 + 1))[:size]
    blob, packer = pack(content, packing, 65536)
    assert unpacked(blob, packing) == content
    assert packer.diff_id == "sha256:" + hashlib.sha256(content).hexdigest()
    assert packer.digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert (packer.taken, packer.given) == (len(content), len(blob))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    again, _ = pack(content, packing, 1_000_003)
    assert again == blob


def test_pieces_side_by_side_cost_next_to_nothing() -> None:
    words = random.Random(3).choices([f"word{number} " for number in range(3000)], k=400_000)
    content = "".join(words).encode()
    blob, _ = pack(content, "gzip", MIB)
    assert len(blob) < 1.002 * len(gzip.compress(content, 6))
    assert blob[4:8] == bytes(4), "no time"


def test_an_error_leaves_no_workers_waiting() -> None:
    with pytest.raises(OSError, match="full"), Packer("gzip", lambda _: fail()) as packer:
        for _ in range(20):
            packer.feed(bytes(MIB))


def fail() -> None:
    raise OSError("full")
