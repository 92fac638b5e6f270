"""The shell of `serving.overflow`: a batcher with a function beside it, which takes what would be late."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

from msgspec import Struct

from tradewind import clock
from tradewind.errors import TradewindError
from tradewind.serving.batching.latency import LearnedLatency
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.overflow import Burst, FunctionTerms, Route, route
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.server.replicas.functions.deployed import CallFailed, DeployedModel
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.tensors import Tensors

_WEIGHT = 0.2
"""Of a new observation of a cold call's seconds."""
_HOLD = 0.1
"""Seconds that environments are held while others are started, so that none is counted twice."""
_BEHIND = 0.02
"""Seconds that a start keeps behind the calls of its burst, for it would take a warm environment first."""
_STARTS = 4
"""Environments of a burst that start at a time: on this machine, they take what its requests need."""
_TIMED = 2
"""Calls of the sample by which a warm call is timed."""
_AGAIN = 1.0
"""Seconds between two looks at whether calls have become quick enough again."""
_REFRESH = 240.0
"""Seconds after which environments are called again: Lambda, and our host, end those idle for longer."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
"""Seconds before a function that cannot be reached is looked for again; they double."""
_TIMES = 3.0
"""Of the seconds that a call is expected to take: beyond these and its slack, the queue has the request."""
_FAREWELL = 5.0
"""Seconds that the deletion of a function may take; with a host that is silent it is given up."""


class Terms(Struct, frozen=True, kw_only=True):
    """How a function is used."""

    standby: int = 2
    """Environments that are kept started; a burst starts more, up to the function's concurrency."""
    budget: float = math.inf
    """US dollars: when calls came to so much, none is made any more."""
    late: float = math.inf
    """What a late answer costs, US dollars; a request stays where the call costs more."""
    longest: float = 60.0
    """Seconds that a call may take where there is no replica to turn to."""


