"""An endpoint at work: its variants' models in the engine, and which of them answers a request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.errors import Misuse, TradewindError
from tradewind.serving.calls import Answer, Call, Refusal, RefusalKind
from tradewind.serving.rollout.alarms import Seen
from tradewind.serving.rollout.endpoint_record import Deployed, EndpointRecord, Side, model_name
from tradewind.serving.rollout.traffic import part_of, place_in_turn, place_of, split_by
from tradewind.serving.server.deployments import VERSION, Deployments
from tradewind.serving.server.endpoints.artefacts import Artefacts
from tradewind.serving.server.endpoints.capture import Capture
from tradewind.serving.server.endpoints.line_log import LineLog
from tradewind.serving.server.endpoints.shadow import Shadow
from tradewind.serving.server.engine import ModelEngine
from tradewind.serving.server.metrics.meters import OURS
from tradewind.serving.tensors import TensorSpec

_PRESSED = 16
"""Requests of callers in progress, from which on a shadow gets no copies."""


class Bench(Struct, frozen=True):
    """What every endpoint of a server works with."""

    engine: ModelEngine
    deployments: Deployments
    artefacts: Artefacts
    folder: Path
    """Where differences of shadows are logged, and captures wait to be moved."""
    said: Callable[[str], None]


class SideAtWork:
    """The variants of one deployment of an endpoint."""

    def __init__(self, bench: Bench, endpoint: str, side: Side) -> None:
        self._bench, self.endpoint, self.side = bench, endpoint, side
        self.models = {each.name: model_name(endpoint, side, each) for each in side.variants}
        self.ready = False
        """Whether every variant was loaded."""
        self.capture: Capture | None = None
        self.shadows: list[Shadow] = []
        self._logs: list[LineLog] = []
        self._fraction = 1.0
        self.reweigh()

    def reweigh(self) -> None:
        """Take the weights as the side says them now. Misuse where none is positive."""
        self.split = split_by({each.name: each.weight for each in self.side.variants})

    async def open(self, fraction: float = 1.0, like: SideAtWork | None = None) -> None:
        """Load every variant, with that fraction of its replicas; raises TradewindError, with nothing loaded.

        Misuse where variants, or those of `like`, take other inputs: callers could not know whom they ask.
        """
        self._fraction = fraction
        try:
            for each in [*self.side.variants, *self.side.shadows]:
                await self._load(each, fraction if each in self.side.variants else 1.0)
            self._check_inputs(like)
            self._begin_logs()
        except BaseException:
            await self._unload()
            raise
        self.ready = True

    async def _load(self, variant: Deployed, fraction: float) -> None:
        bench, model = self._bench, model_name(self.endpoint, self.side, variant)
        path = await asyncio.to_thread(bench.artefacts.place, variant.artefact)
        bench.deployments.add(model, path, _part(variant.instances, fraction))
        await bench.engine.load(model)

    def _check_inputs(self, like: SideAtWork | None) -> None:
        first = self.inputs()
        for side in (self, like) if like is not None and like.ready else (self,):
            for each in [*side.side.variants, *side.side.shadows]:
                other = side.inputs(each)
                if _forms(other) != _forms(first):
                    raise Misuse(
                        f"variant {each.name} takes {_told(other)}, another of the endpoint {_told(first)}",
                        field="ModelName", fix="Make another endpoint for another kind of request.",
                    )  # fmt: skip

    def inputs(self, variant: Deployed | None = None) -> tuple[TensorSpec, ...]:
        """What a variant takes, the first one if none is given."""
        model = model_name(self.endpoint, self.side, variant or self.side.variants[0])
        return self._bench.engine.metadata(model).signature.inputs

    def _begin_logs(self) -> None:
        bench, side = self._bench, self.side
        if side.capture is not None and side.capture.enable_capture:
            spool = bench.folder / "captured" / f"{self.endpoint}-{side.generation}"
            log = LineLog(side.capture.destination_s3_uri, spool, bench.said)
            self.capture = Capture(self.endpoint, side.capture, log)
            self._logs.append(log)
        if side.shadows:
            log = LineLog(str(bench.folder / "shadows"), bench.folder, bench.said)
            self._logs.append(log)
            whole = sum(each.weight for each in side.variants)
            for each in side.shadows:
                self.shadows.append(
                    Shadow(
                        bench.engine,
                        each.name,
                        model_name(self.endpoint, side, each),
                        min(1.0, each.weight / whole),
                        log,
                        self._pressed,
                    )
                )
        for log in self._logs:
            log.start()

    def _pressed(self) -> bool:
        meters = self._bench.engine.meters
        return sum(meters.model(each, VERSION).in_progress for each in self.models.values()) >= _PRESSED

    def up(self) -> float:
        """The fraction of its replicas, all variants' together, that are up."""
        if not self.ready:
            return 0.0
        up = sum(min(self.replicas_up(each), each.instances) for each in self.side.variants)
        return up / self.side.instances

    def replicas_up(self, variant: Deployed) -> int:
        """Replicas of a variant that are up."""
        return self._bench.engine.replicas_up(model_name(self.endpoint, self.side, variant))

    async def resize(self, fraction: float | None = None) -> None:
        """Keep that fraction of the replicas that the side says now; as before if None. Raises Refusal."""
        self._fraction = self._fraction if fraction is None else fraction
        for each in self.side.variants:
            count = _part(each.instances, self._fraction)
            model = self.models[each.name]
            self._bench.deployments.resize(model, count)
            await self._bench.engine.resize(model, count)

    @property
    def fraction(self) -> float:
        """Of its replicas that were wanted last."""
        return self._fraction

    def seen(self) -> Seen:
        """What callers saw of its variants so far."""
        found = Seen()
        for model in self.models.values():
            meter = self._bench.engine.meters.model(model, VERSION)
            errors = sum(meter.refusals[kind] for kind in OURS)
            found = found + Seen(meter.answers, errors, tuple(meter.total.counts))
        return found

    async def close(self) -> None:
        """Answer what is in flight, and let go of everything."""
        self.ready = False
        for shadow in self.shadows:
            await shadow.close()
        for log in self._logs:
            await log.close()
        await self._unload()

    async def _unload(self) -> None:
        bench = self._bench
        for each in [*self.side.variants, *self.side.shadows]:
            model = model_name(self.endpoint, self.side, each)
            if model in bench.deployments:
                try:
                    await bench.engine.unload(model)
                except TradewindError as problem:
                    bench.said(f"{model} could not be unloaded: {problem}")
                bench.deployments.remove(model)
                bench.engine.meters.forget(model, VERSION)


