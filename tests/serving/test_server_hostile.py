"""Harm done to the real server: by bytes, by slowness, by models. Somebody beside it must not notice."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import socket
import threading
import time

import pytest
import troubled_models as trouble
from real_server import Beside, linear_model, python_model, real_server, rows_body, until

ASKED = b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\n"
MIB = 1 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with a quick model and a troubled one; what it says goes to a disk that is always full."""
    folder = tmp_path_factory.mktemp("models")
    linear_model(folder)
    options = (
        python_model(folder, "troubled", "Troubled"),
        "--replica-memory=400MiB", "--patience=1.5", "--memory=4GiB",
    )  # fmt: skip
    with open("/dev/full", "w") as full, real_server(folder, *options, stderr=full) as server:
        yield server
        assert server.end(within=30) == 0


@pytest.fixture
def beside(served):
    """The well-behaved client; fails the test if an answer of its was wrong or late."""
    with Beside(served.http) as client:
        yield client


def troubled(server, first: float, **headers: str):
    """What the troubled model answers to one row, and after how many seconds."""
    began = time.perf_counter()
    answer = server.post("/v2/models/troubled/infer", rows_body([[first, 1, 2, 3]]), 60.0, **headers)
    return answer, time.perf_counter() - began


def raw(server, *parts: bytes, end: bool = False) -> bytes:
    """All that comes back for some bytes, up to the end of the connection or two silent seconds."""
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), 2.0) as connection:
        found = b""
        try:
            for part in parts:
                connection.sendall(part)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(1 << 16):
                found += more
        except (TimeoutError, ConnectionError):
            pass
        return found


def test_bytes_that_are_no_request_and_bodies_that_mean_nothing(served, beside) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 300 + b"POST",
        ASKED + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        ASKED + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ASKED + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        ASKED + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        ASKED + b"Content-Length: -1\r\n\r\n",
        b"A" * 100_000,
    ):
        answer = raw(served, sent, end=True)
        assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 505"), (
            sent[:60],
            answer[:80],
        )
    for body in (
        b"", b"{", b"[]", b"null", b'{"inputs": 3}', b"\xff\xfe" * 50, b"[" * 50_000, b'{"inputs":' * 9_000,
        b'{"inputs":[{"name":"rows","shape":[1,4],"datatype":"FP32","data":[1,2,3]}]}',
        b'{"inputs":[{"name":"rows","shape":[1,5],"datatype":"FP32","data":[1,2,3,4,5]}]}',
        b'{"inputs":[{"name":"rows","shape":[0,4],"datatype":"FP32","data":[]}]}',
        b'{"inputs":[{"name":"rows","shape":[4],"datatype":"FP32","data":[1,2,3,4]}]}',
        b'{"inputs":[{"name":"rows","shape":[4611686018427387904,4],"datatype":"FP32","data":[1]}]}',
        b'{"inputs":[{"name":"rows","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}]}',
        b'{"inputs":[{"name":"rows","shape":[1,4],"datatype":"FP32","data":[1,2,3,1e400]}]}',
    ):  # fmt: skip
        status, _, said = served.post("/v2/models/linear/infer", body)
        assert status == 400 and said["error"], (body[:60], said)
    status, _, said = served.post(
        "/v2/models/linear/infer", gzip.compress(bytes(300 * MIB), 1), 30.0, Content_Encoding="gzip"
    )
    assert status == 413 and "268435456" in said["error"]
    beside.check()


def test_huge_bodies_are_bounded_and_hold_nobody_up(served, beside) -> None:
    told = raw(served, ASKED + b"Content-Length: %d\r\n\r\n" % (65 * MIB) + bytes(MIB))
    assert told.startswith(b"HTTP/1.1 413")
    rows = 120_000
    values = b"0.5,1,-2,0.25," * rows
    large = b'{"inputs":[{"name":"rows","shape":[%d,4],"datatype":"FP32","data":[%b]}]}'
    status, _, said = served.post("/v2/models/linear/infer", large % (rows, values[:-1]), 60.0)
    assert status == 200 and said["outputs"][0]["data"] == [-0.25] * rows  # 1 - 1 - 1 + 0.75
    lines = b"0.5,1,-2,0.25\n" * 30_000
    status, _, said = served.post("/models/linear/invoke", lines, 60.0, Content_Type="text/csv")
    assert status == 200 and said["predictions"] == [-0.25] * 30_000
    for path, body, text in (
        ("/v2/models/linear/infer", large % (1, b"x" * MIB), "error"),
        ("/v2/models/nothing/infer", large % (1, b"0," * MIB + b"0"), "error"),
        ("/v1/models/linear:predict", b'{"instances": [' + b"1," * MIB + b"1]}", "error"),
        ("/invocations", b'{"instances": [' + b"1," * MIB + b"1]}", "message"),
    ):
        status, _, said = served.post(path, body, 60.0)
        assert status in (400, 404) and said[text], (path, said)
    beside.check()


