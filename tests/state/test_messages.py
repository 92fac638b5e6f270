from __future__ import annotations

import pytest

from tradewind.errors import Corrupt
from tradewind.state.codec import RAW, Packed
from tradewind.state.messages import (
    Arrive,
    Create,
    Hello,
    Host,
    Lose,
    Pull,
    Push,
    Reply,
    Request,
    Settle,
    Take,
    Wait,
    header,
    reply_of,
    request_of,
)
from tradewind.state.table import Layout


def test_a_request_reads_back():
    packed = Packed("float32", (3, 2), "half", True)
    operations = [
        Hello(1, RAW),
        Create(Layout("w", (3, 2), "float32", "adam", {"rate": (0.1, 0.2)}), "token", packed),
        Host(1, 2, 9),
        Settle(1, 2, 3, 2, 9),
        Push(4, 0, "w", packed, Packed("int64", (3,), "delta2")),
        Push(4, 1, "w", None),
        Arrive(4, 2),
        Wait(),
        Pull("w"),
        Lose({3: 1}, 9),
        Take(7),
    ]
    request = Request("client", 9, operations, 1, 2, 3)
    assert request_of([header(request)]) == request


def test_a_reply_reads_back():
    reply = Reply(3, "done", [Packed("int64", (0,))], {"tenure": 1})
    assert reply_of([header(reply), b""]) == reply


@pytest.mark.parametrize(
    "frames", [[], [b""], [b"\xc1"], [header(Request("c", 1, []))[:-2]], [b"\x93\x01\x02\x03"]]
)
def test_what_does_not_read_is_corrupt(frames):
    for read in (request_of, reply_of):
        with pytest.raises(Corrupt):
            read(frames)
