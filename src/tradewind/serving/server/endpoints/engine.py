"""The engine of a server with endpoints: each call goes to a variant of one, or to a model beside them.

What is under way goes on after a kill -9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from tradewind import clock
from tradewind.data.endpoint_store import EndpointStore
from tradewind.errors import Corrupt, TradewindError
from tradewind.serving.calls import (
    Answer,
    Call,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Refusal,
    RefusalKind,
)
from tradewind.serving.rollout.endpoint_record import EndpointRecord, Side
from tradewind.serving.rollout.update import resumed
from tradewind.serving.server.deployments import VERSION, Deployments
from tradewind.serving.server.endpoints.artefacts import Artefacts
from tradewind.serving.server.endpoints.endpoint import Bench, LiveEndpoint, SideAtWork
from tradewind.serving.server.endpoints.updates import Updates
from tradewind.serving.server.engine import ModelEngine
from tradewind.serving.server.metrics.meters import Gauges, Meters

STORE = "endpoints.sqlite"
ENDPOINT = "endpoint"
"""The kind of the endpoints' documents in the store."""


class Beside(Protocol):
    """Something that is opened and closed with the endpoints."""

    async def open(self) -> None:
        """Read what is kept, and go on with it."""
        ...

    async def close(self) -> None:
        """Stop; what is under way goes on at the next start."""
        ...