class LiveEndpoint:
    """An endpoint and the sides of it that are at work."""

    def __init__(self, bench: Bench, record: EndpointRecord) -> None:
        self.record = record
        self.name = record.name
        self.blue = SideAtWork(bench, record.name, record.blue)
        self.green: SideAtWork | None = None
        self.share = 0.0
        """Of the traffic that goes to green."""
        self.alarms: tuple[str, ...] = ()
        """Those of the update under way that ring."""
        self.task: asyncio.Task[None] | None = None
        self._engine = bench.engine
        self._seed, self._turn = crc32(record.name.encode()), 0

    def side(self, version: str = "") -> SideAtWork:
        """The one of a version, or that has most of the traffic and is ready. NOT_READY if none is."""
        green = self.green
        if version:
            return self._of_version(version)
        if green is not None and green.ready and (self.share > 0.5 or not self.blue.ready):
            return green
        if not self.blue.ready:
            status = self.record.status
            raise Refusal(RefusalKind.NOT_READY, f"endpoint {self.name} is {status}", retry_after=1.0)
        return self.blue

    def chosen(self, call: Call) -> tuple[SideAtWork, str]:
        """The side and the variant that answer a call. Raises Refusal."""
        if call.id:
            place = place_of(call.id, self._seed)
        else:
            self._turn += 1
            place = place_in_turn(self._turn)
        side, green = self.blue, self.green
        if green is not None and self.share > 0.0:
            newer, place = part_of(place, self.share)
            side = green if newer else side
        if not side.ready:
            side = self.side()
        if call.version and call.version != str(side.side.generation):
            side = self.side(call.version)
        if not call.variant:
            return side, side.split.at(place)
        for each in (side, self.blue, green):
            if each is not None and each.ready and call.variant in each.models:
                return each, call.variant
        raise Refusal(
            RefusalKind.NOT_FOUND,
            f"variant {call.variant[:80]} not found in endpoint {self.name}: it has {', '.join(side.models)}",
        )

    def _of_version(self, version: str) -> SideAtWork:
        for each in (self.blue, self.green):
            if each is not None and each.ready and version == str(each.side.generation):
                return each
        raise Refusal(RefusalKind.NOT_FOUND, f"endpoint {self.name} has no version {version[:80]!r}")

    async def answer(self, call: Call) -> Answer:
        """The answer of one variant; raises Refusal."""
        side, variant = self.chosen(call)
        asked = replace(call, model=side.models[variant], version="", variant="")
        began = clock.now()
        answer = await self._engine.infer(asked)
        answer.model, answer.variant, answer.version = self.name, variant, str(side.side.generation)
        if side.shadows:
            seconds = clock.now() - began
            for shadow in side.shadows:
                shadow.copy(asked, answer, seconds)
        if side.capture is not None:
            side.capture.take(call, answer, began)
        return answer

    async def close(self) -> None:
        """Stop what is under way, and let go of both sides."""
        await self.halt()
        for side in (self.blue, self.green):
            if side is not None:
                await side.close()

    async def halt(self) -> None:
        """Stop what is under way; it goes on where it stood when the server is started again."""
        task, self.task = self.task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])


def _part(instances: int, fraction: float) -> int:
    return max(1, math.ceil(instances * fraction - 1e-9))


def _forms(inputs: tuple[TensorSpec, ...]) -> list[tuple[str, str, int]]:
    return sorted((spec.name, spec.datatype, len(spec.shape)) for spec in inputs)


def _told(inputs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in inputs)
