"""A model of a job's work, in place of the work: how far it would be, by a measured speed, in virtual time.

Nothing is learned here. It stands where `ProcessWork` stands when a job is simulated over months of market,
and what it says of progress is an estimate: `MODEL` says so in every record that it enters.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.training.elastic.work import STATE, Change, Finished
from tradewind.training.view import Progress

MODEL = "the work is a speed model: vCPU-seconds times a measured rate, nothing was learned"

_INSTANT = 1e-5
"""Seconds that count as none: a double that holds a moment of this century is a tenth as fine at best."""


class ModelledWork:
    """Work done at `rate` units per useful vCPU-second by the leases that have started up.

    In mode `servers` the state lives on a lease of its own: there is no progress without it, workers come
    and go, and a loss costs at most the clock in flight, `clock_seconds` of everybody's work (nothing where
    the notice was long enough to end it, that is at least `clock_seconds`). The loss of the state itself
    goes back to the last snapshot, one every `snapshot_every` seconds.

    `vcpus` caps the useful vCPUs of all leases together, as a goal's does: more of them do no more work.

    In mode `checkpoints` there is no server: the job runs only while `workers` leases are started (or, under
    such a cap, as many as fit: one more like the smallest would overshoot), spends
    `snapshot_seconds` on a checkpoint after every `snapshot_every` seconds of work, and goes back to the
    last one when a lease is lost; then all start again, `startup` seconds. A checkpoint is also taken at a
    planned release, and at a notice if `heeds_notice` and the notice is long enough.
    """

    def __init__(
        self,
        total: float,
        rate: float,
        *,
        startup: float = 0.0,
        mode: str = "servers",
        snapshot_every: float = 3600.0,
        snapshot_seconds: float = 0.0,
        clock_seconds: float = 1.0,
        workers: int = 1,
        useful_vcpus: float | None = None,
        heeds_notice: bool = False,
        done: float = 0.0,
        vcpus: float | None = None,
    ) -> None:
        if mode not in ("servers", "checkpoints"):
            raise Misuse(f"{mode!r} is no mode", field="mode", fix="Use servers or checkpoints.")
        for field, value, least in (
            ("total", total, 0.0),
            ("rate", rate, 0.0),
            ("snapshot_every", snapshot_every, 0.0),
        ):
            if not least < value < math.inf:
                raise Misuse(f"{value!r} is not above {least:g}", field=field)
        for field, value in (
            ("startup", startup),
            ("snapshot_seconds", snapshot_seconds),
            ("clock_seconds", clock_seconds),
            ("done", done),
        ):
            if not 0 <= value < math.inf:
                raise Misuse(f"{value!r} is not 0 or more", field=field)
        if workers < 1:
            raise Misuse(f"{workers} is less than one", field="workers")
        self._total, self._rate, self._startup = total, rate, startup
        self._elastic = mode == "servers"
        self._every, self._pause = snapshot_every, snapshot_seconds
        self._clock_seconds, self._workers = clock_seconds, workers
        self._useful = math.inf if useful_vcpus is None else useful_vcpus
        self._heeds = heeds_notice
        self._most = math.inf if vcpus is None else vcpus
        self._done = self._saved = done
        self._firm = 0.0
        """Units done when a loss last undid some: another loss of the same moment undoes no more."""
        self._since_saved = 0.0
        """Seconds of running since the last snapshot, or since the start."""
        self._at = math.nan
        self._held: dict[LeaseId, Lease] = {}
        self._ready: dict[LeaseId, float] = {}
        self._notices: dict[LeaseId, Revocation] = {}
        self._stalled_until = -math.inf
        self._steady = (math.inf, -math.inf, 0.0)
        """From when and until when the speed stands, if nobody comes or goes, and what it is."""
        self._changed: asyncio.Event | None = None
        self._told: deque[Change] = deque()
        self._finished = self._over = False
        self.losses = 0
        """Leases lost while they worked."""
        self.redone = 0.0
        """Units that were done and had to be done again."""

    async def open(self) -> None:
        """Begin to count."""
        self._changed = asyncio.Event()
        self._at = clock.now()

    def join(self, lease: Lease) -> None:
        """Count this lease from its start plus the start-up."""
        self._advance()
        if lease.id in self._held:
            return
        self._held[lease.id] = lease
        self._ready[lease.id] = max(lease.started, self._at) + self._startup
        self._count_anew()
        self._wake()

    def warn(self, revocation: Revocation) -> None:
        """Remember the notice; a rigid job that heeds it takes a checkpoint."""
        self._advance()
        if revocation.lease not in self._held or revocation.lease in self._notices:
            return
        self._notices[revocation.lease] = revocation
        if not self._elastic and self._heeds and revocation.due - self._at >= self._pause:
            self._checkpoint()

    async def drain(self, lease: LeaseId) -> None:
        """End the clock on this lease, or take a checkpoint; a model does so at once."""
        self._advance()
        if lease not in self._held:
            return
        purpose = self._held[lease].purpose
        if purpose == STATE:
            self._saved, self._since_saved = self._done, 0.0
        elif not self._elastic and self._ready[lease] <= self._at:
            self._checkpoint()
        self._forget(lease)

    def lost(self, lease: LeaseId) -> None:
        """Take back what this loss undoes."""
        self._advance()
        if lease not in self._held:
            return
        worked = self._ready[lease] <= self._at
        notice = self._notices.get(lease)
        state = self._held[lease].purpose == STATE
        if worked:
            self.losses += 1
            if state or not self._elastic:
                self._firm = min(self._firm, self._saved)
                self._undo(self._done - self._saved)
                self._since_saved = 0.0
            elif (notice is None or notice.due - notice.warned < self._clock_seconds) and (
                self._done > self._firm
            ):
                self._undo(self._clock_seconds * self._power(self._at))
        self._forget(lease)
        if worked and not self._elastic:
            for other in self._ready:
                self._ready[other] = max(self._ready[other], self._at + self._startup)
            self._count_anew()
        self._wake()

    def progress(self) -> Progress:
        """How far the job would be."""
        self._advance()
        return Progress(self._done, self._total, self._saved, self._rate, self._startup)

    def loss(self) -> float | None:
        """None: nothing is learned."""
        return None

    async def next_change(self) -> Change:
        """Wait until the work is done."""
        assert self._changed is not None, "open comes first"
        while not self._told:
            self._changed.clear()
            moment = self._next_moment()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(moment) else max(0.0, moment - clock.now())):
                    await self._changed.wait()
            self._advance()
        return self._told.popleft()

    async def pause(self) -> None:
        """Keep what is done."""
        self._advance()
        self._saved = self._done
        self._over = True
        self._held.clear()
        self._ready.clear()
        self._count_anew()
        self._wake()

    async def close(self) -> None:
        """Count no longer."""
        self._over = True

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _forget(self, lease: LeaseId) -> None:
        self._held.pop(lease, None)
        self._ready.pop(lease, None)
        self._notices.pop(lease, None)
        self._count_anew()
        self._wake()

    def _undo(self, units: float) -> None:
        # Work since the last time that something was undone is all that can be in flight.
        units = max(0.0, min(units, self._done - self._firm))
        self._done -= units
        self._firm = self._done
        self._saved = min(self._saved, self._done)
        self.redone += units

    def _checkpoint(self) -> None:
        if self._done > self._saved:
            self._saved, self._since_saved = self._done, 0.0
            self._stalled_until = max(self._stalled_until, self._at) + self._pause
            self._count_anew()

    def _count_anew(self) -> None:
        self._steady = (math.inf, -math.inf, 0.0)

    def _power(self, moment: float) -> float:
        """Units a second at `moment`; the sum over hundreds of leases is taken once a change."""
        start, end, power = self._steady
        if not start <= moment < end:
            power = self._sum(moment)
            self._steady = moment, self._step_after(moment), power
        return power

    def _sum(self, moment: float) -> float:
        """Units a second at `moment`, over the leases that have started up."""
        ready = [self._held[lease] for lease, at in self._ready.items() if at <= moment]
        working = [lease for lease in ready if lease.purpose != STATE]
        if self._elastic:
            if len(working) == len(ready):
                return 0.0
        elif moment < self._stalled_until:
            return 0.0
        useful = [min(lease.instance.type.resources.vcpus, self._useful) for lease in working]
        together = sum(useful)
        if (
            not self._elastic
            and len(useful) < self._workers
            and (not useful or together + min(useful) <= self._most * (1 + 1e-9))
        ):
            return 0.0
        return self._rate * min(together, self._most)

    def _next_step(self, moment: float) -> float:
        """The next moment after `moment` at which the speed changes by itself; infinity for never."""
        start, end, _ = self._steady
        return end if start <= moment < end else self._step_after(moment)

    def _step_after(self, moment: float) -> float:
        steps = [at for at in self._ready.values() if at > moment]
        if self._stalled_until > moment:
            steps.append(self._stalled_until)
        return min(steps, default=math.inf)

    def _next_moment(self) -> float:
        """When to look again: at the next step, or at the end of the work."""
        moment, done, since = self._at, self._done, self._since_saved
        if self._finished:
            return math.inf
        power = self._power(moment)
        step = self._next_step(moment)
        if power <= 0:
            return step
        if self._pause > 0 and not self._elastic:
            step = min(step, moment + self._every - since)
        return min(step, moment + (self._total - done) / power)

    def _advance(self) -> None:
        """Do the work up to now, step by step of its speed."""
        if self._over:
            return
        now = clock.now()
        while self._at < now and not self._finished:
            power = self._power(self._at)
            until = min(now, self._next_step(self._at))
            if power > 0:
                until = min(until, self._at + self._every - self._since_saved)
                end = self._at + (self._total - self._done) / power
                if end <= until:
                    self._done, self._at = self._total, end
                    self._finish()
                    break
                self._done += power * (until - self._at)
                self._since_saved += until - self._at
            self._at = until
            if power > 0 and self._since_saved >= self._every - _INSTANT:
                self._saved, self._since_saved = self._done, 0.0
                if not self._elastic:
                    self._stalled_until = self._at + self._pause
                    self._count_anew()
        if not self._finished and self._total - self._done <= 1e-9 * self._total:
            self._done = self._total
            self._finish()
        self._at = max(self._at, now)

    def _finish(self) -> None:
        self._finished = True
        self._saved = self._done
        self._told.append(Finished())
        self._wake()
