"""The laws of providers: what `providers.interface.Provider` promises, as tests.

Subclass `ProviderLaws`, say how a provider on a recorded market is made and on which clock it runs, and let
pytest collect the subclass. The number in a test's name is the clause of the interface that it holds to.
"""

# ruff: noqa: D102 -- a law's name is its sentence

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.charges import add_up
from tradewind.market.decisions import CapacityAbove, PriceAbove, PriceBelow
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Ending, LeaseId
from tradewind.market.news import Crossed, Ended, News, Warned
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.interface import Provider

T = TypeVar("T")

START = clock.moment("2020-01-01T00:00:00Z")
A = Pool("c9.large", "xx-north-1a")
B = Pool("c9.large", "xx-north-1b")

CATALOG = Catalog(
    "laws",
    [
        ListPrice(
            InstanceType("c9.large", Resources(vcpus=2, memory_gib=4)),
            "xx-north-1",
            per_hour=3.0,
            as_of="2020-01-01",
            source="made up for the laws of providers",
        )
    ],
)


def market(
    prices: Mapping[Pool, Iterable[tuple[float, float]]],
    lives: Mapping[Pool, Iterable[tuple[float, float]]],
    *,
    notice: float = 60.0,
    boot: float = 0.0,
) -> RecordedMarket:
    """A market whose moments are told in seconds from START, for a day.

    `prices` are the changes (moment, US dollars an hour) of each pool, `lives` the lives (start, end) of the
    slots of each pool whose capacity is recorded.
    """
    day = 86400.0
    history = MarketHistory(
        "laws",
        {
            pool: PriceHistory(
                pool, [START + at for at, _ in changes], [price for _, price in changes], end=START + day
            )
            for pool, changes in ((pool, list(changes)) for pool, changes in prices.items())
        },
        {
            pool: CapacityHistory.from_lifetimes(
                pool,
                [(f"{n}", START + start, START + end) for n, (start, end) in enumerate(each)],
                start=START,
                end=START + day,
            )
            for pool, each in lives.items()
        },
        notice=notice,
    )
    return RecordedMarket(history, CATALOG, boot=boot)


def steady(*lives: tuple[float, float], notice: float = 60.0, boot: float = 0.0) -> RecordedMarket:
    """One pool at one dollar an hour with slots of these lives."""
    return market({A: [(0, 1.0)]}, {A: lives}, notice=notice, boot=boot)


