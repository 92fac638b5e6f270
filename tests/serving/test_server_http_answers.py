"""Answers: in order, with and without waiting, to clients that leave, to clients that do not read."""

import asyncio
import gzip
import random
import zlib

import pytest
from raw_http import client_of, echoing, get, post, served, until

from tradewind import clock
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.answers import Answers
from tradewind.serving.server.http.household import Household, log_error
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes


def test_pipelined_answers_come_in_order_whether_they_wait_or_not():
    async def sometimes(request: Request) -> Response:
        for _ in range(int(request.query)):
            await asyncio.sleep(0.001)
        return Response(200, request.query.encode())

    chance = random.Random(3)
    waits = [chance.choice([0, 0, 1, 3]) for _ in range(300)]

    async def main():
        async with served(echoing(("GET", "/some", sometimes)), Limits(pipelined=4)) as (_, client):
            client.send(*(get(f"/some?{wait}") for wait in waits))
            assert [int((await client.reply()).body) for _ in waits] == waits

    clock.serve(main())


def test_one_client_that_pipelines_does_not_keep_the_others_waiting():
    order = []

    async def note(request: Request) -> Response:
        order.append(request.query)
        return Response(200, b"")

    async def main():
        async with served(echoing(("GET", "/note", note)), Limits(pipelined=1000)) as (server, greedy):
            modest = await client_of(server)
            await modest.ask(get("/note?warm"))
            greedy.send(get("/note?greedy") * 500)
            modest.send(get("/note?modest"))
            assert (await modest.reply()).status == 200
            for _ in range(500):
                assert (await greedy.reply()).status == 200

    clock.serve(main())
    assert order.index("modest") < 300


def test_what_handlers_raise():
    told = []

    async def refuses(request: Request) -> Response:
        raise Refusal(RefusalKind.OVERLOADED, "full", retry_after=2.5)

    async def refuses_later(request: Request) -> Response:
        await asyncio.sleep(0)
        raise Refusal(RefusalKind.DEADLINE_PASSED, "late")

    async def breaks(request: Request) -> Response:
        raise ZeroDivisionError("secret")

    async def breaks_later(request: Request) -> Response:
        await asyncio.sleep(0)
        raise ZeroDivisionError("secret")

    async def cancels(request: Request) -> Response:
        raise asyncio.CancelledError

    async def cancels_later(request: Request) -> Response:
        waits = asyncio.get_running_loop().create_future()
        waits.cancel()
        return await waits

    async def nothing(request: Request) -> Response:
        return None

    async def injects(request: Request) -> Response:
        return Response(200, headers=(("X", "a\r\nY: b"),))

    def no_coroutine(request: Request) -> Response:
        return Response(200)

    async def main():
        handlers = {
            refuses: 429,
            refuses_later: 504,
            breaks: 500,
            breaks_later: 500,
            cancels: 503,
            cancels_later: 503,
            nothing: 500,
            injects: 500,
            no_coroutine: 500,
        }
        routes = echoing(*(("GET", f"/{handler.__name__}", handler) for handler in handlers))
        async with served(routes, on_error=lambda request, error: told.append((request.path, error))) as (
            _,
            client,
        ):
            for handler, status in handlers.items():
                reply = await client.ask(get(f"/{handler.__name__}"))
                assert reply.status == status, handler
                assert b"secret" not in reply.body
                assert reply.headers.get("retry-after") == ("3" if status == 429 else None)
                assert (await client.ask(post("/echo", b"on"))).body == b"on"

    clock.serve(main())
    assert [path for path, _ in told] == ["/breaks", "/breaks_later", "/nothing", "/injects", "/no_coroutine"]


def test_a_broken_shape_of_errors_is_not_the_end():
    def shape(status: int, message: str, request: Request) -> Response:
        raise KeyError(status)

    async def breaks(request: Request) -> Response:
        raise ValueError

    def tell(request: Request, error: Exception) -> None:
        told.append(type(error))
        raise RuntimeError

    told = []
    routes = echoing(("GET", "/bad/breaks", breaks))
    routes.errors("/bad", shape)

    async def main():
        async with served(routes, on_error=tell) as (_, client):
            assert (await client.ask(get("/bad/none"))).status == 500
            assert (await client.ask(get("/bad/breaks"))).status == 500
            assert (await client.ask(post("/echo", b"on"))).body == b"on"

    clock.serve(main())
    assert told == [KeyError, ValueError, KeyError]


