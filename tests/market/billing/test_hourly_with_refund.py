from __future__ import annotations

from decimal import Decimal

import pytest

from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.charges import Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

RULE = HourlyWithRefund()
MACHINE = Instance("i", InstanceType("c3.xlarge", Resources(vcpus=4)), "us-east-1a")


def prices(moment):
    return 0.1 if moment < 3600 else 0.3 if moment < 7200 else 0.2


def owed(length, ending=Ending.RELEASED):
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0, ended=length, ending=ending)
    return Invoice(RULE.charges(lease, prices, length)).total


@pytest.mark.parametrize(
    ("length", "ending", "dollars"),
    [
        (0.0, Ending.RELEASED, "0"),
        (1.0, Ending.RELEASED, "0.1"),
        (3600.0, Ending.RELEASED, "0.1"),
        (3601.0, Ending.RELEASED, "0.4"),
        (7199.0, Ending.FAILED, "0.4"),
        (3599.0, Ending.REVOKED, "0"),
        (3600.0, Ending.REVOKED, "0.1"),
        (7199.0, Ending.REVOKED, "0.1"),
        (10_000.0, Ending.REVOKED, "0.4"),
        (10_000.0, Ending.RELEASED, "0.6"),
        (36_000.0, Ending.RELEASED, "2.0"),
    ],
)
def test_started_hours_at_the_price_of_their_start(length, ending, dollars):
    assert owed(length, ending) == Decimal(dollars)


def test_the_free_hour_is_told():
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0, ended=5000.0, ending=Ending.REVOKED)
    paid, free = RULE.charges(lease, prices, 5000.0)
    assert (paid.amount, free.amount, free.start, free.end) == (Decimal("0.1"), 0, 3600.0, 5000.0)
    assert "provider" in free.note


def test_an_open_lease_owes_the_hour_it_is_in():
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0)
    assert Invoice(RULE.charges(lease, prices, 3700.0)).total == Decimal("0.4")


def test_hours_at_one_price_are_one_charge():
    lease = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 0.0)
    charges = RULE.charges(lease, prices, 100 * 3600.0)
    assert [(charge.start, charge.end, charge.amount) for charge in charges] == [
        (0.0, 3600.0, Decimal("0.1")),
        (3600.0, 7200.0, Decimal("0.3")),
        (7200.0, 360_000.0, Decimal("19.6")),
    ]
