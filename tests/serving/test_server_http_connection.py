"""One connection: framing, limits, slow and broken clients. All over real sockets."""

import asyncio
import gzip
import json
import os
import random
import zlib

import pytest
from raw_http import client_of, echoing, get, post, served, until

from tradewind import clock
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Response

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_keep_alive_and_decoded_paths():
    async def main():
        async with served() as (server, client):
            for number in range(5):
                body = b"x" * number
                reply = await client.ask(post(f"/v2/a%2F{number}?q=%20", body))
                assert reply.status == 200
                assert reply.body == body
                assert reply.headers["x-path"] == f"/v2/a/{number}"
                assert reply.headers["x-query"] == "q=%20"
                assert reply.headers["content-type"] == "application/octet-stream"
                assert reply.headers["date"].endswith(" GMT")
                assert "connection" not in reply.headers
            assert server.connections == 1
            assert server.answered == {200: 5}

    clock.serve(main())


def test_whatever_way_a_request_is_cut():
    request = (
        post("/echo", b"hello", "X-Long: " + "y" * 50)
        + CHUNKED
        + b"3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n"
    )

    async def main():
        async with served() as (_, client):
            for size in (1, 2, 3, 7, 40, 1000):
                for start in range(0, len(request), size):
                    client.send(request[start : start + size])
                    await asyncio.sleep(0)
                assert (await client.reply()).body == b"hello"
                assert (await client.reply()).body == b"abcd"

    clock.serve(main())


def test_head_says_what_get_would_and_no_body():
    async def main():
        async with served(echoing(("GET", "/text", text))) as (_, client):
            client.send(get("/text", method="HEAD"), get("/text"))
            head = await client.reply(bodiless=True)
            assert (head.status, head.headers["content-length"]) == (200, "4")
            assert (await client.reply()).body == b"text"

    async def text(request):
        return Response(200, b"text", "text/plain")

    clock.serve(main())


@pytest.mark.parametrize(
    ("version", "header", "told"),
    [
        ("1.1", "X: y", None),
        ("1.1", "Connection: close", "close"),
        ("1.1", "Connection: x, Close", "close"),
        ("1.0", "X: y", "close"),
        ("1.0", "Connection: keep-alive", "keep-alive"),
    ],
)
def test_when_a_connection_is_kept(version, header, told):
    async def main():
        async with served() as (_, client):
            reply = await client.ask(post("/echo", b"a", header, version=version))
            assert (reply.status, reply.body) == (200, b"a")
            assert reply.headers.get("connection") == told
            if told == "close":
                assert await client.is_closed()
            else:
                assert (await client.ask(post("/echo", b"b"))).body == b"b"

    clock.serve(main())


def test_expect_continue():
    async def main():
        async with served(limits=Limits(body_bytes=1000)) as (_, client):
            for body in (b"first", b"second"):
                head = post("/echo", body, "Expect: 100-continue")[: -len(body)]
                assert await client.ask(head) == (100, {}, b"")
                assert (await client.ask(body)).body == body
            # Behind another request, it is said once that is answered.
            client.send(post("/echo", b"a"), post("/echo", b"b", "Expect: 100-continue")[:-1])
            assert [(await client.reply()).status, (await client.reply()).status] == [200, 100]
            assert (await client.ask(b"b")).body == b"b"
            # Where the body is not wanted, it is said at once.
            reply = await client.ask(post("/echo", b"x" * 1001, "Expect: 100-continue")[:-1001])
            assert (reply.status, reply.headers["connection"]) == (413, "close")

    clock.serve(main())