def test_a_task_at_once_where_a_handler_asks_for_one():
    async def hurries(request: Request) -> Response:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)

    async def main():
        routes = Routes()
        routes.add("GET", "/task", hurries, task=True)
        routes.add("GET", "/none", hurries)
        told = []
        async with served(routes, on_error=lambda request, error: told.append(error)) as (_, client):
            assert (await client.ask(get("/task"))).status == 500
            assert (await client.ask(get("/none"))).status == 500
        assert [type(error) for error in told] == [TimeoutError, RuntimeError]

    clock.serve(main())


@pytest.mark.parametrize("waits_first", [False, True])
def test_the_handler_of_a_client_that_is_gone_is_cancelled(waits_first):
    events = []

    async def slow(request: Request) -> Response:
        if waits_first:
            await asyncio.sleep(0)
        events.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            events.append("cancelled")
            await asyncio.sleep(0.02)
            events.append("cleaned")
            raise
        return Response(200)

    async def main():
        async with served(echoing(("GET", "/slow", slow))) as (server, client):
            client.send(get("/slow"), get("/slow"))
            await until(lambda: events)
            assert server.in_flight == 1
            client.reset()
            await until(lambda: "cleaned" in events)
            await until(lambda: server.in_flight == 0)
            assert server.connections == 0
            # Gone before the task of its handler has taken its first step.
            for _ in range(20):
                client = await client_of(server)
                client.send(get("/slow"))
                await asyncio.sleep(random.Random(1).random() / 1000)
                client.reset()
            await until(lambda: server.connections == 0 and server.in_flight == 0)

    clock.serve(main())
    assert events[:3] == ["begun", "cancelled", "cleaned"]
    assert events.count("begun") == events.count("cleaned")


def test_a_half_closed_client_is_taken_to_be_gone_after_a_while():
    ended = []

    async def slow(request: Request) -> Response:
        try:
            await asyncio.sleep(float(request.query))
        finally:
            ended.append(request.query)
        return Response(200)

    async def main():
        limits = Limits(half_closed_seconds=0.3)
        async with served(echoing(("GET", "/slow", slow)), limits) as (server, client):
            client.send(get("/slow?0.05"))
            client.writer.write_eof()
            assert (await client.reply()).status == 200
            gone = await client_of(server)
            gone.send(get("/slow?20"))
            await until(lambda: server.in_flight == 1)
            gone.close()
            await until(lambda: server.in_flight == 0, 2)
            assert ended == ["0.05", "20"]

    clock.serve(main())


