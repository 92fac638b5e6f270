"""The connection by raw frames: what a client may do, and what it is told when it may not."""

import contextlib
import socket
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_stage import ROWS, SERVICE, running, tensor, until
from tritonclient.grpc import service_pb2 as published

from tradewind.serving.server.grpc import frames
from tradewind.serving.server.grpc.connection import LARGEST_FRAME
from tradewind.serving.server.grpc.hpack import HeaderBlocks
from tradewind.serving.server.grpc.server import GrpcLimits


def block(path=SERVICE + "ModelInfer", method=b"\x83", kind=b"application/grpc", more=b""):
    path = path.encode()
    return method + b"\x86\x04" + bytes((len(path),)) + path + b"\x0f\x10" + bytes((len(kind),)) + kind + more


def request(model="identity", rows=ROWS, **parameters):
    asked = published.ModelInferRequest(model_name=model)
    asked.inputs.add(name="x", datatype="FP32", shape=rows.shape)
    asked.raw_input_contents.append(rows.tobytes())
    for name, value in parameters.items():
        asked.parameters[name].double_param = value
    return frames.message(asked.SerializeToString())


def headers(stream, flags=frames.END_HEADERS, content=None):
    return frames.frame(frames.HEADERS, flags, stream, block() if content is None else content)


def data(stream, content, flags=frames.END_STREAM):
    return frames.frame(frames.DATA, flags, stream, content)


BEGIN = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0)


class Raw:
    """A client that sends the bytes that it is told to."""

    def __init__(self, port, begin=BEGIN):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.sendall(begin)
        self._came = b""
        self.blocks = HeaderBlocks(100_000)

    def send(self, *parts):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(b"".join(parts))

    def next(self):
        """The next frame: type, flags, stream and content; None at the end."""
        while True:
            if len(self._came) >= frames.HEAD:
                length, kind, flags, stream = frames.parsed(self._came, 0)
                end = frames.HEAD + length
                if len(self._came) >= end:
                    content, self._came = self._came[frames.HEAD : end], self._came[end:]
                    return kind, flags, stream, content
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self._came += more

    def until(self, kind, stream=None):
        """The next frame of a type, and of a stream."""
        while (found := self.next()) is not None:
            if found[0] == kind and stream in (None, found[2]):
                return found
        raise AssertionError(f"no frame of type {kind} came")

    def answer(self, stream):
        """Of a call: the trailers, and the content of its messages."""
        content = b""
        while (found := self.next()) is not None:
            if found[2] == stream and found[0] == frames.DATA:
                content += found[3]
            elif found[0] == frames.HEADERS:
                told = dict(self.blocks.read(found[3]))
                if found[2] == stream and found[1] & frames.END_STREAM:
                    return told, content
        raise AssertionError("the call was not answered")

    def goaway(self):
        _, _, _, content = self.until(frames.GOAWAY)
        return int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture(scope="module")
def server():
    with running() as it:
        yield it


@pytest.fixture
def raw(server):
    with Raw(server.port) as it:
        yield it


def rows_of(content):
    assert content[:1] == b"\0" and int.from_bytes(content[1:5], "big") == len(content) - 5
    answer = published.ModelInferResponse.FromString(content[5:])
    return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(answer.outputs[0].shape)


def test_a_call_however_it_is_cut_into_frames(server):
    message = request()
    padded = bytes((3,)) + message + bytes(3)
    ways = (
        headers(1) + data(1, message),
        b"".join(headers(1)[at : at + 1] for at in range(len(headers(1)))) + data(1, message),
        headers(1) + data(1, message[:3], 0) + data(1, message[3:30], 0) + data(1, message[30:]),
        headers(1) + data(1, message, 0) + data(1, b""),
        headers(1) + data(1, message, 0) + headers(1, 5, b""),  # trailers
        headers(1) + data(1, padded, frames.END_STREAM | frames.PADDED),
        headers(1, frames.END_HEADERS | frames.PRIORITIZED, bytes(5) + block()) + data(1, message),
        headers(1, 0, block()[:9]) + frames.frame(frames.CONTINUATION, 4, 1, block()[9:]) + data(1, message),
        frames.frame(0xBE, 7, 1, b"unknown") + headers(1) + data(1, message),
    )
    for at, way in enumerate(ways):
        with Raw(server.port) as raw:
            if at == 1:  # byte by byte
                for sign in way:
                    raw.send(bytes((sign,)))
            else:
                raw.send(way)
            told, content = raw.answer(1)
            assert told["grpc-status"] == "0", at
            np.testing.assert_array_equal(rows_of(content), ROWS)


def test_blocks_that_are_said_again_mean_the_same(raw):
    first = block(more=b"\x40\x0cgrpc-timeout\x0315S")
    for stream, said in ((1, first), (3, block(more=b"\xbe")), (5, block(more=b"\xbe"))):
        raw.send(headers(stream, content=said), data(stream, request()))
        assert raw.answer(stream)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (block("/inference.GRPCInferenceService/Model"), ("grpc-status", "12")),
        (block(kind=b"application/json"), (":status", "415")),
        (block(method=b"\x82"), (":status", "405")),
        (block(more=b"\x00\x0cgrpc-timeout\x02xS"), ("grpc-status", "3")),
        (block(more=b"\x00\x0dgrpc-encoding\x02br"), ("grpc-status", "12")),
    ],
)
def test_calls_that_are_none_are_refused_and_the_next_is_answered(raw, content, found):
    raw.send(headers(1, content=content), headers(3), data(3, request()))
    assert raw.answer(1)[0][found[0]] == found[1]
    assert raw.until(frames.RESET)[2:] == (1, bytes(4))  # nothing more is wanted of it
    assert raw.answer(3)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"", "3"),
        (request() * 2, "3"),
        (request()[:-1], "3"),
        (b"\1" + request()[1:], "3"),
        (b"\0\xff" * 3, "8"),
    ],
)
def test_messages_that_are_none(raw, message, status):
    raw.send(headers(1), data(1, message), headers(3), data(3, request()))
    assert raw.answer(1)[0]["grpc-status"] == status
    assert raw.answer(3)[0]["grpc-status"] == "0"


BOMB = b"\x40\x01a\x7f\x80\x1e" + b"v" * 3967 + b"\xbe" * 9
"""A header of 4 kB, said ten times."""
GOOD = headers(1) + data(1, request("slow"), 0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frames.frame(frames.DATA, 0, 0, b"x"), frames.PROTOCOL),
        (data(1, b"x"), frames.PROTOCOL),
        (headers(2), frames.PROTOCOL),
        (headers(0), frames.PROTOCOL),
        (GOOD + headers(1), frames.PROTOCOL),
        (headers(1, 0), None),
        (headers(1, 0) + frames.frame(frames.PING, 0, 0, bytes(8)), frames.PROTOCOL),
        (frames.frame(frames.CONTINUATION, 4, 1, b""), frames.PROTOCOL),
        (headers(1, 0) + frames.frame(frames.CONTINUATION, 0, 1, b""), frames.CALM),
        (headers(1, 0) + frames.frame(frames.CONTINUATION, 0, 1, bytes(40_000)), frames.CALM),
        (headers(1, content=b"\x80"), frames.COMPRESSION),
        (headers(1, content=block(more=BOMB)), frames.COMPRESSION),
        (headers(1, 0x0C, b""), frames.PROTOCOL),
        (GOOD + frames.frame(frames.DATA, 8, 1, b"\x05ab"), frames.PROTOCOL),
        (GOOD + data(1, b"") + data(1, b""), frames.STREAM_CLOSED),
        (frames.frame(frames.PING, 0, 0, b"short"), frames.FRAME_SIZE),
        (frames.frame(frames.SETTINGS, 0, 0, b"short"), frames.FRAME_SIZE),
        (frames.frame(frames.SETTINGS, 0, 0, bytes.fromhex("0004ffffffff")), frames.FLOW),
        (frames.frame(frames.SETTINGS, 0, 0, bytes.fromhex("000500000001")), frames.PROTOCOL),
        (frames.window(0, 0), frames.PROTOCOL),
        (frames.window(0, frames.WHOLE), frames.FLOW),
        (frames.window(9, 1), frames.PROTOCOL),
        (frames.frame(frames.WINDOW, 0, 0, b"x"), frames.FRAME_SIZE),
        (frames.reset(1, 0), frames.PROTOCOL),
        (frames.frame(frames.PROMISE, 0, 1, bytes(4)), frames.PROTOCOL),
        ((LARGEST_FRAME + 1).to_bytes(3, "big") + bytes(6), frames.FRAME_SIZE),
    ],
)  # fmt: skip
def test_who_breaks_the_protocol_is_told_and_harms_no_other(server, raw, sent, code):
    raw.send(sent)
    if code is None:  # half of a call is no fault yet
        raw.send(frames.frame(frames.CONTINUATION, 4, 1, b""), data(1, request()))
        assert raw.answer(1)[0]["grpc-status"] == "0"
    else:
        assert raw.goaway()[1] == code
        while raw.next() is not None:
            pass
    with Raw(server.port) as other:
        other.send(headers(1), data(1, request()))
        assert other.answer(1)[0]["grpc-status"] == "0"
    assert not server.errors


