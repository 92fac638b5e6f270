"""Replicas are kept up: added, replaced with patience, retired when they are done."""

from __future__ import annotations

import asyncio

from test_server_batcher import AsMany, Twice, ask

from tradewind import clock
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.fleet import Fleet
from tradewind.serving.server.metrics.meters import ModelMeter


class Maker:
    """Makes replicas, the first `failing` of which cannot be opened."""

    def __init__(self, failing=0, seconds=0.0):
        self.made, self.failing, self.seconds = [], failing, seconds

    def __call__(self):
        replica = Twice(self.seconds)
        replica.closed = False
        fails = len(self.made) < self.failing

        async def opened():
            if fails:
                raise OSError("no memory")

        async def closed():
            replica.closed = True

        replica.open, replica.close = opened, closed
        self.made.append(replica)
        return replica


async def until(condition):
    async with asyncio.timeout(20.0):
        while not condition():
            await asyncio.sleep(0.01)


def a_fleet(maker, count, said=None):
    fleets = []

    def lost(replica):
        fleets[0].lost(replica)

    batcher = Batcher(AsMany(), ModelMeter("m", "1"), largest=1, batched=True, lost=lost)
    fleets.append(Fleet(maker, batcher, count, said or (lambda text: None)))
    return fleets[0], batcher


def test_it_grows_to_its_count_and_shrinks_without_a_failed_call() -> None:
    async def main():
        maker = Maker(seconds=0.01)
        fleet, batcher = a_fleet(maker, 3)
        fleet.begin(maker())
        await until(lambda: fleet.up == 3)
        assert len(maker.made) == 3 and batcher.replicas == 3 and fleet.starting == 0
        calls = [asyncio.create_task(ask(batcher, n)) for n in range(9)]
        await asyncio.sleep(0.005)
        fleet.resize(1)
        assert await asyncio.gather(*calls) == [[2.0 * n] for n in range(9)]
        await until(lambda: sum(each.closed for each in maker.made) == 2)
        assert fleet.up == 1 and batcher.replicas == 1
        fleet.resize(2)
        await until(lambda: fleet.up == 2)
        await fleet.close()
        assert all(each.closed for each in maker.made) and batcher.replicas == 0

    clock.run(main(), start=0.0, speed=1.0)


def test_a_lost_replica_is_replaced_and_the_pause_grows_with_each_loss() -> None:
    async def main():
        said = []
        maker = Maker()
        fleet, batcher = a_fleet(maker, 1, said.append)
        fleet.begin(maker())
        for _ in range(4):
            await until(lambda: fleet.up == 1)
            batcher._idle[0].dead = True
            assert await ask(batcher, 3) == [6.0]  # run again by the one that takes its place
        pauses = [float(text.split("in ")[1].split(" s")[0]) for text in said]
        assert pauses == [0.05, 0.1, 0.2, 0.4] and fleet.losses == 4
        fleet.lost(Twice())  # of no concern here
        assert fleet.losses == 4
        await fleet.close()

    clock.run(main())


def test_a_replica_that_cannot_be_opened_is_tried_again() -> None:
    async def main():
        said = []
        maker = Maker(failing=3)
        maker.made.append(None)  # the first was opened by its owner
        fleet, _ = a_fleet(maker, 2, said.append)
        fleet.begin(Twice())
        await until(lambda: fleet.up == 2)
        assert len(said) == 2 and all("OSError: no memory" in text for text in said)
        await fleet.close()

    clock.run(main())


def test_closing_ends_what_is_being_started() -> None:
    async def main():
        maker = Maker(failing=100)
        fleet, _ = a_fleet(maker, 2)
        fleet.begin(Twice())
        await asyncio.sleep(0.02)
        assert fleet.starting == 1
        await fleet.close()
        assert fleet.starting == 0 and fleet.up == 0

    clock.run(main())
