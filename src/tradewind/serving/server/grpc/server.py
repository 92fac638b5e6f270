"""A server of the Open Inference Protocol over gRPC, on the running event loop.

Beside inference it speaks gRPC's health checking and server reflection. A refusal is answered with its
status code and text; one that is worth another try carries in the trailing metadata `retry-after`, whole
seconds, and `grpc-retry-pushback-ms`, which gRPC's clients with a retry policy obey.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.calls import Engine, Refusal, RefusalKind
from tradewind.serving.server.grpc import health, inference_service, reflection
from tradewind.serving.server.grpc.connection import GrpcConnection
from tradewind.serving.server.grpc.health import HealthService
from tradewind.serving.server.grpc.household import GrpcLimits, Household, Method, Told, Until
from tradewind.serving.server.grpc.inference_service import InferenceService, Unimplemented
from tradewind.serving.server.grpc.inference_service import Method as Answer
from tradewind.serving.server.grpc.messages import open_messages
from tradewind.serving.server.grpc.open_stream import OpenStream
from tradewind.serving.server.grpc.reflection import ReflectionService
from tradewind.serving.server.http.authentication import check_exposure

_QUIET = 0.25
"""Seconds without a request after which a stream is ended, once the server drains."""
_STEP = 0.02
"""Seconds between two looks at streams and connections meanwhile."""
_LOOK = 1.0
"""And else."""
_BACKLOG = 1024
USUAL = GrpcLimits()
"""The bounds where nobody said."""


def tls_credentials(chain: bytes, key: bytes) -> ssl.SSLContext:
    """What gRPC needs for TLS: a certificate chain and its key, in PEM. Misuse where they cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as folder:  # that module reads certificates from files only
        file = os.path.join(folder, "chain.pem")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as opened:
            opened.write(chain if key in chain else chain + b"\n" + key)
        try:
            context.load_cert_chain(file)
        except (OSError, ssl.SSLError) as problem:
            raise Misuse(f"the certificate cannot be used: {problem}", field="certificate") from None
    return context


