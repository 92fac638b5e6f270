"""One model version that answers: its signature, its queue, its replicas."""

from __future__ import annotations

from collections.abc import Callable

from tradewind.serving.calls import Answer, Call, ModelMetadata, Refusal, RefusalKind
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.crew import Crew
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.server.relief import Relief
from tradewind.serving.tensors import DTYPES, Signature, Tensors, datatype_of


class Served:
    """A model version in service. Calls are checked here, before they reach the model.

    `relief` stands before the batcher, and is closed after it.
    """

    def __init__(
        self,
        name: str,
        version: str,
        *,
        signature: Signature,
        platform: str,
        largest: int,
        batcher: Batcher,
        fleet: Crew,
        meter: ModelMeter,
        relief: Relief | None = None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.version, self.signature, self.platform = name, version, signature, platform
        self.largest, self.batcher, self.fleet, self.meter = largest, batcher, fleet, meter
        self._inputs = [
            (spec.name, spec.datatype, DTYPES[spec.datatype], spec.shape) for spec in signature.inputs
        ]
        self._outputs = frozenset(spec.name for spec in signature.outputs)
        self._relief, self._closed = relief, closed
        self._answer = batcher.answer if relief is None else relief.answer

    @property
    def memory(self) -> int:
        """Bytes that its replicas hold."""
        return self.fleet.memory

    @property
    def ready(self) -> bool:
        """Whether a replica of it is up, or its relief answers without one."""
        return self.fleet.up > 0 or (self._relief is not None and self._relief.up)

    def metadata(self, versions: tuple[str, ...]) -> ModelMetadata:
        """What the protocol tells of it, with all `versions` that may be asked for."""
        largest = self.largest if self.signature.batched else 0
        return ModelMetadata(self.name, versions, self.platform, self.signature, largest)

    async def answer(self, call: Call) -> Answer:
        """The answer to one call; raises Refusal."""
        try:
            inputs, rows = self.checked(call)
        except Refusal as refusal:
            self.meter.began()
            self.meter.refused(refusal.kind)
            raise
        outputs = await self._answer(inputs, rows, call.deadline, call.within)
        if call.outputs:
            outputs = {name: outputs[name] for name in call.outputs}
        return Answer(self.name, self.version, call.id, outputs)

    def checked(self, call: Call) -> tuple[Tensors, int]:
        """The inputs in the signature's order, and how many rows they are; raises Refusal."""
        given, inputs, rows = call.inputs, {}, -1
        batched = self.signature.batched
        for name, datatype, dtype, shape in self._inputs:
            array = given.get(name)
            if array is None:
                raise self._malformed(f"input {name!r} is missing; it takes {self._names()}")
            if array.dtype != dtype:
                raise self._malformed(f"input {name!r} is {_said(array)}, and it takes {datatype}")
            if array.ndim != len(shape) or any(
                want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)
            ):
                raise self._malformed(
                    f"input {name!r} has shape {list(array.shape)}, and it takes {list(shape)}"
                )
            if batched:
                if rows not in (-1, array.shape[0]):
                    raise self._malformed(f"input {name!r} has {array.shape[0]} rows, another {rows}")
                rows = array.shape[0]
            inputs[name] = array
        if len(given) > len(inputs):
            unknown = next(name for name in given if name not in inputs)
            raise self._malformed(f"there is no input {unknown!r}; it takes {self._names()}")
        if rows == 0:
            raise self._malformed("there are no rows")
        for name in call.outputs:
            if name not in self._outputs:
                raise self._malformed(f"there is no output {name!r}; it gives {', '.join(self._outputs)}")
        return inputs, max(rows, 1)

    def _malformed(self, text: str) -> Refusal:
        return Refusal(RefusalKind.MALFORMED, f"model {self.name!r}: {text}")

    def _names(self) -> str:
        return ", ".join(each[0] for each in self._inputs)

    async def close(self) -> None:
        """Answer what waits, then let go of the replicas."""
        await self.batcher.close()
        if self._relief is not None:
            await self._relief.close()
        await self.fleet.close()
        self._closed()


def _said(array: object) -> str:
    try:
        return datatype_of(array)  # type: ignore[arg-type]
    except KeyError:
        return str(getattr(array, "dtype", "no tensor"))
