"""The controller of a study on machines that come and go: it asks the study, rents, and tells the work.

One coroutine for every world: on `clock.run` with a real provider and `ProcessTrials`, on `clock.simulate`
with recorded prices and `ModelledTrials`. A notice has a trial checkpointed and requeued within the warning;
a kill has it go on from its last checkpoint; neither burns a retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.control.advising import Advised
from tradewind.control.hearing import cancelled, end_leases, news_unless
from tradewind.control.loop import Outcome, Record, drive
from tradewind.control.policy import AnyPolicy
from tradewind.control.records import Sample
from tradewind.data.trial_records import FAILURE, MOVE, REVOCATION
from tradewind.errors import Misuse, NoCapacity, Permanent, Temporary, TradewindError
from tradewind.estimates.outlook import Forecaster, Foresight
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.demands import Demand
from tradewind.market.instances import Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.news import Ended, News, Warned
from tradewind.market.offers import Offer
from tradewind.market.views import View
from tradewind.providers.interface import Provider
from tradewind.tuning.machines.claims import Claims
from tradewind.tuning.machines.earlier_runs import EarlierRuns
from tradewind.tuning.machines.interface import Placed, Queued, TuningView
from tradewind.tuning.machines.quotes import Quotes
from tradewind.tuning.machines.speeds import Speeds
from tradewind.tuning.machines.work import Change, Stranded, Timed, TrialWork
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED

ASKED_TO_STOP = "it was asked to stop"
"""Why a search is paused that somebody stopped, and that is to be gone on with."""
PATIENCE = 10
"""Leases that fail one after another, without any step between, until the study is given up."""
_SAMPLE_EVERY = 60.0
"""Seconds between two samples."""
_LISTEN_EVERY = 1.0
"""Seconds of the wall between two looks at who wants a trial stopped."""
_LOOK_AGAIN, _LOOK_AGAIN_AT_LAST = 60.0, 600.0
"""Seconds until trials that found no machine, or are other drivers', are looked at again: a tenth of the
time for which there was none, between these."""
WITHOUT = 7 * 86_400.0
"""Seconds without any machine after which a study is given up."""


class Goal(Struct, frozen=True, kw_only=True):
    """What is wanted of a study's machines."""

    demand: Demand
    """What one trial needs; its count is how many may run at once."""
    budget: float | None = None
    """US dollars for all leases together."""
    deadline: float | None = None
    """The moment at which it ends."""


class Result(Struct, frozen=True, kw_only=True):
    """What a study on machines came to."""

    done: bool
    """Whether nothing is left to try."""
    reason: str
    """Why it ended, in words."""
    started: float
    seconds: float
    """From the first decision to the last release, in the market's time."""
    cost: float
    """US dollars, as billed."""
    leases: int
    revocations: int
    """Leases that the provider took back."""
    failures: int
    """Leases that failed, and trials whose process broke."""
    moves: int
    """Trials that went elsewhere by our own wish."""


async def run(
    study: Study,
    goal: Goal,
    policy: AnyPolicy,
    provider: Provider,
    work: TrialWork,
    journal: Record,
    *,
    steps: int,
    stop: asyncio.Event | None = None,
    observer: Callable[[Sample], None] | None = None,
    forecaster: Forecaster | None = None,
    advised: Advised | None = None,
) -> Result:
    """Run the study's trials on leases that `policy` chooses; returns with every lease released.

    `steps` is the length of a whole trial. When `stop` is set, when the deadline has come and when the budget
    is spent, what runs is checkpointed and waits in the store: the study can go on later. `advised` is asked
    of types on which nothing was timed yet, and told what came.

    Misuse, before any lease is taken, where nothing on offer could run a trial; later Permanent where leases
    fail again and again, NoCapacity where there was no machine for a week, and whatever the policy raises,
    with every lease released.
    """
    world = _World(study, goal, provider, work, journal, steps, stop, observer, forecaster, advised)
    await provider.open()
    try:
        await work.open()
        await world.check()
        started = clock.now()
        listener = asyncio.create_task(world.listen()) if math.isfinite(clock.speed()) else None
        try:
            await drive(policy, world, journal)
            if listener is not None and listener.done():
                listener.result()
        finally:
            await cancelled(listener)
            with contextlib.suppress(TradewindError):
                await world.leave_all()
            cost = await world.release_all()
        result = Result(
            done=world.finished,
            reason=world.reason,
            started=started,
            seconds=clock.now() - started,
            cost=cost,
            leases=world.taken,
            revocations=world.revocations,
            failures=world.failures,
            moves=world.moves,
        )
        journal.record_result("study", result)
        return result
    finally:
        await world.close()
        try:
            await work.close()
        finally:
            await provider.close()