def test_a_handler_that_ends_after_its_client_harms_nobody():
    async def stubborn(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return Response(200, b"for nobody")

    begun = asyncio.Event()

    async def main():
        async with served(echoing(("GET", "/stubborn", stubborn))) as (server, client):
            client.send(get("/stubborn"))
            await begun.wait()
            client.reset()
            await until(lambda: server.in_flight == 0)
            assert server.answered == {}

    clock.serve(main())


LARGE = random.Random(5).randbytes(1 << 20)


def test_a_client_that_does_not_read_is_made_no_more_answers():
    made = 0

    async def large(request: Request) -> Response:
        nonlocal made
        made += 1
        return Response(200, LARGE)

    async def main():
        limits = Limits(pipelined=4, send_seconds=0.6)
        async with served(echoing(("GET", "/large", large)), limits) as (server, client):
            client.writer.transport.pause_reading()
            client.send(get("/large") * 200)
            await until(lambda: made > 0)
            await asyncio.sleep(0.1)
            stopped = made
            assert stopped < 30
            await asyncio.sleep(0.1)
            assert made == stopped
            # Nor does the server read on for ever what it cannot answer.
            client.send(post("/echo", bytes(30_000)) * 1000)
            await asyncio.sleep(0.1)
            assert client.writer.transport.get_write_buffer_size() > 10_000_000
            # It reads after all.
            client.writer.transport.resume_reading()
            for _ in range(200):
                assert (await client.reply()).body == LARGE
            assert made == 200
            for _ in range(1000):
                assert len((await client.reply()).body) == 30_000
            # Another one never does, and is cut off.
            client = await client_of(server)
            client.writer.transport.pause_reading()
            client.send(get("/large") * 50)
            await until(lambda: server.connections == 2)
            await until(lambda: server.connections == 1, 3)

    clock.serve(main())


def test_no_more_is_read_than_can_be_answered():
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.2)
        return Response(200, b"slow")

    async def main():
        limits = Limits(pipelined=4, linger_seconds=0.1)
        async with served(echoing(("GET", "/slow", slow)), limits) as (server, client):
            broken = await client_of(server)
            client.send(get("/slow"), get("/echo", "X: " + "y" * 8000) * 2500)
            broken.send(get("/slow"), b"\x00", bytes(20_000_000))
            await asyncio.sleep(0.1)
            for each in (client, broken):
                assert each.writer.transport.get_write_buffer_size() > 10_000_000
            for each in (client, broken):
                assert (await each.reply()).body == b"slow"
            assert (await broken.reply()).status == 400
            for _ in range(2500):
                assert (await client.reply()).status == 200

    clock.serve(main())


def test_a_handler_whose_client_leaves_before_its_task_has_begun_is_not_forgotten():
    ended = []

    class Gone:
        """Stands for a transport and a connection that are closed already."""

        between = True

        def go_on(self) -> None:
            pass

    async def slow(request: Request) -> Response:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(request)

    async def main():
        settings = {"token": None, "open_paths": frozenset(), "on_error": log_error}
        house = Household(echoing(("GET", "/slow", slow)), Limits(), None, **settings)
        answers = Answers(house, Gone(), Gone())
        request = Request("GET", "/slow", "", {}, b"", 0.0)
        answers.add(request, house.routes.find("GET", "/slow").route, None, b"")
        answers.run()
        assert (answers.busy, house.in_flight) == (True, 1)
        answers.cancel()
        await until(lambda: not house.ending)
        assert (ended, house.in_flight) == ([request], 0)

    clock.serve(main())


@pytest.mark.parametrize("size", [100, 10_000, 300_000])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", ""])
def test_answers_are_compressed_above_a_size_when_asked_for(size, coding):
    body = (b"0.123, " * 50_000)[:size]
    always = Response(200, body, "text/plain")

    async def same(request: Request) -> Response:
        return always

    async def main():
        async with served(echoing(("GET", "/same", same)), Limits(compress_bytes=1000)) as (_, client):
            for _ in range(2):
                reply = await client.ask(get("/same", f"Accept-Encoding: {coding}" if coding else "X: y"))
                told = reply.headers.get("content-encoding")
                assert told == (coding if size > 1000 and coding in ("gzip", "deflate") else None)
                opened = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(told, bytes)(reply.body)
                assert opened == body

    clock.serve(main())


def test_pieces_are_sent_as_one_body():
    pieces = [b"head", memoryview(LARGE), bytearray(b"tail")]

    async def parts(request: Request) -> Response:
        return Response(200, list(pieces), "application/octet-stream")

    async def main():
        async with served(echoing(("GET", "/parts", parts))) as (_, client):
            assert (await client.ask(get("/parts"))).body == b"head" + LARGE + b"tail"
            packed = await client.ask(get("/parts", "Accept-Encoding: gzip"))
            assert gzip.decompress(packed.body) == b"head" + LARGE + b"tail"

    clock.serve(main())


def test_arrival_is_the_moment_of_the_last_byte():
    moments = []

    async def when(request: Request) -> Response:
        moments.append(request.arrived)
        return Response(200)

    async def main():
        async with served(echoing(("POST", "/when", when))) as (_, client):
            request = post("/when", b"ab")
            client.send(request[:-1])
            await asyncio.sleep(0.1)
            before = clock.now()
            await client.ask(request[-1:])
            assert before <= moments[0] <= clock.now()

    clock.serve(main())
