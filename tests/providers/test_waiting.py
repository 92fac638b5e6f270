import asyncio
import math

from tradewind import clock
from tradewind.providers.waiting import Bell


def test_a_bell_wakes_at_the_moment_or_at_a_ring() -> None:
    async def main() -> None:
        bell = Bell()
        await bell.wait(100.0)
        assert clock.now() >= 100
        waiting = [asyncio.create_task(bell.wait(moment)) for moment in (1e9, math.inf)]
        await clock.sleep_until(200.0)
        assert not any(task.done() for task in waiting)
        bell.ring()
        await asyncio.gather(*waiting)
        assert clock.now() == 200
        bell.ring()  # nobody waits: the next one is not woken by it
        await bell.wait(300.0)
        assert clock.now() >= 300

    clock.simulate(main())


def test_a_wait_that_was_cancelled_leaves_no_timer_behind() -> None:
    async def main() -> None:
        bell = Bell()
        waiting = asyncio.create_task(bell.wait(1e6))
        await clock.sleep_until(1.0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        bell.ring()
        await clock.sleep_until(2.0)
        assert all(timer.cancelled() for timer in asyncio.get_running_loop()._scheduled)

    clock.simulate(main())
