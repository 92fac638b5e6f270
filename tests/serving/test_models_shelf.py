"""A shelf of models under a limit: opened once for all who ask, evicted oldest first, never while in use."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.shelf import Shelf


class Thing:
    """Counts who uses it; closing it while someone does is what must never be."""

    def __init__(self, world, key, memory):
        self.world, self.key, self.memory = world, key, memory
        self.users = 0
        self.closed = False

    async def close(self):
        assert not self.closed and not self.users
        await asyncio.sleep(self.world.closing)
        self.closed = True
        self.world.open.remove(self)


class World:
    """Opens things that take time, and now and then fail."""

    def __init__(self, sizes, *, fails=(), opening=1.0, closing=0.5):
        self.sizes, self.fails = sizes, set(fails)
        self.opening, self.closing = opening, closing
        self.open, self.opened, self.under_way = [], [], []

    async def __call__(self, name, version):
        key = (name, version)
        assert key not in self.under_way
        self.under_way.append(key)
        self.opened.append(key)
        try:
            await asyncio.sleep(self.opening)
            if name in self.fails:
                raise Misuse(f"{name} is broken")
        finally:
            self.under_way.remove(key)
        thing = Thing(self, key, self.sizes[name])
        self.open.append(thing)
        return thing


def test_whoever_asks_for_one_thing_waits_for_one_opening():
    async def main():
        world = World({"a": 5})
        shelf = Shelf(10, world)
        leases = await asyncio.gather(*(shelf.lend("a", "1") for _ in range(5)))
        assert world.opened == [("a", "1")] and clock.now() == 1.0
        assert len({id(each.thing) for each in leases}) == 1
        assert shelf.room.charged == 5 and shelf.opened() == (("a", "1"),)
        assert shelf.lend_now("b", "1") is None and shelf.peek("a", "1") is leases[0].thing
        for each in leases:
            each.give_back()
            each.give_back()  # the second time does nothing
        await shelf.drop("a", "1")
        assert leases[0].thing.closed and shelf.room.charged == 0
        await shelf.drop("a", "1")

    clock.simulate(main())


def test_the_least_recently_used_goes_first_and_comes_back_when_asked():
    async def main():
        world = World({"a": 4, "b": 4, "c": 4, "d": 7})
        shelf = Shelf(10, world)
        for name in "aba":
            async with shelf.lent(name, "1"):
                pass
        async with shelf.lent("c", "1"):
            assert shelf.opened() == (("a", "1"), ("c", "1")) and shelf.evictions == 1
            with pytest.raises(Refusal) as full:
                await shelf.lend("d", "1")
            assert full.value.kind is RefusalKind.NO_ROOM and full.value.retry_after
            assert shelf.opened() == (("c", "1"),) or shelf.opened() == (("a", "1"), ("c", "1"))
        async with shelf.lent("b", "1"):
            assert world.opened.count(("b", "1")) == 2
        async with shelf.lent("d", "1") as thing:
            assert shelf.opened() == (("d", "1"),) and thing.memory == 7

    clock.simulate(main())


def test_what_never_fits_is_refused_and_leaves_nothing():
    async def main():
        world = World({"big": 50, "a": 3})
        shelf = Shelf(10, world)
        async with shelf.lent("a", "1"):
            for _ in range(2):
                with pytest.raises(Refusal, match=r"needs .* bytes") as full:
                    await shelf.lend("big", "1")
                assert full.value.kind is RefusalKind.NO_ROOM
            await asyncio.sleep(5)
            assert [each.key for each in world.open] == [("a", "1")] and shelf.room.charged == 3
        assert world.opened.count(("big", "1")) == 1  # the second time it is known before it is opened
        known = Shelf(10, world, expected=lambda name, version: world.sizes[name])
        with pytest.raises(Refusal, match="needs 50 bytes, and all models may take 10"):
            await known.lend("big", "2")
        assert ("big", "2") not in world.opened

    clock.simulate(main())


def test_an_opening_that_fails_is_told_to_all_and_the_next_tries_again():
    async def main():
        world = World({"a": 5}, fails=["a"])
        shelf = Shelf(10, world)
        found = await asyncio.gather(*(shelf.lend("a", "1") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(each, Misuse) for each in found) and len(world.opened) == 1
        assert shelf.room.charged == 0 and shelf.loading() == ()
        world.fails.clear()
        async with shelf.lent("a", "1"):
            assert shelf.room.charged == 5

    clock.simulate(main())


def test_the_old_one_serves_until_the_new_one_is_there_and_if_it_fails():
    async def main():
        world = World({"a": 4})
        shelf = Shelf(10, world)
        lease = await shelf.lend("a", "1")
        old = lease.thing
        renewal = asyncio.ensure_future(shelf.renew("a", "1"))
        await asyncio.sleep(0.5)
        async with shelf.lent("a", "1") as thing:
            assert thing is old
        await renewal
        async with shelf.lent("a", "1") as new:
            assert new is not old and not old.closed and shelf.room.charged == 8
        lease.give_back()
        await asyncio.sleep(1)
        assert old.closed and shelf.room.charged == 4
        world.fails.add("a")
        with pytest.raises(Misuse, match="broken"):
            await shelf.renew("a", "1")
        async with shelf.lent("a", "1") as thing:
            assert thing is new and shelf.room.charged == 4

    clock.simulate(main())


def test_one_that_gives_up_waiting_leaves_no_use_behind():
    async def main():
        world = World({"a": 6, "b": 6})
        shelf = Shelf(10, world)
        for pause in (0.5, 1.0):
            waits = asyncio.ensure_future(shelf.lend("a", "1"))
            await asyncio.sleep(pause)
            waits.cancel()
            await asyncio.wait([waits])
            if not waits.cancelled():
                waits.result().give_back()
            await asyncio.sleep(2)
            async with shelf.lent("b", "1"):  # which fits only if nobody uses the other
                pass
        await shelf.close()
        assert shelf.room.charged == 0 and not world.open
        with pytest.raises(Refusal) as closing:
            await shelf.lend("a", "1")
        assert closing.value.kind is RefusalKind.NOT_READY

    clock.simulate(main())


def test_closing_waits_for_leases_and_stops_what_is_being_opened():
    async def main():
        world = World({"a": 2, "b": 2})
        shelf = Shelf(10, world)
        lease = await shelf.lend("a", "1")
        late = asyncio.ensure_future(shelf.lend("b", "1"))
        await asyncio.sleep(0.1)
        closing = asyncio.ensure_future(shelf.close())
        await asyncio.sleep(3)
        assert not closing.done() and not lease.thing.closed
        with pytest.raises(Refusal, match="closing"):
            await late
        lease.give_back()
        await closing
        assert lease.thing.closed and shelf.room.charged == 0

    clock.simulate(main())


def test_a_thing_that_does_not_close_cleanly_is_told_and_its_room_is_free():
    class Odd:
        memory = 5

        async def close(self):
            raise OSError("stuck")

    async def opened(name, version):
        return Odd()

    async def main():
        told = []
        shelf = Shelf(10, opened, said=told.append)
        (await shelf.lend("a", "1")).give_back()
        await shelf.drop("a", "1")
        assert shelf.room.charged == 0 and told == ["a model did not close cleanly: OSError: stuck"]

    clock.simulate(main())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), limit=st.integers(5, 25), told=st.booleans())
def test_whatever_is_asked_the_limit_holds_and_nothing_in_use_is_closed(seed, limit, told):
    async def main():
        draw = np.random.default_rng(seed)
        names = "abcdef"
        world = World(
            {name: int(draw.integers(1, 9)) for name in names}, fails=["f"], opening=0.7, closing=0.3
        )
        expected = (lambda name, version: world.sizes[name]) if told else (lambda name, version: 0)
        shelf = Shelf(limit, world, expected)
        answered = 0

        async def client(number):
            nonlocal answered
            mine = np.random.default_rng([seed, number])
            for _ in range(8):
                name, does = names[mine.integers(6)], mine.random()
                await asyncio.sleep(float(mine.exponential(0.4)))
                try:
                    if does < 0.1:
                        await shelf.drop(name, "1")
                    elif does < 0.2:
                        await shelf.renew(name, "1")
                    else:
                        async with (
                            asyncio.timeout(float(mine.exponential(3)) + 0.1),
                            shelf.lent(name, "1") as thing,
                        ):
                            assert not thing.closed and thing.key == (name, "1")
                            thing.users += 1
                            try:
                                await asyncio.sleep(float(mine.exponential(0.5)))
                                assert not thing.closed
                            finally:
                                thing.users -= 1
                            answered += 1
                except Misuse:
                    assert name == "f"
                except (Refusal, TimeoutError):
                    pass
                assert 0 <= shelf.room.charged <= limit

        await asyncio.gather(*(client(number) for number in range(6)))
        await shelf.close()
        assert shelf.room.charged == 0 and not world.open
        assert answered or limit < max(world.sizes[name] for name in "abcde")

    clock.simulate(main())