class Endpoints:
    """Implements `calls.Engine` over a ModelEngine, whose library is `deployments`.

    `folder` keeps the store, artefacts that were fetched, and logs; it is one server's at a time.
    """

    def __init__(
        self,
        engine: ModelEngine,
        deployments: Deployments,
        folder: Path,
        *,
        locate: Callable[[str], Path] = Path,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.engine, self.deployments, self.folder, self._said = engine, deployments, folder, said
        self.store = EndpointStore(folder / STORE)
        self.artefacts = Artefacts(folder / "artefacts", locate)
        self._bench = Bench(engine, deployments, self.artefacts, folder, said)
        self._live: dict[str, LiveEndpoint] = {}
        self._updates = Updates(lambda name, side: SideAtWork(self._bench, name, side), self.keep, self._said)
        self._locks: dict[str, asyncio.Lock] = {}
        self.beside: list[Beside] = []
        """Opened behind the endpoints, in this order, and closed before them."""

    # The engine's own part

    @property
    def live(self) -> bool:
        """Whether the server runs at all."""
        return self.engine.live

    @property
    def ready(self) -> bool:
        """Whether the models beside the endpoints are loaded, and every endpoint that was in service is."""
        waiting = (
            each for each in self._live.values()
            if each.record.status in ("InService", "Updating", "RollingBack")
        )  # fmt: skip
        return self.engine.ready and all(self.is_ready(each.name) for each in waiting)

    @property
    def meters(self) -> Meters:
        """Of every model, those of variants among them."""
        return self.engine.meters

    def gauges(self) -> Gauges:
        """How the server stands at this moment."""
        return self.engine.gauges()

    async def infer(self, call: Call) -> Answer:
        """The answer to one call."""
        endpoint = self._live.get(call.model)
        if endpoint is not None:
            return await endpoint.answer(call)
        if call.variant:
            raise Refusal(RefusalKind.NOT_FOUND, f"variant {call.variant[:80]} not found: no such endpoint")
        return await self.engine.infer(call)

    def default_model(self) -> str:
        """The one model that is served beside the endpoints, or the one endpoint."""
        for names in (self.deployments.base_names(), tuple(self._live)):
            if len(names) == 1:
                return names[0]
        count = len(self.deployments.base_names()) + len(self._live)
        raise Refusal(
            RefusalKind.NOT_FOUND, f"the server has {count} models: name one in the path or a header"
        )

    def index(self) -> tuple[ModelState, ...]:
        """Every endpoint, and every model beside them."""
        found = [each for each in self.engine.index() if each.name not in self.deployments]
        for name, live in sorted(self._live.items()):
            version, status = str(live.record.blue.generation), live.record.status
            state = "READY" if self.is_ready(name) else "LOADING" if status == "Creating" else "UNAVAILABLE"
            found.append(ModelState(name, version, state, "" if state == "READY" else status))
        return tuple(found)

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether the model or endpoint can answer now."""
        live = self._live.get(name)
        if live is None:
            return self.engine.is_ready(name, version)
        if version:
            return live.side(version).ready and self.engine.ready
        return any(side is not None and side.ready for side in (live.blue, live.green)) and self.engine.ready

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives."""
        live = self._live.get(name)
        if live is None:
            return self.engine.metadata(name, version)
        return _named(live, self.engine.metadata(next(iter(live.side(version).models.values()))))

    async def described(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives, for which it is loaded where `infer` would load it."""
        live = self._live.get(name)
        if live is None:
            return await self.engine.described(name, version)
        return _named(live, await self.engine.described(next(iter(live.side(version).models.values()))))

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        """What models have done; of an endpoint, each of its variants."""
        live = self._live.get(name)
        if live is None:
            return self.engine.statistics(name, version)
        sides = [side for side in (live.blue, live.green) if side is not None]
        return tuple(
            self.engine.meters.model(model, VERSION).statistics()
            for side in sides
            for model in side.models.values()
        )

    async def load(self, name: str, settings: dict[str, Any] | None = None) -> None:
        """Load a model beside the endpoints."""
        self._check_free(name)
        await self.engine.load(name, settings)

    async def unload(self, name: str) -> None:
        """Unload a model beside the endpoints."""
        self._check_free(name)
        await self.engine.unload(name)

    def _check_free(self, name: str) -> None:
        if name in self._live or name in self.deployments:
            raise Refusal(RefusalKind.MALFORMED, f"{name} belongs to an endpoint: update or delete that")

    async def open(self, names: tuple[str, ...] | None = None) -> None:
        """Load the models beside the endpoints, then every endpoint that is in the store."""
        await self.engine.open(names)
        for row in await asyncio.to_thread(self.store.all, ENDPOINT):
            try:
                record = msgspec.json.decode(row.document, type=EndpointRecord)
            except msgspec.DecodeError as error:
                raise Corrupt(
                    f"{self.store.path}: endpoint {row.name} does not read back ({error})"
                ) from None
            if record.status == "Deleting":
                await asyncio.to_thread(self.store.remove, ENDPOINT, record.name)
                continue
            if record.update is not None:
                record.update = resumed(record.update, clock.now())
            live = self._live[record.name] = LiveEndpoint(self._bench, record)
            if record.update is not None:
                live.share = record.update.share
            if record.status != "Failed":
                live.task = asyncio.create_task(self._updates.bring_up(live))
                live.task.add_done_callback(self._looked_at)
        while any(not self._settled(each) for each in self._live.values()):
            await asyncio.sleep(0.02)
        for other in self.beside:
            await other.open()

    def _settled(self, live: LiveEndpoint) -> bool:
        """Whether the start need not wait for an endpoint any more."""
        over = live.task is None or live.task.done()
        if over or live.record.status in ("Creating", "OutOfService", "UpdateRollbackFailed"):
            return True
        return live.blue.ready or (live.green is not None and live.green.ready)

    def stop_taking(self) -> None:
        """Not ready from now on, so that no more is sent here; what comes all the same is answered."""
        self.engine.stop_taking()

    async def close(self) -> None:
        """Answer what is in flight and let go of everything; what is under way goes on at the next start."""
        for other in reversed(self.beside):
            await other.close()
        for live in self._live.values():
            await live.halt()
        for live in self._live.values():
            await live.close()
        await self.engine.close()
        self.store.close()

    # What the control plane does with endpoints

    def all(self) -> tuple[LiveEndpoint, ...]:
        """Every endpoint, by name."""
        return tuple(self._live[name] for name in sorted(self._live))

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name, if there is one."""
        return self._live.get(name)

    def lock(self, name: str) -> asyncio.Lock:
        """What is held while an endpoint is changed."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def keep(self, record: EndpointRecord) -> None:
        """Write a record to the store. Raises TradewindError."""
        await kept(self.store, ENDPOINT, record.name, record)

    async def create(self, record: EndpointRecord) -> None:
        """Begin to create an endpoint, of which there is none of that name. Raises TradewindError."""
        live = LiveEndpoint(self._bench, record)
        await self.keep(record)
        self._live[record.name] = live
        self._start(live, self._updates.bring_up)

    async def update(self, live: LiveEndpoint, changed: EndpointRecord) -> None:
        """Begin the update that is in the record `changed`. Raises TradewindError, and nothing is begun."""
        await self.keep(changed)
        live.record = changed
        self._start(live, self._updates.update)

    async def reweigh(self, live: LiveEndpoint, blue: Side) -> None:
        """Give the variants the weights and replicas that `blue` says. Raises TradewindError."""
        changed = replace(live.record, blue=blue, status="Updating", modified=clock.now())
        await self.keep(changed)
        live.record, live.blue.side = changed, blue
        live.blue.reweigh()
        self._start(live, self._updates.resize)

    async def delete(self, live: LiveEndpoint) -> None:
        """Delete an endpoint, whatever is under way with it; what is in flight is answered."""
        live.record.status = "Deleting"
        await self.keep(live.record)
        await live.halt()
        live.task = asyncio.create_task(self._deleted(live))
        live.task.add_done_callback(self._looked_at)

    async def _deleted(self, live: LiveEndpoint) -> None:
        for side in (live.blue, live.green):
            if side is not None:
                await side.close()
        while True:
            try:
                await asyncio.to_thread(self.store.remove, ENDPOINT, live.name)
                break
            except TradewindError as problem:
                self._said(f"endpoint {live.name} cannot be removed from the store: {problem}")
                await asyncio.sleep(1.0)
        self._live.pop(live.name, None)

    def _start(self, live: LiveEndpoint, work: Callable[[LiveEndpoint], Any]) -> None:
        live.task = asyncio.create_task(work(live))
        live.task.add_done_callback(self._looked_at)

    def _looked_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._said(f"a fault of ours: {problem!r}")


def _named(live: LiveEndpoint, metadata: ModelMetadata) -> ModelMetadata:
    """The metadata of a variant's model as the endpoint's."""
    ready = (each.side.generation for each in (live.blue, live.green) if each is not None and each.ready)
    return replace(metadata, name=live.name, versions=tuple(str(each) for each in sorted(ready)))


async def kept(store: EndpointStore, kind: str, name: str, value: Any) -> None:
    """Write a value to the store; if it is cancelled meanwhile, once it is written. Raises TradewindError."""
    writing = asyncio.ensure_future(asyncio.to_thread(store.put, kind, name, msgspec.json.encode(value)))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise
