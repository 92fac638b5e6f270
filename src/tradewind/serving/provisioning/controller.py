"""The controller of an endpoint's replicas: it observes, asks the policy, rents, and tells the service.

One coroutine for every world: on `clock.run` with a real provider and real replicas, on `clock.simulate` with
recorded prices and `ModelledService`. The policy is asked at the end of every interval of traffic, and at
once when a lease is warned of or ends, a replica answers for the first time or fails, or a watch comes true.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.control.hearing import cancelled, end_leases, news_unless
from tradewind.control.loop import Outcome, Record, drive
from tradewind.control.records import Sample
from tradewind.errors import Misuse, NoCapacity, Permanent, Temporary, TradewindError
from tradewind.estimates.load.interface import LoadForecast, LoadForecaster
from tradewind.estimates.outlook import Forecaster, Foresight
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.leases import Ending, LeaseId
from tradewind.market.news import Ended, News, Warned
from tradewind.market.offers import Offer
from tradewind.market.views import View
from tradewind.providers.interface import Provider
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.course import (
    BUCKETS,
    FUNCTION_TARIFF,
    FUNCTIONS,
    STANDING,
    FunctionTariff,
    Held,
    Standing,
)
from tradewind.serving.provisioning.interface import (
    FunctionProfile,
    FunctionUse,
    Profile,
    ProvisioningPolicy,
    ServingView,
)
from tradewind.serving.provisioning.service import Account, Service, ServiceChange, Stranded

PATIENCE = 10
"""Replicas that fail one after another, without one that answers between, until the endpoint is given up."""
HORIZON = 60
"""Intervals that a forecast of load looks ahead."""
_SAMPLE_EVERY = 3600.0
"""Seconds between two samples."""
_LOOK_AT_REST = 60.0
"""Seconds between two lines of the endpoint's course while nothing but its bill changes, at the least."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """What is served, and what was promised."""

    objective: Objective
    profiles: tuple[Profile, ...]
    startup: float
    """Seconds from a lease's start until its replica answers, as expected."""
    function: FunctionProfile | None = None
    """Of a simulation; in reality it is learned from calls."""
    tariff: FunctionTariff | None = None
    """What functions are charged by; None without any, or where nobody says."""


class Result(Struct, frozen=True, kw_only=True):
    """What a stretch of serving came to."""

    reason: str
    """Why it ended, in words."""
    started: float
    seconds: float
    cost: float
    """US dollars: leases as billed, and functions."""
    functions: float
    """US dollars of it that went for functions."""
    requests: float
    in_time: float
    late: float
    refused: float
    overflowed: float
    cold: float
    retried: float
    leases: int
    """How many were taken in all."""
    revocations: int
    """How many leases the provider took back."""
    failures: int
    """Replicas that failed."""
    replica_hours: float
    """Hours of leases, start-ups included."""
    decisions: int
    function_calls: float = 0.0
    """Those that keep environments warm among them."""
    gb_seconds: float = 0.0
    """What calls of functions were billed."""

    @property
    def share(self) -> float:
        """The share of requests answered in time."""
        return self.in_time / self.requests if self.requests else 1.0


async def run(
    endpoint: Endpoint,
    policy: ProvisioningPolicy,
    provider: Provider,
    service: Service,
    journal: Record,
    *,
    until: float = math.inf,
    stop: asyncio.Event | None = None,
    forecaster: Forecaster | None = None,
    load_forecaster: LoadForecaster | None = None,
    observer: Callable[[Sample], None] | None = None,
    look_every: float = math.inf,
) -> Result:
    """Keep replicas for the endpoint as `policy` says, until `until` or `stop`; ends with no lease held.

    `forecaster` gives the views their outlook of the market, `load_forecaster` their forecast of load, one an
    interval. Every `look_every` seconds how the endpoint stands is put on record (`course.Standing`); never
    if that is infinite. The journal stays open.

    Raises NoCapacity where nothing on offer has a profile, Permanent where replicas fail again and again, and
    whatever the policy raises, with every lease released.
    """
    world = _World(
        endpoint, policy, provider, service, journal, until, stop, forecaster, load_forecaster, observer,
        look_every,
    )  # fmt: skip
    await provider.open()
    try:
        await service.open(policy.overflow)
        await world.check()
        started = clock.now()
        await world.watch()
        try:
            await drive(policy, world, journal)
        finally:
            account = service.account()
            world.charge(account)
            functions = float(account.functions)
            cost = await world.release_all() + functions
            await world.look(cost)
        result = Result(
            reason=world.reason,
            started=started,
            seconds=clock.now() - started,
            cost=cost,
            functions=functions,
            requests=account.requests,
            in_time=account.in_time,
            late=account.late,
            refused=account.refused,
            overflowed=account.overflowed,
            cold=account.cold,
            retried=account.retried,
            leases=world.taken,
            revocations=world.revocations,
            failures=world.failures,
            replica_hours=world.held_seconds / 3600,
            decisions=world.decisions,
            function_calls=account.calls,
            gb_seconds=account.gb_seconds,
        )
        journal.record_result("endpoint", result)
        return result
    finally:
        await world.close()
        try:
            await service.close()
        finally:
            await provider.close()


