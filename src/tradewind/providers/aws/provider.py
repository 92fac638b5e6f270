"""EC2 as a provider: spot and on-demand instances, at real prices, for real money.

What EC2 has to be asked for is asked in threads, every few seconds, and kept; a policy's view costs no call.
A look that fails ends nothing: a lease ends when EC2 says that its instance is ending, or after EC2 has
answered several times, over a minute, that it knows of none.

Every instance carries the driver's tag from the request on, and the request is in the ledger before it is
sent: after a kill at any moment `tradewind clean` finds what was rented. Instances are booked only: their
address is empty, and what runs on them is what their user data starts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal

import msgspec

from tradewind import clock
from tradewind.errors import Misuse, NoCapacity, Temporary, TradewindError
from tradewind.market.catalog import Catalog
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Watch
from tradewind.market.histories import MarketHistory
from tradewind.market.instances import Instance, Pool
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.news import Crossed, Ended, News, Warned
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.tariffs import Tariff
from tradewind.providers.aws import requests
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.requests import DRIVER, Request, Settings
from tradewind.providers.aws.seen_market import PriceChange, SeenMarket
from tradewind.providers.aws.sightings import Sighting, Standing, prices, sightings, standings, zones_of
from tradewind.providers.aws.sweeping import SETTLE, sweep
from tradewind.providers.ledger import Answered, Asked, Closed, Ledger, Opened, Over
from tradewind.providers.waiting import Bell

LOOK_EVERY = 5.0
"""Seconds between two looks at the instances: a notice is told at most so much, and an answer, late."""
PRICES_EVERY = 60.0
"""Seconds between two looks at the spot prices, which EC2 changes a few times a day."""
REFUSED_FOR = 300.0
"""Seconds for which a pool that had no room is not offered."""
LOST_LOOKS, LOST_AFTER = 5, 60.0
"""Looks, and seconds between the first and the last, after which an instance not known to EC2 is lost."""
BLIND_AFTER = 300.0
"""Seconds for which looks may be refused until `next_news` says so."""
SKEW = 300.0
"""Seconds by which the clock may differ from the wall's."""
_RELEASE_PATIENCE = 15.0
"""Seconds of the wall's that `release` tries; the looks try on."""


