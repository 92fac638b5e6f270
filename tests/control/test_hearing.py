"""A provider's news beside other things: what is first is told, and nothing is lost."""

import asyncio

from tradewind import clock
from tradewind.control.hearing import cancelled, end_leases, news_unless
from tradewind.control.loop import Unrecorded
from tradewind.market.decisions import PriceBelow
from tradewind.market.offers import Bid, Terms
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.assembly import market_of
from tradewind.session.spec import ProviderSpec

MARKET, START = market_of(ProviderSpec(kind="simulated", history="demo"))


def in_the_market(use):
    async def main():
        provider = SimulatedProvider(MARKET)
        await provider.open()
        try:
            return await use(provider)
        finally:
            await provider.close()

    return clock.simulate(main(), start=START)


def test_what_is_first_is_told_and_the_others_go_on():
    async def use(provider):
        later = asyncio.create_task(clock.sleep_until(START + 100.0))
        first = await news_unless(provider, START + 50.0, (), [later])
        then = await news_unless(provider, START + 500.0, (), [later])
        return first, then, later.done(), clock.now()

    assert in_the_market(use) == ((), None, True, START + 100.0)


def test_leases_end_with_their_bill_and_news_that_waited_is_not_lost():
    async def use(provider):
        offer = next(each for each in await provider.offers() if each.terms is Terms.ON_DEMAND)
        for _ in range(2):
            await provider.take(Bid(offer.pool, Terms.ON_DEMAND))
        await clock.sleep_until(START + 3600.0)
        done = asyncio.create_task(asyncio.sleep(0))
        assert await news_unless(provider, START + 7200.0, (PriceBelow(offer.pool, 0.0),), [done]) is None
        invoice, revoked = await end_leases(provider, Unrecorded())
        return len(await provider.leases()), float(invoice.total), 2 * offer.price.per_hour, revoked

    left, paid, price, revoked = in_the_market(use)
    assert (left, revoked) == (0, 0) and abs(paid - price) < 1e-6


def test_a_task_that_is_cancelled_has_ended_whatever_it_came_to():
    async def breaks():
        raise ValueError("too late")

    async def use(_):
        for task in (asyncio.create_task(breaks()), asyncio.create_task(asyncio.sleep(100.0))):
            await asyncio.sleep(0)
            await cancelled(task)
            assert task.done()
        await cancelled(None)

    in_the_market(use)
