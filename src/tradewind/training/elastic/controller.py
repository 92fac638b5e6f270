"""The controller of an elastic training job: it observes, asks the policy, rents, and tells the work.

One coroutine for every world: on `clock.run` with a real provider and `ProcessWork`, on `clock.simulate`
with recorded prices and `ModelledWork`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.control.hearing import cancelled, end_leases, news_unless
from tradewind.control.loop import Outcome, Record, drive
from tradewind.control.policy import AnyPolicy
from tradewind.control.records import Sample
from tradewind.errors import Misuse, Permanent, Temporary, TradewindError
from tradewind.estimates.outlook import Forecaster, Foresight
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.news import Ended, News, Warned
from tradewind.market.offers import Offer
from tradewind.market.views import View
from tradewind.providers.interface import Provider
from tradewind.training.elastic.feasibility import Plan, cheapest_steady, require_feasible
from tradewind.training.elastic.work import Broken, Change, Finished, Restaged, Saved, Stranded, Work
from tradewind.training.view import Goal, Progress, TrainingView

PATIENCE = 10
"""Leases that fail one after another, without any progress between, until the job is given up."""
_MARGIN = 60.0
"""Seconds of all leases' prices that are kept back of a budget, and the shortest wait for it to run out."""


class Result(Struct, frozen=True, kw_only=True):
    """What a run came to."""

    done: bool
    """Whether all the work was done."""
    paused: bool
    """Whether it stopped with a snapshot, to be resumed."""
    reason: str
    """Why it stopped, in words."""
    started: float
    seconds: float
    """From the first decision to the last release, in the market's time."""
    cost: float
    """US dollars, as billed."""
    on_demand_cost: float
    """US dollars by the second that the same work would have cost with as many workers on demand, unrevoked,
    at the rate measured; 0 where nothing fits on demand."""
    units: float
    """Units of work done."""
    total: float
    leases: int
    """How many were taken in all."""
    revocations: int
    """How many leases the provider took back."""
    failures: int
    """How many leases failed."""
    expected: Plan
    """The cheapest way that was seen before the start, to hold against what came."""
    rate: float = 0.0
    """Units per vCPU-second, as measured in the end."""
    startup: float = 0.0
    """Seconds from a lease's start until its worker works, as seen last."""
    loss: float | None = None


async def run(
    goal: Goal,
    policy: AnyPolicy,
    provider: Provider,
    work: Work,
    journal: Record,
    *,
    stop: asyncio.Event | None = None,
    observer: Callable[[Sample], None] | None = None,
    sample_every: float | None = None,
    forecaster: Forecaster | None = None,
) -> Result:
    """Do the work for the goal on leases that `policy` chooses; returns with every lease released.

    Pauses, with a snapshot, when `stop` is set and when the budget runs out (billing by the hour may exceed
    it by an hour's price); a cancelled run pauses too. `observer` is told every sample, of which there is one
    a decision and one every `sample_every` seconds besides. `forecaster` gives the views their outlook. The
    journal stays open.

    Raises, before any lease is taken, NoCapacity and Unaffordable; later Permanent if the work is broken, and
    whatever the policy raises, with every lease released.
    """
    # The journal's views hold floats where a caller may have written whole numbers: decide on the same.
    goal = msgspec.json.decode(msgspec.json.encode(goal), type=Goal)
    world = _World(goal, provider, work, journal, stop, observer, forecaster)
    await provider.open()
    sampler: asyncio.Task[None] | None = None
    try:
        await work.open()
        expected = require_feasible(await world.view())
        started = clock.now()
        if sample_every is not None:
            sampler = asyncio.create_task(world.sample_forever(sample_every))
        try:
            await drive(policy, world, journal)
            if sampler is not None and sampler.done():
                sampler.result()
        except BaseException:
            # Whatever went wrong, what was learned is kept if it can be, and the bill is on record.
            with contextlib.suppress(TradewindError):
                await work.pause()
            with contextlib.suppress(TradewindError):
                await world.release_all()
            raise
        finally:
            await cancelled(sampler)
        if not world.finished:
            await work.pause()
        cost = await world.release_all()
        progress = work.progress()
        result = Result(
            done=world.finished,
            paused=not world.finished,
            reason=world.reason,
            started=started,
            seconds=clock.now() - started,
            cost=cost,
            on_demand_cost=world.on_demand_cost(progress),
            units=progress.done,
            total=progress.total,
            leases=world.taken,
            revocations=world.revocations,
            failures=world.failures,
            expected=expected,
            rate=progress.rate,
            startup=progress.startup,
            loss=work.loss(),
        )
        journal.record_result("run", result)
        return result
    finally:
        await world.close()
        try:
            await work.close()
        finally:
            await provider.close()