def test_answers_wait_for_the_clients_windows(server):
    begin = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, bytes.fromhex("00040000000a"))  # 10 bytes
    rows = np.arange(400, dtype=np.float32).reshape(100, 4)
    with Raw(server.port, begin) as raw:
        raw.send(headers(1), data(1, request(rows=rows)), headers(3), data(3, request()))
        content = {1: b"", 3: b""}
        while min(map(len, content.values())) < 10:
            kind, _, stream, came = raw.next()
            if kind == frames.DATA:
                content[stream] += came
        assert all(len(each) == 10 for each in content.values())
        raw.send(frames.frame(frames.PING, 0, 0, b"anything"))
        assert raw.next() == (frames.PING, frames.ACK, 0, b"anything")  # and no further data
        raw.send(frames.window(1, 100_000))
        told, more = raw.answer(1)
        assert told["grpc-status"] == "0"
        np.testing.assert_array_equal(rows_of(content[1] + more), rows)
        raw.send(
            frames.frame(frames.SETTINGS, 0, 0, bytes.fromhex("000400010000"))
        )  # for the open one as well
        np.testing.assert_array_equal(rows_of(content[3] + raw.answer(3)[1]), ROWS)


def test_a_stream_that_is_not_taken_is_not_read_further():
    large = request("slow", np.zeros((12_500, 4), np.float32))  # 200 kB
    with running(limits=GrpcLimits(stream_calls=1)) as server, Raw(server.port) as raw:
        path = block(SERVICE + "ModelStreamInfer")
        raw.send(
            headers(1, content=path), *(data(1, large[at : at + 100_000], 0) for at in (0, 100_000, 200_000))
        )
        raw.send(*(data(1, large, 0) for _ in range(80)))
        assert raw.goaway()[1] == frames.FLOW
        assert len(server.engine.calls) == 1


def test_calls_given_up_are_cancelled_and_too_many_at_once_end_the_connection():
    with running(limits=GrpcLimits(abandoned=50)) as server:
        with Raw(server.port) as raw:
            server.engine.cancelled.clear()
            raw.send(headers(1), data(1, request("slow")))
            until(lambda: server.engine.calls)
            raw.send(frames.reset(1, frames.CANCEL))
            assert server.engine.cancelled.wait(10)
            for stream in range(3, 300, 2):
                raw.send(headers(stream), data(stream, request("slow")), frames.reset(stream, frames.CANCEL))
            assert raw.goaway()[1] == frames.CALM
        until(lambda: not server.server._house.calls)
        assert server.server._house.held == 0