class GrpcServer:
    """Answers calls over gRPC through `engine`.

    With `token` every call but those of health must carry the metadata `authorization: Bearer TOKEN`.
    `guarded` says that others keep strangers away: no token is wanted then.
    `credentials` are those for TLS, see `tls_credentials`; without them nothing is encrypted.
    `failed` is told of every error that is no refusal; its caller reads INTERNAL and nothing of its cause.
    Raises MissingExtra without protobuf.
    """

    def __init__(
        self,
        engine: Engine,
        limits: GrpcLimits = USUAL,
        *,
        token: str | None = None,
        guarded: bool = False,
        credentials: ssl.SSLContext | None = None,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._guarded = guarded
        self._limits, self._token, self._credentials, self._failed = limits, token, credentials, failed
        self._messages = open_messages()
        self._inference = InferenceService(engine, self._messages)
        self._health = HealthService(engine, self._messages)
        services = (inference_service.NAME, health.NAME, *reflection.NAMES)
        self._reflection = ReflectionService(self._messages, services)
        self._infer_request = self._messages["inference.ModelInferRequest"]
        self._stream_response = self._messages["inference.ModelStreamInferResponse"]
        self._streams: set[OpenStream] = set()
        self._house: Household | None = None
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `start`."""
        return self._port

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._house.clients) if self._house else 0

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, share_port: bool = False) -> None:
        """Begin to answer on `host` and `port`, where 0 is any that is free.

        `share_port` lets a second server listen on the port at the same time, so that one can follow another
        without a gap. Raises Misuse for an address that cannot be bound, or that is open to other machines
        without a token.
        """
        if not self._guarded:
            check_exposure(host, self._token)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            listening = _bound(found[0][0], found[0][4], share_port)
        except OSError as error:
            raise Misuse(f"cannot listen on {host}:{port}: {error}", field="port") from None
        house = self._house = Household(self._methods(), self._limits, self._token, self._told)
        # The loop closes the socket that it is given as soon as it shall accept no more, and the kernel then
        # resets whoever waits in the queue. It gets a copy; the queue lives until ours is closed.
        self._server = await loop.create_server(
            lambda: GrpcConnection(house),
            sock=listening.dup(),
            backlog=_BACKLOG,
            ssl=self._credentials,
            ssl_handshake_timeout=self._limits.begin_seconds if self._credentials else None,
        )
        self._socket, self._port = listening, listening.getsockname()[1]
        self._look()

    async def drain(self, grace: float) -> None:
        """Stop without a failed call, where another server takes over: within `grace` seconds at most.

        Health says NOT_SERVING; whoever waits to be accepted is accepted, and then nobody. Every client is
        told to begin no further call here, which makes it take those on their way elsewhere; what has begun
        is answered, streams until no request came for a quarter of a second. What is left after `grace` is
        cut.
        """
        self._health.draining = True
        house = self._house
        if house is None:
            return
        until = clock.now() + grace
        house.draining = True
        await self._accept_last(house)
        for client in list(house.clients):
            client.retire()
        while house.clients and clock.now() < until:
            await asyncio.sleep(_STEP)
            now = clock.now()
            for stream in self._streams:
                if stream.in_progress == 0 and now - stream.heard >= _QUIET:
                    stream.end()
            for client in list(house.clients):
                client.look(now)
        await self.close()

    async def close(self) -> None:
        """Stop at once; calls in progress are cancelled. May be called twice."""
        self._health.draining = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._stop_listening()
        house = self._house
        if house is None:
            return
        house.draining = True
        for client in list(house.clients):
            client.abort()
        while house.clients:
            await asyncio.sleep(0)
        if house.ending:
            await asyncio.wait(list(house.ending))

    async def _accept_last(self, house: Household) -> None:
        """Accept whoever is in the queue, and close it."""
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._socket is not None:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                break
            accepted.setblocking(False)
            with contextlib.suppress(OSError):
                await house.loop.connect_accepted_socket(
                    lambda: GrpcConnection(house),
                    accepted,
                    ssl=self._credentials,
                    ssl_handshake_timeout=self._limits.begin_seconds if self._credentials else None,
                )
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _look(self) -> None:
        """Look after the clients, now and again."""
        house = self._house
        assert house is not None
        now = clock.now()
        for client in list(house.clients):
            client.look(now)
        limits = self._limits
        shortest = min(
            limits.begin_seconds, limits.idle_seconds, limits.keepalive_seconds, limits.send_seconds
        )
        self._watch = house.loop.call_later(min(_LOOK, shortest / 4), self._look)

    # What is answered

    def _methods(self) -> dict[str, Method]:
        found = {
            f"/{inference_service.NAME}/{name}": Method(one=self._one(request.FromString, answer))
            for name, (request, answer) in self._inference.methods().items()
        }
        found[f"/{inference_service.NAME}/ModelStreamInfer"] = Method(several=self._stream)
        for name, (request, answer) in self._health.methods().items():
            found[f"/{health.NAME}/{name}"] = Method(
                one=self._one(request.FromString, answer), open_to_all=True
            )
        found[f"/{health.NAME}/Watch"] = Method(several=self._watched, open_to_all=True)
        for name in reflection.NAMES:
            found[f"/{name}/ServerReflectionInfo"] = Method(several=self._reflect)
        return found

    def _one(
        self, parse: Callable[[bytes], Any], method: Answer
    ) -> Callable[[bytes, float | None], Coroutine[Any, Any, bytes]]:
        async def answer(data: bytes, left: float | None) -> bytes:
            response = await method(parse(data), left)
            return response.SerializeToString()  # type: ignore[no-any-return]

        return answer

    def _told(self, error: Exception) -> Told:
        """The status, text and trailing metadata that an error is told as."""
        if isinstance(error, Refusal):
            more: tuple[tuple[str, str], ...] = ()
            if error.retry_after is not None:
                more = (
                    ("retry-after", str(math.ceil(error.retry_after))),
                    ("grpc-retry-pushback-ms", str(math.ceil(error.retry_after * 1e3))),
                )
            return error.kind.grpc, str(error), more
        if isinstance(error, Unimplemented):
            return "UNIMPLEMENTED", str(error), ()
        if isinstance(error, self._messages.unreadable):
            return "INVALID_ARGUMENT", "the request is no message of its method", ()
        self._failed(error)
        return "INTERNAL", "the server failed to answer", ()

    def _stream(self, requests: AsyncIterator[bytes], left: Until) -> AsyncIterator[bytes]:
        """Answers each request of a stream, in their order, while later ones are worked on already."""
        most = self._limits.stream_calls
        return self._in_order(OpenStream(requests, lambda data: self._streamed(data, left()), most))

    async def _in_order(self, stream: OpenStream) -> AsyncIterator[bytes]:
        self._streams.add(stream)
        try:
            async for response in stream.responses():
                yield response
        finally:
            self._streams.discard(stream)
            stream.cancel()
        if stream.ended:
            raise Refusal(RefusalKind.NOT_READY, "the server is about to stop; open another stream", 0.0)

    async def _streamed(self, data: bytes, left: float | None) -> bytes:
        request = None
        try:
            request = self._infer_request.FromString(data)
            found = await self._inference.infer(request, left)
            # One response a request: Triton's clients are told that each is the last.
            found.parameters["triton_final_response"].bool_param = True
            response = self._stream_response(infer_response=found)
        except Exception as error:
            response = self._stream_response(error_message=self._told(error)[1])
            if request is not None:
                response.infer_response.id = request.id
                response.infer_response.model_name = request.model_name
        return response.SerializeToString()  # type: ignore[no-any-return]

    async def _watched(self, requests: AsyncIterator[bytes], left: Until) -> AsyncIterator[bytes]:
        async for data in requests:
            async for state in self._health.watch(data):
                yield state
            return

    def _reflect(self, requests: AsyncIterator[bytes], left: Until) -> AsyncIterator[bytes]:
        async def answer(data: bytes) -> bytes:
            return self._reflection.answer(data)

        return self._in_order(OpenStream(requests, answer, self._limits.stream_calls))


def _bound(family: int, address: Any, share: bool) -> socket.socket:
    """A socket bound to an address; OSError where that cannot be."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
    except BaseException:
        listening.close()
        raise
    return listening
