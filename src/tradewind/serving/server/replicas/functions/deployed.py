"""A served model deployed as a function: called from an event loop, its spending counted by the call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse, Temporary
from tradewind.market.billing.functions import BY_MILLISECONDS
from tradewind.market.billing.functions import Functions as Prices
from tradewind.runtimes.functions.client import Called, Functions, Throttled
from tradewind.runtimes.functions.reports import Report
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.functions.package import HANDLER, packed
from tradewind.serving.server.replicas.functions.tensor_events import listed, tensors_of
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.tensors import Signature, Tensors

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_LONGEST_EVENT = 6 << 20


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
    """The function `name`. At most `concurrency` calls run at a time; more wait here.

    A call that is throttled is tried again, after pauses that double, for `patience` seconds.
    """

    def __init__(
        self,
        functions: Functions,
        name: str,
        *,
        concurrency: int = 16,
        patience: float = 5.0,
        prices: Prices = BY_MILLISECONDS,
    ) -> None:
        self.name, self.concurrency = name, concurrency
        self.spending = Spending()
        self._functions, self._patience, self._prices = functions, patience, prices
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix=f"function-{name}")
        self._closed = False

    async def deploy(
        self, opening: Opening, *, code: Any = None, memory: int = 1769, timeout: int = 60, role: str = ""
    ) -> None:
        """Pack a model and make it this function's; see `Functions.deploy`."""
        named: dict[str, Any] = {"role": role} if role else {}

        def deploying() -> None:
            package = packed(opening, code)
            self._functions.deploy(self.name, package, HANDLER, memory=memory, timeout=timeout, **named)

        await asyncio.get_running_loop().run_in_executor(self._threads, deploying)

    async def describe(self) -> Described:
        """What it takes and gives; the call starts an environment where none is free.

        Misuse where the model cannot be opened there, Temporary where nobody answers.
        """
        called = await self._called(b'{"describe": true}')
        if called.error:
            raise Misuse(
                f"the function does not start: {called.message or called.error}", source=self.name,
                fix="Read its log.",
            )  # fmt: skip
        return msgspec.json.decode(called.payload, type=Described)

    async def infer(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch; ModelFailed where the model raises or the batch is too large for an
        event, ReplicaLost where its environment died of it, or nobody answers."""
        event = json.dumps({"inputs": listed(inputs)}).encode()
        if len(event) > _LONGEST_EVENT:
            raise ModelFailed(f"{len(event)} bytes are more than a function takes at a time")
        try:
            called = await self._called(event)
        except Temporary as problem:
            raise ReplicaLost(str(problem)) from problem
        except Misuse as problem:
            raise ModelFailed(str(problem)) from problem
        if called.lost:
            raise ReplicaLost(called.message or called.error)
        if called.error:
            raise ModelFailed(f"{called.error}: {called.message}")
        told = json.loads(called.payload)
        if "failed" in told:
            raise ModelFailed(str(told["failed"]))
        return tensors_of(told["outputs"])

    async def _called(self, event: bytes) -> Called:
        """One call, again while it is throttled and patience lasts."""
        waited, pause = clock.stopwatch(), _FIRST_PAUSE
        while True:
            if self._closed:
                raise Temporary(f"{self.name} is closed here")
            try:
                called = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._functions.call, self.name, event
                )
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
        with contextlib.suppress(RuntimeError):
            self._threads.shutdown(wait=False)
