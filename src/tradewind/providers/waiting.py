"""Waiting for a moment, for a ring or for news, whichever is first."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tradewind import clock
from tradewind.market.decisions import Watch
from tradewind.market.news import Crossed, News
from tradewind.providers.holdings import Holdings


class Bell:
    """Wakes whoever waits at it.

    Its wait is `clock.sleep_until` with a second way out, and costs no task: a replay waits once a decision.
    """

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        for waiter in self._waiters:
            _wake(waiter)

    async def wait(self, moment: float) -> None:
        """Return at `moment` (infinity for never), or earlier at a ring; callers look again what is true."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = None
        if not math.isinf(moment):
            timer = loop.call_at(loop.time() + max(0.0, moment - clock.now()), _wake, waiter)
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def told(
    holdings: Holdings, bell: Bell, settle: Callable[[], float], before: float, watch: tuple[Watch, ...]
) -> tuple[News, ...]:
    """`Provider.next_news` over `holdings`: `bell` rings when they change by our doing, `settle` lets the
    market do what it does up to now, and says when that is.

    What is told is taken out without an await in between, so that cancelling loses nothing.
    """
    called = settle()
    version = -1
    crossed: Crossed | None = None
    while True:
        now = settle()
        if version != holdings.version:
            version = holdings.version
            crossed = holdings.crossing(watch, called, before)
        due = before if crossed is None else crossed.at
        if now >= due or holdings.has_news:
            news = holdings.tell()
            if crossed is not None and now >= crossed.at:
                news.append(crossed)
            return tuple(news)
        await bell.wait(min(due, holdings.next_moment()))
