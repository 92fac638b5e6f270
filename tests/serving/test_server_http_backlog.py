"""Who waits for the processor: in which order, for how long, and what becomes of the bytes of the refused."""

import asyncio
import contextlib
import json
import random

import pytest
from raw_http import client_of, echoing, get, post, served, until

from tradewind import clock
from tradewind.serving.server.http.backlog import Backlog, Heads
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Response

PLAIN = post("/v2/models/m/infer", b"{}", "User-Agent: x", "Connection: keep-alive")


class Worked:
    """A connection whose requests take `seconds` of the processor, and a tenth of that where refused."""

    def __init__(self, name, told, seconds):
        self.name, self.told, self.seconds = name, told, seconds

    def take(self, data, came):
        self._told("answered", self.seconds)

    def turn_away(self, data, came):
        self._told("refused", self.seconds / 10)

    def _told(self, what, seconds):
        asyncio.get_running_loop().jump(seconds)
        self.told.append((what, self.name))


def test_the_oldest_first_then_the_newest_and_who_cannot_be_in_time_is_refused():
    async def main():
        told = []
        backlog = Backlog(asyncio.get_running_loop(), 1.0)
        for name in range(30):
            backlog.add(Worked(name, told, 0.125), b"", clock.now())
        while backlog:
            await asyncio.sleep(0)
        return told

    # By hand: begun at 0, 1/8 ... 1/2 in order, at 5/8 ... 1 the newest; at 9/8 all have waited for too long.
    answered = [0, 1, 2, 3, 4, 29, 28, 27, 26]
    refused = list(range(5, 26))
    assert clock.simulate(main()) == [
        *(("answered", name) for name in answered),
        *(("refused", name) for name in refused),
    ]


def test_refusals_take_a_fiftieth_of_the_time_while_others_can_be_in_time():
    seconds = 1 / 256

    async def main():
        told = []
        backlog = Backlog(asyncio.get_running_loop(), 1.0)
        for number in range(3000):  # five come in the time that one takes
            for _ in range(5):
                backlog.add(Worked(number, told, seconds), b"", clock.now())
            turn = len(told)
            while len(told) == turn:
                await asyncio.sleep(0)
        return told

    told = clock.simulate(main())
    answered = sum(what == "answered" for what, _ in told)
    refused = len(told) - answered
    assert refused * seconds / 10 <= 0.02 * answered * seconds + 0.005
    assert refused >= 0.18 * answered  # and it is used


def test_a_turn_of_the_loop_that_lasts_is_noticed_and_a_short_one_is_not():
    async def main():
        loop = asyncio.get_running_loop()
        backlog = Backlog(loop, 1.0)
        for _ in range(100):
            assert not backlog.defers(clock.now())
            loop.jump(0.004)
            await asyncio.sleep(0)
        found = []
        for _ in range(20):
            found.append(backlog.defers(clock.now()))
            loop.jump(0.001)
        await asyncio.sleep(0)
        assert not backlog.defers(clock.now())
        return found

    found = clock.simulate(main())
    assert found == sorted(found) and any(found) and not any(found[:6])


def test_who_has_left_is_passed_over_and_an_error_stops_nobody_else():
    async def main():
        loop, told, problems = asyncio.get_running_loop(), [], []
        loop.set_exception_handler(lambda loop, context: problems.append(context["exception"]))
        backlog = Backlog(loop, 1.0)
        backlog.add(Worked("left", told, 0.0), b"", clock.now()).reader = None
        backlog.add(Worked("wrong", None, 0.0), b"", clock.now())
        backlog.add(Worked("right", told, 0.0), b"", clock.now())
        await asyncio.sleep(0.1)
        assert told == [("answered", "right")] and not backlog
        (problem,) = problems
        assert isinstance(problem, AttributeError)

    clock.simulate(main())