def test_who_is_slow_is_given_up():
    limits = GrpcLimits(request_seconds=0.15, begin_seconds=0.3, keepalive_seconds=0.3, send_seconds=0.3)
    with running(limits=limits) as server:
        with Raw(server.port, frames.PREFACE[:5]) as silent:
            assert silent.until(frames.SETTINGS)
            while silent.next() is not None:
                pass
        with Raw(server.port) as raw:
            raw.send(headers(1), data(1, request()[:9], 0))
            assert raw.answer(1)[0]["grpc-status"] == "4"
            raw.send(headers(3), data(3, request("slow")))
            assert raw.until(frames.PING)[1] == 0  # whether it is there
            while raw.next() is not None:
                pass
        assert server.engine.cancelled.wait(10)
        begin = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, bytes.fromhex("000400000000"))
        with Raw(server.port, begin) as raw:  # it takes nothing
            raw.send(headers(1), data(1, request()))
            raw.until(frames.HEADERS)
            while raw.next() is not None:
                pass


def test_what_is_held_is_bounded_and_small_requests_are_answered_all_the_same():
    with running(limits=GrpcLimits(messages_bytes=300_000)) as server, Raw(server.port) as raw:
        half = frames.message(bytes(400_000))[:200_000]
        raw.send(headers(1), data(1, half, 0), headers(3), data(3, half, 0))
        assert raw.answer(3)[0]["grpc-status"] == "8"
        raw.send(headers(5), data(5, request()))
        assert raw.answer(5)[0]["grpc-status"] == "0"


def test_connections_beyond_the_limit_are_closed():
    with running(limits=GrpcLimits(connections=1)) as server, Raw(server.port) as first:
        first.until(frames.SETTINGS)
        with Raw(server.port) as second:
            assert second.next() is None
        first.send(headers(1), data(1, request()))
        assert first.answer(1)[0]["grpc-status"] == "0"


def test_moving_on_is_said_twice():
    with running() as server, Raw(server.port) as raw:
        raw.send(headers(1), data(1, request("slow", seconds=0.4)))
        until(lambda: server.engine.calls)
        began = time.perf_counter()
        drained = server.drain(20)
        assert raw.goaway() == (frames.WHOLE, frames.NO_ERROR)
        ping = raw.until(frames.PING)[3]
        raw.send(headers(3), data(3, request()))  # it was on its way
        assert raw.answer(3)[0]["grpc-status"] == "0"
        raw.send(frames.frame(frames.PING, frames.ACK, 0, ping))
        assert raw.goaway() == (3, frames.NO_ERROR)
        raw.send(headers(5), data(5, request()))  # its client begins it anew elsewhere
        assert raw.answer(1)[0]["grpc-status"] == "0"
        assert raw.next() is None
        drained.result(20)
        assert time.perf_counter() - began < 1.9 and len(server.engine.calls) == 2


@pytest.mark.parametrize("dead", [False, True])
def test_idle_clients_hold_nothing_up(dead):
    with running() as server, contextlib.ExitStack() as clients:
        for _ in range(4):
            if dead:  # it never says anything
                clients.enter_context(Raw(server.port)).until(frames.SETTINGS)
            else:
                client = clients.enter_context(triton.InferenceServerClient(server.address))
                client.infer("product", [tensor("x", ROWS)])
        began = time.perf_counter()
        server.drain(20).result(20)
        assert time.perf_counter() - began < (1.9 if dead else 0.9)


def test_rubbish_harms_no_other():
    chance = np.random.default_rng(11)
    kinds = [frames.DATA, frames.HEADERS, frames.RESET, frames.SETTINGS, frames.PING, frames.WINDOW, 9, 2, 7]
    with running() as server, Raw(server.port) as steady:
        for turn in range(1, 120):
            with Raw(server.port) as raw:
                for _ in range(6):
                    content = block() if chance.random() < 0.4 else chance.bytes(int(chance.integers(0, 40)))
                    kind, flags = int(chance.choice(kinds)), int(chance.choice([0, 1, 4, 5, 8, 13, 36, 255]))
                    raw.send(frames.frame(kind, flags, int(chance.integers(0, 6)), content))
            if not turn % 10:
                steady.send(headers(2 * turn + 1), data(2 * turn + 1, request()))
                assert steady.answer(2 * turn + 1)[0]["grpc-status"] == "0"
        assert not server.errors
        until(lambda: server.server.connections == 1)
        assert server.server._house.held == 0 == server.server._house.calls
