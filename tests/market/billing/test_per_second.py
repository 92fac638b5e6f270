from __future__ import annotations

from decimal import Decimal

import pytest

from tradewind.market.billing.per_second import PerSecond
from tradewind.market.charges import Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Refund, Tariff

MACHINE = Instance("i", InstanceType("p2.xlarge", Resources(vcpus=4)), "us-east-1a")


def prices(moment):
    return 0.36 if moment < 3600 else 0.72


@pytest.mark.parametrize(
    ("length", "ending", "dollars"),
    [
        (1.0, Ending.RELEASED, "0.006"),
        (60.0, Ending.RELEASED, "0.006"),
        (60.5, Ending.RELEASED, "0.0061"),
        (1000.0, Ending.RELEASED, "0.1"),
        (1000.0, Ending.FAILED, "0.1"),
        (1000.0, Ending.REVOKED, "0"),
        (3599.9, Ending.REVOKED, "0"),
        (3600.0, Ending.REVOKED, "0.36"),
        (5400.0, Ending.REVOKED, "0.72"),
        (5400.0, Ending.RELEASED, "0.72"),
    ],
)
def test_seconds_at_the_price_of_their_hour(length, ending, dollars):
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0, ended=length, ending=ending)
    assert Invoice(PerSecond().charges(lease, prices, length)).total == Decimal(dollars)


def test_without_refunds_the_first_hour_is_owed():
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0, ended=1000.0, ending=Ending.REVOKED)
    rule = PerSecond(refunds=False)
    assert Invoice(rule.charges(lease, prices, 1000.0)).total == Decimal("0.1")
    assert rule.tariff == Tariff(1.0, Refund.NOTHING) and PerSecond().tariff.refund is Refund.FIRST_HOUR


def test_the_refund_comes_with_the_ending():
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0)
    assert Invoice(PerSecond().charges(lease, prices, 1000.0)).total == Decimal("0.1")
    ended = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0, ended=2000.0, ending=Ending.REVOKED)
    assert Invoice(PerSecond().charges(ended, prices, 1000.0)).total == Decimal("0.1")
    (charge,) = PerSecond().charges(ended, prices, 2000.0)
    assert (charge.amount, charge.end) == (0, 2000.0)
    assert "first hour" in charge.note
