from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.state.client import StateClient
from tradewind.state.codec import RAW, Packed
from tradewind.state.consistency import Asynchronous
from tradewind.state.engine import Engine
from tradewind.state.messages import (
    PROTOCOL,
    Hello,
    Operation,
    Ping,
    Pull,
    Push,
    Request,
    header,
    reply_of,
)
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess


def asked(server: Server, *operations: Operation, frames=(), **rest):
    (answer,) = server.handle("peer", [header(Request("someone", 1, list(operations), **rest)), *frames])
    return reply_of(answer[1])


def served():
    server = Server(Engine(1, Asynchronous()))
    client = StateClient([InProcess(server).channel()], 0)
    client.initialize("x", np.zeros(4))
    client.host()
    return server, client


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=3))
def test_noise_is_dropped_and_serving_goes_on(frames):
    server, client = served()
    server.handle("peer", frames)
    assert client.pull("x").tolist() == [0, 0, 0, 0]


def test_a_request_whose_frames_lie_is_refused_and_serving_goes_on():
    server, client = served()
    lies = (
        (Pull("x", Packed("int64", (2,))), ()),
        (Pull("x", Packed("int64", (2,))), (b"short",)),
        (Pull("x", Packed("float64", (1,))), (b"12345678",)),
        (Push(0, 0, "x", Packed("float64", (9, 9))), (b"",)),
    )
    for operation, frames in lies:
        reply = asked(server, operation, frames=frames, worker=0, tenure=1)
        assert reply.kind == "misuse", operation
    client.push("x", np.ones(4))
    assert client.pull("x").tolist() == [1, 1, 1, 1]


def test_an_unknown_request_is_asked_for_again():
    server, _ = served()
    assert asked(server, Ping()).kind == "unknown"


def test_another_protocol_is_refused():
    server, _ = served()
    assert asked(server, Hello(PROTOCOL + 1, RAW)).kind == "misuse"


def test_a_workers_number_out_of_range_is_refused():
    server, _ = served()
    assert asked(server, Pull("x"), worker=7).kind == "misuse"
