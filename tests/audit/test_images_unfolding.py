"""tradewind.audit.images.unfolding"""

import gzip
import random
from pathlib import Path

import pytest
import zstandard
from images_by_hand import digest, stored

from tradewind.audit.images.limits import Limits, Spent
from tradewind.audit.images.unfolding import Unfolding, packing_of
from tradewind.errors import Misuse

CONTENT = random.Random(1).randbytes(40_000) * 60
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0note"
BLOBS = {
    "plain": CONTENT,
    "gzip": gzip.compress(CONTENT, 1),
    "gzip in members": gzip.compress(CONTENT[:1_000_000], 1) + gzip.compress(CONTENT[1_000_000:], 1),
    "gzip with padding": gzip.compress(CONTENT, 1) + bytes(500),
    "gzip of a mebibyte and nothing": gzip.compress(CONTENT, 1) + gzip.compress(b""),
    "zstd": zstandard.compress(CONTENT),
    "zstd in frames": SKIPPED
    + zstandard.compress(CONTENT[:999])
    + SKIPPED
    + zstandard.compress(CONTENT[999:]),
}


def unfolded(blob: bytes, scratch: Path, stated: str = "", diff_id: str = "") -> bytes:
    unfolding = Unfolding(Spent(Limits(), "image"), scratch)
    try:
        with stored(blob) as region:
            found = unfolding.unfold(region, "the blob", stated, diff_id)
            assert found.digest == digest(blob) and found.packing == packing_of(region)
            content = b"".join(found.region.chunks())
            assert found.diff_id == digest(content)
            return content
    finally:
        unfolding.close()
        assert not list(scratch.iterdir())


@pytest.mark.parametrize("name", sorted(BLOBS))
def test_a_blob_unfolds_whole_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    assert unfolded(BLOBS[name], tmp_path, digest(BLOBS[name]), digest(CONTENT)) == CONTENT


@pytest.mark.parametrize("size", [0, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_lengths_around_those_of_pieces_are_whole_too(size: int, tmp_path: Path) -> None:
    assert unfolded(gzip.compress(bytes(size)), tmp_path) == bytes(size)
    assert unfolded(zstandard.compress(bytes(size)), tmp_path) == bytes(size)


SUMMED = zstandard.ZstdCompressor(write_checksum=True).compress(CONTENT)
DAMAGED = {
    "cut": BLOBS["gzip"][:-9],
    "cut in the sum": BLOBS["gzip"][:-1],
    "wrong sum": BLOBS["gzip"][:-8] + b"\0\0\0\0" + BLOBS["gzip"][-4:],
    "something after": BLOBS["gzip"] + b"hidden",
    "damaged": BLOBS["gzip"][:5000] + b"\xff" * 50 + BLOBS["gzip"][5050:],
    "damaged zstd": SUMMED[:20] + b"\xff" * 50 + SUMMED[70:],
    "window of a gigabyte": b"\x28\xb5\x2f\xfd\x00\xa0" + BLOBS["zstd"][6:],
    "something after zstd": BLOBS["zstd"] + b"hidden",
}


@pytest.mark.parametrize("case", sorted(DAMAGED))
def test_what_is_damaged_is_refused(case: str, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="the blob"):
        unfolded(DAMAGED[case], tmp_path)


def test_digests_are_checked_on_both_sides(tmp_path: Path) -> None:
    for stated, diff_id in ((digest(b"x"), ""), ("", digest(b"x")), ("md5:" + "0" * 32, "")):
        for blob in (BLOBS["plain"], BLOBS["gzip"]):
            with pytest.raises(Misuse, match="the blob"):
                unfolded(blob, tmp_path, stated, diff_id)
