"""A service in virtual time: nothing answers, a model says what would have been answered in time.

The load is a recorded trace; within its intervals arrivals are a Poisson process, drawn once for a seed, so
that every policy meets the same requests, whatever it does. The queue is `modelled_queue`. A replica answers
from `startup` seconds after its lease's start. One that is warned of is given nothing that it could not end;
one that is lost without a warning has what it had in hand given to others, as of when it was started.

To run a policy in this world:

    result = rehearse(
        market, load, policy, endpoint, start=load.start + 14 * 86_400, until=load.start + 16 * 86_400
    )
    result.cost, result.share

`market` is a `RecordedMarket` with `boot=0`, for the start-up is the endpoint's; `load` a
`data.request_traces.RequestTrace`, moved to where prices are recorded; what of it is before `start` is
history that forecasters know. `load_forecaster` must be given to a policy whose `forecaster` names one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import math
from collections import deque
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tradewind import clock
from tradewind.control.loop import Record, Unrecorded
from tradewind.data.request_traces import RequestTrace
from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecaster
from tradewind.estimates.outlook import Forecaster
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.simulated import SimulatedProvider
from tradewind.serving.provisioning.clairvoyant import Load
from tradewind.serving.provisioning.controller import Endpoint, Result, run
from tradewind.serving.provisioning.interface import FunctionProfile, ProvisioningPolicy, Replica, Traffic
from tradewind.serving.provisioning.modelled_queue import (
    CALLS,
    COLD,
    IN_TIME,
    LATE,
    ONGOING,
    REFUSED,
    RETRIED,
    ModelledQueue,
    step_for,
)
from tradewind.serving.provisioning.service import Account, Ready, ServiceChange

MODEL = "requests are a recorded trace with Poisson arrivals within its intervals, replicas a queueing model"
"""What is simulated, for whoever prints a result."""
SEEN = 60
"""Intervals of traffic that a view shows."""
_PEAK = 5.0
"""Seconds of the stretches whose busiest is an interval's peak."""
_NEVER = 1 << 62


def rehearse(
    market: RecordedMarket,
    load: RequestTrace,
    policy: ProvisioningPolicy,
    endpoint: Endpoint,
    *,
    start: float,
    until: float,
    interval: float = 60.0,
    seed: int = 0,
    burstiness: float = 0.0,
    keep_warm: float = 600.0,
    uncounted: float = 0.0,
    forecaster: Forecaster | None = None,
    load_forecaster: LoadForecaster | None = None,
    record: Record | None = None,
) -> Result:
    """What a policy would have come to: the controller of a real run, on a recorded market, in virtual time.

    Prices, bills and revocations are recorded history; the requests are `MODEL`. The endpoint is a
    price-taker:
    what it takes changes neither prices nor capacity. Requests of the first `uncounted` seconds are in no
    figure but the cost: an endpoint that began with nothing would miss them. Raises what `controller.run`
    raises.
    """
    if policy.forecaster and load_forecaster is None:
        raise Misuse(
            f"wants its load forecast by {policy.forecaster}", source=f"policy {policy.name}",
            field="load_forecaster", fix="Give that forecaster.",
        )  # fmt: skip

    async def main() -> Result:
        service = ModelledService(
            endpoint, load, start=start, until=until, interval=interval, seed=seed, burstiness=burstiness,
            keep_warm=keep_warm, uncounted=uncounted,
        )  # fmt: skip
        return await run(
            endpoint, policy, SimulatedProvider(market), service,
            Unrecorded() if record is None else record,
            until=until, forecaster=forecaster, load_forecaster=load_forecaster if policy.forecaster else
            None,
        )  # fmt: skip

    return clock.simulate(main(), start=start)


class Arrivals:
    """Requests by step: Poisson within each interval of a trace, the same for a seed whatever is asked first.

    With `burstiness` v, each second's rate is that of the trace times a gamma variate of mean 1 and variance
    v.
    """

    def __init__(self, load: RequestTrace, step: float, seed: int, burstiness: float = 0.0) -> None:
        self.load, self.step = load, step
        self.steps = round(load.interval / step)
        """In an interval of the trace."""
        if abs(self.steps * step - load.interval) > 1e-6 * step:
            raise Misuse(
                f"its intervals of {load.interval:g} s are no whole number of steps of {step:g} s",
                source=f"request trace {load.name}", field="interval", fix="Add it up to whole seconds.",
            )  # fmt: skip
        if not 0 <= burstiness < math.inf:
            raise Misuse(f"{burstiness!r} is no variance", field="burstiness", fix="Give 0 or more.")
        self._seed, self._burstiness = seed, burstiness

    def of(self, index: int) -> NDArray[np.int64]:
        """(steps,) requests in each step of the trace's interval of this number."""
        chance = np.random.default_rng((self._seed, index))
        rate: float | NDArray[np.float64] = float(self.load.counts[index]) / self.steps
        if self._burstiness > 0:
            seconds = math.ceil(self.load.interval)
            drawn = chance.gamma(1 / self._burstiness, self._burstiness, seconds)
            rate = rate * drawn[(np.arange(self.steps) * self.step).astype(np.int64)]
        return chance.poisson(rate, self.steps)


