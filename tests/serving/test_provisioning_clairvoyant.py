"""The bound: by hand, and never above what any policy paid for the same share."""

import numpy as np
import pytest
from serving_worlds import BID_ERA, START, SpotOnce, endpoint_of, market_of, trace_of

from tradewind.errors import Misuse, Permanent
from tradewind.market.billing.eras import spot_without_refunds
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.clairvoyant import Load, cheapest_serving
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionProfile, Profile
from tradewind.serving.provisioning.knative import Knative
from tradewind.serving.provisioning.modelled_service import load_of, rehearse
from tradewind.serving.provisioning.target_tracking import TargetTracking

SMALL = (Profile("small", 5.0, 0.2, 1.0),)
POOL = ("small", "east-1a")
GOAL = Objective(1.0)


def load_by(rates, start=START):
    counts = np.asarray(rates, np.float64) * 60
    return Load(start, 60.0, counts, counts / 60)


def bound(market, load, share=1.0, startup=0.0, **given):
    return cheapest_serving(market, GOAL, SMALL, load, startup=startup, share=share, **given)


def paying(prices, start=START):
    return market_of({POOL: prices}, start, spot_rule=spot_without_refunds(start))


def test_by_the_second_every_request_pays_its_time():
    """10 a second for an hour are two replicas at 0.03 an hour, for all but two seconds: what comes in the
    last one may be left, and what is then the last of the rest may use a replica after the end."""
    found = bound(paying([(0.0, 0.03)]), load_by([10.0] * 60))
    assert found.cost == pytest.approx(0.06 * (1 - 2 / 3600), rel=1e-5)
    assert bound(paying([(0.0, 0.03)]), load_by([10.0] * 60), share=0.5).cost == pytest.approx(0.03, rel=1e-3)


def test_where_spot_is_dear_on_demand_is_taken():
    assert bound(paying([(0.0, 0.4)]), load_by([10.0] * 60)).cost == pytest.approx(0.2, rel=1e-3)


def test_the_dearest_requests_are_refused():
    """0.02 an hour for two hours, for prices count for one, and 0.08 later: half are served cheaply."""
    market = paying([(0.0, 0.02), (3600.0, 0.08)])
    found = bound(market, load_by([10.0] * 240), share=0.5)
    assert found.cost == pytest.approx(2 * 0.02 * 2, rel=1e-2)
    whole = bound(market, load_by([10.0] * 240))
    assert whole.cost == pytest.approx(2 * 0.02 * 2 + 2 * 0.08 * 2, rel=2e-2)


def test_what_is_added_pays_for_its_start_up():
    """Nothing for an hour, then 10 a second: two replicas start up for 600 s besides."""
    load = load_by([0.0] * 60 + [10.0] * 60)
    found = bound(paying([(0.0, 0.03)]), load, startup=600.0)
    assert found.cost == pytest.approx(0.06 * (1 + 600 / 3600), rel=1e-3)


def test_nothing_is_served_before_the_first_start_up():
    load = load_by([10.0] * 60)
    with pytest.raises(Permanent, match="no plan answers 1 of these requests"):
        bound(paying([(0.0, 0.03)]), load, startup=600.0)
    assert bound(paying([(0.0, 0.03)]), load, share=0.8, startup=600.0).cost > 0


def test_by_the_hour_a_short_burst_pays_an_hour():
    """Six minutes of 10 a second, twice, ten hours apart: two replicas, two hours."""
    load = load_by(([0.0] * 90 + [10.0] * 6 + [0.0] * 504) * 2, BID_ERA)
    found = bound(paying([(0.0, 0.03)], BID_ERA), load)
    assert found.cost == pytest.approx(2 * 2 * 0.03, rel=5e-3)
    seconds = bound(paying([(0.0, 0.03)]), load_by(([0.0] * 90 + [10.0] * 6 + [0.0] * 504) * 2))
    assert seconds.cost == pytest.approx(2 * 0.06 * 0.1, rel=1e-2)