class _World:
    """The market and the endpoint, as the loop sees them."""

    def __init__(
        self,
        endpoint: Endpoint,
        policy: ProvisioningPolicy,
        provider: Provider,
        service: Service,
        journal: Record,
        until: float,
        stop: asyncio.Event | None,
        forecaster: Forecaster | None,
        load_forecaster: LoadForecaster | None,
        observer: Callable[[Sample], None] | None,
        look_every: float,
    ) -> None:
        self._endpoint, self._policy, self._provider = endpoint, policy, provider
        self._service, self._journal, self._until, self._stop = service, journal, until, stop
        self._load_forecaster, self._observer = load_forecaster, observer
        self._types = {each.instance_type for each in endpoint.profiles}
        self.reason = ""
        self.taken = self.revocations = self.failures = self.decisions = 0
        self.held_seconds = 0.0
        self._began: dict[LeaseId, float] = {}
        self._failed_in_a_row = 0
        self._released: set[LeaseId] = set()
        self._offers: tuple[tuple[Offer, ...], tuple[Offer, ...]] = ((), ())
        """Those of the provider, and those of them that are of use."""
        self._foresight = Foresight(forecaster)
        self._load: LoadForecast | None = None
        self._retry_at = self._sampled = -math.inf
        self._traffic_until, self._interval = -math.inf, 60.0
        self._change: asyncio.Task[tuple[ServiceChange, ...]] | None = None
        self._stopping: asyncio.Task[bool] | None = None
        self._look_every = look_every
        self._looking: asyncio.Task[None] | None = None
        self._stood, self._looked = Standing(), -math.inf
        self._charged, self._used = Account(), FunctionUse(clock.now(), clock.now())
        """How the account stood when functions were charged last, and what they did before that."""
        self._used_until = -math.inf

    async def check(self) -> None:
        """NoCapacity where no replica could ever run."""
        found = await self._provider.offers()
        if found and not any(each.type.name in self._types for each in found):
            raise NoCapacity(
                f"nothing on offer has a profile; the profiles are of {', '.join(sorted(self._types))}"
            )

    async def observe(self) -> ServingView | None:
        """The view, or None when the time is over."""
        now = clock.now()
        if self._stop is not None and self._stop.is_set():
            self.reason = "it was asked to stop"
            return None
        if now >= self._until:
            self.reason = "its time is over"
            return None
        offers = await self._provider.offers()
        if offers is not self._offers[0]:
            self._offers = offers, tuple(each for each in offers if each.type.name in self._types)
        useful = self._offers[1]
        leases = tuple(
            lease for lease in await self._provider.leases() if lease.held and lease.id not in self._released
        )
        notices = await self._provider.revocations()
        if notices:
            held = {lease.id for lease in leases}
            notices = tuple(each for each in notices if each.lease in held)
        traffic = self._service.traffic()
        if self._load_forecaster is not None and (self._load is None or self._load.at != traffic.until):
            self._load = self._load_forecaster.forecast(
                self._service.rates(), traffic.until, traffic.interval, HORIZON
            )
        self._traffic_until, self._interval = traffic.until, traffic.interval
        account = self._service.account()
        if self._used_until != traffic.until:
            self._used_until = traffic.until
            self.charge(account)
        spent = float(await self._provider.owed()) + float(account.functions)
        self._sample(now, spent, len(leases), account)
        self.decisions += 1
        return ServingView(
            View(now, useful, leases, notices, tariffs=await self._provider.tariffs()),
            self._endpoint.objective,
            self._endpoint.profiles,
            self._service.replicas(),
            traffic,
            self._endpoint.startup,
            self._load,
            self._foresight.at(now, useful, leases),
            self._service.function(),
            spent,
            account.requests,
            account.late + account.refused,
            self._used if account.overflows else None,
        )

    async def perform(self, decision: Decision) -> tuple[Outcome, ...]:
        """Rent and release, in the decision's order."""
        outcomes: list[Outcome] = []
        self._retry_at = math.inf
        for action in decision.actions:
            if isinstance(action, Release):
                await self._service.drain(action.lease)
                self._released.add(action.lease)
                await self._provider.release(action.lease)
                outcomes.append(Outcome())
                continue
            if not isinstance(action, Take):
                raise Misuse("a replica's lease keeps its purpose", source="policy", field="actions")
            try:
                granted = await self._provider.take(action.bid)
            except Temporary as problem:
                self._retry_at = min(self._retry_at, clock.now() + problem.delay)
                outcomes.append(Outcome(problem=str(problem)))
                continue
            for lease in granted:
                self._began[lease.id] = lease.started
                self._service.start(lease)
            self.taken += len(granted)
            outcomes.append(Outcome(granted=tuple(lease.id for lease in granted)))
        return tuple(outcomes)

    async def news(self, decision: Decision) -> None:
        """Wait for what could change the policy's answer."""
        while not await self._heard(decision):
            pass

    async def _heard(self, decision: Decision) -> bool:
        if self._change is None:
            self._change = asyncio.create_task(self._service.next_changes())
        if self._stop is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._stop.wait())
        ends = self._traffic_until + self._interval
        if ends <= clock.now():  # a service that is late with its traffic is not asked for it without a pause
            ends = clock.now() + self._interval
        before = min(decision.wake_at, self._retry_at, ends, self._until)
        waiting: list[asyncio.Task[Any]] = [self._change]
        if self._stopping is not None:
            waiting.append(self._stopping)
        told = await news_unless(self._provider, before, decision.watch, waiting)
        heard = told == ()
        for each in told or ():
            heard |= self._hear(each)
        if self._change.done():
            changes, self._change = self._change.result(), None
            for change in changes:
                await self._take_in(change)
            heard = True
        return heard or (self._stopping is not None and self._stopping.done())

    def _hear(self, news: News) -> bool:
        """Take news in; whether the policy is to be asked."""
        self._journal.record_news(clock.now(), news)
        if isinstance(news, Warned):
            self._service.warn(news.revocation)
        elif isinstance(news, Ended):
            self.held_seconds += news.at - self._began.pop(news.lease, news.at)
            if news.ending is Ending.RELEASED:
                self._released.discard(news.lease)
                return False
            self._service.lost(news.lease)
            if news.ending is Ending.REVOKED:
                self.revocations += 1
            else:
                self._count_failure(f"lease {news.lease} failed")
        return True

    async def _take_in(self, change: ServiceChange) -> None:
        if isinstance(change, Stranded):
            self._journal.note(f"lease {change.lease} was given up: {change.reason}")
            self._released.add(change.lease)
            await self._provider.release(change.lease)
            self._count_failure(change.reason)
        else:
            self._failed_in_a_row = 0

    def _count_failure(self, reason: str) -> None:
        self.failures += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= PATIENCE:
            raise Permanent(
                f"{PATIENCE} replicas failed one after another without an answer; the last reason: {reason}"
            )

    async def release_all(self) -> float:
        """End every lease, hear of their ends, and say what was owed in US dollars."""
        now = clock.now()
        for lease in await self._provider.leases():
            with contextlib.suppress(TradewindError):
                await self._service.drain(lease.id)
        self.held_seconds += sum(now - began for began in self._began.values())
        self._began.clear()
        invoice, revoked = await end_leases(self._provider, self._journal)
        self.revocations += revoked
        return float(invoice.total)

    def charge(self, account: Account) -> None:
        """Put on record what functions did since this was called last, if they did anything; the charges of
        a run add up to what its functions are owed."""
        before, now = self._charged, clock.now()
        self._used = FunctionUse(
            self._used.until, now, account.overflowed - before.overflowed, account.calls - before.calls,
            account.gb_seconds - before.gb_seconds, account.functions - before.functions,
        )  # fmt: skip
        self._charged = account
        if self._used.calls or self._used.requests or self._used.dollars:
            self._journal.record_measurement(now, FUNCTIONS, self._used)

    def _sample(self, now: float, spent: float, leases: int, account: Account) -> None:
        if now < self._sampled + _SAMPLE_EVERY:
            return
        self._sampled = now
        sample = Sample(now, account.in_time, account.requests, 1 - account.share, leases, spent, 0.0)
        self._journal.record_sample(sample)
        if self._observer is not None:
            self._observer(sample)

    async def watch(self) -> None:
        """Put how the endpoint stands on record from now on, if that is wanted."""
        if self._endpoint.tariff is not None:
            self._journal.record_measurement(clock.now(), FUNCTION_TARIFF, self._endpoint.tariff)
        if math.isinf(self._look_every):
            return
        buckets = self._service.account().buckets
        self._journal.record_measurement(clock.now(), BUCKETS, buckets)
        await self.look()
        self._looking = asyncio.create_task(self._look_on())

    async def _look_on(self) -> None:
        while True:
            await clock.sleep_until(clock.now() + self._look_every)
            with contextlib.suppress(TradewindError):  # the next look is soon
                await self.look()

    async def look(self, bill: float | None = None) -> None:
        """Put on record how the endpoint stands, if that is wanted and something is new; `bill` is what all
        came to, US dollars, where that is known."""
        if math.isinf(self._look_every):
            return
        now, account = clock.now(), self._service.account()
        ready = {each.lease for each in self._service.replicas() if each.ready <= now}
        leases = [each for each in await self._provider.leases() if each.held]
        kinds = Counter((each.instance.type.name, str(each.terms)) for each in leases)
        up = Counter((each.instance.type.name, str(each.terms)) for each in leases if each.id in ready)
        standing = Standing(
            begun=account.begun or account.requests, in_time=account.in_time, late=account.late,
            refused=account.refused, overflowed=account.overflowed, retried=account.retried,
            stays=account.stays, held=tuple(Held(*kind, kinds[kind], up[kind]) for kind in sorted(kinds)),
            spent=float(await self._provider.owed()) + float(account.functions) if bill is None else bill,
            functions=account.functions,
        )  # fmt: skip
        rests = bill is None and replace(standing, spent=self._stood.spent) == self._stood
        if rests and now < self._looked + _LOOK_AT_REST:
            return
        self._stood, self._looked = standing, now
        self._journal.record_measurement(now, STANDING, standing)

    async def close(self) -> None:
        """Stop listening, and looking."""
        for task in (self._change, self._stopping, self._looking):
            await cancelled(task)
