"""One clock in three worlds, and the two traps of a loop that jumps."""

import asyncio
import itertools
import math
import time

import pytest

from tradewind import clock
from tradewind.errors import Misuse


def test_a_simulation_jumps_over_every_wait():
    async def main():
        await clock.sleep_until(clock.now() + 10 * 365 * 86_400)
        return clock.now()

    elapsed = clock.stopwatch()
    assert clock.simulate(main(), start=100.0) == 100.0 + 10 * 365 * 86_400
    assert elapsed() < 5


def test_past_day_194_the_loop_does_not_stand_still():
    # 2**24 s is day 194.18: a double no longer holds asyncio's own resolution, a nanosecond.
    async def main():
        seen = []
        for _ in range(40):
            await clock.sleep_until(clock.now() + 0.3)
            seen.append(clock.now())
        return seen

    for start in (0.0, 1.4e9):
        begun = 2.0**24 - 3

        async def late(begun=begun):
            await clock.sleep_until(clock.now() + begun)
            return await main()

        seen = clock.simulate(late(), start=start)
        assert all(later > earlier for earlier, later in itertools.pairwise(seen))
        assert seen[-1] - start == pytest.approx(begun + 12, abs=1e-3)


@pytest.mark.parametrize("offset", [1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5])
def test_a_timer_within_the_resolution_finds_the_clock_at_its_moment(offset):
    async def main():
        loop = asyncio.get_running_loop()
        woken = 0
        for step in range(50):
            due = loop.time() + 1.0
            loop.call_at(due, lambda: None)
            waiter = loop.create_future()
            loop.call_at(due + offset, waiter.set_result, step)
            await waiter
            assert loop.time() >= due + offset
            woken += 1
        return woken

    assert clock.simulate(main()) == 50


def test_sleeping_until_a_moment_never_wakes_early():
    async def main():
        for at in range(1, 300):
            moment = 1.4e9 + at * math.pi * 1e-3
            await clock.sleep_until(moment)
            assert clock.now() >= moment

    clock.simulate(main(), start=1.4e9)


def test_timers_fire_in_their_order_at_one_moment():
    async def main():
        order = []

        async def one(name, moment):
            await clock.sleep_until(moment)
            order.append(name)

        await asyncio.gather(one("late", 20.0), one("first", 10.0), one("second", 10.0))
        return order

    assert clock.simulate(main()) == ["first", "second", "late"]


def test_a_simulation_in_which_everybody_waits_is_stalled():
    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(clock.Stalled, match="awaits what nobody will do"):
        clock.simulate(main())


def test_the_scaled_clock_runs_sixty_times_as_fast():
    async def main():
        assert clock.speed() == 60
        begun = clock.now()
        await clock.sleep_until(begun + 12.0)
        return begun, clock.now()

    begun = time.perf_counter()
    first, last = clock.run(main(), start=5000.0, speed=60)
    wall = time.perf_counter() - begun
    assert 5000.0 <= first < 5060.0
    assert last - first >= 12.0
    assert 0.2 <= wall < 5  # 12 s of the market are 0.2 s of the wall's


def test_reality_is_the_default():
    async def main():
        assert clock.speed() == 1
        return clock.now()

    assert clock.run(main()) == pytest.approx(clock.wall(), abs=60)


@pytest.mark.parametrize("speed", [0, -1, math.inf, math.nan])
def test_no_speed_is_refused(speed):
    async def main():
        return None

    with pytest.raises(Misuse, match="no speed"):
        clock.run(main(), speed=speed)


def test_other_loops_have_no_moment():
    async def main():
        clock.now()

    with pytest.raises(RuntimeError, match="not started by"):
        asyncio.run(main())


def test_speed_is_infinite_in_a_simulation():
    async def main():
        return clock.speed()

    assert clock.simulate(main()) == math.inf


def test_moments_and_texts():
    assert clock.moment("2020-01-01T00:00:00Z") == 1577836800.0
    assert clock.moment("2020-01-01") == 1577836800.0
    assert clock.iso(clock.moment("2015-03-11T16:54:38Z")) == "2015-03-11T16:54:38Z"
    with pytest.raises(Misuse, match="no moment"):
        clock.moment("yesterday")
