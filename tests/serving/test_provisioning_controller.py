"""The controller of an endpoint over recorded prices: what it pays, hears, keeps on record and gives up."""

import asyncio
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from serving_worlds import START, SpotOnce, endpoint_of, market_of, trace_of

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.loop import Unrecorded
from tradewind.control.records import header_for
from tradewind.control.replay import replay
from tradewind.errors import Misuse, NoCapacity, Permanent
from tradewind.estimates.load.forecasters import load_forecaster
from tradewind.estimates.load.interface import LoadForecast
from tradewind.market.charges import add_up
from tradewind.market.decisions import Decision, Take
from tradewind.market.offers import Bid, Terms
from tradewind.providers.simulated import SimulatedProvider
from tradewind.serving.provisioning.controller import PATIENCE, run
from tradewind.serving.provisioning.course import FUNCTION_TARIFF, FUNCTIONS, FunctionTariff
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionProfile, FunctionUse, Profile, ServingView
from tradewind.serving.provisioning.knative import Knative
from tradewind.serving.provisioning.mark import Mark
from tradewind.serving.provisioning.modelled_service import ModelledService, rehearse
from tradewind.serving.provisioning.service import Stranded
from tradewind.serving.provisioning.target_tracking import TargetTracking

CALM = market_of({("small", "east-1a"): [(0.0, 0.03)]})
SPIKE = {("small", "east-1a"): [(0.0, 0.03), (5000.0, 0.09), (5600.0, 0.03)]}
LOAD = trace_of([12.0] * 240)


class Watching(Fixed):
    """A fixed fleet that keeps the views that it saw."""

    def __init__(self, rate=12.0, **given):
        super().__init__(rate, **given)
        self.views = []

    def decide(self, view, memory):
        self.views.append(view)
        return super().decide(view, memory)


def rehearsed(policy, market=CALM, load=LOAD, hours=2.0, **given):
    endpoint = given.pop("endpoint", endpoint_of())
    return rehearse(market, load, policy, endpoint, start=START, until=START + 3600 * hours, **given)


def test_what_a_fixed_fleet_costs():
    """12 a second are three small ones of 5, at 0.10 $/h, for two hours."""
    policy = Watching(instance_type="small")
    found = rehearsed(policy, uncounted=120.0)
    assert found.cost == pytest.approx(3 * 0.10 * 2)
    assert (found.leases, found.revocations, found.failures) == (3, 0, 0)
    assert found.replica_hours == pytest.approx(6.0)
    assert found.seconds == 7200 and found.reason == "its time is over"
    assert found.requests == pytest.approx(12 * 7080, rel=0.02)
    assert found.share > 0.97


def test_the_policy_is_asked_every_interval_and_at_news():
    policy = Watching()
    found = rehearsed(policy, hours=0.5)
    moments = [view.now - START for view in policy.views]
    assert moments == sorted({*(60.0 * at for at in range(30)), 120.0})  # ready at 120: an interval's end
    assert found.decisions == len(moments)
    policy = Watching()
    rehearsed(policy, hours=0.5, endpoint=endpoint_of(startup=100.0))
    assert 100.0 in [view.now - START for view in policy.views]


def test_views_tell_what_became_of_the_requests():
    policy = Watching(rate=5.0)
    rehearsed(policy, hours=1.0)
    last = policy.views[-1]
    assert last.requests == pytest.approx(12 * (last.now - START), rel=0.05)
    assert last.missed == pytest.approx(last.requests - 5 * (last.now - START - 120), rel=0.1)
    assert last.spent == pytest.approx(0.10 * 59 / 60, rel=0.01)
    assert last.traffic.until == last.now and len(last.replicas) == 1


def test_offers_without_a_profile_are_not_shown():
    policy = Watching()
    rehearsed(policy, hours=0.1, endpoint=endpoint_of(profiles=(Profile("small", 5.0, 0.2, 1.0),)))
    assert {each.type.name for each in policy.views[0].market.offers} == {"small"}


def test_a_revocation_with_notice_loses_nothing_and_is_replaced():
    """At 5000 s the price is above the limit; the notice comes 120 s before, what replaces it at 5600 s."""
    market = market_of(SPIKE)
    found = rehearsed(SpotOnce(3, 0.05), market)
    assert found.revocations == 3 and found.leases == 6 and found.retried == 0
    # Billed by the second at 0.03, but for leases of less than an hour that the provider ended.
    assert found.cost <= 3 * 0.03 * 2
    sudden = rehearsed(SpotOnce(3, 0.05), market_of(SPIKE, notice=0.0))
    assert sudden.revocations == 3 and sudden.retried > 0
    assert sudden.share < 1 and found.share < 1