class ProviderLaws:
    """What every provider keeps to."""

    late: ClassVar[float] = 0.0
    """Seconds of the clock's by which news may come late: none in a simulation."""

    def provider(self, market: RecordedMarket) -> Provider:
        """A new provider on that market, not open yet."""
        raise NotImplementedError

    def execute(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` on a clock that begins at START."""
        raise NotImplementedError

    def run(self, market: RecordedMarket, story: Any) -> Any:
        """Open a provider, let `story(provider)` happen, and close it, whatever happens."""

        async def main() -> Any:
            provider = self.provider(market)
            await provider.open()
            try:
                return await story(provider)
            finally:
                await provider.close()
                await provider.close()

        return self.execute(main())

    def on_time(self, moment: float) -> bool:
        """Whether now is the moment, or not later than news may come."""
        return 0 <= clock.now() - moment <= self.late + 1e-3

    def test_clause_1_a_lease_is_listed_until_its_end_was_told(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            assert await provider.leases() == (lease,)
            assert lease.held and lease.pool == A and lease.terms is Terms.SPOT
            await provider.release(lease.id)
            assert [each.id for each in await provider.leases()] == [lease.id]
            (news,) = await provider.next_news(START + 80_000)
            assert isinstance(news, Ended) and news.ending is Ending.RELEASED
            assert await provider.leases() == ()

        self.run(steady((0, 86_000)), story)

    def test_clause_1_leases_are_listed_in_the_order_of_their_grants(self) -> None:
        async def story(provider: Provider) -> None:
            first = await provider.take(Bid(B, Terms.ON_DEMAND, purpose="state"))
            then = await provider.take(Bid(A, Terms.SPOT, count=2))
            assert await provider.leases() == (*first, *then)
            assert [lease.purpose for lease in await provider.leases()] == ["state", "work", "work"]
            assert len({lease.id for lease in first + then}) == 3

        self.run(market({A: [(0, 1.0)], B: [(0, 1.0)]}, {}), story)

    def test_clause_2_grants_no_more_than_asked_nor_than_there_is(self) -> None:
        async def story(provider: Provider) -> None:
            (offer,) = [offer for offer in await provider.offers() if offer.terms is Terms.SPOT]
            assert offer.available == 2
            assert len(await provider.take(Bid(A, Terms.SPOT, count=1))) == 1
            assert len(await provider.take(Bid(A, Terms.SPOT, count=5))) == 1
            assert await provider.take(Bid(A, Terms.SPOT)) == ()
            assert all(offer.terms is not Terms.SPOT for offer in await provider.offers())

        self.run(steady((0, 86_000), (0, 86_000)), story)

    def test_clause_2_grants_nothing_below_the_price(self) -> None:
        async def story(provider: Provider) -> None:
            assert await provider.take(Bid(A, Terms.SPOT, limit=0.99)) == ()
            assert len(await provider.take(Bid(A, Terms.SPOT, limit=1.0))) == 1

        self.run(steady((0, 86_000)), story)

    @pytest.mark.parametrize(
        "bid",
        [
            Bid(Pool("c9.larg", "xx-north-1a"), Terms.SPOT),
            Bid(Pool("c9.large", "xx-north-1z"), Terms.ON_DEMAND),
            Bid(A, Terms.RESERVED),
            Bid(A, Terms.SPOT, count=0),
        ],
        ids=["type", "zone", "terms", "count"],
    )
    def test_clause_2_misuse_rents_nothing(self, bid: Bid) -> None:
        async def story(provider: Provider) -> None:
            with pytest.raises(Misuse):
                await provider.take(bid)
            assert await provider.leases() == ()
            assert (await provider.invoice()).total == 0
            assert await provider.next_news(clock.now() + 1) == ()

        self.run(steady((0, 86_000)), story)

    def test_clause_3_release_is_idempotent_and_silent_for_what_has_ended(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            await provider.release(lease.id)
            await provider.release(lease.id)
            assert len(await provider.next_news(START + 80_000)) == 1
            await provider.release(lease.id)
            await provider.release(LeaseId("of nobody"))
            assert await provider.next_news(clock.now() + 1) == ()

        self.run(steady((0, 86_000)), story)

    def test_clause_3_what_was_released_is_not_revoked(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            (news,) = await provider.next_news(START + 80_000)
            assert isinstance(news, Warned)
            await provider.release(lease.id)
            assert await provider.revocations() == ()
            (news,) = await provider.next_news(START + 80_000)
            assert isinstance(news, Ended) and news.ending is Ending.RELEASED
            assert await provider.next_news(START + 150) == ()

        self.run(steady((0, 120)), story)

    def test_clause_4_a_revocation_is_warned_of_at_its_moment_and_then_happens(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            (warned,) = await provider.next_news(START + 80_000)
            assert isinstance(warned, Warned)
            revocation = warned.revocation
            assert (revocation.lease, revocation.warned, revocation.due) == (
                lease.id,
                START + 60,
                START + 120,
            )
            assert self.on_time(revocation.warned)
            assert await provider.revocations() == (revocation,)
            assert await provider.leases() == (lease,)
            (ended,) = await provider.next_news(START + 80_000)
            assert ended == Ended(lease.id, START + 120, Ending.REVOKED)
            assert self.on_time(START + 120)
            assert await provider.revocations() == ()
            assert await provider.leases() == ()

        self.run(steady((0, 120), notice=60), story)

    def test_clause_4_a_price_above_the_limit_revokes_and_one_equal_to_it_does_not(self) -> None:
        async def story(provider: Provider) -> None:
            (low,) = await provider.take(Bid(A, Terms.SPOT, limit=2.0))
            (high,) = await provider.take(Bid(A, Terms.SPOT, limit=2.5))
            news = await self.gather(provider, START + 170)
            assert [each.lease for each in news if isinstance(each, Ended)] == [low.id]
            assert [lease.id for lease in await provider.leases()] == [high.id]

        self.run(market({A: [(0, 1.0), (50, 2.0), (150, 2.1), (160, 1.0)]}, {}), story)

    def test_clause_4_a_market_without_notice_gives_none(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            (ended,) = await provider.next_news(START + 80_000)
            assert ended == Ended(lease.id, START + 100, Ending.REVOKED)

        self.run(steady((0, 100), notice=0), story)

    def test_clause_4_a_notice_is_cut_short_but_never_given_before_the_grant(self) -> None:
        async def story(provider: Provider) -> None:
            await clock.sleep_until(START + 80)
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            (warned,) = await provider.next_news(START + 80_000)
            assert isinstance(warned, Warned)
            assert START + 80 <= lease.started == warned.revocation.warned < warned.revocation.due
            assert self.on_time(lease.started)

        self.run(steady((0, 120), notice=110), story)

    def test_clause_4_all_markets_may_revoke_at_once(self) -> None:
        async def story(provider: Provider) -> None:
            leases = await provider.take(Bid(A, Terms.SPOT, count=2))
            leases += await provider.take(Bid(B, Terms.SPOT, count=2))
            news = await self.gather(provider, START + 170)
            warned = [each.revocation.lease for each in news if isinstance(each, Warned)]
            ended = [each.lease for each in news if isinstance(each, Ended)]
            assert warned == ended == [lease.id for lease in leases]
            assert await provider.leases() == ()
            assert {offer.terms for offer in await provider.offers()} == {Terms.ON_DEMAND}

        lives = [(0.0, 150.0), (0.0, 150.0)]
        self.run(market({A: [(0, 1.0)], B: [(0, 1.0)]}, {A: lives, B: lives}), story)

    def test_clause_4_a_lease_may_be_revoked_while_its_instance_starts(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            (offer,) = [offer for offer in await provider.offers() if offer.terms is Terms.ON_DEMAND]
            assert offer.wait == 4000
            news = await self.gather(provider, START + 40)
            assert [type(each) for each in news] == [Warned, Ended]
            assert isinstance(news[-1], Ended) and news[-1].ending is Ending.REVOKED
            assert news[-1].lease == lease.id

        self.run(steady((0, 20), notice=15, boot=4000), story)

    def test_clause_4_a_pool_that_was_revoked_comes_back(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            await self.gather(provider, START + 110)
            assert await provider.take(Bid(A, Terms.SPOT)) == ()
            (crossed,) = await provider.next_news(START + 80_000, (CapacityAbove(A, 0),))
            assert crossed == Crossed(CapacityAbove(A, 0), START + 160)
            assert self.on_time(START + 160)
            (again,) = await provider.take(Bid(A, Terms.SPOT))
            assert again.id != lease.id
            assert [each.id for each in await provider.leases()] == [again.id]

        self.run(steady((0, 100), (160, 86_000)), story)

    def test_clause_5_news_names_only_leases_that_were_granted(self) -> None:
        async def story(provider: Provider) -> None:
            leases = await provider.take(Bid(A, Terms.SPOT, count=3))
            await provider.release(leases[1].id)
            news = await self.gather(provider, START + 200)
            named = [each.revocation.lease for each in news if isinstance(each, Warned)]
            named += [each.lease for each in news if isinstance(each, Ended)]
            assert set(named) == {lease.id for lease in leases}
            assert sorted(named) == sorted([leases[0].id] * 2 + [leases[1].id] + [leases[2].id] * 2)

        self.run(steady((0, 100), (0, 120), (0, 140)), story)

    def test_clause_7_the_invoice_covers_every_lease_and_shrinks_only_by_a_refund_at_an_ending(self) -> None:
        async def story(provider: Provider) -> None:
            (bought,) = await provider.take(Bid(A, Terms.ON_DEMAND))
            (spot,) = await provider.take(Bid(A, Terms.SPOT))
            totals = []
            for at in (30, 60, 90):
                await clock.sleep_until(START + at)
                invoice = await provider.invoice()
                assert invoice.total == add_up(charge.amount for charge in invoice.charges)
                totals.append(invoice.total)
            assert 0 < totals[0] <= totals[1] <= totals[2]
            await self.gather(provider, START + 130)
            await provider.release(bought.id)
            final = await provider.invoice()
            assert {charge.lease for charge in final.charges} == {bought.id, spot.id}
            assert final.total == add_up(charge.amount for charge in final.charges)
            # The provider cut the spot lease short within its first hour: it is free.
            assert sum(charge.amount for charge in final.charges if charge.lease == spot.id) == 0
            await clock.sleep_until(START + 150)
            assert await provider.invoice() == final

        self.run(steady((0, 120)), story)

    def test_offers_are_ordered_and_carry_the_price_of_the_moment(self) -> None:
        async def story(provider: Provider) -> None:
            offers = await provider.offers()
            keys = [(offer.type.name, offer.zone, offer.terms) for offer in offers]
            assert keys == sorted(keys) and len(set(keys)) == 4
            assert [o.price.per_hour for o in offers if o.terms is Terms.SPOT] == [1.0, 0.5]
            await clock.sleep_until(START + 50)
            offers = await provider.offers()
            assert [o.price.per_hour for o in offers if o.terms is Terms.SPOT] == [1.5, 0.5]

        self.run(market({A: [(0, 1.0), (50, 1.5)], B: [(0, 0.5)]}, {}), story)

    def test_next_news_returns_empty_handed_when_its_time_is_up(self) -> None:
        async def story(provider: Provider) -> None:
            assert await provider.next_news(START + 50) == ()
            assert self.on_time(START + 50)
            assert await provider.next_news(START + 10) == ()
            assert self.on_time(START + 50)

        self.run(steady((0, 86_000)), story)

    def test_a_watch_is_told_at_the_first_change_at_which_it_is_true(self) -> None:
        async def story(provider: Provider) -> None:
            above, below = PriceAbove(A, 1.2), PriceBelow(A, 0.9)
            assert await provider.next_news(START + 80_000, (below, above)) == (Crossed(above, START + 50),)
            assert self.on_time(START + 50)
            # It is true now, and told at the next change only.
            assert await provider.next_news(START + 90, (above,)) == ()
            assert await provider.next_news(START + 80_000, (above, below)) == (Crossed(above, START + 120),)
            assert await provider.next_news(START + 80_000, (above, below)) == (Crossed(below, START + 150),)

        self.run(market({A: [(0, 1.0), (50, 1.3), (120, 1.4), (150, 0.8)]}, {}), story)

    def test_a_watch_of_an_unknown_pool_is_misuse(self) -> None:
        async def story(provider: Provider) -> None:
            with pytest.raises(Misuse):
                await provider.next_news(START + 50, (PriceAbove(Pool("c9.large", "yy"), 1.0),))

        self.run(steady((0, 86_000)), story)

    def test_whoever_waits_is_told_of_a_release_by_another(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            waiting = asyncio.create_task(provider.next_news(START + 80_000))
            await clock.sleep_until(START + 30)
            await provider.release(lease.id)
            (ended,) = await waiting
            assert isinstance(ended, Ended) and ended.ending is Ending.RELEASED
            assert self.on_time(ended.at)

        self.run(steady((0, 86_000)), story)

    def test_cancelling_loses_no_news(self) -> None:
        async def story(provider: Provider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            told: list[News] = []
            for at in (20, 59.999, 60, 60.001, 100, 120, 120.001, 140):
                waiting = asyncio.create_task(provider.next_news(START + 80_000))
                await clock.sleep_until(START + at)
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    told += await waiting
            told += await provider.next_news(START + 141)
            assert [type(each) for each in told] == [Warned, Ended]
            assert await provider.leases() == ()
            assert told[1] == Ended(lease.id, START + 120, Ending.REVOKED)

        self.run(steady((0, 120)), story)

    def test_news_waits_for_whoever_asks_late(self) -> None:
        async def story(provider: Provider) -> None:
            await provider.take(Bid(A, Terms.SPOT))
            await clock.sleep_until(START + 150)
            assert [type(each) for each in await provider.next_news(START + 80_000)] == [Warned, Ended]

        self.run(steady((0, 120)), story)

    def test_close_releases_every_lease(self) -> None:
        async def story(provider: Provider) -> None:
            leases = await provider.take(Bid(A, Terms.SPOT, count=2))
            await provider.close()
            news = await provider.next_news(clock.now() + 1)
            assert [each.lease for each in news if isinstance(each, Ended)] == [lease.id for lease in leases]
            assert await provider.leases() == ()

        self.run(steady((0, 86_000), (0, 86_000)), story)

    async def gather(self, provider: Provider, until: float) -> list[News]:
        """All the news up to a moment."""
        told: list[News] = []
        while clock.now() < until:
            told += await provider.next_news(until)
        return told