class _World:
    """The market and the study, as the loop sees them."""

    def __init__(
        self, study: Study, goal: Goal, provider: Provider, work: TrialWork, journal: Record, steps: int,
        stop: asyncio.Event | None, observer: Callable[[Sample], None] | None,
        forecaster: Forecaster | None, advised: Advised | None,
    ) -> None:  # fmt: skip
        self._study, self._goal, self._provider = study, goal, provider
        self._work, self._journal, self._steps = work, journal, steps
        self._stop, self._observer = stop, observer
        self.finished, self.reason = False, ""
        self.taken = self.revocations = self.failures = self.moves = 0
        self._failed_in_a_row = 0
        self._claims = Claims(study, goal.demand.count)
        self._released: set[LeaseId] = set()
        self._going: dict[Pool, float] = {}
        """Until when a pool is not on offer to us: it gives notice as soon as a lease begins."""
        self._speeds, self._earlier = Speeds(), EarlierRuns(advised)
        self._quotes = Quotes(goal.demand)
        self._boot = 0.0
        self._foresight = Foresight(forecaster)
        self._retry_at = self._spent_at = self._without_since = math.inf
        self._told = asyncio.Event()
        """Set when a trial was stopped at somebody's wish."""
        self._sampled = -math.inf
        self._change: asyncio.Task[Change] | None = None
        self._stopping: asyncio.Task[bool] | None = None

    async def check(self) -> None:
        """Misuse where no trial could ever run."""
        found = await self._provider.offers()
        if found and not any(self._goal.demand.accepts(each.type, each.zone) for each in found):
            raise Misuse(
                "nothing on offer has what a trial needs", field="demand",
                fix="Ask for less, or for other instance types.",
            )  # fmt: skip

    async def observe(self) -> TuningView | None:
        """The view, or None when nothing is left to try, or it is to end."""
        now = clock.now()
        spent = float(await self._provider.owed())
        self._sample(now, spent)
        if self._stop is not None and self._stop.is_set():
            self.reason = ASKED_TO_STOP
        elif self._goal.budget is not None and spent >= self._goal.budget:
            self.reason = f"the budget of {self._goal.budget:.4f} USD is spent"
        elif self._goal.deadline is not None and now >= self._goal.deadline:
            self.reason = "its time is over"
        if self.reason:
            return None
        self._claims.ask()
        if not self._claims.held and not self._claims.others_run:
            self.finished, self.reason = True, "nothing is left to try"
            return None
        return await self._view(now)

    async def _view(self, now: float) -> TuningView:
        offers = await self._provider.offers()
        if any(due > now for due in self._going.values()):
            offers = tuple(each for each in offers if self._stands(each, now))
        self._quotes.see(offers)
        leases = await self._held()
        held = {lease.id for lease in leases}
        notices = tuple(each for each in await self._provider.revocations() if each.lease in held)
        queued, placed, known = [], [], self._claims.known()
        for number, each in sorted(self._claims.held.items()):
            if each.lease is None:
                queued.append(Queued(number, max(1, self._steps - each.asked.step), each.asked.step > 0))
            else:
                unkept = self._work.unkept(each.lease.id)
                left = self._steps - max(known[number].steps, default=0)
                placed.append(Placed(number, each.lease.id, max(0, left), each.since, unkept))
        fitting = {
            each.type.name: each.type.resources.vcpus
            for each in offers
            if self._goal.demand.accepts(each.type, each.zone)
        }
        for lease in leases:
            fitting.setdefault(lease.instance.type.name, lease.instance.type.resources.vcpus)
        types = tuple(sorted(fitting))
        foretold = self._earlier.foretold(types)
        speeds = self._speeds.of(
            [fitting[name] for name in types], types, sorted(self._claims.held), foretold
        )
        return TuningView(
            View(now, offers, leases, notices, tariffs=await self._provider.tariffs()),
            tuple(queued),
            tuple(placed),
            self._goal.demand,
            types,
            {str(number): seconds for number, seconds in speeds.items()},
            self._boot,
            self._work.restore,
            self._work.checkpoint,
            self._lost(),
            self._goal.deadline,
            self._foresight.at(now, offers, leases),
            {lease: since for lease, since in self._claims.idle_since.items() if lease in held},
            {lease.id: self._quotes.price(lease) for lease in leases},
            self._quotes.gone,
            self._speeds.types,
            tuple(foretold),
            self._earlier.doubted(types),
        )

    def _stands(self, offer: Offer, now: float) -> bool:
        return not offer.terms.revocable or now >= self._going.get(offer.pool, now)

    def _lost(self) -> float:
        """Seconds of work that a revocation is expected to destroy: half of what is between checkpoints."""
        leases = [each.lease.id for each in self._claims.held.values() if each.lease is not None]
        worst = [self._work.unkept(lease) for lease in leases]
        return sum(worst) / len(worst) if worst else 0.0

    async def _held(self) -> tuple[Lease, ...]:
        return tuple(
            lease for lease in await self._provider.leases() if lease.held and lease.id not in self._released
        )

    async def perform(self, decision: Decision) -> tuple[Outcome, ...]:
        """Rent, put trials on leases, and let go."""
        outcomes: list[Outcome] = []
        self._retry_at = math.inf
        for action in decision.actions:
            if isinstance(action, Release):
                await self._let_go(action.lease)
                outcomes.append(Outcome())
            elif isinstance(action, Take):
                outcomes.append(await self._rent(action))
            else:
                number = self._claims.waiting(action.purpose)
                lease = next((each for each in await self._held() if each.id == action.lease), None)
                if lease is None:
                    outcomes.append(Outcome(problem="the lease is gone"))
                    self._retry_at = clock.now()
                else:
                    await self._start(number, lease)
                    outcomes.append(Outcome())
        now = clock.now()
        if self._claims.others_run or any(each.lease is None for each in self._claims.held.values()):
            without = self._without(now)
            look = min(max(_LOOK_AGAIN, without / 10), _LOOK_AGAIN_AT_LAST)
            self._retry_at = min(self._retry_at, now + look)
        self._spent_at = await self._spent_by(now)
        return tuple(outcomes)

    def _without(self, now: float) -> float:
        """Seconds for which trials had no machine at all; NoCapacity after too many."""
        if self._claims.placed or self._claims.others_run:
            self._without_since = math.inf
            return 0.0
        self._without_since = min(self._without_since, now)
        if now - self._without_since >= WITHOUT:
            raise NoCapacity(f"for {WITHOUT / 86_400:g} days there was no machine for a trial; they wait")
        return now - self._without_since

    async def _spent_by(self, now: float) -> float:
        """When the budget will be spent, at the prices of this moment."""
        if self._goal.budget is None:
            return math.inf
        rate = sum(self._quotes.price(each) for each in await self._held())
        left = self._goal.budget - float(await self._provider.owed())
        return now + max(1.0, left / rate * 3600) if rate > 0 else math.inf

    async def _rent(self, action: Take) -> Outcome:
        number = self._claims.waiting(action.bid.purpose)
        try:
            granted = await self._provider.take(action.bid)
        except Temporary as problem:
            self._retry_at = min(self._retry_at, clock.now() + problem.delay)
            return Outcome(problem=str(problem))
        self.taken += len(granted)
        for lease in granted:
            await self._start(number, lease)
        return Outcome(granted=tuple(lease.id for lease in granted))

    async def _start(self, number: int, lease: Lease) -> None:
        self._work.start(self._claims.place(number, lease), lease, self._quotes.price(lease))

    async def _let_go(self, lease: LeaseId) -> None:
        """Release a lease; a trial that is there is checkpointed, and waits."""
        number = self._claims.on(lease)
        if number is not None:
            await self._work.leave(lease)
            if self._claims.on(lease) == number:  # else it was stopped or lost meanwhile
                self.moves += 1
                self._claims.give_back(number, "it goes where its steps cost less", MOVE)
                self._retry_at = clock.now()  # it waits for a machine, and the rule has not seen it wait
        self._released.add(lease)
        await self._provider.release(lease)

    async def news(self, decision: Decision) -> None:
        """Wait for what could change the rule's answer."""
        while not await self._heard(decision):
            pass

    async def _heard(self, decision: Decision) -> bool:
        if self._change is None:
            self._change = asyncio.create_task(self._work.next_change())
        if self._stop is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._stop.wait())
        before = min(decision.wake_at, self._retry_at, self._spent_at, self._goal.deadline or math.inf)
        told_of = asyncio.create_task(self._told.wait())
        waiting: list[asyncio.Task[Any]] = [self._change, told_of]
        if self._stopping is not None:
            waiting.append(self._stopping)
        try:
            told = await news_unless(self._provider, before, decision.watch, waiting)
        finally:
            told_of.cancel()
        heard = told == ()
        for each in told or ():
            heard |= self._hear(each)
        if self._change.done():
            change, self._change = self._change.result(), None
            heard |= await self._take_in(change)
        if self._told.is_set():
            self._told.clear()
            heard = True
        return heard or (self._stopping is not None and self._stopping.done())

    def _hear(self, news: News) -> bool:
        """Take news in; whether the rule is to be asked."""
        self._journal.record_news(clock.now(), news)
        if isinstance(news, Warned):
            pool = self._claims.fresh_on(news.revocation.lease)
            if pool is not None:
                self._going[pool] = news.revocation.due
            self._work.warn(news.revocation)
            return True
        if not isinstance(news, Ended):
            return True
        if news.ending is Ending.RELEASED:
            self._released.discard(news.lease)
            return False
        self._work.lost(news.lease)
        if news.ending is Ending.REVOKED:
            self.revocations += 1
        else:
            self._count_failure(f"lease {news.lease} failed")
        number = self._claims.on(news.lease)
        if number is not None:
            self._claims.give_back(number, f"{news.lease} was {news.ending}", REVOCATION)
        return True

    async def _take_in(self, change: Change) -> bool:
        ours = self._claims.current(change.trial, change.attempt)
        if ours is None or ours.lease is None:
            return False
        if isinstance(change, Timed):
            self._claims.note(ours, change.seconds)
            self._failed_in_a_row = 0
            if ours.since <= ours.lease.started:
                restored = self._work.restore if ours.asked.step else 0.0
                self._boot = max(0.0, clock.now() - ours.since - restored - change.seconds)
            name = ours.lease.instance.type.name
            if name not in self._speeds.types:
                self._earlier.timed(name, change.seconds)
            return self._speeds.measured(name, change.trial, change.seconds)
        if isinstance(change, Stranded):
            self._claims.give_back(change.trial, change.reason, REVOCATION)
            self._count_failure(change.reason)
            self._released.add(change.lease)
            await self._provider.release(change.lease)
        elif change.crashed:
            self._earlier.ended(ours.lease.instance.type.name, change.crashed)
            self._claims.give_back(change.trial, change.crashed, FAILURE)
            self._count_failure(change.crashed)
        else:
            if (stored := self._claims.stored(change.trial)).state in (COMPLETED, FAILED):
                failed = "" if stored.state == COMPLETED else stored.reason or stored.state
                self._earlier.ended(ours.lease.instance.type.name, failed)
            self._claims.give_back(change.trial, "its machine is going", REVOCATION)
            self._failed_in_a_row = 0
        return True

    def _count_failure(self, reason: str) -> None:
        self.failures += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= PATIENCE:
            raise Permanent(
                f"{PATIENCE} machines failed one after another without a step; the last reason: {reason}"
            )

    async def leave_all(self) -> None:
        """Have every trial checkpointed, and wait in the store."""
        held = list(self._claims.held.items())
        leases = [each.lease.id for _, each in held if each.lease is not None]
        await asyncio.gather(*(self._work.leave(lease) for lease in leases))
        for number, each in held:
            if self._claims.held.get(number) is each:
                self._claims.give_back(number, self.reason or "the driver ended", MOVE)

    async def release_all(self) -> float:
        """End every lease, hear of their ends, and say what was owed in US dollars."""
        invoice, revoked = await end_leases(self._provider, self._journal)
        self.revocations += revoked
        self._sample(clock.now(), float(invoice.total), 0.0)
        return float(invoice.total)

    def _sample(self, now: float, spent: float, least: float = _SAMPLE_EVERY) -> None:
        """Say how far the study is, unless that was said less than `least` seconds ago."""
        if now < self._sampled + least:
            return
        self._sampled = now
        known = self._study.trials
        done = sum(len(each.steps) for each in known)
        total = (self._study.most or len(known)) * self._steps
        finals = [each.final for each in known if each.state == COMPLETED and each.final is not None]
        best = (min if self._study.direction == "minimize" else max)(finals, default=None)
        sample = Sample(now, done, total, best, self._claims.placed, spent, 0.0)
        self._journal.record_sample(sample)
        if self._observer is not None:
            self._observer(sample)

    async def listen(self) -> None:
        """Keep the claims, and stop the trials that somebody wants stopped."""
        while True:
            await clock.sleep_until(clock.now() + _LISTEN_EVERY * clock.speed())
            found: dict[int, str] = {}
            with contextlib.suppress(Temporary):  # the claims last until the store answers again
                found = self._study.heartbeat()
            for number, wanted in found.items():
                each = self._claims.held.get(number)
                if not wanted or each is None:
                    continue
                if each.lease is not None:
                    await self._work.leave(each.lease.id)
                if self._claims.held.get(number) is each:
                    self._claims.stop(number, wanted)
                self._told.set()

    async def close(self) -> None:
        """Stop listening."""
        for task in (self._change, self._stopping):
            await cancelled(task)