REFUSED = {
    "two lengths": (400, post("/echo", b"a", "Content-Length: 1")),
    "length and chunks": (400, post("/echo", b"a", "Transfer-Encoding: chunked")),
    "chunks and length": (400, CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n0\r\n\r\n"),
    "list of lengths": (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na"),
    "signed length": (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na"),
    "negative length": (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na"),
    "endless length": (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\na"),
    "chunks in 1.0": (400, CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n"),
    "chunks not last": (400, post("/echo", b"", "Transfer-Encoding: chunked, gzip")),
    "chunks hidden": (501, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "chunks twice": (400, CHUNKED.replace(b"chunked", b"chunked, chunked") + b"0\r\n\r\n"),
    "compressed chunks": (501, CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n"),
    "bare line feeds": (400, b"GET /echo HTTP/1.1\nHost: a\n\n"),
    "one bare line feed": (400, b"GET /echo HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    "bare carriage return": (400, b"GET /echo HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"),
    "chunk size in hex notation": (400, CHUNKED + b"0x1\r\na\r\n0\r\n\r\n"),
    "chunk size and line feed": (400, CHUNKED + b"1\na\r\n0\r\n\r\n"),
    "chunk longer than said": (400, CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
    "folded header": (400, b"GET /echo HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
    "space before colon": (400, b"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n"),
    "zero byte": (400, b"GET /echo HTTP/1.1\r\nHost: a\x00b\r\n\r\n"),
    "two hosts": (400, get("/echo", "Host: other")),
    "no host": (400, b"GET /echo HTTP/1.1\r\n\r\n"),
    "two types": (400, post("/echo", b"", "Content-Type: a", "content-type: b")),
    "bytes in the target": (400, b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an odd expectation": (417, post("/echo", b"", "Expect: miracles")),
    "HTTP/0.9": (505, b"GET /echo\r\n\r\n"),
    "HTTP/2": (505, b"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/2 with prior knowledge": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "a proxy's request": (400, b"CONNECT host:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "noise": (400, b"\x00\x01\x02 hello \r\n\r\n"),
}


def test_malformed_and_smuggled_requests_are_refused_after_what_is_due():
    async def main():
        async with served(limits=Limits(linger_seconds=0.2)) as (server, beside):
            for what, (status, request) in REFUSED.items():
                client = await client_of(server)
                client.send(post("/echo", b"before"), request, get("/echo"))
                assert (await client.reply()).body == b"before", what
                reply = await client.reply()
                assert reply.status == status, (what, reply)
                assert reply.headers["connection"] == "close", what
                assert json.loads(reply.body)["error"], what
                assert await client.is_closed(), what
                client.close()
                assert (await beside.ask(post("/echo", b"beside"))).body == b"beside"

    clock.serve(main())


def test_targets_without_a_path_keep_the_connection():
    async def main():
        async with served() as (_, client):
            assert (await client.ask(get("*", method="OPTIONS"))).status == 400
            assert (await client.ask(get("/%ff"))).status == 400
            assert (await client.ask(get("/none"))).status == 404
            assert (await client.ask(post("/none", b"x" * 1000))).status == 404
            reply = await client.ask(get("/echo", method="DELETE"))
            assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, POST")
            assert (await client.ask(get("http://elsewhere/echo?a"))).headers["x-query"] == "a"

    clock.serve(main())


def test_errors_have_the_shape_of_their_path():
    routes = echoing()
    routes.errors("/v2", lambda status, message, request: Response(status, b"v2:" + request.path.encode()))

    async def main():
        async with served(routes, Limits(body_bytes=10, header_seconds=0.2, body_seconds=0.2)) as (
            server,
            client,
        ):
            assert (await client.ask(get("/v2/a/b"))).body == b"v2:/v2/a/b"
            assert (await client.ask(get("/v2/a"))).status == 405
            assert (await client.ask(post("/v2/a", b"x" * 11)[:-11])).body == b"v2:/v2/a"
            client = await client_of(server)
            reply = await client.ask(post("/v2/a", b"late")[:-1])
            assert (reply.status, reply.body) == (408, b"v2:/v2/a")
            client = await client_of(server)
            reply = await client.ask(b"POST /v2/a HTTP/1.1\r\nHost")
            assert (reply.status, reply.body) == (408, b"v2:/v2/a")

    clock.serve(main())


LIMITS = Limits(header_bytes=2000, header_count=20, body_bytes=5000, unpacked_bytes=9000, linger_seconds=0.3)


def test_limits_of_the_head():
    async def main():
        async with served(limits=LIMITS) as (server, client):
            assert (await client.ask(get("/echo", *["A: b"] * 19))).status == 200
            assert (await client.ask(get("/echo", "A: " + "b" * 1900))).status == 200
            for request in (
                get("/echo", *["A: b"] * 20),
                get("/echo", "A: " + "b" * 2000),
                get("/" + "a" * 2000),
                b"GET /echo HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 2500,
                CHUNKED + b"1\r\na\r\n0\r\n" + b"A: b\r\n" * 21 + b"\r\n",
            ):
                client = await client_of(server)
                assert (await client.ask(request)).status == 431, request

    clock.serve(main())


def test_what_has_no_end_is_cut_off_before_it_is_kept():
    async def main():
        async with served(limits=LIMITS) as (server, _):
            for start in (
                b"GET /",
                b"GET /echo HTTP/1.1\r\nA",
                b"GET /echo HTTP/1.1\r\nA: ",
                CHUNKED + b"1\r\na\r\n0\r\nTrailer: ",
                CHUNKED + b"1;extension=",
            ):
                client = await client_of(server)
                client.send(start)
                for _ in range(100):
                    client.send(b"a" * 1000)
                    await asyncio.sleep(0)
                assert (await client.reply()).status == 431, start

    clock.serve(main())


def test_limits_of_the_body():
    async def main():
        async with served(limits=LIMITS) as (server, client):
            assert (await client.ask(post("/echo", b"x" * 5000))).body == b"x" * 5000
            chunk = b"3e8\r\n" + b"y" * 1000 + b"\r\n"
            client.send(CHUNKED, *[chunk] * 5, b"0\r\n\r\n")
            assert (await client.reply()).body == b"y" * 5000
            # By its length, before any of it came; and while its chunks come.
            assert (await client.ask(post("/echo", b"x" * 5001)[:-5001])).status == 413
            client = await client_of(server)
            assert (await client.ask(CHUNKED, *[chunk] * 6)).status == 413

    clock.serve(main())


def test_an_answer_reaches_a_client_that_is_still_sending():
    async def main():
        async with served(limits=Limits(body_bytes=4_000_000)) as (_, client):
            client.send(post("/echo", b"x" * 4_000_001))
            await asyncio.sleep(0.05)
            client.send(b"y" * 1_000_000)
            assert (await client.reply()).status == 413
            assert await client.is_closed()

    clock.serve(main())


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("size", [3, 8000])
def test_compressed_bodies(pack, size):
    name = "gzip" if pack is gzip.compress else "deflate"
    body = random.Random(1).randbytes(size // 2) * 2

    async def main():
        async with served(limits=LIMITS) as (_, client):
            reply = await client.ask(post("/echo", pack(body), f"Content-Encoding: {name}"))
            assert (reply.status, reply.body) == (200, body[: len(reply.body)])
            assert len(reply.body) == size // 2 * 2
            bomb = post("/echo", pack(bytes(9001)), f"Content-Encoding: {name}")
            assert (await client.ask(bomb)).status == 413
            assert (await client.ask(post("/echo", b"junk", f"Content-Encoding: {name}"))).status == 400
            reply = await client.ask(post("/echo", b"junk", "Content-Encoding: br"))
            assert (reply.status, reply.headers["accept-encoding"]) == (415, "gzip, deflate")
            assert (await client.ask(post("/echo", b"ok"))).body == b"ok"

    clock.serve(main())


def test_slow_clients_are_told_and_idle_ones_closed():
    limits = Limits(header_seconds=0.2, body_seconds=0.3, idle_seconds=0.4)

    async def main():
        async with served(limits=limits) as (server, idle):
            half, slow = await client_of(server), await client_of(server)
            half.send(b"GET /echo HT")
            began = clock.now()
            for letter in post("/echo", b"a" * 20)[:-1]:
                slow.send(bytes([letter]))
            assert (await half.reply()).status == 408
            assert 0.15 < clock.now() - began < 0.35
            assert (await slow.reply()).status == 408
            assert clock.now() - began > 0.28
            assert await idle.is_closed()
            assert clock.now() - began < 1.0
            dripping = await client_of(server)
            for _ in range(30):
                dripping.send(b"\r\n")  # blank lines before a request are overlooked, but gain no time
                await asyncio.sleep(0.02)
            assert await dripping.is_closed()

    clock.serve(main())


def test_an_idle_client_whose_request_is_on_its_way_is_not_closed():
    async def main():
        async with served() as (server, client):
            await client.ask(get("/echo"))
            # The request is in the kernel, and the loop has had no turn to read it, when time is up.
            opened = client.writer.get_extra_info("socket")
            os.write(opened.fileno(), post("/echo", b"a"))
            (idle,) = server._house.clients
            idle.read_by = clock.now()
            idle.expire(clock.now())
            assert (await client.reply()).body == b"a"
            idle.read_by = clock.now()
            idle.expire(clock.now())
            assert await client.is_closed()

    clock.serve(main())


def test_half_closed_clients_get_their_answers():
    async def slow(request):
        await asyncio.sleep(0.05)
        return Response(200, b"slow")

    async def main():
        async with served(echoing(("GET", "/slow", slow))) as (server, client):
            client.send(get("/slow"), post("/echo", b"a"))
            client.writer.write_eof()
            assert (await client.reply()).body == b"slow"
            last = await client.reply()
            assert (last.body, last.headers["connection"]) == (b"a", "close")
            assert await client.is_closed()
            cut = await client_of(server)
            cut.send(post("/echo", b"whole"), post("/echo", b"part")[:-1])
            cut.writer.write_eof()
            assert [(await cut.reply()).status, (await cut.reply()).status] == [200, 400]
            assert await cut.is_closed()
            silent = await client_of(server)
            silent.writer.write_eof()
            assert await silent.is_closed()

    clock.serve(main())


def test_an_offer_of_another_protocol_is_overlooked():
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")

    async def main():
        async with served() as (server, client):
            # Without a body, as curl does it, the connection goes on.
            client.send(get("/echo", *offer), post("/echo", b"next"))
            assert [(await client.reply()).body, (await client.reply()).body] == [b"", b"next"]
            # With one, as Java's client does it, whole or in parts.
            for size in (10_000, 9):
                client = await client_of(server)
                request = post("/echo", b"the body", *offer)
                for start in range(0, len(request), size):
                    client.send(request[start : start + size])
                    await asyncio.sleep(0.002)
                reply = await client.reply()
                assert (reply.body, reply.headers["connection"]) == (b"the body", "close")
                assert await client.is_closed()
            client = await client_of(server)
            chunked = CHUNKED[:-2] + "\r\n".join([*offer, "", ""]).encode()
            assert (await client.ask(chunked, b"2\r\nab\r\n0\r\n\r\n")).body == b"ab"

    clock.serve(main())


def test_tokens():
    async def main():
        async with served(token="s3cret", open_paths=frozenset(("/echo",))) as (server, client):
            reply = await client.ask(post("/v2/a", b"x"))
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert (await client.ask(get("/none"))).status == 401
            assert (await client.ask(get("/echo"))).status == 200
            permitted = "Authorization: Bearer s3cret"
            assert (await client.ask(post("/v2/a", b"x", permitted))).body == b"x"
            assert (await client.ask(post("/v2/a", b"x", "Authorization: Bearer no"))).status == 401
            # Whoever may not call sends no large body, and no body that is asked for.
            assert (await client.ask(post("/v2/a", b"x" * 70_000)[:-70_000])).status == 401
            client = await client_of(server)
            assert (await client.ask(post("/v2/a", b"x", "Expect: 100-continue")[:-1])).status == 401

    clock.serve(main())


def test_headers_given_twice_are_joined():
    async def told(request):
        return Response(200, json.dumps(request.headers).encode())

    async def main():
        async with served(echoing(("GET", "/told", told), ("POST", "/told", told))) as (_, client):
            reply = await client.ask(
                get("/told", "Accept: a", "ACCEPT: b", "Cookie: a=1", "cookie: b=2", "X:")
            )
            headers = json.loads(reply.body)
            trailed = CHUNKED.replace(b"/echo", b"/told") + b"0\r\nX-Trailer: a\r\nHost: b\r\n\r\n"
            kept = {"host": "test", "transfer-encoding": "chunked"}
            assert json.loads((await client.ask(trailed)).body) == kept
            assert headers == {"host": "test", "accept": "a, b", "cookie": "a=1; b=2", "x": ""}

    clock.serve(main())


# Fuzzing: whatever comes, the server answers in HTTP or closes, and whoever is beside it is served.

SEEDS = [
    post("/echo", b"hello"),
    get("/echo?x=1"),
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    post("/v2/a%2Fb", gzip.compress(b"hello" * 9), "Content-Encoding: gzip"),
    post("/echo", b"abc", "Expect: 100-continue"),
    get("/echo", "Connection: Upgrade", "Upgrade: h2c"),
    get("/none", "Accept-Encoding: gzip", method="HEAD"),
    *(request for _, request in REFUSED.values()),
]


def mutated(chance: random.Random) -> bytes:
    """Some requests after each other, and perhaps something done to them."""
    message = bytearray(b"".join(chance.choices(SEEDS, k=chance.randint(1, 4))))
    for _ in range(chance.choice([0, 0, 1, 2, 8])):
        at = chance.randrange(len(message))
        match chance.randrange(6):
            case 0:
                message[at] = chance.randrange(256)
            case 1:
                del message[at : at + chance.randrange(1, 30)]
            case 2:
                message[at:at] = chance.choice(
                    [b"\r\n", b"\n", b"\x00", b": ", b"\r\n\r\n", b" ", b"%", b"0"]
                )
            case 3:
                message[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 4:
                message[at:at] = chance.choice([b"A", b"1", b"\r\n"]) * chance.randrange(1, 5000)
            case 5:
                del message[at:]
        if not message:
            message = bytearray(b"G")
    return bytes(message)


@pytest.mark.parametrize("seed", range(2))
def test_fuzzed_clients_harm_nobody(seed):
    chance = random.Random(seed)
    limits = Limits(
        header_bytes=4000,
        body_bytes=4000,
        header_seconds=0.3,
        body_seconds=0.3,
        linger_seconds=0.1,
        idle_seconds=2.0,  # of the one that behaves too: longer than any pause of a loaded machine
    )
    errors = []

    async def attack(server):
        client = await client_of(server)
        message = mutated(chance)
        while message:
            size = chance.choice([1, 3, 20, 1000, 100_000])
            if size == 1 and len(message) > 300:
                size = 50
            client.send(message[:size])
            message = message[size:]
            await asyncio.sleep(0)
            if client.writer.transport.is_closing():
                break
        match chance.randrange(3):
            case 0:
                client.reset()
            case 1:
                if not client.writer.transport.is_closing():
                    client.writer.write_eof()
                await read_all(client)
            case 2:
                await read_all(client)
        client.close()

    async def read_all(client):
        try:
            said = await asyncio.wait_for(client.reader.read(-1), 30)
        except ConnectionError:
            return
        assert not said or said.startswith(b"HTTP/1.1 "), said

    async def main():
        async with served(limits=limits, on_error=lambda request, error: errors.append(error)) as (
            server,
            beside,
        ):
            done = 0

            async def behave():
                nonlocal done
                while done >= 0:
                    body = b"%d" % done
                    assert (await beside.ask(post("/echo", body))).body == body
                    done += 1
                    await asyncio.sleep(0)

            behaving = asyncio.create_task(behave())
            for _ in range(2):
                await asyncio.gather(*(attack(server) for _ in range(80)))
            assert not behaving.done(), behaving
            assert done >= 10
            done = -10
            await behaving
            await until(lambda: server.connections == 1)
            assert server.in_flight == 0

    clock.serve(main())
    assert errors == []


def test_unpacking_a_large_body_does_not_hold_up_the_others():
    body = gzip.compress(bytes(60_000_000), 1)

    async def measure(request):
        return Response(200, b"%d" % len(request.body))

    async def main():
        async with served(echoing(("POST", "/size", measure))) as (server, client):
            client.send(post("/size", body, "Content-Encoding: gzip")[:-1])
            beside = await client_of(server)
            for _ in range(5):
                await beside.ask(post("/echo", b"a"))
            client.send(body[-1:])
            unpacking = asyncio.create_task(client.reply())
            await asyncio.sleep(0)
            await beside.ask(post("/echo", b"a"))
            assert not unpacking.done()
            assert (await unpacking).body == b"60000000"

    clock.serve(main())