def load_of(
    endpoint: Endpoint,
    load: RequestTrace,
    *,
    start: float,
    until: float,
    window: float = 60.0,
    seed: int = 0,
    burstiness: float = 0.0,
    uncounted: float = 0.0,
) -> Load:
    """The requests that `rehearse` draws for the same arguments, as the clairvoyant bound takes them.

    Those that are not counted are left out. `window` must be a multiple of the trace's intervals, and
    `until` is taken down to whole windows.
    """
    arrivals = Arrivals(load, step_for(endpoint.objective, endpoint.profiles), seed, burstiness)
    together = round(window / load.interval)
    first, number = round((start - load.start) / load.interval), int((until - start) / window + 1e-9)
    reach = math.ceil(endpoint.objective.latency / arrivals.step) + 1
    counts, tails = np.zeros(number), np.zeros(number)
    for at in range(number):
        drawn = np.concatenate([arrivals.of(first + at * together + each) for each in range(together)])
        if at * window >= uncounted:
            counts[at], tails[at] = drawn.sum(), drawn[-reach:].sum()
    return Load(start, window, counts, tails)


class _Held:
    """A replica, and what the queue was told of it."""

    __slots__ = ("counted", "profile", "replica")

    def __init__(self, replica: Replica, profile: int) -> None:
        self.replica, self.profile = replica, profile
        self.counted = False


