"""A load asked for again: its course, and a client that asks whatever the others take."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from tradewind import clock
from tradewind.data.request_traces import RequestTrace
from tradewind.errors import Misuse, Permanent
from tradewind.session.replayed_load import Load, Question, Replayed, Replaying, ask, moments, replay

QUESTIONS = tuple(Question(msgspec.json.encode({"x": each}).decode(), (float(each),)) for each in range(3))


def trace_of(counts) -> RequestTrace:
    return RequestTrace("made up", 0.0, 60.0, np.array(counts, float))


def test_requests_follow_the_course() -> None:
    found = moments(trace_of([100, 300, 0, 600]), 8.0, 1000.0)
    assert len(found) == 1000 and np.all(np.diff(found) >= 0) and found[0] >= 0 and found[-1] <= 8
    counts = np.histogram(found, bins=[0, 2, 4, 6, 8])[0]
    assert counts[2] == 0 and counts == pytest.approx([100, 300, 0, 600], abs=60)
    assert np.array_equal(found, moments(trace_of([100, 300, 0, 600]), 8.0, 1000.0))
    assert not np.array_equal(found, moments(trace_of([100, 300, 0, 600]), 8.0, 1000.0, seed=1))


@pytest.mark.parametrize(("counts", "seconds", "requests"), [([0, 0], 8.0, 5), ([1], 0.0, 5), ([1], 8.0, 0)])
def test_a_course_that_is_none(counts, seconds, requests) -> None:
    with pytest.raises(Misuse, match="nothing to ask"):
        moments(trace_of(counts), seconds, requests)


class Server:
    """Answers what it is told to, `behave` by the number of the request: a wait, a status and a body."""

    def __init__(self, behave) -> None:
        self._behave, self.requests, self.connections = behave, [], 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                body = msgspec.json.decode(await reader.readexactly(length))
                self.requests.append((head.split(b"\r\n")[0], body))
                wait, status, answer = self._behave(len(self.requests) - 1, body["x"])
                await asyncio.sleep(wait)
                if status is None:
                    break
                told = msgspec.json.encode({"outputs": [{"name": "y", "data": [answer]}]})
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(told), told))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def asked(behave, at, **options) -> tuple[Replayed, Server]:
    async def main():
        async with Server(behave) as server:
            load = Load(
                host="127.0.0.1", port=server.port, model="m", output="y", moments=at, questions=QUESTIONS
            )
            found = await ask(replace(load, **options))
            await asyncio.sleep(0.05)
            return found, server

    return clock.serve(main())


def test_every_request_and_every_answer() -> None:
    found, server = asked(lambda number, x: (0.0, b"200 OK", x), tuple(0.01 * at for at in range(10)))
    assert (found.asked, found.right, found.wrong, found.failed, found.problem) == (10, 10, 0, 0, "")
    assert [body["x"] for _, body in server.requests] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert {head for head, _ in server.requests} == {b"POST /v2/models/m/infer HTTP/1.1"}
    assert len(found.took) == 10 and list(found.took) == sorted(found.took) and found.took[0] > 0
    assert found.in_time(10.0) == 1.0 and found.in_time(0.0) == 0.0


def test_wrong_ones_refused_ones_and_silence_are_told_apart() -> None:
    kinds = [(0.0, b"200 OK", 7.5), (0.0, b"429 Too Many Requests", 0), (0.0, None, 0), (5.0, b"200 OK", 0)]

    def behave(number, x):
        return kinds[number] if number < 4 else (0.0, b"200 OK", x)

    found, _ = asked(behave, tuple(0.03 * at for at in range(6)), patience=0.4)
    assert (found.asked, found.right, found.wrong, found.failed) == (6, 2, 1, 3)
    assert found.problem.startswith("HTTP/1.1 429") and found.in_time(1.0) == pytest.approx(2 / 6)


def test_it_asks_whatever_the_others_take() -> None:
    """Each takes 0.4 s and ten come within 0.1 s: all are out before the first is back."""
    found, server = asked(lambda number, x: (0.4, b"200 OK", x), tuple(0.01 * at for at in range(10)))
    assert found.right == 10 and server.connections == 10
    assert found.took[0] >= 0.39 and found.took[-1] < 1.2
    assert found.quantile(0.5) == found.took[4] and found.quantile(0.99) == found.took[9]


def test_a_stall_of_the_client_counts() -> None:
    """What was due earlier than it could be sent has waited since."""
    found, _ = asked(lambda number, x: (0.0, b"200 OK", x), (-0.5, 0.0))
    assert found.behind >= 0.5 and found.took[-1] >= 0.5


def test_in_a_process_of_its_own() -> None:
    load = Load(
        host="127.0.0.1", port=1, model="m", output="y", moments=(0.0, 0.01), questions=QUESTIONS
    )  # nobody listens there
    found = replay(load)
    assert (found.asked, found.failed, found.right) == (2, 2, 0) and "1" in found.problem
    assert found.quantile(0.5) is None
    endless = Replaying(replace(load, moments=(600.0,)))
    endless.end()
    with pytest.raises(Permanent, match="ended with -9"):
        endless.result()
    with pytest.raises(Permanent, match="the client ended with 1: "):
        replay(replace(load, questions=()))
