from __future__ import annotations

from decimal import Decimal

import pytest

from tradewind.market.billing.burst_credits import BurstCredits, Busy
from tradewind.market.charges import Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

HOUR = 3600.0
LEASE = LeaseId("l")
MACHINE = Instance("i", InstanceType("t3.large", Resources(vcpus=2, burst_credits_per_hour=36)), "us-east-1a")


def surplus(busy, until, ended=None):
    ending = None if ended is None else Ending.RELEASED
    lease = Lease(LEASE, MACHINE, Terms.BURSTABLE, 0.0, ended=ended, ending=ending)
    rule = BurstCredits(busy={LEASE: busy})
    base = Invoice(rule.base.charges(lease, lambda t: 0.0832, until)).total
    return Invoice(rule.charges(lease, lambda t: 0.0832, until)).total - base


def test_work_within_the_earned_credits_costs_nothing_more():
    # 36 credits an hour are 0.6 of a thread.
    assert surplus((Busy(0.0, 100 * HOUR, 0.6),), 100 * HOUR, ended=100 * HOUR) == 0
    assert surplus((), 100 * HOUR, ended=100 * HOUR) == 0
    # Ten idle hours earn 360 credits: 360 / (120 - 36) hours of both threads.
    assert surplus((Busy(10 * HOUR, 14 * HOUR, 2.0),), 14 * HOUR, ended=14 * HOUR) == 0


def test_a_debt_is_charged_when_the_lease_ends():
    busy = (Busy(0.0, 2 * HOUR, 2.0),)
    # 2 hours x (120 - 36) credits are 2.8 vCPU-hours at 5 cents.
    assert surplus(busy, 2 * HOUR) == 0
    assert surplus(busy, 2 * HOUR, ended=2 * HOUR) == pytest.approx(Decimal("0.14"))


def test_a_debt_is_paid_back_by_idling():
    busy = (Busy(0.0, 2 * HOUR, 2.0),)
    assert surplus(busy, 10 * HOUR, ended=10 * HOUR) == 0


def test_what_exceeds_a_days_credits_is_charged_at_once():
    # A day's worth is 864 credits; 20 hours of both threads need 20 x 84 = 1680 more than is earned.
    busy = (Busy(0.0, 20 * HOUR, 2.0),)
    assert surplus(busy, 20 * HOUR) == pytest.approx(Decimal((1680 - 864) / 60 * 0.05))
    assert surplus(busy, 20 * HOUR, ended=20 * HOUR) == pytest.approx(Decimal(1680 / 60 * 0.05))
