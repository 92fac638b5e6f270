"""A server of the Open Inference Protocol over gRPC, on the running event loop.

Beside inference it speaks gRPC's health checking and server reflection. A refusal is answered with its
status code and text; one that is worth another try carries in the trailing metadata `retry-after`, whole
seconds, and `grpc-retry-pushback-ms`, which gRPC's clients with a retry policy obey.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.errors import MissingExtra, Misuse
from tradewind.serving.calls import Engine, Refusal, RefusalKind
from tradewind.serving.server.grpc import health, inference_service, reflection, sockets
from tradewind.serving.server.grpc.health import HealthService
from tradewind.serving.server.grpc.inference_service import InferenceService, Method, Unimplemented
from tradewind.serving.server.grpc.messages import open_messages
from tradewind.serving.server.grpc.open_stream import OpenStream
from tradewind.serving.server.grpc.reflection import ReflectionService
from tradewind.serving.server.http.authentication import check_exposure, is_permitted

_QUIET = 0.25
"""Seconds without a request after which a stream is ended, once the server drains."""
_LOOK = 0.05
"""Seconds between two looks at streams and connections meanwhile."""


class GrpcLimits(Struct, frozen=True):
    """The bounds that a server keeps. Misuse, at construction: a bound that is not positive."""

    message_bytes: int = 64 * 1024 * 1024
    """Of one message, unpacked, in either direction; RESOURCE_EXHAUSTED beyond."""
    header_bytes: int = 32 * 1024
    """Of one call's metadata."""
    calls: int = 4096
    """In progress on the whole server, streams among them; RESOURCE_EXHAUSTED beyond."""
    connection_calls: int = 1024
    """In progress on one connection; its client sends no further one before one is over."""
    stream_calls: int = 64
    """Requests of one stream in progress; then it is not read any further."""
    connection_seconds: float = 10.0
    """After which a client is asked to make its connection anew, as it does between two calls: gRPC's own way
    of having clients move on, and so the time that `drain` takes while any is connected."""
    keepalive_seconds: float = 60.0
    """Without a sign from a client with calls in progress, after which it is asked for one."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise Misuse(f"{getattr(self, name)!r} is not positive", field=name, fix="Give more than 0.")


USUAL = GrpcLimits()
"""The bounds where nobody said."""


def tls_credentials(chain: bytes, key: bytes) -> Any:
    """What gRPC needs for TLS: a certificate chain and its key, in PEM."""
    import grpc  # noqa: PLC0415 -- an extra

    return grpc.ssl_server_credentials([(key, chain)])


class GrpcServer:
    """Answers calls over gRPC through `engine`.

    With `token` every call but those of health must carry the metadata `authorization: Bearer TOKEN`.
    `guarded` says that others keep strangers away: no token is wanted then.
    `credentials` are gRPC's own for TLS, see `tls_credentials`; without them nothing is
    encrypted.
    `failed` is told of every error that is no refusal; its caller reads INTERNAL and nothing of its cause.
    Raises MissingExtra without grpcio.
    """

    def __init__(
        self,
        engine: Engine,
        limits: GrpcLimits = USUAL,
        *,
        token: str | None = None,
        guarded: bool = False,
        credentials: Any = None,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        # Its core writes to stderr what is no error of ours, such as that a listener was closed.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        try:
            import grpc  # noqa: PLC0415 -- an extra
            import grpc.aio  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("grpcio", "serving", "Serving over gRPC") from None
        self._grpc: Any = grpc
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
        self._server: Any = None
        self._port = 0
        self._listeners: frozenset[int] = frozenset()

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `start`."""
        return self._port

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, share_port: bool = False) -> None:
        """Begin to answer on `host` and `port`, where 0 is any that is free.

        `share_port` lets a second server listen on the port at the same time, so that one can follow another
        without a gap. Raises Misuse for an address that cannot be bound, or that is open to other machines
        without a token.
        """
        if not self._guarded:
            check_exposure(host, self._token)
        limits = self._limits
        options = [
            ("grpc.max_receive_message_length", limits.message_bytes),
            ("grpc.max_send_message_length", limits.message_bytes),
            ("grpc.max_metadata_size", limits.header_bytes),
            ("grpc.absolute_max_metadata_size", limits.header_bytes),
            ("grpc.max_concurrent_streams", limits.connection_calls),
            ("grpc.so_reuseport", int(share_port)),
            ("grpc.max_connection_age_ms", round(limits.connection_seconds * 1e3)),
            ("grpc.keepalive_time_ms", round(limits.keepalive_seconds * 1e3)),
            # Clients may ask for signs as well: each 10 s, and with no call in progress.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        server = self._grpc.aio.server(options=options, maximum_concurrent_rpcs=limits.calls)
        server.add_generic_rpc_handlers(self._handlers())
        address = f"[{host}]:{port}" if ":" in host.strip("[]") and host[0] != "[" else f"{host}:{port}"
        before = sockets.listeners(port)
        try:
            if self._credentials is None:
                self._port = server.add_insecure_port(address)
            else:
                self._port = server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            await server.stop(None)
            raise Misuse(f"cannot listen on {address}: {error}", field="port") from None
        await server.start()
        self._listeners = sockets.listeners(self._port) - before
        self._server = server

    async def drain(self, grace: float) -> None:
        """Stop without a failed call, where another server takes over: within `grace` seconds at most.

        Health says NOT_SERVING, and no new connection is accepted. Calls go on to be answered until every
        client has moved on, as it is asked to within `GrpcLimits.connection_seconds` and a tenth more, and
        streams until no request came for a quarter of a second. What is left after `grace` is cancelled.
        """
        if self._server is None:
            return
        self._health.draining = True
        until = clock.now() + grace
        sockets.stop_listening(self._listeners, self._port)
        while clock.now() < until and sockets.is_connected(self._port):
            await self._end_quiet_streams()
        stopping = asyncio.ensure_future(self._server.stop(max(0.0, until - clock.now())))
        while not stopping.done():
            await self._end_quiet_streams()
        await stopping
        self._server = None

    async def _end_quiet_streams(self) -> None:
        now = clock.now()
        for stream in self._streams:
            if stream.in_progress == 0 and now - stream.heard >= _QUIET:
                stream.end()
        await asyncio.sleep(_LOOK)

    async def close(self) -> None:
        """Stop at once; calls in progress are cancelled. May be called twice."""
        if self._server is not None:
            self._health.draining = True
            await self._server.stop(None)
            self._server = None

    def _handlers(self) -> tuple[Any, ...]:
        grpc = self._grpc
        inference = {
            name: grpc.unary_unary_rpc_method_handler(self._unary(request.FromString, method))
            for name, (request, method) in self._inference.methods().items()
        }
        inference["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        checks = {
            name: grpc.unary_unary_rpc_method_handler(
                self._unary(request.FromString, method, open_to_all=True)
            )
            for name, (request, method) in self._health.methods().items()
        }
        checks["Watch"] = grpc.unary_stream_rpc_method_handler(self._watch)
        described = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(self._reflect)}
        generic = grpc.method_handlers_generic_handler
        return (
            generic(inference_service.NAME, inference),
            generic(health.NAME, checks),
            *(generic(name, described) for name in reflection.NAMES),
        )

    def _unary(
        self, parse: Callable[[bytes], Any], method: Method, open_to_all: bool = False
    ) -> Callable[[bytes, Any], Any]:
        token = None if open_to_all else self._token

        async def handle(data: bytes, context: Any) -> bytes:
            if token is not None:
                await self._admit(context)
            try:
                response = await method(parse(data), context.time_remaining())
                return response.SerializeToString()  # type: ignore[no-any-return]
            except Exception as error:
                problem = error
            await self._abort(context, problem)
            raise AssertionError("abort always raises")

        return handle

    async def _admit(self, context: Any) -> None:
        given = [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        if len(given) != 1 or not is_permitted(given[0], self._token or ""):
            refusal = Refusal(
                RefusalKind.UNAUTHENTICATED, "give the token as metadata, authorization: Bearer TOKEN"
            )
            await self._abort(context, refusal)

    async def _abort(self, context: Any, error: Exception) -> None:
        """End a call with an error; raises what gRPC ends its handler with."""
        code, text, retry_after = self._told(error)
        trailing: tuple[tuple[str, str], ...] = ()
        if retry_after is not None:
            trailing = (
                ("retry-after", str(math.ceil(retry_after))),
                ("grpc-retry-pushback-ms", str(math.ceil(retry_after * 1e3))),
            )
        await context.abort(getattr(self._grpc.StatusCode, code), text, trailing)

    def _told(self, error: Exception) -> tuple[str, str, float | None]:
        """The status code, text and seconds until another try that an error is told as."""
        if isinstance(error, Refusal):
            return error.kind.grpc, str(error), error.retry_after
        if isinstance(error, Unimplemented):
            return "UNIMPLEMENTED", str(error), None
        if isinstance(error, self._messages.unreadable):
            return "INVALID_ARGUMENT", "the request is no message of its method", None
        self._failed(error)
        return "INTERNAL", "the server failed to answer", None

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answers each request of a stream, in their order, while later ones are worked on already."""
        if self._token is not None:
            await self._admit(context)
        stream = OpenStream(requests, lambda data: self._streamed(data, context), self._limits.stream_calls)
        self._streams.add(stream)
        try:
            async for response in stream.responses():
                yield response
        finally:
            self._streams.discard(stream)
            stream.cancel()
        if stream.ended:
            refusal = Refusal(RefusalKind.NOT_READY, "the server is about to stop; open another stream", 0.0)
            await self._abort(context, refusal)

    async def _streamed(self, data: bytes, context: Any) -> bytes:
        request = None
        try:
            request = self._infer_request.FromString(data)
            found = await self._inference.infer(request, context.time_remaining())
            # One response a request: Triton's clients are told that each is the last.
            found.parameters["triton_final_response"].bool_param = True
            response = self._stream_response(infer_response=found)
        except Exception as error:
            response = self._stream_response(error_message=self._told(error)[1])
            if request is not None:
                response.infer_response.id = request.id
                response.infer_response.model_name = request.model_name
        return response.SerializeToString()  # type: ignore[no-any-return]

    async def _watch(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for state in self._health.watch(data):
                yield state
        except self._messages.unreadable as error:
            await self._abort(context, error)

    async def _reflect(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        if self._token is not None:
            await self._admit(context)
        async for data in requests:
            try:
                response = self._reflection.answer(data)
            except self._messages.unreadable as error:
                await self._abort(context, error)
            yield response