def test_what_is_plain_is_known_by_its_head():
    heads = Heads()
    head = heads.of(PLAIN)
    assert (head.target, head.size) == ("/v2/models/m/infer", 2)
    assert heads.of(PLAIN[:-2] + b"[]") is head
    assert heads.of(post("/", b"")).size == 0


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN + b"P",
        PLAIN + PLAIN,
        PLAIN[:20],
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"POST /", b"POST x/"),
        PLAIN.replace(b"Host: test\r\n", b""),
        PLAIN.replace(b"keep-alive", b"close"),
        PLAIN.replace(b"keep-alive", b"keep-alive, upgrade"),
        PLAIN.replace(b"User-Agent: x", b"Expect: 100-continue"),
        PLAIN.replace(b"User-Agent: x", b"Upgrade: h2c"),
        PLAIN.replace(b"User-Agent: x", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"User-Agent: x", b"content-length: 2"),
        PLAIN.replace(b"User-Agent: x", b"Content-Length : 2"),
        PLAIN.replace(b"User-Agent: x", b"User-Agent: x\r\n Content-Length: 9"),
        PLAIN.replace(b"User-Agent: x", b"X: y\nContent-Length: 9"),
        PLAIN.replace(b"User-Agent: x", b"X: y\rz"),
        PLAIN.replace(b"Length: 2", b"Length: +2"),
        PLAIN.replace(b"Length: 2", b"Length: 2, 2"),
        PLAIN.replace(b"Content-Length: 2\r\n", b""),
    ],
)
def test_what_anybody_could_frame_otherwise_is_not_plain(data):
    assert data != PLAIN
    assert Heads().of(data) is None


class Held(Backlog):
    """Keeps what comes until the test says what becomes of it."""

    def __init__(self, loop):
        super().__init__(loop, 1.0)
        self.held = []

    def defers(self, now):
        return True

    def add(self, reader, data, now):
        self.held.append(super().add(reader, data, now))
        self._waiting.clear()
        return self.held[-1]

    async def next(self):
        """The next that comes."""
        await until(lambda: self.held)
        return self.held.pop()

    async def refuse(self):
        """Refuse the next that comes."""
        found = await self.next()
        found.reader.turn_away(found.data, found.came)


@contextlib.asynccontextmanager
async def held(**settings):
    async with served(echoing(("GET", "/text", text)), Limits(stale_seconds=1.0), **settings) as (
        server,
        client,
    ):
        backlog = server._house.backlog = Held(asyncio.get_running_loop())
        yield server, client, backlog


async def text(request):
    return Response(200, b"text", "text/plain")


def is_refusal(reply):
    told = json.loads(reply.body)["error"]
    return reply.status == 429 and reply.headers["retry-after"] == "1" and "in time" in told


def test_who_is_refused_keeps_the_connection_and_who_is_taken_is_answered_as_ever():
    async def main():
        async with held(on_turned_away=lambda: told.append(1)) as (server, client, backlog):
            for _ in range(3):
                client.send(post("/v2/a", b"refused"))
                await backlog.refuse()
                assert is_refusal(await client.reply())
                client.send(post("/v2/a", b"taken"))
                waiting = await backlog.next()
                waiting.reader.take(waiting.data, waiting.came)
                assert (await client.reply()).body == b"taken"
            assert server.answered == {429: 3, 200: 3} and server.connections == 1
            client.send(post("/v2/a", b"1"), post("/v2/a", b"2"))
            await backlog.refuse()
            assert is_refusal(await client.reply()) and is_refusal(await client.reply())
        assert len(told) == 5

    told = []
    clock.serve(main())


def test_what_is_not_asked_with_post_is_answered_however_late():
    async def main():
        async with held() as (_, client, backlog):
            assert (await client.ask(get("/text"))).body == b"text"  # at once
            assert not backlog.held
            client.send(post("/v2/a", b"1"), get("/text"), post("/v2/a", b"2"))
            await backlog.refuse()
            assert is_refusal(await client.reply())
            assert (await client.reply()).body == b"text"
            assert is_refusal(await client.reply())

    clock.serve(main())


@pytest.mark.parametrize("seed", range(3))
def test_every_request_has_its_answer_in_its_turn_however_it_is_cut_and_whatever_becomes_of_it(seed):
    chance = random.Random(seed)
    requests = []
    for number in range(100):
        body = str(number).encode()
        kinds = (
            (body, post("/v2/a", body)),
            (b"text", get("/text")),
            (body, post("/echo", body, "X: Content-Length")),
            (body * 2000, post("/echo", body * 2000)),
        )
        requests.append(chance.choice(kinds))

    async def decide(backlog):
        while True:
            waiting = await backlog.next()
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if waiting.reader is not None:
                do = waiting.reader.take if chance.random() < 0.5 else waiting.reader.turn_away
                do(waiting.data, waiting.came)

    async def main():
        async with held() as (_, client, backlog):
            deciding = asyncio.create_task(decide(backlog))
            sending = asyncio.create_task(send(client))
            seen = set()
            for body, request in requests:
                reply = await client.reply()
                seen.add(reply.status)
                assert reply.body == body or (request.startswith(b"POST") and is_refusal(reply))
            await sending
            deciding.cancel()
            return seen

    async def send(client):
        at = 0
        while at < len(requests):  # a few together, and those in pieces
            count = chance.randint(1, 3)
            part = b"".join(request for _, request in requests[at : at + count])
            cuts = sorted(chance.randrange(len(part)) for _ in range(chance.choice((0, 0, 1, 3))))
            for begin, end in zip([0, *cuts], [*cuts, len(part)], strict=True):
                client.send(part[begin:end])
                await asyncio.sleep(0.001)
            at += count

    assert clock.serve(main()) == {200, 429}


