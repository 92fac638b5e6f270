"""What a lease is expected to cost and do, held against leases that are billed one by one."""

import math
from decimal import Decimal

import numpy as np
import pytest

from tradewind.estimates.outlook import Outlook, Scenario
from tradewind.estimates.survival import CERTAIN, Survival
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.billing.per_second import PerSecond
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Tariff
from tradewind.training.elastic.bidding.prospects import HOUR, prospect, survival

POOL = Pool("m", "east-1a")
PRICE = 0.25
RATE = 1 / 2000
"""Revocations a second."""
AGES = tuple(60.0 * step for step in range(0, 241))
LIFE = Survival(AGES, tuple(math.exp(-RATE * age) for age in AGES))


def billed(rule, held_for, startup, draws=4000):
    """The mean cost and work of leases with exponential lives, each billed by the rule itself."""
    lives = np.random.default_rng(3).exponential(1 / RATE, draws)
    cost, work = Decimal(0), 0.0
    instance = Instance("i", InstanceType("m", Resources(vcpus=1)), "east-1a")
    for life in lives:
        ended = min(float(life), held_for)
        ending = Ending.REVOKED if life < held_for else Ending.RELEASED
        lease = Lease(LeaseId("l"), instance, Terms.SPOT, 0.0, None, "work", ended, ending)
        cost += sum((each.amount for each in rule.charges(lease, lambda _: PRICE, held_for + 1)), Decimal(0))
        work += max(0.0, ended - startup)
    return float(cost) / draws, work / draws / 3600


@pytest.mark.parametrize(
    ("rule", "held_for"),
    [
        (HourlyWithRefund(), HOUR),
        (HourlyWithRefund(), 2 * HOUR),
        (HourlyWithRefund(refunds=False), HOUR),
        (HourlyWithRefund(refunds=False), 2 * HOUR),
        (PerSecond(minimum=1), 1800.0),
        (PerSecond(minimum=1), 2 * HOUR),
        (PerSecond(minimum=1, refunds=False), 2 * HOUR),
    ],
)
def test_expected_cost_and_work_are_those_of_billed_leases(rule, held_for):
    expected = prospect(PRICE, LIFE, rule.tariff, startup=120.0, held_for=held_for)
    cost, work = billed(rule, held_for, 120.0)
    assert expected.cost == pytest.approx(cost, rel=0.06)
    assert expected.work == pytest.approx(work, rel=0.06)


def test_a_certain_hour_costs_its_price_and_loses_its_start_up():
    found = prospect(PRICE, CERTAIN, Tariff(HOUR), startup=180.0, held_for=HOUR)
    assert found.cost == PRICE
    assert found.work == pytest.approx(0.95)
    assert found.unit == pytest.approx(PRICE / 0.95)
    assert found.seconds == HOUR


def test_an_old_lease_is_reckoned_from_its_age():
    young = prospect(PRICE, LIFE, Tariff(), startup=0.0, held_for=600.0)
    old = prospect(PRICE, LIFE, Tariff(), startup=0.0, held_for=600.0, age=1200.0)
    assert old.work == pytest.approx(young.work, rel=1e-3)  # exponential lives do not age


def test_what_cannot_start_up_in_time_does_nothing():
    found = prospect(PRICE, CERTAIN, Tariff(), startup=600.0, held_for=300.0)
    assert found.work == 0.0
    assert found.unit == math.inf


def test_survival_goes_on_falling_after_the_last_age():
    life = Survival((0.0, 100.0, 200.0), (1.0, 0.8, 0.6))
    assert life.at(150.0) == pytest.approx(0.7)
    assert life.at(300.0) == pytest.approx(0.6 * 0.75)
    assert life.at(10_000.0) < 1e-9
    exact = sum(life.at(second + 0.5) for second in range(1000))
    assert life.seconds(0.0, 1000.0) == pytest.approx(exact, rel=0.01)


def test_survival_of_a_bid_lies_between_those_of_the_nearest_deltas():
    outlook = Outlook(
        0.0,
        (POOL,),
        (0.01, 0.1),
        (600.0, 3600.0),
        (((0.4, 0.8), (0.1, 0.2)),),
        (0.0,),
        (Scenario(1.0, (), ()),),
    )
    assert survival(outlook, POOL, 0.001).alive == pytest.approx((1.0, 0.6, 0.2))
    assert survival(outlook, POOL, 0.055).alive == pytest.approx((1.0, 0.75, 0.5))
    assert survival(outlook, POOL, math.inf).alive == pytest.approx((1.0, 0.9, 0.8))
    assert survival(outlook, Pool("m", "elsewhere"), 0.1) is None
