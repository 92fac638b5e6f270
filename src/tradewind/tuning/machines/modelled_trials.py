"""A model of trials' training, in place of the training: recorded curves and speeds, in virtual time.

Nothing is learned here. It stands where `ProcessTrials` stands when a study is simulated over recorded
markets: what a trial would report at each step, and what a step takes on each machine, are given, and `MODEL`
says so in every record that it enters.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from tradewind import clock
from tradewind.data.trial_store import Superseded
from tradewind.errors import Misuse
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.tuning.attempt import Asked
from tradewind.tuning.interface import GO_ON, PAUSE
from tradewind.tuning.machines.work import Change, Off, Timed
from tradewind.tuning.study import Study
from tradewind.tuning.trial import Setting

MODEL = "the training is a model: recorded learning curves and measured speeds, nothing was learned"

Curve = Callable[[Setting], Sequence[float]]
"""The objective after each step of a whole trial."""
StepSeconds = Callable[[Setting, str], float]
"""What a step of a setting takes on an instance type, seconds."""


class _Stay(Struct):
    """A trial on a lease."""

    asked: Asked
    lease: Lease
    per_second: float
    began: float
    trained: float
    task: asyncio.Task[None] | None = None
    step: int = 0
    kept: int = 0
    since_kept: float = 0.0
    """Seconds of work since the last checkpoint."""
    seconds: float = 1.0


class ModelledTrials:
    """Implements `TrialWork` on any clock, meant for `clock.simulate`.

    A lease that has started trains its trial: `boot` seconds, `restore` where there is a checkpoint, then a
    step each `step_seconds(setting, type)`. A checkpoint is made every `every` seconds of work, and takes
    `checkpoint`; one is made at a notice that is long enough, and where a trial is paused or moved.
    """

    def __init__(
        self, study: Study, curve: Curve, step_seconds: StepSeconds, *, boot: float = 60.0,
        checkpoint: float = 2.0, restore: float = 5.0, every: float = 300.0, heeds_notice: bool = True,
    ) -> None:  # fmt: skip
        for field, value in (("boot", boot), ("checkpoint", checkpoint), ("restore", restore)):
            if not 0 <= value < math.inf:
                raise Misuse(f"{value!r} is not 0 or more", field=field)
        if not every > 0:
            raise Misuse(f"{every!r} is not above 0", field="every")
        self.boot, self.checkpoint, self.restore, self.every = boot, checkpoint, restore, every
        self._study, self._curve, self._step_seconds = study, curve, step_seconds
        self._heeds = heeds_notice
        self._stays: dict[LeaseId, _Stay] = {}
        self._up: set[LeaseId] = set()
        self._changes: asyncio.Queue[Change | BaseException] = asyncio.Queue()
        self.lost_steps = 0
        """Steps that were done and had to be done again."""
        self.steps = 0
        """Steps done, those that were done again among them."""

    async def open(self) -> None:
        """Nothing is needed."""

    def start(self, asked: Asked, lease: Lease, per_hour: float) -> None:
        """Train from its last checkpoint, once the lease is up."""
        began = clock.now()
        stay = _Stay(asked, lease, per_hour / 3600, began, asked.seconds, step=asked.step, kept=asked.step)
        stay.seconds = self._step_seconds(asked.setting, lease.instance.type.name)
        if not 0 < stay.seconds < math.inf:
            raise Misuse(f"a step cannot take {stay.seconds} s", field="step_seconds")
        self._stays[lease.id] = stay
        stay.task = asyncio.create_task(self._train(stay))
        stay.task.add_done_callback(partial(self._settle, stay))

    def warn(self, revocation: Revocation) -> None:
        """Make a checkpoint, if there is time, and leave."""
        stay = self._stays.get(revocation.lease)
        if stay is None or not self._heeds or revocation.due - clock.now() < self.checkpoint:
            return
        if stay.task is not None:
            stay.task.cancel()
        stay.task = asyncio.create_task(self._go(stay))
        stay.task.add_done_callback(partial(self._settle, stay))

    async def leave(self, lease: LeaseId) -> None:
        """Make a checkpoint."""
        stay = self._stays.pop(lease, None)
        if stay is None:
            return
        await _cancelled(stay.task)
        await self._keep(stay)

    def lost(self, lease: LeaseId) -> None:
        """Forget what was done since the last checkpoint."""
        self._up.discard(lease)
        stay = self._stays.pop(lease, None)
        if stay is None:
            return
        if stay.task is not None:
            stay.task.cancel()
        self.lost_steps += stay.step - stay.kept

    def unkept(self, lease: LeaseId) -> float:
        """Seconds of work that the loss of the lease is expected to destroy: half of what lies between two
        checkpoints."""
        stay = self._stays.get(lease)
        return 0.0 if stay is None else self.every / 2

    async def next_change(self) -> Change:
        """Wait for the next change."""
        change = await self._changes.get()
        if isinstance(change, BaseException):
            raise change
        return change

    async def close(self) -> None:
        """Stop everything."""
        for stay in list(self._stays.values()):
            await _cancelled(stay.task)
        self._stays.clear()

    async def _train(self, stay: _Stay) -> None:
        asked, lease = stay.asked, stay.lease
        if lease.id not in self._up:
            await clock.sleep_until(max(clock.now(), lease.started + self.boot))
            self._up.add(lease.id)
        if asked.step:
            await clock.sleep_until(clock.now() + self.restore)
        curve = self._curve(asked.setting)
        first = True
        while stay.step < len(curve):
            await clock.sleep_until(clock.now() + stay.seconds)
            stay.step += 1
            self.steps += 1
            stay.trained += stay.seconds
            stay.since_kept += stay.seconds
            verdict = self._study.report(
                asked, stay.step, float(curve[stay.step - 1]), dollars=self._dollars(stay),
                seconds=stay.trained, keep=lambda: self._record(stay),
            )  # fmt: skip
            if first:
                first = False
                self._changes.put_nowait(Timed(asked.number, asked.claim.attempt, lease.id, stay.seconds))
            if verdict.action != GO_ON:
                if verdict.action == PAUSE:
                    await clock.sleep_until(clock.now() + self.checkpoint)
                break
            if stay.since_kept >= self.every and stay.step < len(curve):
                await self._keep(stay)
        else:
            value = float(curve[-1])
            self._study.tell(asked, value, dollars=self._dollars(stay), seconds=stay.trained)
        self._off(stay)

    def _settle(self, stay: _Stay, task: asyncio.Task[None]) -> None:
        """A model that breaks is its author's mistake, and ends the simulation; a trial that another driver
        has is off."""
        if task.cancelled() or (problem := task.exception()) is None:
            return
        if isinstance(problem, Superseded):
            self._off(stay)
        else:
            self._changes.put_nowait(problem)

    async def _go(self, stay: _Stay) -> None:
        await self._keep(stay)
        self._off(stay)

    async def _keep(self, stay: _Stay) -> None:
        if stay.step > stay.kept:
            await clock.sleep_until(clock.now() + self.checkpoint)
            self._record(stay)

    def _record(self, stay: _Stay) -> None:
        if stay.step > stay.kept:
            self._study.checkpoint(stay.asked, stay.step, f"trial-{stay.asked.number}-{stay.step}")
        stay.kept, stay.since_kept = stay.step, 0.0

    def _dollars(self, stay: _Stay) -> float:
        return stay.asked.dollars + stay.per_second * (clock.now() - stay.began)

    def _off(self, stay: _Stay) -> None:
        if self._stays.get(stay.lease.id) is stay:
            del self._stays[stay.lease.id]
        self._changes.put_nowait(Off(stay.asked.number, stay.asked.claim.attempt, stay.lease.id))


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
