"""What every controller does with a provider: wait for its news beside other things, and end its leases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tradewind import clock
from tradewind.control.loop import Record
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Watch
from tradewind.market.leases import Ending
from tradewind.market.news import Ended, News
from tradewind.providers.interface import Provider


async def news_unless(
    provider: Provider, before: float, watch: tuple[Watch, ...], others: Sequence[asyncio.Task[Any]]
) -> tuple[News, ...] | None:
    """The provider's news, none if `before` came; None if one of `others` was done before either.

    The others go on; no news is lost.
    """
    news = asyncio.create_task(provider.next_news(before, watch))
    try:
        await asyncio.wait([news, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not news.done():
            await cancelled(news)
    return None if news.cancelled() else news.result()


async def end_leases(provider: Provider, record: Record) -> tuple[Invoice, int]:
    """Release every lease, hear of their ends, and record the bill; with it, how many the provider ended."""
    for lease in await provider.leases():
        await provider.release(lease.id)
    revoked = 0
    for each in await provider.next_news(clock.now()):
        record.record_news(clock.now(), each)
        revoked += isinstance(each, Ended) and each.ending is Ending.REVOKED
    invoice = await provider.invoice()
    record.record_invoice(invoice)
    return invoice, revoked


async def cancelled(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task and wait for its end; what it comes to was heard, or is too late to matter."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
