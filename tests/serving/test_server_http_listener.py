"""Servers: where they listen, how many they let in, and how they stop."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess

import pytest
from raw_http import Client, client_of, echoing, get, post, served, until

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.listener import HttpServer
from tradewind.serving.server.http.messages import Request, Response


async def sleepy(request: Request) -> Response:
    await asyncio.sleep(float(request.query or "0.01"))
    return Response(200, request.body)


SLEEPY = (("GET", "/sleep", sleepy), ("POST", "/sleep", sleepy))


def test_beyond_loopback_only_with_a_token():
    async def main():
        with pytest.raises(Misuse, match="token"):
            await HttpServer(echoing()).start("0.0.0.0")
        listening = socket.create_server(("0.0.0.0", 0))
        with pytest.raises(Misuse, match="token"):
            await HttpServer(echoing()).start_on(listening)
        listening.close()
        server = HttpServer(echoing(), token="s3cret")
        await server.start("0.0.0.0")
        assert server.port > 0
        await server.close()

    clock.serve(main())


def test_a_port_that_is_taken():
    async def main():
        async with served() as (server, _):
            with pytest.raises(Misuse, match=str(server.port)):
                await HttpServer(echoing()).start(port=server.port)
            with socket.socket() as another, pytest.raises(Misuse, match="started already"):
                await server.start_on(another)
            with pytest.raises(Misuse, match=r"nowhere\.invalid"):
                await HttpServer(echoing(), token="s3cret").start("nowhere.invalid")

    clock.serve(main())


def test_closing_before_and_after_the_start():
    async def main():
        server = HttpServer(echoing())
        assert (server.port, server.connections, server.in_flight, server.answered) == (0, 0, 0, {})
        await server.close()
        assert await server.drain(1.0)
        await server.start()
        await server.close()
        await server.close()

    clock.serve(main())


def test_a_unix_socket_in_place_of_a_dead_one(tmp_path):
    path = str(tmp_path / "s")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()

    async def main():
        server = HttpServer(echoing())
        await server.start_unix(path)
        client = Client(*await asyncio.open_unix_connection(path))
        assert (await client.ask(post("/echo", b"a"))).body == b"a"
        client.close()
        assert await server.drain(2.0, 0.01)
        assert not os.path.exists(path)
        (tmp_path / "file").write_text("kept")
        with pytest.raises(Misuse, match="no socket"):
            await HttpServer(echoing()).start_unix(str(tmp_path / "file"))

    clock.serve(main())


def test_connections_beyond_the_limit_are_told_to_come_again():
    async def main():
        limits = Limits(connections=3, retry_after=4, linger_seconds=0.2)
        async with served(limits=limits) as (server, client):
            others = [await client_of(server) for _ in range(2)]
            over = await client_of(server)
            over.send(post("/echo", b"a"))
            reply = await over.reply()
            assert (reply.status, reply.headers["retry-after"]) == (503, "4")
            assert reply.headers["connection"] == "close"
            assert await over.is_closed()
            for one in (client, *others):
                assert (await one.ask(post("/echo", b"a"))).body == b"a"
            others[0].close()
            await until(lambda: server.connections == 2)
            assert (await (await client_of(server)).ask(post("/echo", b"a"))).body == b"a"

    clock.serve(main())


def test_closing_cancels_and_cuts():
    events = []

    async def long(request: Request) -> Response:
        events.append("begun")
        try:
            await asyncio.sleep(30)
        finally:
            events.append("ended")
        return Response(200)

    async def main():
        async with served(echoing(("GET", "/long", long))) as (server, client):
            client.send(get("/long"))
            await until(lambda: events)
            await server.close()
            assert events == ["begun", "ended"]
            assert await client.is_closed()

    clock.serve(main())


def test_draining_answers_what_is_in_flight_and_on_its_way():
    async def main():
        async with served(echoing(*SLEEPY)) as (server, busy):
            pipelining, partial, behind, idle, late, unused = [await client_of(server) for _ in range(6)]
            for client in (idle, late):
                assert (await client.ask(get("/echo"))).status == 200
            busy.send(get("/sleep?0.3"))
            pipelining.send(get("/sleep?0.1") * 3)
            partial.send(post("/echo", b"whole")[:-2])
            behind.send(get("/sleep?0.15"), post("/echo", b"whole")[:-2])
            await until(lambda: server.in_flight == 3)
            began = clock.now()
            draining = asyncio.create_task(server.drain(5.0, 0.25))
            await asyncio.sleep(0.1)
            assert server.draining
            with pytest.raises(ConnectionRefusedError):
                await client_of(server)
            reply = await late.ask(get("/echo"))
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            reply = await partial.ask(b"le")
            assert (reply.body, reply.headers["connection"]) == (b"whole", "close")
            reply = await busy.reply()
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            assert "connection" not in (await behind.reply()).headers
            reply = await behind.ask(b"le")
            assert (reply.body, reply.headers["connection"]) == (b"whole", "close")
            told = [(await pipelining.reply()).headers.get("connection") for _ in range(3)]
            assert told == [None, None, "close"]
            assert await idle.is_closed()
            assert await unused.is_closed()
            assert await draining
            assert clock.now() - began < 1.0

    clock.serve(main())


def test_draining_ends_with_the_grace():
    async def main():
        async with served(echoing(*SLEEPY)) as (server, client):
            client.send(get("/sleep?30"))
            await until(lambda: server.in_flight == 1)
            began = clock.now()
            assert not await server.drain(0.2, 0.1)
            assert 0.15 < clock.now() - began < 1.0
            assert await client.is_closed()

    clock.serve(main())


def test_whoever_waits_to_be_accepted_is_served_before_the_door_is_shut():
    async def main():
        server = HttpServer(echoing())
        await server.start()
        # The loop has no turn between these connections and the drain: all of them are in the queue.
        waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        for number, client in enumerate(waiting):
            client.sendall(post("/echo", b"%03d" % number))
        assert server.connections == 0
        assert await server.drain(5.0, 0.5)
        for number, client in enumerate(waiting):
            said = b""
            while part := client.recv(4096):
                said += part
            assert said.startswith(b"HTTP/1.1 200 OK\r\n"), said
            assert said.endswith(b"%03d" % number)
            assert b"Connection: close\r\n" in said
            client.close()

    clock.serve(main())


def test_one_server_takes_over_from_another_under_load_with_no_request_failed():
    """A pool of clients that keep their connections, and open a new one only when told to close."""
    answered = {"old": 0, "new": 0}
    running = True

    def routes(name: str):
        async def work(request: Request) -> Response:
            await asyncio.sleep(0.001 if len(request.body) % 2 else 0)
            answered[name] += 1
            return Response(200, request.body)

        return echoing(("POST", "/work", work))

    async def caller(port: int, number: int) -> int:
        client, done = None, 0
        while running:
            if client is None:
                client = Client(*await asyncio.open_connection("127.0.0.1", port))
            body = b"x" * ((number + done) % 7)
            reply = await client.ask(post("/work", body))  # raises where an answer is missing
            assert (reply.status, reply.body) == (200, body)
            done += 1
            if reply.headers.get("connection") == "close":
                client.close()
                client = None
            if done % 50 == number:
                await asyncio.sleep(0.02)
        if client is not None:
            client.close()
        return done

    async def main():
        nonlocal running
        old = HttpServer(routes("old"))
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        inherited = listening.dup()
        await old.start_on(listening)
        callers = [asyncio.create_task(caller(old.port, number)) for number in range(32)]
        await until(lambda: answered["old"] > 300)
        for _ in range(3):  # and again, with the next one
            new = HttpServer(routes("new"))
            handed, inherited = inherited, inherited.dup()
            await new.start_on(handed)
            assert await old.drain(5.0, 0.3)
            seen = answered["new"]
            await until(lambda seen=seen: answered["new"] > seen + 100)
            old = new
        running = False
        done = sum(await asyncio.gather(*callers))
        assert done == answered["old"] + answered["new"]
        await old.close()
        inherited.close()

    clock.serve(main())
    assert min(answered.values()) > 100


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost, with its key."""
    if shutil.which("openssl") is None:
        raise AssertionError("the program openssl is needed to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return folder


def test_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    async def main():
        server = HttpServer(echoing(*SLEEPY), Limits(body_bytes=500_000), tls=context)
        await server.start()

        async def connected() -> Client:
            where = {"host": "127.0.0.1", "port": server.port}
            return Client(*await asyncio.open_connection(**where, ssl=trusting, server_hostname="localhost"))

        clients = [await connected() for _ in range(3)]
        client = clients[0]
        body = bytes(400_000)
        assert (await client.ask(post("/echo", body))).body == body
        assert (await client.ask(post("/echo", bytes(500_001))[:-500_001])).status == 413
        assert await client.is_closed()
        clients[1].send(get("/sleep?0.2"))
        await until(lambda: server.in_flight == 1)
        draining = asyncio.create_task(server.drain(5.0, 0.1))
        assert (await clients[1].reply()).headers["connection"] == "close"
        assert await draining
        for client in clients:
            client.close()
        await asyncio.gather(*(client.writer.wait_closed() for client in clients), return_exceptions=True)

    clock.serve(main())
