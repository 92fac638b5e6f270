"""The service in virtual time: what arrives, what is told, what becomes of it."""

import asyncio

import numpy as np
import pytest
from serving_worlds import START, endpoint_of, lease, market_of, trace_of

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.leases import Revocation
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.controller import Endpoint
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionProfile
from tradewind.serving.provisioning.modelled_queue import REFUSED
from tradewind.serving.provisioning.modelled_service import Arrivals, ModelledService, load_of, rehearse
from tradewind.serving.provisioning.service import Ready
from tradewind.testing.policies import NOW
from tradewind.testing.provisioning import PROFILES

LOAD = trace_of([10.0] * 120 + [20.0] * 120, start=NOW - 7200)


def service_of(load=LOAD, until=NOW + 3600, **given):
    return ModelledService(endpoint_of(), load, start=NOW, until=until, **given)


def played(main, until=NOW + 3600):
    async def watched():
        return await main()

    return clock.simulate(watched(), start=NOW)


def test_a_replica_answers_after_its_start_up():
    async def main():
        service = service_of()
        await service.open(False)
        for number in range(5):
            service.start(lease(number, started=0.0))
        assert [each.ready for each in service.replicas()] == [NOW + 120] * 5
        told = await service.next_changes()
        assert clock.now() == NOW + 120
        assert told == tuple(Ready(lease(number).id) for number in range(5))
        before = service.account()
        await clock.sleep_until(NOW + 1800)
        return before, service.account(), service.by_interval()

    before, after, counts = played(main)
    assert before.in_time == 0 and before.refused > 2000  # 20 a second, but for the last that still wait
    assert after.refused - before.refused < 40
    assert after.in_time == pytest.approx(20 * 1680, rel=0.02)  # 25 a second could be
    assert counts[0, REFUSED] > 1000


def test_what_arrives_is_the_same_whatever_is_asked():
    async def main(moments):
        service = service_of()
        await service.open(False)
        service.start(lease(1, started=-500.0))
        for moment in moments:
            await clock.sleep_until(NOW + moment)
            service.account()
        await clock.sleep_until(NOW + 3600)
        return service.rates(), service.by_interval(), service.traffic()

    one, other = played(lambda: main([])), played(lambda: main([3.33, 60.0, 61.7, 1800.05]))
    assert one[0].tolist() == other[0].tolist()
    assert one[1].tolist() == other[1].tolist()
    assert one[2] == other[2]
    assert one[0].tolist() != played(lambda: main_seeded(1)).tolist()


async def main_seeded(seed):
    service = service_of(seed=seed)
    await service.open(False)
    await clock.sleep_until(NOW + 3600)
    return service.rates()


def test_traffic_is_what_arrived():
    async def main():
        service = service_of()
        await service.open(False)
        for number in range(8):
            service.start(lease(number, started=-500.0))
        await clock.sleep_until(NOW + 605.0)
        return service.traffic(), service.rates()

    traffic, rates = played(main)
    drawn = Arrivals(LOAD, 0.1, 0)
    assert traffic.until == NOW + 600 and len(traffic.rates) == 60 and len(rates) == 130
    expected = [drawn.of(120 + at) for at in range(10)]
    assert traffic.rates[-10:] == tuple(each.sum() / 60 for each in expected)
    assert traffic.peaks[-1] == expected[-1].reshape(12, -1).sum(axis=1).max() / 5
    assert rates[-70:-10] == pytest.approx(np.full(60, 10.0), rel=0.2)
    assert traffic.rates[:50] == tuple(rates[70:120])
    assert all(peak >= rate for peak, rate in zip(traffic.peaks, traffic.rates, strict=True))
    assert traffic.ongoing[-1] == pytest.approx(20 * 0.2, rel=0.15)


def test_a_short_interval_divides_the_past():
    async def main():
        service = service_of(interval=10.0)
        await service.open(False)
        await clock.sleep_until(NOW + 20.0)
        return service.rates()

    rates = played(main)
    assert len(rates) == 722
    assert rates[:720].mean() == pytest.approx(10.0, rel=0.03)


def test_a_warned_replica_ends_in_order_and_an_unwarned_one_does_not():
    async def main(warned):
        service = service_of()
        await service.open(False)
        for number in range(2):
            service.start(lease(number, started=-500.0))
        await clock.sleep_until(NOW + 300)
        if warned:
            service.warn(Revocation(lease(0).id, NOW + 300, NOW + 420))
            assert service.replicas()[0].due == NOW + 420
        await clock.sleep_until(NOW + 420)
        service.lost(lease(0).id)
        assert len(service.replicas()) == 1
        return service.account().retried

    assert played(lambda: main(True)) == 0
    assert played(lambda: main(False)) == 1.0  # the one that it had in hand, for it was busy


