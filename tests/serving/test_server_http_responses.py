"""Responses as bytes."""

import gzip

import numpy as np
import pytest

from tradewind.serving.server.http.messages import Response
from tradewind.serving.server.http.responses import CLOSE, coding_for, compressed, rendered

DATE = b"Date: today\r\n"


def test_bytes_of_a_response():
    response = Response(404, b"{}", headers=(("X-One", "1"), ("X-One", "2")))
    assert rendered(response, CLOSE, DATE, False) == [
        b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nDate: today\r\nConnection: close\r\n"
        b"X-One: 1\r\nX-One: 2\r\nContent-Length: 2\r\n\r\n{}"
    ]


def test_head_tells_the_length_only():
    sent = rendered(Response(200, b"abc", ""), b"", b"", True)
    assert sent == [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"]


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(status):
    (sent,) = rendered(Response(status, b"ignored"), b"", b"", False)
    assert sent.endswith(b"\r\n\r\n")
    assert b"Content-" not in sent


def test_an_unknown_status_is_sent():
    assert rendered(Response(530), b"", b"", False)[0].startswith(b"HTTP/1.1 530 Unknown\r\n")


@pytest.mark.parametrize("count", [5, 100_000])
def test_pieces_are_counted_in_bytes(count):
    numbers = np.arange(count, dtype=np.float32)
    pieces = [b"head", memoryview(numbers), bytearray(b"tail")]
    head, _, body = b"".join(rendered(Response(200, pieces), b"", b"", False)).partition(b"\r\n\r\n")
    assert body == b"head" + numbers.tobytes() + b"tail"
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_large_body_is_not_copied():
    body = bytes(1_000_000)
    assert rendered(Response(200, body), b"", b"", False)[1] is body


@pytest.mark.parametrize(
    "response",
    [
        Response(200, headers=(("X", "a\r\nSet-Cookie: b"),)),
        Response(200, headers=(("X\n", "a"),)),
        Response(200, headers=(("X: Y", "a"),)),
        Response(200, headers=(("", "a"),)),
        Response(200, type="text/plain\nX: y"),
        Response(100),
        Response(20),
        Response(200, [memoryview(np.arange(200_000)[::2])]),
        Response(200, [memoryview(np.arange(20)[::2])]),
        Response(200, "text"),
        Response(200, None),
    ],
)
def test_responses_that_cannot_be_sent(response):
    with pytest.raises((ValueError, TypeError, BufferError)):
        rendered(response, b"", b"", False)


def test_compression_is_chosen_by_size_and_leaves_the_response_alone():
    response = Response(200, b"a" * 100)
    assert coding_for(response, "gzip", 100) == "gzip"
    assert coding_for(response, "gzip", 101) == ""
    assert coding_for(response, "", 1) == ""
    assert coding_for(Response(200, b"a" * 100, headers=(("content-encoding", "br"),)), "gzip", 1) == ""
    small = compressed(response, "gzip")
    assert gzip.decompress(small.body) == response.body == b"a" * 100
    assert small.headers == (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
    assert response.headers == ()
