import asyncio
import hashlib
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from tradewind import clock
from tradewind.market.decisions import PriceBelow
from tradewind.market.news import Crossed, Ended
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.simulated import SimulatedProvider
from tradewind.testing.providers import START, A, B, ProviderLaws, market, steady


class TestSimulatedProvider(ProviderLaws):
    def provider(self, market: RecordedMarket) -> SimulatedProvider:
        return SimulatedProvider(market)

    def execute(self, main: Coroutine[Any, Any, Any]) -> Any:
        return clock.simulate(main, start=START)

    def test_nothing_listens_at_a_simulated_lease(self) -> None:
        async def story(provider: SimulatedProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            assert lease.instance.address == ""

        self.run(steady((0, 86_000)), story)

    def test_offers_are_the_same_objects_until_they_change(self) -> None:
        async def story(provider: SimulatedProvider) -> None:
            before = await provider.offers()
            await clock.sleep_until(START + 49)
            assert await provider.offers() is before
            await clock.sleep_until(START + 50)
            after = await provider.offers()
            assert after is not before
            # The other pool's offers, spot and on demand, are shared.
            assert {id(offer) for offer in after if offer.pool == B} == {
                id(offer) for offer in before if offer.pool == B
            }

        self.run(market({A: [(0, 1.0), (50, 1.5)], B: [(0, 0.5)]}, {}), story)

    def test_it_jumps_and_never_ticks(self) -> None:
        """A wait of hours over a thousand price changes costs a handful of turns of the loop."""
        turns = 0

        async def story(provider: SimulatedProvider) -> None:
            nonlocal turns
            loop = asyncio.get_running_loop()
            run_once = loop._run_once

            def counted() -> None:
                nonlocal turns
                turns += 1
                run_once()

            loop._run_once = counted
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            watch = PriceBelow(A, 0.5)
            assert await provider.next_news(START + 80_000, (watch,)) == (Crossed(watch, START + 20_000),)
            (ended,) = await provider.next_news(START + 80_000)
            assert isinstance(ended, Ended) and ended.lease == lease.id
            assert turns < 10

        changes = [(n * 20.0, 1.0 + (n % 2) / 10) for n in range(1000)]
        self.run(market({A: [*changes, (20_000, 0.4), (30_000, 5.0)]}, {}, notice=0), story)

    def test_the_same_story_twice_is_the_same_to_the_byte(self) -> None:
        def digest() -> str:
            seen = hashlib.blake2b()

            async def story(provider: SimulatedProvider) -> None:
                while clock.now() < START + 40_000:
                    offers = await provider.offers()
                    spot = [offer for offer in offers if offer.terms is Terms.SPOT]
                    if spot and len(await provider.leases()) < 3:
                        best = min(spot, key=lambda offer: offer.price.per_hour)
                        await provider.take(Bid(best.pool, Terms.SPOT, limit=best.price.per_hour + 0.05))
                    watch = tuple(PriceBelow(offer.pool, offer.price.per_hour) for offer in spot)
                    told = await provider.next_news(clock.now() + 7000, watch)
                    for value in (offers, await provider.leases(), told, await provider.invoice()):
                        seen.update(msgspec.json.encode(value))

            self.run(
                market(
                    {
                        A: [(n * 613.0, 1.0 + (n * 7 % 11) / 10) for n in range(100)],
                        B: [(n * 389.0, 1.0 + (n * 5 % 13) / 10) for n in range(150)],
                    },
                    {B: [(0, 9_000), (5_000, 30_000), (20_000, 50_000)]},
                ),
                story,
            )
            return seen.hexdigest()

        assert digest() == digest()

    def test_waiting_for_what_never_comes_is_an_error_and_no_hang(self) -> None:
        async def story(provider: SimulatedProvider) -> None:
            await provider.next_news(float("inf"))

        with pytest.raises(clock.Stalled):
            self.run(steady((0, 86_000)), story)