def test_drained_replicas_are_gone():
    async def main():
        service = service_of()
        await service.open(False)
        for number in range(6):
            service.start(lease(number, started=-500.0))
        await clock.sleep_until(NOW + 600)
        for number in range(6):
            await service.drain(lease(number).id)
        await service.drain(lease(0).id)
        then = service.account()
        await clock.sleep_until(NOW + 1200)
        waiting = asyncio.create_task(service.next_changes())
        await clock.sleep_until(NOW + 1300)
        assert not waiting.done()  # nothing to tell of those that were drained before anybody asked
        waiting.cancel()
        return then, service.account(), service.replicas()

    then, after, replicas = played(main)
    assert after.in_time == pytest.approx(then.in_time, abs=20) and replicas == ()


def test_functions_are_owed_by_the_call():
    endpoint = endpoint_of(function=FunctionProfile(2e-5, 0.3, 0.9, 1000))
    policy = Fixed(10.0)
    policy.overflow = True
    market = market_of({("small", "east-1a"): [(0.0, 0.03)]})
    found = rehearse(market, trace_of([20.0] * 60), policy, endpoint, start=START, until=START + 3600)
    assert found.share == 1.0 and found.cold > 0
    assert found.functions == pytest.approx(found.overflowed * 2e-5)
    assert found.overflowed == pytest.approx((20.0 - 10.0) * 3600 + 10.0 * 120, rel=0.05)
    # 10 a second are two small ones on demand, 0.10 an hour each.
    assert found.cost == pytest.approx(0.2 + found.functions)


def test_bursts_raise_peaks_and_keep_the_mean():
    calm, wild = Arrivals(LOAD, 0.1, 0), Arrivals(LOAD, 0.1, 0, burstiness=1.0)
    counts = np.array(
        [[each.of(at).reshape(60, 10).sum(axis=1) for at in range(120)] for each in (calm, wild)]
    )
    assert counts.mean(axis=(1, 2)) == pytest.approx([10.0, 10.0], rel=0.05)
    spread = counts.reshape(2, -1).var(axis=1)
    assert spread == pytest.approx([10.0, 10.0 + 100.0], rel=0.1)


def test_the_bounds_load_is_what_the_rehearsal_drew():
    market = market_of({("small", "east-1a"): [(0.0, 0.03)]})
    load, endpoint = trace_of(np.linspace(5, 25, 60)), endpoint_of()
    found = rehearse(
        market, load, Fixed(40.0), endpoint, start=START, until=START + 3600, seed=7, uncounted=600.0
    )
    drawn = load_of(endpoint, load, start=START, until=START + 3600, seed=7, uncounted=600.0)
    assert found.requests == pytest.approx(drawn.counts.sum(), abs=30)
    assert found.share > 0.999 and drawn.counts[:10].sum() == 0 and (drawn.tails <= drawn.counts).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"until": NOW + 1e6}, "its record runs from"),
        ({"interval": 7.0}, "no multiple of 5 s"),
        ({"burstiness": -1.0}, "no variance"),
        ({"load": trace_of([1.0] * 300, start=NOW - 30)}, "within an interval"),
        ({"load": trace_of([1.0] * 9999, start=NOW - 3.5, interval=3.5)}, "") ,
    ],
)  # fmt: skip
def test_what_cannot_be(given, told):
    if not told:  # 35 steps of 0.1 s are an interval of 3.5 s: that is fine
        service_of(**given)
        return
    with pytest.raises(Misuse, match=told):
        service_of(**given)


def test_a_policy_without_its_forecaster_and_a_type_without_a_profile():
    market, load = market_of({("small", "east-1a"): [(0.0, 0.03)]}), trace_of([1.0] * 60)
    policy = Fixed(1.0)
    policy.forecaster = "persistence"
    with pytest.raises(Misuse, match="wants its load forecast by persistence"):
        rehearse(market, load, policy, endpoint_of(), start=START, until=START + 600)
    endpoint = Endpoint(objective=Objective(1.0), profiles=PROFILES[:1], startup=1.0)

    async def main():
        service = ModelledService(endpoint, LOAD, start=NOW, until=NOW + 60)
        await service.open(False)
        with pytest.raises(Misuse, match="has no profile"):
            service.start(lease(1, "large", started=0.0))

    played(main)