def test_who_is_refused_with_a_large_body_half_sent_is_told_and_let_go():
    async def main():
        async with held() as (_, client, backlog):
            client.send(post("/v2/a", b"x" * 1_000_000)[:300_000])
            await until(lambda: backlog.held and len(backlog.held[0].data) > 64 * 1024)
            await asyncio.sleep(0.02)
            assert len(backlog.held[0].data) < 600_000  # reading has stopped
            await backlog.refuse()
            reply = await client.reply()
            assert is_refusal(reply) and reply.headers["connection"] == "close"
            assert await client.is_closed()

    clock.serve(main())


def test_who_is_refused_with_a_body_in_chunks_is_told_and_let_go():
    async def main():
        async with held() as (_, client, backlog):
            head = b"POST /v2/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.send(head + b"1\r\nx\r\n0\r\n\r\n")
            await backlog.refuse()
            reply = await client.reply()
            assert is_refusal(reply) and reply.headers["connection"] == "close"
            assert await client.is_closed()

    clock.serve(main())


def test_a_client_that_ends_its_side_or_leaves_while_it_waits():
    async def main():
        async with held() as (server, client, backlog):
            for refuses in (True, False):
                half = await client_of(server)
                half.send(post("/v2/a", b"last"))
                half.writer.write_eof()
                waiting = await backlog.next()
                await asyncio.sleep(0.01)
                do = waiting.reader.turn_away if refuses else waiting.reader.take
                do(waiting.data, waiting.came)
                reply = await half.reply()
                assert is_refusal(reply) if refuses else reply.body == b"last"
                assert await half.is_closed()
            client.send(post("/v2/a", b"nobody"))
            waiting = await backlog.next()
            client.reset()
            await until(lambda: server.connections == 0)
            assert waiting.reader is None

    clock.serve(main())


def test_a_server_that_stops_still_answers_who_waits_and_lets_nobody_expire():
    async def main():
        async with held() as (server, client, backlog):
            client.send(post("/v2/a", b"late"))
            waiting = await backlog.next()
            draining = asyncio.create_task(server.drain(5.0, 0.02))
            await asyncio.sleep(0.1)
            assert server.connections == 1
            waiting.reader.turn_away(waiting.data, waiting.came)
            reply = await client.reply()
            assert is_refusal(reply) and reply.headers["connection"] == "close"
            assert await draining

    clock.serve(main())


def test_where_more_comes_than_can_be_answered_some_are_answered_and_everybody_is_told():
    async def busy(request):
        took = clock.stopwatch()
        while took() < 0.008:
            pass
        return Response(200, request.body)

    async def main():
        routes = echoing(("POST", "/busy", busy))
        async with served(routes, Limits(stale_seconds=0.16)) as (server, first):
            clients = [first, *[await client_of(server) for _ in range(49)]]
            for client in clients:
                client.send(post("/busy", b"1"))  # 0.4 s of work, of which 0.12 s are in time
            replies = [await client.reply() for client in clients]
            assert {reply.status for reply in replies} == {200, 429}
            assert all(reply.status == 200 or is_refusal(reply) for reply in replies)
            assert sum(reply.status == 200 for reply in replies) >= 8
            for client in clients[::9]:
                assert (await client.ask(post("/echo", b"after"))).body == b"after"
        async with served(routes) as (server, first):  # where nothing is promised nobody is refused
            clients = [first, *[await client_of(server) for _ in range(24)]]
            for client in clients:
                client.send(post("/busy", b"1"))
            assert {(await client.reply()).status for client in clients} == {200}

    clock.serve(main())
