"""Replicas on leases: when they answer, what is lost with them and what is not, and the traffic measured."""

from __future__ import annotations

import asyncio
import itertools
import textwrap

import numpy as np
import pytest
from msgspec.structs import replace
from serving_worlds import lease

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.leases import Revocation
from tradewind.runtimes.inline import InlineRuntime
from tradewind.serving.calls import Call
from tradewind.serving.models.one_class import OneClass
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.process_service import ProcessService
from tradewind.serving.provisioning.service import Ready, Stranded
from tradewind.serving.server.engine import ModelEngine, Options
from tradewind.serving.server.metrics.meters import Meters
from tradewind.serving.server.rented import RentedCrews, Weight

MODEL = textwrap.dedent(
    '''
    import time

    class Halves:
        """Halves its rows; the first says how many milliseconds that takes."""
        signature = {"inputs": {"x": ["FP64", [-1]]}, "outputs": {"y": ["FP64", [-1]]}}

        def predict(self, inputs):
            time.sleep(max(0.0, float(inputs["x"][0])) / 1000)
            return {"y": inputs["x"] / 2}
    '''
)


def rented(number):
    """A lease that begins now."""
    return replace(lease(number), started=clock.now())


class Stage:
    """An engine whose replicas are threads that are reached at sockets, and the service that starts them."""

    def __init__(self, folder, **options) -> None:
        self.folder, self.number = folder, itertools.count()
        self.crews = RentedCrews()
        self.engine = ModelEngine(
            OneClass("halving:Halves", "halves"),
            Options(objective=Objective(20.0), isolation="server", max_batch=1),
            hiring=self.crews,
        )
        self.runtime = InlineRuntime()
        self.options = {"startup": 5.0, "interval": 5.0, **options}
        self.address = lambda lease: f"unix:{self.folder}/{next(self.number)}"

    async def __aenter__(self) -> Stage:
        await self.engine.open()
        self.service = ProcessService(
            self.crews, asyncio.get_running_loop(), self.engine.meters, self.runtime, self.address,
            **self.options,
        )  # fmt: skip
        await self.service.open(False)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.service.close()
        await self.engine.close()

    async def up(self, number: int):
        """Start a replica, and wait for it."""
        self.service.start(rented(number))
        assert await self.service.next_changes() == (Ready(f"lease-{number:04d}"),)

    async def halved(self, value: float) -> float:
        call = Call(model="halves", version="", id="", inputs={"x": np.array([value])}, outputs=())
        return float((await self.engine.infer(call)).outputs["y"][0])

    @property
    def replicas(self) -> int:
        return self.engine.replicas_up("halves")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    (tmp_path / "halving.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda **options: Stage(tmp_path, **options)


async def true(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


_STALL = 0.02
"""Seconds of the wall for which the machine may let a test wait, that reckons with its time."""


def steadily(main, speed: float) -> None:
    """Run it; again, if it failed while others had the machine."""

    async def watched(longest: list[float]) -> None:
        async def tick() -> None:
            while True:
                took = clock.stopwatch()
                await asyncio.sleep(0.01)
                longest[0] = max(longest[0], took() - 0.01)

        ticking = asyncio.ensure_future(tick())
        try:
            await main()
        finally:
            ticking.cancel()

    for _ in range(8):
        longest = [0.0]
        try:
            clock.run(watched(longest), speed=speed)
        except AssertionError:
            if longest[0] < _STALL:
                raise
        else:
            return
    pytest.fail("the machine was never ours for as long as it takes")


def test_replicas_come_answer_and_are_drained(stage) -> None:
    async def main():
        async with stage() as here:
            assert here.replicas == 0 and not here.engine.ready
            waits = asyncio.ensure_future(here.halved(4.0))
            began = clock.now()
            await here.up(1)
            assert await waits == 2.0 and here.engine.ready
            (told,) = here.service.replicas()
            assert told.lease == "lease-0001" and began < told.ready <= clock.now() and told.due is None
            await here.up(2)
            assert here.replicas == 2
            slow = asyncio.ensure_future(here.halved(200.0))
            await asyncio.sleep(0.05)
            await here.service.drain("lease-0002")
            await here.service.drain("lease-0001")
            await here.service.drain("lease-0001")
            assert slow.done() and await slow == 100.0
            assert here.replicas == 0 and here.service.replicas() == ()
            account = here.service.account()
            assert (account.in_time, account.late, account.refused, account.retried) == (2.0, 0, 0, 0)

    clock.serve(main())


def test_what_a_lost_lease_had_in_hand_is_run_elsewhere_however_often(stage) -> None:
    async def main():
        async with stage() as here:
            await here.up(1)
            asked = asyncio.ensure_future(here.halved(300.0))
            for number in range(1, 5):
                await true(lambda: here.service._crews.crews[0]._batcher.busy == 1)
                here.service.lost(f"lease-{number:04d}")
                assert here.service.replicas() == ()
                await here.up(number + 1)
            assert await asked == 150.0
            assert here.service.account().retried == 4.0

    clock.serve(main())


def test_one_that_is_warned_of_answers_until_shortly_before_its_end(stage) -> None:
    async def main():
        async with stage() as here:
            await here.up(1)
            now = clock.now()
            here.service.warn(Revocation("lease-0001", now, now + 0.7))
            assert await here.halved(2.0) == 1.0 and here.replicas == 1
            await true(lambda: here.replicas == 0)
            assert 0.3 < clock.now() - now < 0.65
            (told,) = here.service.replicas()  # listed until it is drained, lost or given up
            assert told.due == now + 0.7

    clock.serve(main())


def test_a_model_that_is_loaded_anew_gets_replicas_on_the_same_leases(stage) -> None:
    async def main():
        async with stage() as here:
            await here.up(1)
            (before,) = here.crews.crews
            await here.engine.load("halves")
            assert await here.halved(8.0) == 4.0
            (after,) = here.crews.crews
            assert after is not before and here.replicas == 1 and before.up == 0
            with pytest.raises(Misuse, match="policy says"):
                await here.engine.resize("halves", 2)

    clock.serve(main())


def test_a_replica_that_fails_again_and_again_strands_its_lease(stage, tmp_path) -> None:
    async def main():
        async with stage() as here:
            here.address = here.service._address = lambda lease: f"unix:{tmp_path}/no/such/folder"
            here.service.start(rented(1))
            (told,) = await here.service.next_changes()
            assert isinstance(told, Stranded) and told.lease == "lease-0001" and "FileNotFound" in told.reason
            assert here.service.replicas() == ()

    clock.serve(main())


def test_a_model_that_cannot_be_opened_there_strands_it_at_once(stage, tmp_path) -> None:
    async def main():
        async with stage() as here:
            crew = here.crews.crews[0]
            crew._opening = type(crew._opening)(python="halving:Nothing")
            here.service.start(rented(1))
            (told,) = await here.service.next_changes()
            assert isinstance(told, Stranded) and "Nothing" in told.reason

    clock.serve(main())


def test_traffic_is_what_the_meters_counted() -> None:
    async def main():
        meters = Meters()
        meter = meters.model("m", "1", 1.0)
        service = ProcessService(
            RentedCrews(), asyncio.get_running_loop(), meters, InlineRuntime(), str, startup=1.0,
            interval=20.0, past=[7.0, 8.0],
        )  # fmt: skip
        await service.open(False)
        start = clock.now()
        begun = 0
        while clock.now() < start + 50.0:
            for _ in range(8 if clock.now() < start + 18.0 else 2):
                meter.began()
                meter.answered(0.0, 0.05, 0.05, 1)
                begun += 1
            await clock.sleep_until(clock.now() + 1.0)
        await true(lambda: len(service.rates()) >= 5, 1000.0)
        traffic, rates = service.traffic(), service.rates()
        assert traffic.interval == 20.0 and abs(traffic.until - start - 60.0) < 0.5
        assert traffic.rates == tuple(rates) and rates[:2].tolist() == [7.0, 8.0] and len(rates) == 5
        # Requests a second of the wall's: twenty seconds of the market are 0.4 of those.
        assert rates[2:].sum() * 20.0 / 50.0 == pytest.approx(begun, rel=0.1)
        assert rates[2] > 2 * rates[3] > 0 and all(p >= r for p, r in zip(traffic.peaks, rates, strict=True))
        assert traffic.ongoing[2] == pytest.approx(rates[2] * 0.05, rel=1e-6)  # Little's law
        assert service.account().in_time == begun
        await service.close()
        await service.close()

    steadily(main, 50.0)


def test_requests_to_a_quick_model_count_for_less() -> None:
    class Weighing(RentedCrews):
        waiting = 2.5

        def weight(self, name, version):
            return Weight(0.25, 0.5) if name == "quick" else Weight()

    async def main():
        meters = Meters()
        for name, count in (("quick", 40), ("slow", 10)):
            for _ in range(count):
                meters.model(name, "1").began()
        service = ProcessService(
            Weighing(), asyncio.get_running_loop(), meters, InlineRuntime(), str, startup=1.0, interval=10.0,
        )  # fmt: skip
        await service.open(False)
        for name, count in (("quick", 80), ("slow", 20)):
            meter = meters.model(name, "1")
            for _ in range(count):
                meter.began()
                meter.answered(0.0, 0.01, 0.01, 1)
        start = clock.now()
        await true(lambda: clock.now() >= start + 12.0 and any(service.rates()), 1000.0)
        traffic = service.traffic()
        # 80 quick ones count as 20: 40 in all, in ten seconds of the market, a tenth of one of the wall's.
        assert traffic.rates[-1] * (10.0 / 100.0) == pytest.approx(40.0, rel=0.15)
        # Of those in hand before, 40 count as 20, and so there were 30 at the least.
        assert traffic.ongoing[-1] == 30.0 and traffic.waiting == 2.5
        await service.close()

    steadily(main, 100.0)


def test_chance_is_no_burst_where_the_market_is_quick() -> None:
    """Five seconds of a market at sixty to one are too short for requests of the wall to be counted in."""

    async def main():
        meters = Meters()
        service = ProcessService(
            RentedCrews(),
            asyncio.get_running_loop(),
            meters,
            InlineRuntime(),
            str,
            startup=1.0,
            interval=10.0,
        )
        await service.open(False)
        meter, start = meters.model("m", "1"), clock.now()
        while clock.now() < start + 41.0:
            for _ in range(3):
                meter.began()
            await clock.sleep_until(clock.now() + 4.0)
        traffic = service.traffic()
        assert len(traffic.rates) >= 4 and traffic.rates[-1] > 0
        assert traffic.peaks == pytest.approx(traffic.rates, rel=0.05)
        account = service.account()
        assert account.begun >= 30 and sum(account.stays) == 0
        meter.answered(0.0, 0.03, 0.03, 1)
        account = service.account()
        assert account.stays[account.buckets.index(0.05)] == sum(account.stays) == 1
        await service.close()

    steadily(main, 60.0)


def test_functions_and_simulations_are_refused() -> None:
    async def service(overflow):
        made = ProcessService(
            RentedCrews(), asyncio.get_running_loop(), Meters(), InlineRuntime(), str, startup=1.0
        )
        await made.open(overflow)

    with pytest.raises(Misuse, match="overflow"):
        clock.run(service(True))
    with pytest.raises(Misuse, match="simulation"):
        clock.simulate(service(False))