def test_bodies_of_many_that_never_end_do_not_fill_the_memory(served, beside) -> None:
    host, port = served.http.split(":")
    before, opened = served.memory(), []
    part = bytes(16 * MIB)
    try:
        for _ in range(14):
            connection = socket.create_connection((host, int(port)), 5.0)
            opened.append(connection)
            connection.sendall(ASKED + b"Content-Length: %d\r\n\r\n" % (64 * MIB))
            for _ in range(3):
                connection.sendall(part)
        refused = [connection.recv(1 << 16) for connection in opened[-3:]]
        assert all(each.startswith(b"HTTP/1.1 503") and b"Retry-After: 1" in each for each in refused)
        # 14 times 48 MiB are more than the 512 MiB that all may send together
        assert served.memory() - before < 900 * MIB
    finally:
        for connection in opened:
            connection.close()
    until(lambda: served.memory() - before < 500 * MIB)
    status, _, _ = served.post("/v2/models/linear/infer", bytes(32 * MIB), 20.0)
    assert status == 400  # there is room again: it was read
    beside.check()


def test_slow_and_half_closed_clients(served, beside) -> None:
    host, port = served.http.split(":")
    slow = [socket.create_connection((host, int(port)), 5.0) for _ in range(200)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(ASKED[: 1 + number % len(ASKED)])
        body = json.dumps(rows_body([[1, 2, 3, 4]])).encode()
        whole = ASKED + b"Content-Length: %d\r\n\r\n" % len(body) + body
        assert raw(served, whole, end=True).endswith(b'"data":[13.5]}]}')  # half-closed, and still answered
        assert raw(served, *(whole[at : at + 1] for at in range(len(whole))), end=True).count(b"13.5") == 1
        assert raw(served, ASKED + b"Content-Length: 50\r\n\r\n{", end=True).startswith(b"HTTP/1.1 400")
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 400
        deaf = socket.create_connection((host, int(port)), 5.0)  # asks for megabytes and reads nothing
        slow.append(deaf)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            deaf.sendall(asked * 20)
        for connection in slow[:50]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        beside.check()
    finally:
        for connection in slow:
            connection.close()


def test_a_model_that_raises_answers_wrongly_or_dies(served, beside) -> None:
    """Another model beside it is not slower for it; its own callers wait for a new process at the most."""
    for what, said in ((trouble.RAISE, "no such row"), (trouble.WRONG, "1 rows came in and 2 go out")):
        (status, _, told), _ = troubled(served, what)
        assert status == 500 and said in told["error"]
    own: list[int] = []
    innocent = threading.Thread(target=lambda: own.extend(troubled(served, 1.0)[0][0] for _ in range(30)))
    innocent.start()
    (status, _, told), _ = troubled(served, trouble.CRASH)
    assert status == 500 and "SIGSEGV" in told["error"]
    (status, _, told), _ = troubled(served, trouble.LEAVE)
    assert status == 500 and "exited with 3" in told["error"]
    innocent.join(60)
    assert own == [200] * 30
    beside.check()


def test_a_model_that_hangs(served, beside) -> None:
    hung: list = []
    first = threading.Thread(target=lambda: hung.append(troubled(served, trouble.HANG)))
    first.start()
    threading.Event().wait(0.3)
    (status, _, told), seconds = troubled(served, 1.0, X_Request_Timeout_Ms="200")
    assert status == 504 and seconds < 1.0, told
    (status, _, _), seconds = troubled(served, 1.0)  # waits for the new process
    assert status == 200
    first.join(20)
    (status, _, told), seconds = hung[0]
    assert status == 500 and "longer than 1.5 s" in told["error"] and seconds < 5.0
    beside.check()


def test_a_model_that_leaks_is_replaced_before_it_is_too_big(served, beside) -> None:
    seen = set()
    for _ in range(10):
        (status, _, _), _ = troubled(served, trouble.LEAK)
        assert status == 200
        seen |= set(served.replicas())
        for replica in served.replicas():
            try:
                with open(f"/proc/{replica}/statm") as counts:
                    assert int(counts.read().split()[1]) * 4096 < 600 * MIB
            except (FileNotFoundError, ProcessLookupError):
                pass
    assert len(seen) > 1
    assert troubled(served, 1.0)[0][0] == 200
    beside.check()


def test_a_replica_that_is_killed_is_replaced_although_nothing_can_be_logged(served, beside) -> None:
    assert troubled(served, 1.0)[0][0] == 200
    (victim,) = served.replicas()
    os.kill(victim, signal.SIGKILL)
    assert troubled(served, 1.0)[0][0] == 200
    assert served.replicas() != [victim]
    beside.check()