class _World:
    """The market and the job, as the loop sees them."""

    def __init__(
        self,
        goal: Goal,
        provider: Provider,
        work: Work,
        journal: Record,
        stop: asyncio.Event | None,
        observer: Callable[[Sample], None] | None,
        forecaster: Forecaster | None,
    ) -> None:
        self._goal, self._provider, self._work, self._journal = goal, provider, work, journal
        self._stop, self._observer = stop, observer
        self._foresight = Foresight(forecaster)
        self.finished = False
        self.reason = ""
        self.taken = self.revocations = self.failures = 0
        self._failed_in_a_row = 0
        self._done_at_failure = -1.0
        self._released: set[LeaseId] = set()
        self._listed: tuple[Lease, ...] = ()
        self._leases: tuple[Lease, ...] | None = None
        """Those of `_listed` that are held and not released; None where that is to be seen again."""
        self._retry_at = float("inf")
        self._steady: tuple[float, float] | None = None
        self._offers: tuple[Offer, ...] = ()
        self._hourly = 0.0
        """The most that an hour can cost, US dollars; kept where there is a budget to hold it against."""
        self._spent = 0.0
        self._change: asyncio.Task[Change] | None = None
        self._stopping: asyncio.Task[bool] | None = None

    async def view(self) -> TrainingView:
        """All that the policy may know now."""
        offers = await self._provider.offers()
        leases = await self._held()
        notices = await self._provider.revocations()
        if notices:
            held = {lease.id for lease in leases}
            notices = tuple(each for each in notices if each.lease in held)
        self._spent = float(await self._provider.owed())
        now = clock.now()
        market = View(now, offers, leases, notices, tariffs=await self._provider.tariffs())
        view = TrainingView(
            market, self._work.progress(), self._goal, self._spent, self._foresight.at(now, offers, leases)
        )
        if self._steady is None and (plan := cheapest_steady(view)) is not None:
            self._steady = (plan.cost / plan.seconds, plan.speed)
        if self._goal.budget is not None:
            self._offers = offers
            self._hourly = _hourly(leases, offers)
        return view

    async def _held(self) -> tuple[Lease, ...]:
        """The leases held and not released; the same object as long as they are the same."""
        listed = await self._provider.leases()
        if self._leases is None or listed is not self._listed:
            self._listed = listed
            self._leases = tuple(lease for lease in listed if lease.held and lease.id not in self._released)
        return self._leases

    async def observe(self) -> TrainingView | None:
        """The view, or None when the work is done, stopped, or out of money."""
        view = await self.view()
        self._sample(view.progress, len(view.market.leases))
        if self.finished:
            self.reason = "all the work is done"
            return None
        if self._stop is not None and self._stop.is_set():
            self.reason = "it was asked to stop"
            return None
        budget = self._goal.budget
        if budget is not None and self._spent + self._hourly * _MARGIN / 3600 >= budget:
            self.reason = f"the budget of {budget:.4f} USD is used up"
            return None
        return view

    async def perform(self, decision: Decision) -> tuple[Outcome, ...]:
        """Rent and release; releases that follow one another drain together."""
        outcomes: list[Outcome] = []
        self._retry_at = float("inf")
        actions = decision.actions
        at = 0
        while at < len(actions):
            action = actions[at]
            if isinstance(action, Release):
                together = []
                while at < len(actions) and isinstance(each := actions[at], Release):
                    together.append(each.lease)
                    at += 1
                await self._let_go(together)
                outcomes += [Outcome()] * len(together)
                continue
            at += 1
            if not isinstance(action, Take):
                raise Misuse("a job's leases keep their purpose", source="policy", field="actions")
            try:
                granted = await self._provider.take(action.bid)
            except Temporary as problem:
                self._retry_at = min(self._retry_at, clock.now() + problem.delay)
                outcomes.append(Outcome(problem=str(problem)))
                continue
            for lease in granted:
                self._work.join(lease)
            self.taken += len(granted)
            if self._goal.budget is not None:
                self._hourly += _hourly(granted, self._offers)
            outcomes.append(Outcome(granted=tuple(lease.id for lease in granted)))
        return tuple(outcomes)

    async def news(self, decision: Decision) -> None:
        """Wait for what could change the policy's answer. The end of a lease that we released could not."""
        broke = self._broke_at()  # once a decision: asked at every change, it would recede for ever
        while not await self._heard(decision, broke):
            pass

    async def _heard(self, decision: Decision, broke: float) -> bool:
        if self._change is None:
            self._change = asyncio.create_task(self._work.next_change())
        if self._stop is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._stop.wait())
        before = min(decision.wake_at, self._retry_at, broke)
        waiting: list[asyncio.Task[Any]] = [self._change]
        if self._stopping is not None:
            waiting.append(self._stopping)
        told = await news_unless(self._provider, before, decision.watch, waiting)
        heard = told == ()
        for each in told or ():
            heard |= self._hear(each)
        if self._change.done():
            change, self._change = self._change.result(), None
            heard |= await self._take_in(change)
        return heard or (self._stopping is not None and self._stopping.done())

    def _hear(self, news: News) -> bool:
        """Take news in; whether the policy is to be asked."""
        self._journal.record_news(clock.now(), news)
        if isinstance(news, Warned):
            self._work.warn(news.revocation)
        elif isinstance(news, Ended):
            if news.ending is Ending.RELEASED:
                self._released.discard(news.lease)
                self._leases = None
                return False
            self._work.lost(news.lease)
            if news.ending is Ending.REVOKED:
                self.revocations += 1
            else:
                self._count_failure(f"lease {news.lease} failed")
        return True

    async def _take_in(self, change: Change) -> bool:
        if isinstance(change, Finished):
            self.finished = True
            return True
        if isinstance(change, Broken):
            raise Permanent(f"the work is broken: {change.reason}")
        if isinstance(change, Stranded):
            self._journal.note(f"lease {change.lease} was given up: {change.reason}")
            self._work.lost(change.lease)
            self._released.add(change.lease)
            self._leases = None
            await self._provider.release(change.lease)
            self._count_failure(change.reason)
            return True
        if isinstance(change, Saved):
            problem = f"; it was not copied: {change.problem}" if change.problem else ""
            self._journal.note(f"a snapshot holds {change.done:g} units{problem}")
        if isinstance(change, Restaged):
            lost = f", {change.clocks_lost} clocks to do again" if change.clocks_lost else ""
            where = ", ".join(change.active) or "the reliable machine"
            self._journal.note(f"stage {change.stage}: the state is served by {where}{lost}")
        return False

    def _count_failure(self, reason: str) -> None:
        self.failures += 1
        done = self._work.progress().done
        self._failed_in_a_row = self._failed_in_a_row + 1 if done <= self._done_at_failure else 1
        self._done_at_failure = max(done, self._done_at_failure)
        if self._failed_in_a_row >= PATIENCE:
            raise Permanent(
                f"{self._failed_in_a_row} leases failed one after another without any progress; "
                f"the last reason: {reason}"
            )

    def _broke_at(self) -> float:
        """The earliest moment at which the budget could be used up."""
        if self._goal.budget is None or self._hourly <= 0:
            return float("inf")
        left = (self._goal.budget - self._spent) / self._hourly * 3600 - _MARGIN
        return clock.now() + max(left, _MARGIN)

    async def _let_go(self, leases: Sequence[LeaseId]) -> None:
        await asyncio.gather(*(self._work.drain(lease) for lease in leases))
        for lease in leases:
            self._released.add(lease)
            self._leases = None
            await self._provider.release(lease)

    async def release_all(self) -> float:
        """End every lease, hear of their ends, and say what was owed in US dollars."""
        invoice, revoked = await end_leases(self._provider, self._journal)
        self.revocations += revoked
        self._spent = float(invoice.total)
        self._sample(self._work.progress(), 0)
        return self._spent

    def on_demand_cost(self, progress: Progress) -> float:
        """US dollars that the work done so far would have cost on demand."""
        if self._steady is None or self._steady[1] <= 0 or progress.rate <= 0 or progress.done <= 0:
            return 0.0
        per_second, speed = self._steady
        return per_second * (progress.startup + progress.done / (progress.rate * speed))

    def _sample(self, progress: Progress, leases: int) -> None:
        sample = Sample(
            clock.now(),
            progress.done,
            progress.total,
            self._work.loss(),
            leases,
            self._spent,
            self.on_demand_cost(progress),
        )
        self._journal.record_sample(sample)
        if self._observer is not None:
            self._observer(sample)

    async def sample_forever(self, every: float) -> None:
        """Sample between decisions."""
        while True:
            await clock.sleep_until(clock.now() + every)
            leases = [lease for lease in await self._provider.leases() if lease.id not in self._released]
            self._spent = float(await self._provider.owed())
            self._sample(self._work.progress(), len(leases))

    async def close(self) -> None:
        """Stop listening."""
        await cancelled(self._change)
        await cancelled(self._stopping)


def _hourly(leases: Sequence[Lease], offers: Sequence[Offer]) -> float:
    """The most that the leases can cost in an hour, US dollars."""
    prices = {(offer.type.name, offer.zone, offer.terms): offer.price.per_hour for offer in offers}
    total = 0.0
    for lease in leases:
        standing = prices.get((lease.instance.type.name, lease.instance.zone, lease.terms), 0.0)
        total += standing if lease.limit is None else lease.limit
    return total
