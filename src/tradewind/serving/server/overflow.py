"""The shell of `serving.overflow`: a batcher with a function beside it, which takes what would be late."""

from __future__ import annotations

import asyncio
import math

from tradewind import clock
from tradewind.errors import TradewindError
from tradewind.serving.batching.latency import LearnedLatency
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.overflow import Burst, FunctionTerms, route
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.server.replicas.functions.deployed import DeployedModel
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.tensors import Tensors

_WEIGHT = 0.2
"""Of a new observation of a cold call's seconds."""


class Overflow:
    """Answers as its batcher does; what would be late on the replicas goes to `deployed`, one by one.

    `objective` is the seconds within which an answer is due, `late` the US dollars that a late one costs.
    Functions are called only once `warm` has started some, and their seconds are learned from then
    on. A call that finds no environment, or loses it, comes back to the batcher.
    """

    def __init__(
        self,
        batcher: Batcher,
        deployed: DeployedModel,
        meter: ModelMeter,
        *,
        largest: int,
        objective: float | None = None,
        late: float = math.inf,
    ) -> None:
        self._batcher, self._deployed, self._meter = batcher, deployed, meter
        self._largest, self._objective, self._late = max(1, largest), objective, late
        self._ahead = self._calling = self._warm = 0
        self._learned = LearnedLatency()
        self._cold = 0.0
        self.sent = 0
        """Requests that functions answered."""
        self.returned = 0
        """Requests that came back from functions without an answer."""

    @property
    def profile(self) -> FunctionTerms | None:
        """What the function does, by the calls so far; None before the first."""
        spending = self._deployed.spending
        if not self._learned.weight or not spending.calls:
            return None
        return FunctionTerms(
            per_request=float(spending.dollars) / spending.calls,
            warm=self._learned.latency.of(1),
            cold=self._cold,
            concurrency=self._deployed.concurrency,
        )

    async def warm(self, count: int) -> int:
        """Have `count` environments started, as far as they are not; how many answered.

        Environments are kept by whoever runs them for some minutes: call it again before they end.
        """
        count = min(count, self._deployed.concurrency)
        took = [self._started() for _ in range(count)]
        up = sum(await asyncio.gather(*took))
        self._warm = up
        return up

    async def _started(self) -> bool:
        took = clock.stopwatch()
        cold = self._deployed.spending.cold
        try:
            await self._deployed.describe()
        except TradewindError:
            return False
        seconds = took()
        if self._deployed.spending.cold > cold:
            self._cold = seconds if not self._cold else (1 - _WEIGHT) * self._cold + _WEIGHT * seconds
            took = clock.stopwatch()
            try:
                await self._deployed.describe()
            except TradewindError:
                return False
            seconds = took()
        self._learned = self._learned.observed(1, seconds)
        return True

    async def answer(
        self, inputs: Tensors, rows: int, deadline: float | None, within: float | None = None
    ) -> Tensors:
        """The outputs for one request; raises Refusal."""
        profile = self.profile
        if profile is not None:
            slack = self._slack(deadline, within)
            if slack < math.inf:
                found = route(self._burst(slack, rows), profile, self._late)
                if found.function:
                    outputs = await self._by_function(inputs, rows)
                    if outputs is not None:
                        return outputs
        self._ahead += rows
        try:
            return await self._batcher.answer(inputs, rows, deadline, within)
        finally:
            self._ahead -= rows

    def _slack(self, deadline: float | None, within: float | None) -> float:
        wanted = self._objective if within is None else within
        slack = math.inf if wanted is None else wanted
        return slack if deadline is None else min(slack, deadline - clock.now())

    def _burst(self, slack: float, rows: int) -> Burst:
        batcher = self._batcher
        return Burst(
            slack, rows, self._ahead, batcher.replicas, batcher.busy, self._largest, batcher.learned.latency,
            self._calling, self._warm,
        )  # fmt: skip

    async def _by_function(self, inputs: Tensors, rows: int) -> Tensors | None:
        """The outputs; None where no environment gave them."""
        self._calling += 1
        cold = self._deployed.spending.cold
        took = clock.stopwatch()
        try:
            outputs = await self._deployed.infer(inputs)
        except ReplicaLost:
            self.returned += 1
            self._warm = max(0, self._warm - 1)
            return None
        except ModelFailed as problem:
            self._meter.began()
            self._meter.refused(RefusalKind.FAILED)
            raise Refusal(RefusalKind.FAILED, str(problem)) from problem
        finally:
            self._calling -= 1
        seconds = took()
        if self._deployed.spending.cold == cold:
            self._learned = self._learned.observed(rows, seconds)
        self.sent += 1
        self._meter.began()
        self._meter.answered(0.0, seconds, seconds, rows)
        return outputs