def test_by_the_hour_the_start_up_is_of_the_first_hour():
    """An hour of 5 a second: without a start-up one hour of a replica, else two, whichever way: the first
    hour of a lease serves 3000 s, and who begins before pays for that."""
    load = load_by([0.0] * 100 + [5.0] * 60 + [0.0] * 80, BID_ERA)
    assert bound(paying([(0.0, 0.06)], BID_ERA), load).cost == pytest.approx(0.06, rel=1e-2)
    found = bound(paying([(0.0, 0.06)], BID_ERA), load, startup=600.0)
    assert 0.9 * 0.12 < found.cost <= 0.12  # hours may begin at either end of a minute: it is a little less
    # Two hours of it: a lease of three, not two of two.
    load = load_by([0.0] * 100 + [5.0] * 120 + [0.0] * 80, BID_ERA)
    found = bound(paying([(0.0, 0.06)], BID_ERA), load, startup=600.0)
    assert 0.9 * 0.18 < found.cost <= 0.18


def test_refunds_make_what_is_cut_short_free():
    """The price rises at 1800 s: a lease from 0 s with a limit of 0.03 is cut then, and free."""
    steps = [(0.0, 0.03), (1800.0, 0.05)]
    load = load_by([10.0] * 30, BID_ERA)
    assert bound(market_of({POOL: steps}, BID_ERA), load).cost == 0.0
    assert bound(paying(steps, BID_ERA), load).cost == pytest.approx(0.06, rel=1e-2)
    later = load_by([0.0] * 40 + [10.0] * 20, BID_ERA)
    assert bound(market_of({POOL: steps}, BID_ERA), later).cost > 0.05


def test_functions_serve_what_is_dearer_on_machines():
    """One minute of 10 a second, billed by the hour: 600 calls at 1e-5 are cheaper than 0.06."""
    load = load_by([0.0] * 30 + [10.0] + [0.0] * 29, BID_ERA)
    function = FunctionProfile(1e-5, 0.3, 3.0, 1000)
    found = bound(paying([(0.0, 0.03)], BID_ERA), load, function=function)
    assert found.cost == pytest.approx(600 * 1e-5, rel=1e-3) and found.functions == pytest.approx(600)


def test_windows_shorter_than_the_latency():
    with pytest.raises(Misuse, match="shorter than the latency"):
        cheapest_serving(paying([(0.0, 0.03)]), Objective(90.0), SMALL, load_by([1.0] * 5), startup=0.0)


@pytest.mark.parametrize("seed", range(6))
def test_no_policy_undercuts_it(seed):
    """Random loads and prices, both eras, refunds and none: the bound for each policy's own share."""
    chance = np.random.default_rng(seed)
    start = (START, BID_ERA)[seed % 2]
    times = np.sort(chance.uniform(0, 4 * 3600, 12))
    prices = {
        (kind, "east-1a"): [(0.0, price)]
        + [(float(at), float(chance.uniform(0.3, 1.5) * price)) for at in times]
        for kind, price in (("small", 0.03), ("medium", 0.07), ("large", 0.12))
    }
    rule = spot_without_refunds(start) if seed % 3 else None
    market = market_of(prices, start, spot_rule=rule, notice=float(chance.choice([0.0, 120.0])))
    level = chance.uniform(5, 60)
    load = trace_of(level * (1 + np.sin(np.arange(240) / chance.uniform(5, 40))), start)
    endpoint = endpoint_of()
    until = start + 3 * 3600
    drawn = load_of(endpoint, load, start=start, until=until, seed=seed, uncounted=600.0)
    policies = [
        Fixed(1.5 * level), Fixed(0.4 * level), TargetTracking(0.9), Knative(1.0), SpotOnce(8, 0.1),
        SpotOnce(int(level / 5), 0.035), SpotOnce(2, 0.031),
    ]  # fmt: skip
    tight = 0.0
    for policy in policies:
        found = rehearse(market, load, policy, endpoint, start=start, until=until, seed=seed, uncounted=600.0)
        least = cheapest_serving(
            market, endpoint.objective, endpoint.profiles, drawn, startup=120.0, share=found.share
        )
        assert least.cost <= found.cost, policy.name
        tight = max(tight, least.cost / found.cost)
    if rule is not None:
        assert tight > 0.1  # and it is no idle bound
