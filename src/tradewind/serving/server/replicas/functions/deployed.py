"""A served model deployed as a function: called from an event loop, its spending counted by the call."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse, Permanent, Temporary
from tradewind.market.billing.functions import BY_MILLISECONDS
from tradewind.market.billing.functions import Functions as Prices
from tradewind.runtimes.functions.client import Called, Functions, Throttled
from tradewind.runtimes.functions.reports import Report
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.functions.callers import Callers
from tradewind.serving.server.replicas.functions.package import HANDLER, packed
from tradewind.serving.server.replicas.functions.tensor_events import listed, tensors_of
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.tensors import Signature, Tensors

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_LONGEST_EVENT = 6 << 20


class CallFailed(ModelFailed):
    """The call failed and not the model: run elsewhere, the batch may be answered."""


class Described(Struct, frozen=True):
    """What the model tells of itself."""

    signature: Signature
    platform: str
    memory: int


class Spending(Struct):
    """What calls have cost so far, by the reports that came with their answers."""

    calls: int = 0
    cold: int = 0
    throttled: int = 0
    """Calls that were refused because too many ran; they cost nothing."""
    untold: int = 0
    """Calls whose report did not come, and that are not in the dollars."""
    gb_seconds: float = 0.0
    dollars: Decimal = Decimal(0)

    def add(self, report: Report | None, prices: Prices) -> None:
        """Count a call."""
        self.calls += 1
        if report is None:
            self.untold += 1
            return
        self.cold += report.cold
        units = math.ceil(round(report.billed / 1000.0 / prices.unit, 6))
        gb_seconds = units * prices.unit * report.memory / 1024.0
        self.gb_seconds += gb_seconds
        self.dollars += Decimal(repr(prices.per_gb_second)) * Decimal(repr(gb_seconds))
        self.dollars += Decimal(repr(prices.per_call))


class DeployedModel:
    """The function `name`, called through `functions`; where that is None, `use` says later.

    At most `concurrency` calls run at a time; more wait here.

    A call that is throttled is tried again, after pauses that double, for `patience` seconds.
    """

    def __init__(
        self,
        functions: Functions | None,
        name: str,
        *,
        concurrency: int = 16,
        patience: float = 5.0,
        prices: Prices = BY_MILLISECONDS,
    ) -> None:
        self.name, self.concurrency = name, concurrency
        self.spending = Spending()
        self._functions, self._patience, self._prices = functions, patience, prices
        self._callers = Callers(concurrency, f"function-{name}")
        self._closed = False

    def use(self, functions: Functions) -> None:
        """Call it there from now on."""
        self._functions = functions

    async def deploy(
        self,
        opening: Opening,
        *,
        code: Any = None,
        memory: int = 1769,
        timeout: int = 60,
        role: str = "",
        layers: Sequence[str] = (),
        description: str = "",
    ) -> None:
        """Pack a model and make it this function's; see `Functions.deploy`."""
        named: dict[str, Any] = {"layers": layers, "description": description}
        if role:
            named["role"] = role

        functions = self._functions
        if functions is None:
            raise Temporary(f"{self.name} is not open here")

        def deploying() -> None:
            package = packed(opening, code)
            functions.deploy(self.name, package, HANDLER, memory=memory, timeout=timeout, **named)

        await self._callers.run(deploying)

    async def delete(self) -> None:
        """Have the function forgotten; silent if there is none."""
        if self._functions is not None:
            await self._callers.run(self._functions.delete, self.name)

    async def describe(self) -> Described:
        """What it takes and gives; the call starts an environment where none is free.

        Misuse where the model cannot be opened there, Temporary where nobody answers.
        """
        return msgspec.json.decode((await self._described(0.0)).payload, type=Described)

    async def start(self, hold: float = 0.0) -> bool:
        """Have an environment answer, and keep it for `hold` seconds, so that calls at the same time get
        others; whether the call started it. Raises as `describe`."""
        report = (await self._described(hold)).report
        return report is not None and report.cold

    async def _described(self, hold: float) -> Called:
        called = await self._called(json.dumps({"describe": True, "hold": hold}).encode())
        if called.error:
            raise Misuse(
                f"the function does not start: {called.message or called.error}", source=self.name,
                fix="Read its log.",
            )  # fmt: skip
        return called

    async def infer(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch; raises as `called`."""
        outputs, _ = await self.called(inputs)
        return outputs

    async def called(self, inputs: Tensors) -> tuple[Tensors, bool]:
        """The outputs for one batch, and whether the call started its environment.

        ModelFailed where the model raises, CallFailed where the batch is too large for an event or the call
        came to nothing otherwise, ReplicaLost where its environment died of it, or nobody answers.
        """
        event = json.dumps({"inputs": listed(inputs)}).encode()
        if len(event) > _LONGEST_EVENT:
            raise CallFailed(f"{len(event)} bytes are more than a function takes at a time")
        try:
            called = await self._called(event)
        except (Temporary, Permanent) as problem:
            raise ReplicaLost(str(problem)) from problem
        except Misuse as problem:
            raise CallFailed(str(problem)) from problem
        if called.lost:
            raise ReplicaLost(called.message or called.error)
        if called.error:
            raise CallFailed(f"{called.error}: {called.message}")
        told = json.loads(called.payload)
        if "failed" in told:
            raise ModelFailed(str(told["failed"]))
        cold = called.report is not None and called.report.cold
        return tensors_of(told["outputs"]), cold

    async def _called(self, event: bytes) -> Called:
        """One call, again while it is throttled and patience lasts."""
        waited, pause = clock.stopwatch(), _FIRST_PAUSE
        while True:
            if self._closed or self._functions is None:
                raise Temporary(f"{self.name} is not open here")
            try:
                called = await self._callers.run(self._functions.call, self.name, event)
            except Throttled:
                self.spending.throttled += 1
                if waited() + pause > self._patience:
                    raise
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, _LONGEST_PAUSE)
                continue
            self.spending.add(called.report, self._prices)
            return called

    async def close(self) -> None:
        """Make no more calls; those in hand come to their end by themselves."""
        self._closed = True
        self._callers.close()