def test_what_is_released_is_not_counted_as_revoked():
    found = rehearsed(SpotOnce(3, 0.05, heed=True), market_of(SPIKE))
    assert found.revocations == 0 and found.leases > 3


@pytest.mark.parametrize("policy", [TargetTracking(0.7), Knative(), SpotOnce(4, 0.05)])
def test_a_rehearsal_is_the_same_each_time_and_its_journal_replays(policy, tmp_path):
    digests = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.db"
        header = header_for(policy, ServingView, start=START, world="made up")
        journal = Journal(path, header, commit_every=1000)
        rehearsed(policy, market_of(SPIKE), record=journal, hours=1.6)
        journal.close()
        home = f"{SpotOnce.__module__}:SpotOnce"
        found = replay(path, {home: SpotOnce})
        assert found.decisions >= 96
        digests.append(found.digest)
    assert digests[0] == digests[1]


def test_nothing_with_a_profile_is_no_capacity():
    with pytest.raises(NoCapacity, match="the profiles are of huge"):
        rehearsed(Fixed(1.0), endpoint=endpoint_of(profiles=(Profile("huge", 5.0, 0.2, 1.0),)))


class Failing(ModelledService):
    """A service whose replicas fail as soon as they are started."""

    def start(self, lease):
        super().start(lease)
        self.gone = getattr(self, "gone", [])
        self.gone.append(lease.id)
        self._wake()

    async def next_changes(self):
        assert self._changed is not None
        while not getattr(self, "gone", []):
            self._changed.clear()
            await self._changed.wait()
        told = tuple(Stranded(each, "it broke") for each in self.gone)
        for each in self.gone:
            self._forget(each)
        self.gone = []
        return told


def direct(policy, service_kind=ModelledService, stop_at=None, **given):
    provider = SimulatedProvider(CALM)

    async def main():
        stop = asyncio.Event()
        service = service_kind(endpoint_of(), LOAD, start=START, until=START + 7200)
        task = asyncio.create_task(
            run(
                endpoint_of(), policy, provider, service, Unrecorded(), until=START + 7200, stop=stop, **given
            )
        )
        if stop_at is not None:
            await clock.sleep_until(stop_at)
            stop.set()
        try:
            return await task
        finally:
            assert await provider.leases() == ()

    return clock.simulate(main(), start=START)


def test_replicas_that_fail_again_and_again_end_it():
    with pytest.raises(Permanent, match=f"{PATIENCE} replicas failed one after another.*it broke"):
        direct(Fixed(12.0), Failing)


def test_it_stops_when_asked_with_nothing_held():
    found = direct(Fixed(12.0), stop_at=START + 100.0)
    assert found.reason == "it was asked to stop" and found.seconds == 100.0
    assert found.cost == pytest.approx(3 * 0.10 * 100 / 3600)


class Odd(Fixed):
    """A policy that goes wrong at its second decision."""

    def decide(self, view, memory):
        if view.now > START:
            raise ValueError("no idea")
        return super().decide(view, memory)


def test_whatever_the_policy_raises_leaves_nothing_held():
    with pytest.raises(ValueError, match="no idea"):
        direct(Odd(12.0))


class Greedy(Fixed):
    """A policy that takes what nobody sells."""

    def decide(self, view, memory):
        bid = Bid(msgspec.structs.replace(view.market.offers[0].pool, zone="nowhere"), Terms.SPOT)
        return Decision((Take(bid),), "So.", view.now + 60), None


def test_a_bid_for_nothing_is_misuse():
    with pytest.raises(Misuse, match="not sold"):
        direct(Greedy(12.0))


class Counting:
    """A load forecaster that says what it was asked."""

    name = "counting"

    def __init__(self):
        self.asked = []

    def forecast(self, rates, at, interval, steps):
        self.asked.append((len(rates), at - START, interval, steps))
        mean = (float(rates[-1]) if len(rates) else 0.0,) * steps
        return LoadForecast(at, interval, mean, (0.5,), (mean,))


