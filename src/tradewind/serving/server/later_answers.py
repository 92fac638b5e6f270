"""Calls that are answered later, as SageMaker's asynchronous endpoints do: from objects into objects.

Amazon SageMaker Runtime API, InvokeEndpointAsync. A call is on the disk before its caller is told where the
answer will be; it is tried until it is answered, refused for good, or too old, also after a kill -9. Its
output is written whole or not at all, under the name that the caller was told: an answer that was written
just before a kill is written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from uuid import uuid4

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.data.object_store import open_store
from tradewind.errors import Misuse, TradewindError
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.rollout.endpoint_record import Side
from tradewind.serving.rollout.requests import check_address
from tradewind.serving.server.endpoints.engine import Endpoints, kept
from tradewind.serving.server.http import sagemaker_runtime
from tradewind.serving.server.http.large_bodies import LargeBodies, is_large
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes

_KIND = "later-answer"
_WAITING = 10_000
"""Calls that wait at most; more are turned away."""
_INPUT_BYTES = 1 << 30
_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
"""Seconds before a call that was turned away, or whose answer could not be written, is tried again."""
_BUSY = (429, 503)


class Later(Struct):
    """A call, as it is kept."""

    id: str
    endpoint: str
    input: str
    """The address of the object that is the body; empty where `body` is."""
    output: str
    failure: str
    headers: dict[str, str]
    created: float
    expires: float
    seconds: float
    """That one try may take."""
    body: bytes = b""


class LaterAnswers:
    """The calls of a server's endpoints that are answered later. `said` is told of answers that are lost."""

    def __init__(self, endpoints: Endpoints, said: Callable[[str], None] = lambda text: None) -> None:
        self._endpoints, self._said = endpoints, said
        endpoints.beside.append(self)
        self._calls: dict[str, Later] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rooms: dict[str, tuple[int, asyncio.Semaphore]] = {}
        self._routes = Routes()
        sagemaker_runtime.add_routes(self._routes, endpoints)
        self._large: LargeBodies | None = None

    def __len__(self) -> int:
        """Calls that are not answered yet."""
        return len(self._calls)

    async def open(self) -> None:
        """Go on with the calls that were not answered."""
        self._large = LargeBodies(self._endpoints, self._routes)
        rows = await asyncio.to_thread(self._endpoints.store.all, _KIND)
        for call in sorted((msgspec.json.decode(row.document, type=Later) for row in rows), key=_age):
            self._start(call)

    async def close(self) -> None:
        """Stop; calls that are not answered are tried again at the next start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def take(
        self, endpoint: str, address: str, body: bytes, headers: Mapping[str, str], *, id: str = "",
        extension: str = "", file: str = "", lifetime: float = 21_600.0, seconds: float = 900.0,
    ) -> Later:  # fmt: skip
        """Keep a call; where its answer will be is in it.

        The body is the object at `address`, or `body`. The answer is put below the endpoint's output path and
        `extension`, as `file` or a name of its own. Refusal and Misuse where that cannot be.
        """
        live = self._endpoints.find(endpoint)
        if live is None:
            raise Misuse(f"Endpoint {endpoint[:80]} not found.")
        later = live.record.blue.later
        if later is None:
            raise Misuse(
                f"Endpoint {endpoint} is not asynchronous: its configuration has no AsyncInferenceConfig."
            )
        if bool(address) == bool(body):
            raise Misuse("give either an InputLocation or a Body")
        check_address(address, "InputLocation")
        if len(self._calls) >= _WAITING:
            raise Refusal(RefusalKind.OVERLOADED, f"{_WAITING} calls wait already", 5.0)
        name = str(uuid4())
        parts = [part for part in extension.split("/") if part]
        if any(part in (".", "..") for part in (*parts, file)) or "/" in file:
            raise Misuse("is no name", field="Filename or S3OutputPathExtension", fix="Give plain names.")
        place = "/".join([later.output_config.s3_output_path.rstrip("/"), *parts])
        lost = (later.output_config.s3_failure_path or place).rstrip("/")
        now = clock.now()
        call = Later(
            id or name, endpoint, address, f"{place}/{file or f'{name}.out'}", f"{lost}/{name}-error.out",
            dict(headers), now, now + lifetime, seconds, body,
        )  # fmt: skip
        await kept(self._endpoints.store, _KIND, name, call)
        self._start(call)
        return call

    def _start(self, call: Later) -> None:
        self._calls[_name(call)] = call
        task = asyncio.create_task(self._done(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _room(self, endpoint: str) -> asyncio.Semaphore:
        """What bounds the tries at a time of one endpoint, as its configuration has it now."""
        live = self._endpoints.find(endpoint)
        count = _at_once(live.record.blue) if live is not None else 1
        if self._rooms.get(endpoint, (0, None))[0] != count:
            self._rooms[endpoint] = count, asyncio.Semaphore(count)
        return self._rooms[endpoint][1]

    async def _done(self, call: Later) -> None:
        """Answer a call, write that, and forget it."""
        async with self._room(call.endpoint):
            good, content = await self._answer(call)
        where = call.output if good else call.failure
        if await self._written(where, content, call):
            self._calls.pop(_name(call), None)
            try:
                await asyncio.to_thread(self._endpoints.store.remove, _KIND, _name(call))
            except TradewindError as problem:
                self._said(f"{where} is written, and will be again at the next start: {problem}")

    async def _answer(self, call: Later) -> tuple[bool, bytes]:
        """Whether a call went well, and the content of its answer, or of what tells its failure."""
        pause, body = _PAUSE, call.body
        while clock.now() < call.expires:
            try:
                if call.input and not body:
                    body = await asyncio.to_thread(_read, call.input)
                response = await asyncio.wait_for(self._tried(call, body), call.seconds)
            except TimeoutError:
                return False, _told(f"no answer within {call.seconds:g} s")
            except TradewindError as problem:
                return False, _told(str(problem))
            except Exception as problem:  # what another store's client raises is its own
                return False, _told(f"{type(problem).__name__}: {problem}")
            content = response.body if isinstance(response.body, bytes) else b"".join(response.body)
            if response.status not in _BUSY:
                return response.status == 200, content
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False, _told("the request became too old before it could be answered (RequestTTLSeconds)")

    async def _tried(self, call: Later, body: bytes) -> Response:
        path = f"/endpoints/{call.endpoint}/invocations"
        match = self._routes.find("POST", path)
        headers = dict(call.headers)
        request = Request("POST", path, "", headers, body, clock.now(), match.variables)
        if self._large is not None and is_large(request):
            return await self._large.answer(match.route, request)
        return await match.route.handler(request)

    async def _written(self, where: str, content: bytes, call: Later) -> bool:
        pause = _PAUSE
        while True:
            try:
                await asyncio.to_thread(_write, where, content)
                return True
            except Exception as problem:  # a full disk, a store that is away
                if clock.now() >= call.expires:
                    self._said(f"{where} could not be written, and is lost: {problem}")
                    return True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _age(call: Later) -> float:
    return call.created


def _name(call: Later) -> str:
    """The name that a call is kept under: of its failure, for the caller may name the output."""
    return call.failure.rpartition("/")[2].removesuffix("-error.out")


def _at_once(side: Side) -> int:
    later = side.later
    return side.instances * (later.client_config.max_concurrent_invocations_per_instance if later else 1)


def _told(text: str) -> bytes:
    return msgspec.json.encode({"Message": text})


def _parted(address: str) -> tuple[str, str]:
    root, _, key = address.rpartition("/")
    return root or "/", key


def _read(address: str) -> bytes:
    root, key = _parted(address)
    try:
        content = open_store(root).get(key)
    except KeyError:
        raise Misuse("there is no such object", source=address, field="InputLocation") from None
    if len(content) > _INPUT_BYTES:
        raise Misuse(f"is over {_INPUT_BYTES} bytes", source=address, field="InputLocation")
    return content


def _write(address: str, content: bytes) -> None:
    root, key = _parted(address)
    open_store(root).put(key, content)
