"""A shadow: a variant that gets copies of requests; its answers are compared and logged, and nobody's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.serving.calls import Answer, Call, Engine, Refusal
from tradewind.serving.rollout.differences import Difference, difference
from tradewind.serving.rollout.traffic import place_in_turn
from tradewind.serving.server.endpoints.line_log import LineLog

_WAITING = 32
"""Copies under way at most; the next is dropped."""
_LONGEST = 5.0
"""Seconds after which a copy's answer is not waited for."""


class ShadowCounts(Struct):
    """What became of the copies."""

    copied: int = 0
    dropped: int = 0
    """Not copied, for others wait already or callers are waiting."""
    failed: int = 0
    compared: int = 0
    differing: int = 0
    """Answers that are not the same as the caller's."""
    largest: float = 0.0
    """The largest difference between two numbers."""
    production_seconds: float = 0.0
    shadow_seconds: float = 0.0
    """Of the answers compared, all together."""


class Shadow:
    """Sends copies of a `share` of the requests to the engine's `model`. `pressed` says whether callers wait
    for the machine that the copies would take."""

    def __init__(
        self,
        engine: Engine,
        variant: str,
        model: str,
        share: float,
        log: LineLog,
        pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self.variant, self.share, self.counts = variant, share, ShadowCounts()
        self.log = log
        self._engine, self._model, self._pressed = engine, model, pressed
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, call: Call, answer: Answer, seconds: float) -> None:
        """Copy a request that was answered in `seconds`, if it is of the share, and there is room."""
        self._turn += 1
        if place_in_turn(self._turn) >= self.share:
            return
        if len(self._tasks) >= _WAITING or self._pressed():
            self.counts.dropped += 1
            return
        self.counts.copied += 1
        copied = replace(call, model=self._model, deadline=clock.now() + _LONGEST)
        task = asyncio.get_running_loop().create_task(self._compare(copied, answer, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for no copy any more."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _compare(self, call: Call, answer: Answer, seconds: float) -> None:
        counts, began = self.counts, clock.now()
        try:
            said = await self._engine.infer(call)
        except Refusal as refusal:
            counts.failed += 1
            self._tell(call, answer, seconds, clock.now() - began, None, str(refusal))
            return
        took = clock.now() - began
        found = difference(answer.outputs, said.outputs)
        counts.compared += 1
        counts.production_seconds += seconds
        counts.shadow_seconds += took
        if not found.same:
            counts.differing += 1
            counts.largest = max(counts.largest, found.largest)
            self._tell(call, answer, seconds, took, found, "")

    def _tell(
        self, call: Call, answer: Answer, seconds: float, took: float, found: Difference | None, error: str
    ) -> None:
        said = {
            "time": datetime.fromtimestamp(clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "inferenceId": call.id,
            "production": answer.variant,
            "shadow": self.variant,
            "productionSeconds": seconds,
            "shadowSeconds": took,
            "difference": found,
            "error": error,
        }
        self.log.add(f"{answer.model}/{self.variant}", lambda: msgspec.json.encode(said))