def test_load_is_forecast_once_an_interval_from_all_that_is_known():
    policy, forecaster = Watching(), Counting()
    policy.forecaster = "counting"
    load = trace_of([12.0] * 300, start=START - 3600)
    rehearsed(policy, load=load, hours=0.1, endpoint=endpoint_of(startup=100.0), load_forecaster=forecaster)
    assert forecaster.asked == [(60 + at, 60.0 * at, 60.0, 60) for at in range(6)]
    seen = [view for view in policy.views if view.now == START + 100.0]
    assert seen[0].forecast.at == START + 60.0


def test_it_runs_on_a_clock_that_does_not_jump():
    """Two minutes in two seconds: the same coroutine, however late the machine may be."""
    quick = endpoint_of(startup=5.0)

    async def main():
        service = ModelledService(quick, LOAD, start=START, until=START + 7200)
        provider = SimulatedProvider(CALM)
        return await run(quick, Fixed(12.0), provider, service, Unrecorded(), until=START + 120)

    rehearsed(Fixed(12.0), hours=0.1)  # so that nothing is compiled while the clock runs
    found = clock.run(main(), start=START, speed=60.0)
    assert found.reason == "its time is over" and found.leases == 3
    assert found.started + found.seconds >= START + 120
    assert 3 * 0.10 * 60 / 3600 <= found.cost <= 3 * 0.10 * (found.seconds + 60) / 3600
    assert found.in_time > 0


FUNCTION = FunctionProfile(2e-5, 0.3, 0.7, 1000, gb_seconds=0.9)


def test_views_tell_what_overflowed_in_the_last_interval():
    """A replica for 5 of 12 a second: 7 go to functions, all 12 before it is up."""
    policy = Watching(rate=5.0)
    policy.overflow = True
    rehearsed(policy, hours=0.5, endpoint=endpoint_of(function=FUNCTION))
    first, *_, last = policy.views
    assert first.overflowed == FunctionUse(START, START) and first.function == FUNCTION
    used = last.overflowed
    assert (used.began, used.until) == (last.now - 60.0, last.now)
    assert used.requests == used.calls == pytest.approx(60 * 7, rel=0.2)
    assert used.gb_seconds == pytest.approx(0.9 * used.calls)
    assert float(used.dollars) == pytest.approx(2e-5 * used.calls)
    early = next(view.overflowed for view in policy.views if view.now == START + 60)
    assert early.requests == pytest.approx(60 * 12, rel=0.2)


def test_views_tell_of_no_functions_where_none_may_be_used():
    policy = Watching(rate=5.0)
    rehearsed(policy, hours=0.1, endpoint=endpoint_of(function=FUNCTION))
    assert all(view.function is None and view.overflowed is None for view in policy.views)


def test_charges_of_functions_are_on_record_and_the_journal_replays(tmp_path):
    policy, tariff = Mark(headroom=0.8), FunctionTariff(0.001, 1.6e-5, 2e-7)
    load, digests = trace_of([12.0, 12.0, 30.0, 3.0] * 60), []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.db"
        with Journal(path, header_for(policy, ServingView, start=START + 3600)) as journal:
            found = rehearse(
                CALM, load, policy, endpoint_of(function=FUNCTION, tariff=tariff), start=START + 3600,
                until=START + 7200, record=journal, load_forecaster=load_forecaster(policy.forecaster),
            )  # fmt: skip
        digests.append(replay(path).digest)
    assert digests[0] == digests[1]
    with Journal.read(path) as reading:
        uses = [use for _, use in reading.measurements(FUNCTIONS, FunctionUse)]
        told = reading.measurements(FUNCTION_TARIFF, FunctionTariff)
        views = [entry.view for entry in reading.entries()]
    assert [each for _, each in told] == [tariff]
    assert found.functions > 0 and float(add_up(each.dollars for each in uses)) == found.functions
    assert add_up(each.dollars for each in uses) == pytest.approx(
        Decimal("0.00002") * add_up(Decimal(repr(each.calls)) for each in uses)
    )
    assert sum(each.requests for each in uses) == pytest.approx(found.overflowed)
    assert sum(each.gb_seconds for each in uses) == pytest.approx(found.gb_seconds)
    assert all(one.until <= other.began for one, other in pairwise(uses))
    assert {view.overflowed for view in views} >= set(uses[:-1])
