"""Messages between a host and its environments, whole or none."""

import asyncio
import socket

import pytest

from tradewind import clock
from tradewind.runtimes.functions.host.exchange import Garbled, packed, receive, receive_here


def test_messages_are_whole_or_none():
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(packed({"a": 1}, b"body") + packed({}))
        assert receive_here(theirs) == ({"a": 1}, b"body") and receive_here(theirs) == ({}, b"")
        ours.sendall(packed({"a": 1}, b"body")[:-1])
    assert receive_here(theirs) is None
    theirs.close()

    async def main():
        for sent, problem in (
            (b"\xff" * 8, Garbled),
            (b"\x02\0\0\0\0\0\0\0[]", Garbled),
            (b"\x02\0\0\0\0\0\0\0{x", Garbled),
            (packed({})[:-1], asyncio.IncompleteReadError),
        ):
            reader = asyncio.StreamReader()
            reader.feed_data(sent)
            reader.feed_eof()
            with pytest.raises(problem):
                await receive(reader)

    clock.run(main())