class Overflow:
    """Answers as its batcher does; what would be late on the replicas goes to `deployed`, one by one.

    `objective` is the seconds within which an answer is due; `sample` a request by which calls are timed,
    that of a description if there is none. Functions are called only once `warm` has started some. A call
    that finds no environment, loses it, or takes much longer than was expected comes back to the batcher.
    `keep` has the function made, kept warm, and found again after it was lost.
    """

    def __init__(
        self,
        batcher: Batcher,
        deployed: DeployedModel,
        meter: ModelMeter,
        *,
        objective: float | None = None,
        terms: Terms | None = None,
        sample: Tensors | None = None,
        said: Callable[[str], None] = lambda text: None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._batcher, self._deployed, self._meter = batcher, deployed, meter
        self._objective, self._terms = objective, terms or Terms()
        self._sample, self._said, self._closed = sample, said, closed
        self._ahead = self._warm = self._growing = 0
        self._learned = LearnedLatency()
        self._cold = self._look_after = 0.0
        self._calls: set[asyncio.Task[Tensors]] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._ailing = asyncio.Event()
        self._spent = False
        self.sent = 0
        """Requests that functions answered."""
        self.returned = 0
        """Requests that came back from functions without an answer."""

    @property
    def deployed(self) -> DeployedModel:
        """The function."""
        return self._deployed

    @property
    def environments(self) -> int:
        """Environments of it that are known to be started."""
        return self._warm

    @property
    def calling(self) -> int:
        """Calls in hand, those that nobody waits for any more among them."""
        return len(self._calls)

    @property
    def up(self) -> bool:
        """Whether the function answers."""
        return self._warm > 0 and not self._ailing.is_set() and not self._spent

    @property
    def profile(self) -> FunctionTerms | None:
        """What the function does for a row, by the calls so far; None before the first, and while it is
        lost or its budget spent."""
        return self._profile(1)

    def _profile(self, rows: int) -> FunctionTerms | None:
        spending = self._deployed.spending
        if not self._learned.weight or not spending.calls or not self.up:
            return None
        latency = self._learned.latency
        return FunctionTerms(
            per_request=float(spending.dollars) / spending.calls,
            warm=latency.of(rows) + latency.deviation,
            cold=self._cold,
            concurrency=self._deployed.concurrency,
        )

    def keep(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Keep the function there and warm from now on. `prepare` makes it, or makes it again; what that
        raises is said, and it is tried again after a pause."""
        self._do(self._kept(prepare))

    async def _kept(self, prepare: Callable[[], Awaitable[None]]) -> None:
        pause, there, told = _FIRST_PAUSE, False, False
        while not self._spent:
            try:
                if not there:
                    await prepare()
                self._ailing.clear()
                there = await self.warm(self._terms.standby) > 0
                problem: Exception | None = None
            except Exception as raised:  # whatever it is, replicas answer, and it is tried again
                there, problem = False, raised
            if there:
                if not told:
                    self._said(f"the function {self._deployed.name} is up, {self._warm} environments warm")
                    told = True
                pause = _FIRST_PAUSE
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REFRESH):
                        await self._ailing.wait()
                        there = False
                if not there:
                    self._said(f"the function {self._deployed.name} is lost; replicas answer meanwhile")
                    told = False
                continue
            self._warm = 0
            pause = min(2.0 * pause, _LONGEST_PAUSE)
            reason = problem or "none of its environments starts"
            self._said(f"there is no function {self._deployed.name} ({reason}); tried again in {pause:g} s")
            await asyncio.sleep(pause)

    async def warm(self, count: int) -> int:
        """Have `count` environments started, as far as they are not; how many answered.

        Environments are kept by whoever runs them for some minutes: call it again before they end.
        """
        count = min(max(count, 1), self._deployed.concurrency)
        took = [self._started(_HOLD if count > 1 else 0.0) for _ in range(count)]
        up = sum(each is not None for each in await asyncio.gather(*took))
        if up:
            await self._time()
        self._warm = up
        return up

    async def _started(self, hold: float) -> bool | None:
        """Have one environment answer: whether the call started it; None where none answers."""
        began = clock.now()
        try:
            cold = await self._deployed.start(hold)
        except TradewindError:
            return None
        if cold:
            self._was_cold(max(clock.now() - began - hold, 0.0))
        return cold

    def _was_cold(self, seconds: float) -> None:
        self._cold = seconds if not self._cold else (1 - _WEIGHT) * self._cold + _WEIGHT * seconds

    async def _time(self) -> None:
        """Learn what a warm call takes."""
        for _ in range(_TIMED):
            began = clock.now()
            try:
                if self._sample is None:
                    cold = await self._deployed.start()
                else:
                    _, cold = await self._deployed.called(self._sample)
            except (TradewindError, ModelFailed, ReplicaLost):
                return
            if not cold:
                self._learned = self._learned.observed(1, clock.now() - began)

    async def answer(
        self, inputs: Tensors, rows: int, deadline: float | None, within: float | None = None
    ) -> Tensors:
        """The outputs for one request; raises Refusal."""
        profile = self._profile(rows)
        began = None
        if profile is not None:
            slack = self._slack(deadline, within)
            if 0.0 < slack < math.inf:
                found = route(self._burst(slack, rows), profile, self._terms.late)
                if found.function:
                    began = clock.now()
                    outputs = await self._by_function(inputs, rows, slack, deadline, found)
                    if outputs is not None:
                        return outputs
                    within = max(slack - (clock.now() - began), 0.0)
                elif found.more:
                    self._grow()
                elif profile.warm > slack:
                    self._look_again()
        self._ahead += rows
        queued = clock.now()
        try:
            outputs = await self._batcher.answer(inputs, rows, deadline, within)
        finally:
            self._ahead -= rows
        if began is not None and self._objective is not None:
            now = clock.now()
            if now - queued <= self._objective < now - began:
                self._meter.late += 1  # the batcher knows nothing of the time before
        return outputs

    def _slack(self, deadline: float | None, within: float | None) -> float:
        wanted = self._objective if within is None else within
        slack = math.inf if wanted is None else wanted
        return slack if deadline is None else min(slack, deadline - clock.now())

    def _burst(self, slack: float, rows: int) -> Burst:
        batcher = self._batcher
        return Burst(
            slack, rows, self._ahead, batcher.replicas, batcher.largest,
            batcher.learned.latency, len(self._calls), self._warm,
        )  # fmt: skip

    async def _by_function(
        self, inputs: Tensors, rows: int, slack: float, deadline: float | None, found: Route
    ) -> Tensors | None:
        """The outputs; None where no environment gave them, or not in time."""
        patience = max(slack, _TIMES * found.expected) if self._batcher.replicas else self._terms.longest
        if deadline is not None:
            patience = min(patience, max(deadline - clock.now(), 0.0))
        began = clock.now()
        call = asyncio.get_running_loop().create_task(self._called(inputs, rows))
        self._calls.add(call)
        call.add_done_callback(self._over)
        # The call is not cancelled with who waits for it: it is made, and to be paid for.
        done, _ = await asyncio.wait({call}, timeout=patience)
        try:
            if not done:
                raise ReplicaLost("it takes too long")
            outputs = call.result()
        except ModelFailed as problem:
            if isinstance(problem, CallFailed):
                self.returned += 1
                return None
            self._meter.began()
            self._meter.refused(RefusalKind.FAILED)
            raise Refusal(RefusalKind.FAILED, str(problem)) from problem
        except Exception:  # whatever ails a function, the replicas answer
            self.returned += 1
            return None
        seconds = clock.now() - began
        self.sent += 1
        self._meter.began()
        self._meter.answered(0.0, seconds, seconds, rows)
        return outputs

    async def _called(self, inputs: Tensors, rows: int) -> Tensors:
        """One call, from which is learned; raises as `DeployedModel.called`."""
        spending = self._deployed.spending
        throttled = spending.throttled
        began = clock.now()
        try:
            outputs, cold = await self._deployed.called(inputs)
        except ModelFailed:
            raise
        except Exception:
            self._warm = max(0, self._warm - 1)
            if spending.throttled == throttled and not self._warm:
                self._ailing.set()
            raise
        if not cold:
            self._learned = self._learned.observed(rows, clock.now() - began)
        else:
            self._was_cold(clock.now() - began)
            self._warm = min(self._warm + 1, self._deployed.concurrency)
        return outputs

    def _over(self, call: asyncio.Task[Tensors]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # it was told to who waited, if anybody did
        if not self._spent and float(self._deployed.spending.dollars) >= self._terms.budget:
            self._spent = True
            self._ailing.set()
            self._said(f"the budget of ${self._terms.budget:g} for functions is spent; replicas alone answer")

    def _grow(self) -> None:
        """Start one more environment, for those who come next."""
        if self._growing < _STARTS and self._warm + self._growing < self._deployed.concurrency:
            self._growing += 1
            self._do(self._grown())

    def _look_again(self) -> None:
        """Time a call, for those that were learned from may have been slow in a crowd; otherwise functions
        that once were too slow would never be called again."""
        now = clock.now()
        if now >= self._look_after:
            self._look_after = now + _AGAIN
            self._learned = LearnedLatency()
            self._do(self._time())

    async def _grown(self) -> None:
        try:
            await asyncio.sleep(_BEHIND)
            if await self._started(_HOLD):
                self._warm = min(self._warm + 1, self._deployed.concurrency)
        finally:
            self._growing -= 1

    def _do(self, chore: Awaitable[None]) -> None:
        task = asyncio.ensure_future(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def close(self) -> None:
        """End what keeps the function, and have it forgotten; calls in hand end by themselves."""
        for chore in list(self._chores):
            chore.cancel()
        if self._chores:
            await asyncio.wait(list(self._chores))
        for call in list(self._calls):
            call.cancel()
        with contextlib.suppress(TradewindError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._deployed.delete()
        await self._deployed.close()
        self._closed()
