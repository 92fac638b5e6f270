"""The formula for missed requests: its limits, and an exact simulation of a queue that drops what is late."""

import numpy as np
import pytest

from tradewind.estimates.load.interface import LoadForecast
from tradewind.serving.provisioning.interface import Traffic
from tradewind.serving.provisioning.misses import dispersion, lost, mean_of, needed, rates_of, worthwhile


def certain(rate):
    return np.full((1, 13), rate)


def simulated(rate, capacity, slack, seconds=20_000.0, seed=0):
    """One server of `capacity` requests a second, Poisson arrivals: what would wait longer than `slack`."""
    chance = np.random.default_rng(seed)
    gaps = chance.exponential(1 / rate, int(rate * seconds))
    backlog = missed = 0.0
    for gap in gaps.tolist():
        backlog = max(0.0, backlog - gap)
        if backlog > slack:
            missed += 1
        else:
            backlog += 1 / capacity
    return missed / len(gaps) * rate


@pytest.mark.parametrize("capacity", [38.0, 40.0, 42.0, 45.0])
def test_it_is_near_a_queue_of_poisson_arrivals(capacity):
    told = float(lost(np.array([capacity]), certain(40.0), 0.5, 1.0)[0])
    assert told == pytest.approx(simulated(40.0, capacity, 0.5), rel=0.2, abs=0.03)


def test_far_above_the_capacity_what_is_above_it_is_lost():
    assert float(lost(np.array([50.0]), certain(100.0), 0.5, 1.0)[0]) == pytest.approx(50.0, rel=1e-6)


def test_at_the_capacity_it_is_the_variance_over_twice_the_buffer():
    """I r / (2 s C) = 1.5 x 100 / (2 x 0.5 x 100)."""
    assert float(lost(np.array([100.0]), certain(100.0), 0.5, 1.5)[0]) == pytest.approx(1.5)


def test_needed_is_the_least_that_keeps_the_share():
    rates = np.linspace(80.0, 120.0, 13)[None]
    found = needed(rates, 0.01, 0.3, 2.0)
    allowed = 0.01 * mean_of(rates)
    assert lost(found, rates, 0.3, 2.0) <= allowed < lost(found - 0.05, rates, 0.3, 2.0)
    assert needed(rates, 0.1, 0.3, 2.0) < found < needed(rates, 0.001, 0.3, 2.0)


def test_rates_go_through_the_quantiles_of_the_forecast():
    forecast = LoadForecast(0.0, 60.0, (10.0,), (0.05, 0.45, 0.95), ((6.0,), (10.0,), (15.0,)))
    rates = rates_of(forecast)[0]
    assert (rates[0], rates[4]) == (6.0, 10.0) and (np.diff(rates) >= 0).all()
    assert rates[9] == pytest.approx(10.0 + 5.0 * (0.92 - 0.45) / 0.5)
    assert 15.0 < rates[-1] <= 17.5


def test_dispersion_of_poisson_is_about_one_and_of_bursts_more():
    chance = np.random.default_rng(1)
    fives = chance.poisson(500.0, (60, 12))
    calm = Traffic(60.0, 0.0, tuple(fives.mean(axis=1) / 5), tuple(fives.max(axis=1) / 5), (), 0.0)
    assert 1.0 <= dispersion(calm) < 1.4
    wild = fives * chance.gamma(20.0, 1 / 20.0, fives.shape)
    bursty = Traffic(60.0, 0.0, tuple(wild.mean(axis=1) / 5), tuple(wild.max(axis=1) / 5), (), 0.0)
    assert dispersion(bursty) > 10
    assert dispersion(Traffic(60.0, 0.0, (), (), (), 0.0)) == 1.0


def test_what_is_worth_its_hour_is_the_newsvendors_order():
    """Rates of 1 to 60 without any doubt or burst: the last bit of use to a quarter of the hour is at 45."""
    rates = np.repeat(np.arange(1.0, 61.0)[:, None], 13, axis=1)
    for use, capacity in ((0.25, 45.0), (0.5, 30.0), (0.9, 6.0)):
        assert worthwhile(rates, use, 0.8, 1e-9) == pytest.approx(capacity, abs=1.0)


def test_a_peak_of_minutes_is_worth_no_hour_unless_much_is_asked_of_little():
    rates = np.full((60, 13), 100.0)
    rates[20:25] = 200.0
    assert worthwhile(rates, 0.5, 0.8, 1.0) < 102.0
    assert worthwhile(rates, 0.05, 0.8, 1.0) > 190.0


def test_nothing_to_come_is_worth_nothing():
    assert worthwhile(np.zeros((60, 13)), 0.5, 0.8, 1.0) < 0.1
