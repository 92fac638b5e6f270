"""Frames as bytes, against those written out by hand after RFC 9113."""

import pytest

from tradewind.serving.server.grpc import frames
from tradewind.serving.server.grpc.hpack import HeaderBlocks


def test_frames():
    assert frames.frame(frames.PING, frames.ACK, 0, b"12345678").hex() == "0000080601000000003132333435363738"
    assert frames.window(5, 70_000).hex() == "00000408000000000500011170"
    assert frames.reset(3, frames.CANCEL).hex() == "00000403000000000300000008"
    assert frames.goaway(7, frames.CALM, b"x").hex() == "000009070000000000000000070000000b78"
    assert frames.settings(streams=9, window=1 << 20).hex() == "00000c040000000000000300000009000400100000"
    assert frames.settled(bytes.fromhex("000300000009000400100000")) == [(3, 9), (4, 1 << 20)]
    assert frames.parsed(b"x" + frames.frame(frames.DATA, 1, 9, bytes(70_000)), 1) == (70_000, 0, 1, 9)
    assert frames.parsed(bytes.fromhex("000000000080000001"), 0)[3] == 1  # the reserved bit says nothing


def test_a_whole_answer_is_its_parts():
    message = frames.message(b"abc")
    assert message == b"\0\0\0\0\3abc"
    parts = frames.begun(7) + frames.frame(frames.DATA, 0, 7, message) + frames.ended(7)
    assert frames.answered(7, b"abc") == parts


@pytest.mark.parametrize("opened", [False, True])
def test_errors_are_told_in_trailers(opened):
    text = "100 % schief: ä\n" + "x" * 200
    told = frames.failed(5, "NOT_FOUND", text, (("retry-after", "2"),), opened=opened)
    assert frames.parsed(told, 0)[1:] == (frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 5)
    headers = HeaderBlocks(10_000).read(told[9:])
    begun = [(":status", "200"), ("content-type", "application/grpc")]
    assert headers == [
        *([] if opened else begun),
        ("grpc-status", "5"),
        ("grpc-message", "100 %25 schief: %C3%A4%0A" + "x" * 200),
        ("retry-after", "2"),
    ]
    assert HeaderBlocks(100).read(frames.unmet(1, 415)[9:]) == [(":status", "415")]
    frames.failed(5, "INTERNAL", "\ud800")  # half of a sign


def test_a_long_text_is_cut():
    headers = HeaderBlocks(10_000).read(frames.failed(1, "INTERNAL", "y" * 5000)[9:])
    assert 1000 < len(dict(headers)["grpc-message"]) < 4096