class ModelledService:
    """Answers nothing, and reckons what would have come of it; see the module."""

    def __init__(
        self,
        endpoint: Endpoint,
        load: RequestTrace,
        *,
        start: float,
        until: float,
        interval: float = 60.0,
        seed: int = 0,
        burstiness: float = 0.0,
        keep_warm: float = 600.0,
        uncounted: float = 0.0,
    ) -> None:
        """For the requests of `load` in [start, until], told of in intervals of `interval` seconds.

        Raises Misuse where the trace does not cover that, or begins no interval at `start`.
        """
        if not load.start <= start < until <= load.end + 1e-6:
            raise Misuse(
                f"its record runs from {clock.iso(load.start)} to {clock.iso(load.end)}",
                source=f"request trace {load.name}", field="start", fix="Choose a stretch within it.",
            )  # fmt: skip
        offset = (start - load.start) / load.interval
        if abs(offset - round(offset)) > 1e-6:
            raise Misuse("is within an interval of the trace", field="start", fix="Begin with an interval.")
        if interval <= 0 or interval % _PEAK:
            raise Misuse(f"{interval!r} is no multiple of 5 s", field="interval", fix="Give 60, or 5.")
        step = step_for(endpoint.objective, endpoint.profiles)
        self._endpoint, self._start, self._interval = endpoint, start, interval
        self._arrivals = Arrivals(load, step, seed, burstiness)
        self._first = round(offset)
        self._numbers = {each.instance_type: at for at, each in enumerate(endpoint.profiles)}
        steps = round(interval / step)
        self._steps, self._step = steps, step
        self._seed, self._keep_warm = seed, keep_warm
        self._last = math.floor((until - start) / step + 1e-6)
        self._intervals = math.ceil(self._last / steps)
        self._counted_from = math.ceil(uncounted / interval)
        self._queue = self._queue_of(False)
        self._function: FunctionProfile | None = None
        self._chunk = -1, np.empty(0, np.int64)
        self._fives = np.zeros(math.ceil((until - start) / _PEAK) + math.ceil(load.interval / _PEAK) + 1)
        self._held: dict[LeaseId, _Held] = {}
        self._coming: list[tuple[int, int, LeaseId, bool]] = []
        """A heap of what will happen to replicas: the step, a number for ties, which, whether it is ready."""
        self._number = 0
        self._untold: list[tuple[float, int, LeaseId]] = []
        """A heap of the moments at which replicas begin to answer."""
        self._changed: asyncio.Event | None = None
        self._listed: tuple[Replica, ...] | None = ()
        self._rates = self._past()
        self._known = 0
        """Intervals since the start that `_rates` has taken in."""
        self._before = len(self._rates)
        shown = self._recent_past()
        self._shown: tuple[deque[float], deque[float], deque[float]] = (
            deque(shown[0], SEEN), deque(shown[1], SEEN), deque(shown[2], SEEN),
        )  # fmt: skip
        self._columns = tuple(tuple(each) for each in self._shown)

    def _queue_of(self, overflow: bool) -> ModelledQueue:
        return ModelledQueue(
            self._endpoint.objective, self._endpoint.profiles, step=self._step, interval=self._steps,
            intervals=self._intervals, function=self._endpoint.function if overflow else None,
            keep_warm=self._keep_warm,
        )  # fmt: skip

    def _past(self) -> NDArray[np.float64]:
        """(n,) rates in the intervals before the start, with room for those to come."""
        load, times = self._arrivals.load, self._interval / self._arrivals.load.interval
        known = load.counts[: self._first]
        if times >= 1:
            whole = round(times)
            kept = len(known) // whole * whole
            means = known[len(known) - kept :].reshape(-1, whole).sum(axis=1)
        else:
            means = np.repeat(known * times, round(1 / times))
        drawn = np.random.default_rng((self._seed, len(load.counts), 1)).poisson(means)
        return np.asarray(drawn / self._interval, np.float64)

    def _recent_past(self) -> tuple[list[float], list[float], list[float]]:
        """Rates, peaks and requests in hand of the last intervals before the start, as if none had waited."""
        shown = self._rates[-SEEN:]
        service = min(each.service for each in self._endpoint.profiles)
        bins = max(1, round(self._interval / _PEAK))
        chance = np.random.default_rng((self._seed, len(self._arrivals.load.counts), 2))
        counts = chance.multinomial((shown * self._interval).astype(np.int64), [1 / bins] * bins)
        peaks = counts.max(axis=1) / _PEAK if len(shown) else np.empty(0)
        return shown.tolist(), peaks.tolist(), (shown * service).tolist()

    async def open(self, overflow: bool) -> None:
        """Begin to count."""
        if overflow and self._endpoint.function is not None:
            self._function = self._endpoint.function
            self._queue = self._queue_of(True)
        self._changed = asyncio.Event()

    def start(self, lease: Lease) -> None:
        """Count this lease from its start plus the start-up."""
        self._advance()
        kind = lease.instance.type.name
        if kind not in self._numbers:
            raise Misuse(
                f"{kind} has no profile", source="policy", field="actions", fix="Take a type that has one."
            )
        ready = lease.started + self._endpoint.startup
        self._held[lease.id] = _Held(Replica(lease.id, kind, ready), self._numbers[kind])
        self._push(math.ceil((ready - self._start) / self._step - 1e-6), lease.id, True)
        heapq.heappush(self._untold, (ready, self._number, lease.id))
        self._listed = None
        self._wake()

    def warn(self, revocation: Revocation) -> None:
        """Have the replica given nothing more from its service time before the end on."""
        self._advance()
        held = self._held.get(revocation.lease)
        if held is None:
            return
        held.replica = Replica(
            held.replica.lease, held.replica.instance_type, held.replica.ready, revocation.due
        )
        self._listed = None
        stop = revocation.due - self._endpoint.profiles[held.profile].service
        if stop >= clock.now():
            self._push(math.floor((stop - self._start) / self._step + 1e-6), revocation.lease, False)

    async def drain(self, lease: LeaseId) -> None:
        """Give it nothing more; what it has in hand is answered after its lease ended, a service time at
        most."""
        self._advance()
        held = self._forget(lease)
        if held is not None and held.counted:
            self._queue.add(held.profile, -1)

    def lost(self, lease: LeaseId) -> None:
        """Give what it had in hand to others."""
        self._advance()
        held = self._forget(lease)
        if held is not None and held.counted:
            self._queue.lose(held.profile, 1)

    def replicas(self) -> tuple[Replica, ...]:
        """Those started; the same object as long as they are the same."""
        if self._listed is None:
            self._listed = tuple(each.replica for each in self._held.values())
        return self._listed

    def traffic(self) -> Traffic:
        """The load of the last `SEEN` intervals."""
        self._advance()
        until = self._start + self._known * self._interval
        rates, peaks, ongoing = self._columns
        return Traffic(self._interval, until, rates, peaks, ongoing, self._queue.waiting)

    def rates(self) -> NDArray[np.float64]:
        """(n,) requests a second in every interval since the trace began."""
        self._advance()
        return self._rates[: self._before + self._known]

    def account(self) -> Account:
        """What became of the requests."""
        self._advance()
        counts = self._queue.counts
        sums = counts[self._counted_from :].sum(axis=0)
        calls = float(counts[:, CALLS].sum())
        function = self._function
        charge = Decimal(0) if function is None else Decimal(repr(function.per_request))
        return Account(
            in_time=float(sums[IN_TIME]),
            late=float(sums[LATE]),
            refused=float(sums[REFUSED]),
            overflowed=float(sums[CALLS]),
            cold=float(sums[COLD]),
            retried=float(sums[RETRIED]),
            functions=charge * Decimal(repr(calls)),
            overflows=function is not None,
            calls=calls,
            gb_seconds=0.0 if function is None else calls * function.gb_seconds,
        )

    def function(self) -> FunctionProfile | None:
        """The endpoint's, where the policy overflows."""
        return self._function

    def by_interval(self) -> NDArray[np.float64]:
        """(intervals, 7) what became of the requests, by the interval in which that was; `modelled_queue`
        says what the columns are."""
        self._advance()
        return self._queue.counts.copy()

    async def next_changes(self) -> tuple[ServiceChange, ...]:
        """Wait until replicas begin to answer."""
        assert self._changed is not None, "open comes first"
        while True:
            now = clock.now()
            told: list[ServiceChange] = []
            while self._untold and (self._untold[0][0] <= now or self._untold[0][2] not in self._held):
                lease = heapq.heappop(self._untold)[2]
                if lease in self._held:
                    told.append(Ready(lease))
            if told:
                return tuple(told)
            moment = self._untold[0][0] if self._untold else math.inf
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(moment) else moment - now):
                    await self._changed.wait()

    async def close(self) -> None:
        """Count no longer."""
        self._held.clear()
        self._listed = None

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _push(self, step: int, lease: LeaseId, ready: bool) -> None:
        self._number += 1
        heapq.heappush(self._coming, (step, self._number, lease, ready))

    def _forget(self, lease: LeaseId) -> _Held | None:
        self._listed = None
        return self._held.pop(lease, None)

    def _advance(self) -> None:
        """Go through all steps up to now."""
        target = min(self._last, math.floor((clock.now() - self._start) / self._step + 1e-6))
        queue = self._queue
        while True:
            while self._coming and self._coming[0][0] <= queue.at:
                _, _, lease, ready = heapq.heappop(self._coming)
                held = self._held.get(lease)
                if held is not None and held.counted != ready:
                    held.counted = ready
                    queue.add(held.profile, 1 if ready else -1)
            if queue.at >= target:
                break
            stop = min(target, self._coming[0][0] if self._coming else _NEVER)
            self._run_to(stop)
        done = queue.at // self._steps if queue.at < self._last else self._intervals
        if done > self._known:
            self._take_in(done)

    def _run_to(self, stop: int) -> None:
        queue, size = self._queue, self._arrivals.steps
        while queue.at < stop:
            chunk, at = divmod(queue.at, size)
            if self._chunk[0] != chunk:
                drawn = self._arrivals.of(self._first + chunk)
                self._chunk = chunk, drawn
                places = (chunk * size + np.arange(size)) // round(_PEAK / self._step)
                first = int(places[0])
                summed = np.bincount(places - first, drawn)
                self._fives[first : first + len(summed)] += summed
            queue.run(self._chunk[1][at : at + stop - queue.at])

    def _take_in(self, done: int) -> None:
        """Take the intervals that are over into the traffic."""
        width = round(self._interval / _PEAK)
        fives = self._fives[self._known * width : done * width].reshape(done - self._known, width)
        counts = self._queue.counts[self._known : done]
        rates = fives.sum(axis=1) / self._interval
        room = self._before + done
        if room > len(self._rates):
            grown = np.zeros(self._before + self._intervals)
            grown[: self._before + self._known] = self._rates[: self._before + self._known]
            self._rates = grown
        self._rates[self._before + self._known : room] = rates
        self._shown[0].extend(rates.tolist())
        self._shown[1].extend((fives.max(axis=1) / _PEAK).tolist())
        self._shown[2].extend((counts[:, ONGOING] / self._steps).tolist())
        self._columns = tuple(tuple(each) for each in self._shown)
        self._known = done