class AwsProvider:
    """Rents EC2 instances in one region.

    `driver` names this driver and nobody else, now and ever; `run` is a word for people. What is rented is
    noted in `ledger`. With `dry_run` every request that would change something is checked by EC2 and not
    done; `plan` has them, and nothing is granted.

    `past` is how many seconds of price history `open` reads; EC2 keeps 90 days.

    Money is reckoned by our billing rules from the prices seen and from the launch time, which may be some
    seconds before AWS begins to charge: AWS's own bill comes hours later.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        driver: str,
        run: str = "",
        ledger: Ledger | None = None,
        ec2: Ec2 | None = None,
        dry_run: bool = False,
        look_every: float = LOOK_EVERY,
        prices_every: float = PRICES_EVERY,
        past: float = 3600.0,
        settle: float = SETTLE,
    ) -> None:
        requests.check(settings)
        self._settings, self._catalog = settings, catalog
        self._driver, self._run = driver, run or "-"
        self._ledger, self._dry_run = ledger, dry_run
        self._ec2 = ec2 or Ec2(settings.region, endpoint_url=settings.endpoint_url, profile=settings.profile)
        self._look_every, self._prices_every, self._settle = look_every, prices_every, settle
        self._past = past
        self.plan: list[Request] = []
        """The requests of a dry run that would have changed something, in their order."""
        self._market: SeenMarket | None = None
        self._changes: list[PriceChange] = []
        self._listed: dict[LeaseId, Lease] = {}
        """From the grant until its end was told, in the order of the grants."""
        self._open: dict[LeaseId, Lease] = {}
        self._releasing: set[LeaseId] = set()
        self._notices: dict[LeaseId, Revocation] = {}
        self._hints: dict[LeaseId, float] = {}
        self._missing: dict[LeaseId, tuple[int, float]] = {}
        """Looks in a row that did not show a lease, and the moment of the first."""
        self._asking: dict[str, asyncio.Task[tuple[Lease, ...]]] = {}
        self._unanswered: set[str] = set()
        self._news: list[News] = []
        self._bell = Bell()
        self._tasks: list[asyncio.Task[None]] = []
        self._refused: dict[str, tuple[float, Exception]] = {}
        """By look: since when it fails for a reason that does not pass, and the reason."""
        self._closed = False

    # the seam

    async def open(self) -> None:
        """Look at the region, and have EC2 check a request for its cheapest pool without doing it."""
        settings = self._settings
        if not settings.endpoint_url and (clock.speed() != 1.0 or abs(clock.now() - clock.wall()) > SKEW):
            raise Misuse(
                "EC2 rents out now, by the wall's clock",
                source="provider aws",
                field="start",
                fix="Leave start and speed out.",
            )
        if self._ledger is not None:
            self._ledger.write(
                Opened(
                    at=clock.wall(),
                    provider="aws",
                    driver=self._driver,
                    region=settings.region,
                    endpoint_url=settings.endpoint_url,
                    profile=settings.profile,
                )
            )
        pools = await self._pools()
        self._market = SeenMarket(settings.region, pools, self._catalog, boot=settings.boot)
        await self._look_at_prices(self._past)
        offers = self._market.offers(clock.now())
        if not offers:
            raise Misuse(
                f"no price is known of any of {', '.join(settings.types)} in {settings.region}",
                source="provider aws",
                field="types",
                fix="Choose other types, or give a catalogue that prices them.",
            )
        cheapest = min(offers, key=lambda offer: offer.price.per_hour)
        trial = Bid(cheapest.pool, cheapest.terms)
        await self._ec2.ask(self._request(trial, "tw-trial").dry())
        looks = [self._repeat("prices", self._look_at_prices, self._prices_every)]
        if not self._dry_run:
            looks.append(self._repeat("instances", self._look, self._look_every))
        self._tasks = [asyncio.create_task(look) for look in looks]

    async def offers(self) -> tuple[Offer, ...]:
        """What may be had, at the prices seen last; the same object as long as it is the same."""
        return self._seen.offers(clock.now())

    async def tariffs(self) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        return self._seen.tariffs(clock.now())

    async def take(self, bid: Bid) -> tuple[Lease, ...]:
        """Rent up to `bid.count` instances; none where EC2 has no room now, or its price is above the limit.

        Raises Temporary where EC2 did not answer (whatever it rented all the same is ended when it shows) or
        a quota of the account is reached; Misuse or Permanent for what EC2 refuses for good.
        """
        if self._market is None or self._closed:
            raise Misuse("the provider is not open", field="take", fix="Call open first.")
        self._market.check(bid)
        if self._market.too_dear(bid):
            return ()
        take = f"tw-{secrets.token_hex(12)}"
        request = self._request(bid, take)
        if self._dry_run:
            await self._ec2.ask(request.dry())
            self.plan.append(request)
            return ()
        if self._ledger is not None:
            self._ledger.write(
                Asked(at=clock.wall(), take=take, pool=str(bid.pool), terms=bid.terms, count=bid.count)
            )
        # Not cancelled with the caller: what was sent may be granted, and must not be forgotten.
        asking = self._asking[take] = asyncio.create_task(self._rent(request, bid, take))
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asking)

    async def adopt(self) -> tuple[Lease, ...]:
        """The leases that an earlier process rented under this driver's name, those that are over included.

        For a driver that was killed, and goes on under the same name: what it holds is held again, and
        billed from its launch. Where EC2 shows nothing, it is asked for `settle` seconds: what was rented at
        the kill may show late. EC2 forgets an instance about an hour after its end.
        """
        passed = clock.stopwatch()
        while True:
            seen = sightings(await self._ec2.ask(requests.instances({DRIVER: self._driver})))
            if seen or passed() >= self._settle:
                break
            await clock.sleep_until(clock.now() + min(1.0, self._settle) * clock.speed())
        for each in seen:
            terms = Terms.SPOT if each.spot else Terms.ON_DEMAND
            instance = Instance(each.id, self._catalog.type(each.type), each.zone)
            self._hold(Lease(each.id, instance, terms, each.launched, purpose=each.purpose or "work"))
            self._take_in(each.id, each, None, clock.now())
        return tuple(self._listed[each.id] for each in seen)

    async def release(self, lease: LeaseId) -> None:
        """End a lease; where EC2 does not answer it stays listed, and the looks try on."""
        if lease not in self._open:
            return
        self._releasing.add(lease)
        try:
            await self._ec2.ask(requests.terminate([lease]), patience=_RELEASE_PATIENCE)
        except Temporary:
            return
        self._end(lease, clock.now(), Ending.RELEASED)

    async def leases(self) -> tuple[Lease, ...]:
        """The leases held, and those whose end was not told yet."""
        return tuple(self._listed.values())

    async def revocations(self) -> tuple[Revocation, ...]:
        """The notices for held leases."""
        return tuple(self._notices.values())

    async def next_news(self, before: float, watch: tuple[Watch, ...] = ()) -> tuple[News, ...]:
        """Wait until there is news, a watch comes true, or `before`.

        Raises Misuse or Permanent where EC2 has refused for `BLIND_AFTER` seconds to say how the instances
        stand, as with credentials that ran out: notices would not be seen any more.
        """
        market, called, known = self._seen, clock.now(), len(self._changes)
        market.check_watch(watch)
        market.offers(called)
        refused = market.refused_spot()
        while True:
            now = clock.now()
            market.offers(now)  # what was refused for a while may be back
            refused |= market.refused_spot()
            returned = refused - market.refused_spot()
            crossed = market.came_true(watch, self._changes[known:], returned)
            for since, problem in self._refused.values():
                if now - since >= BLIND_AFTER:
                    raise problem
            if self._news or crossed or now >= before:
                news, self._news = self._news, []
                for each in news:
                    if isinstance(each, Ended):
                        del self._listed[each.lease]
                if crossed is not None:
                    news.append(Crossed(crossed[0], now if crossed[1] is None else max(called, crossed[1])))
                return tuple(news)
            await self._bell.wait(min(before, market.next_return()))

    async def invoice(self) -> Invoice:
        """Every charge so far, as we reckon it."""
        self._reckon()
        return self._seen.invoice()

    async def owed(self) -> Decimal:
        """The total of every charge so far, US dollars, as we reckon it."""
        self._reckon()
        return self._seen.owed()

    async def close(self) -> None:
        """End every lease and see that nothing with our tag lives.

        Raises Temporary if EC2 does not answer; then call it again, or `tradewind clean`.
        """
        if self._closed:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._asking:
            await asyncio.wait(list(self._asking.values()))
        if self._market is not None and not self._dry_run:
            try:
                if self._open:
                    # By id first: a tag may show a little later than the instance that has it.
                    await self._ec2.ask(requests.terminate(self._open))
                await sweep(
                    self._ec2, {DRIVER: self._driver}, settle=self._settle if self._unanswered else 0.0
                )
            except Temporary as problem:
                raise Temporary(
                    f"instances may still run, and cost money: {problem}. Call: tradewind clean", delay=30.0
                ) from problem
            for lease in list(self._open):
                self._end(lease, clock.now(), Ending.RELEASED)
            if self._ledger is not None:
                self._ledger.write(Closed(at=clock.wall(), driver=self._driver))
        self._closed = True
        self._ec2.close()
        self._bell.ring()

    def hints(self) -> dict[LeaseId, float]:
        """Leases whose instance was told, and when, to expect an interruption (rebalance recommendation)."""
        return dict(self._hints)

    def history(self) -> MarketHistory:
        """The spot prices seen so far, for forecasts."""
        return self._seen.history(clock.now())

    # what is behind it

    @property
    def _seen(self) -> SeenMarket:
        if self._market is None:
            raise Misuse("the provider is not open", source="provider aws", fix="Call open first.")
        return self._market

    def _request(self, bid: Bid, take: str) -> Request:
        return requests.run_instances(self._settings, bid, take=take, driver=self._driver, run=self._run)

    async def _pools(self) -> list[Pool]:
        """Every type in every zone that has it. Raises Misuse for a type or zone that the region lacks."""
        settings = self._settings
        sold = zones_of(await self._ec2.ask(requests.offerings(settings)))
        for field, wanted, known in (
            ("types", settings.types, {type for type, _ in sold}),
            ("zones", settings.zones, {zone for _, zone in sold}),
        ):
            for each in wanted:
                if each not in known:
                    raise Misuse(
                        f"{each} is not in {settings.region}",
                        source="provider aws",
                        field=field,
                        fix=f"There are: {', '.join(sorted(known)) or 'none'}.",
                    )
        return [Pool(type, zone) for type, zone in sold if not settings.zones or zone in settings.zones]

    async def _rent(self, request: Request, bid: Bid, take: str) -> tuple[Lease, ...]:
        try:
            granted = sightings(await self._ec2.ask(request))
        except NoCapacity:
            self._seen.refuse(bid.pool, bid.terms, clock.now() + REFUSED_FOR)
            self._answered(take, ())
            self._bell.ring()
            return ()
        except Temporary:
            self._unanswered.add(take)
            raise
        except TradewindError:
            self._answered(take, ())
            raise
        finally:
            del self._asking[take]
        self._answered(take, tuple(each.id for each in granted))
        kind = self._catalog.type(bid.pool.instance_type)
        leases = []
        for each in granted:
            instance = Instance(each.id, kind, bid.pool.zone)
            lease = Lease(each.id, instance, bid.terms, each.launched, bid.limit, bid.purpose)
            self._hold(lease)
            leases.append(lease)
        self._bell.ring()
        return tuple(leases)

    def _hold(self, lease: Lease) -> None:
        self._listed[lease.id] = self._open[lease.id] = lease

    def _answered(self, take: str, leases: tuple[LeaseId, ...]) -> None:
        if self._ledger is not None:
            self._ledger.write(Answered(at=clock.wall(), take=take, leases=leases))

    def _end(self, lease: LeaseId, at: float, ending: Ending) -> None:
        """Note an end, once."""
        held = self._open.pop(lease, None)
        if held is None:
            return
        ended = msgspec.structs.replace(held, ended=max(held.started, at), ending=ending)
        self._listed[lease] = ended
        for table in (self._notices, self._hints, self._missing):
            table.pop(lease, None)
        self._releasing.discard(lease)
        self._seen.bill(ended, max(at, held.started))
        self._news.append(Ended(lease, max(held.started, at), ending))
        if self._ledger is not None:
            self._ledger.write(Over(at=clock.wall(), lease=lease, ending=ending))
        self._bell.ring()

    def _reckon(self) -> None:
        for lease in self._open.values():
            self._seen.bill(lease, clock.now())

    async def _repeat(self, name: str, look: Callable[[], Awaitable[None]], every: float) -> None:
        """Look again and again; a look that fails says nothing of the leases."""
        while True:
            await clock.sleep_until(clock.now() + every)
            try:
                await look()
            except Temporary:
                continue
            except Exception as problem:
                since = self._refused[name][0] if name in self._refused else clock.now()
                self._refused[name] = since, problem
                self._bell.ring()
            else:
                self._refused.pop(name, None)

    async def _look_at_prices(self, past: float = 3600.0) -> None:
        # From an hour back: EC2 lists a price up to some minutes after it took hold.
        answer = await self._ec2.ask(requests.spot_prices(self._settings, clock.now() - past))
        changes = self._seen.learn(prices(answer))
        if changes:
            self._changes += changes
            self._bell.ring()

    async def _look(self) -> None:
        """See how the instances stand, and tell what is new."""
        if not self._open and not self._unanswered:
            return
        asked = dict(self._open)
        answer = await self._ec2.ask(requests.instances({DRIVER: self._driver}), patience=0.0)
        seen = {each.id: each for each in sightings(answer)}
        spot = [lease.id for lease in asked.values() if lease.terms is Terms.SPOT]
        told: dict[LeaseId, Standing] = {}
        if spot:
            answer = await self._ec2.ask(requests.spot_requests(spot), patience=0.0)
            told = {each.instance: each for each in standings(answer)}
        now = clock.now()
        for lease in asked:
            if lease in seen:
                self._missing.pop(lease, None)
                self._take_in(lease, seen[lease], told.get(lease), now)
            elif lease in self._open:
                self._miss(lease, now)
        await self._end_unclaimed(seen.values())

    def _take_in(self, lease: LeaseId, seen: Sighting, standing: Standing | None, now: float) -> None:
        notice = seen.notice or (standing.notice if standing else None)
        held = self._open.get(lease)
        if held is None:
            return
        if notice is not None and lease not in self._notices:
            warned = max(held.started, min(notice.warned, notice.due))
            revocation = Revocation(lease, warned, max(warned, notice.due))
            self._notices[lease] = revocation
            self._news.append(Warned(revocation))
            self._bell.ring()
        if seen.rebalance is not None:
            self._hints.setdefault(lease, seen.rebalance)
        if not seen.gone:
            return
        at, ending = seen.changed, seen.ending
        if standing is not None and standing.taken_back:
            at, ending = at or standing.updated, Ending.REVOKED
        elif lease in self._releasing:
            ending = Ending.RELEASED
        elif lease in self._notices and not seen.reason.startswith("Client."):
            ending = Ending.REVOKED
        self._end(lease, now if at is None else min(at, now), ending)

    def _miss(self, lease: LeaseId, now: float) -> None:
        """EC2 answered and did not show a lease: right after a start that is ordinary, for long it is not."""
        looks, since = self._missing.get(lease, (0, now))
        self._missing[lease] = (looks + 1, since)
        if looks + 1 >= LOST_LOOKS and now - since >= LOST_AFTER:
            self._end(lease, now, Ending.FAILED)

    async def _end_unclaimed(self, seen: Iterable[Sighting]) -> None:
        """End what is to be released and what was rented by a request that we saw no answer to."""
        ids = [
            each.id
            for each in seen
            if not each.gone
            and (
                each.id in self._releasing or (each.id not in self._listed and each.take in self._unanswered)
            )
        ]
        if ids:
            await self._ec2.ask(requests.terminate(ids), patience=0.0)
            for lease in self._releasing.intersection(ids):
                self._end(lease, clock.now(), Ending.RELEASED)
