"""gzip and deflate, both ways, within a limit."""

import gzip
import tracemalloc
import zlib

import pytest

from tradewind.serving.server.http.compression import chosen, packed, unpacked
from tradewind.serving.server.http.routes import Unanswerable

BODY = b"0.125, " * 500


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate;q=1.0, gzip;q=0.9", "deflate"),
        ("GZIP ; Q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("identity", ""),
        ("gzip;q=0.5, identity;q=0.8", ""),
        ("gzip;q=0, deflate;q=0.0", ""),
        ("br, zstd", ""),
        ("gzip;q=much", ""),
        ("", ""),
    ],
)
def test_chosen(accept, coding):
    assert chosen(accept) == coding


def test_packed_opens_with_the_standard_library():
    pieces = [BODY[:9], memoryview(BODY)[9:50], bytearray(BODY[50:])]
    assert gzip.decompress(packed(pieces, "gzip")) == BODY
    assert zlib.decompress(packed(BODY, "deflate")) == BODY
    assert len(packed(BODY, "gzip")) < len(BODY) / 10


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (gzip.compress(BODY), "gzip"),
        (gzip.compress(BODY), "X-Gzip"),
        (gzip.compress(BODY[:70]) + gzip.compress(BODY[70:]), "gzip"),
        (zlib.compress(BODY), "deflate"),
        (zlib.compress(BODY)[2:-4], "deflate"),  # bare, as some clients send it
        (gzip.compress(zlib.compress(BODY)), "deflate, gzip"),
        (BODY, "identity"),
        (BODY, ""),
    ],
    ids=range(8),  # gzip writes the time into what it makes
)
def test_unpacked(body, codings):
    assert unpacked(body, codings, len(BODY)) == BODY


def status_of(body: bytes, codings: str, limit: int = 10**6) -> int:
    with pytest.raises(Unanswerable) as refused:
        unpacked(body, codings, limit)
    return refused.value.status


def test_bodies_that_are_not_what_they_say():
    assert status_of(BODY, "gzip") == 400
    assert status_of(b"", "gzip") == 400
    assert status_of(gzip.compress(BODY)[:-1], "gzip") == 400
    assert status_of(gzip.compress(BODY) + b"tail", "gzip") == 400
    assert status_of(zlib.compress(BODY) + b"tail", "deflate") == 400
    assert status_of(gzip.compress(b"") * 65, "gzip") == 400
    assert status_of(BODY, "br") == 415
    assert status_of(BODY, "gzip, gzip, gzip") == 415


def test_a_bomb_is_stopped_at_the_limit():
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    assert len(bomb) < 1000
    tracemalloc.start()
    assert status_of(bomb, "gzip, gzip", 100_000) == 413
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert status_of(gzip.compress(BODY), "gzip", len(BODY) - 1) == 413
    assert status_of(gzip.compress(BODY) * 2, "gzip", 2 * len(BODY) - 1) == 413
