from __future__ import annotations

from decimal import Decimal

from tradewind.market.billing.reserved import Reserved
from tradewind.market.charges import Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

MACHINE = Instance("i", InstanceType("m5.large", Resources(vcpus=2)), "us-east-1a")
RULE = Reserved(upfront=100.0, term=10 * 3600.0)


def owed(until, ended=None):
    ending = None if ended is None else Ending.RELEASED
    lease = Lease(LeaseId("l"), MACHINE, Terms.RESERVED, 0.0, ended=ended, ending=ending)
    return Invoice(RULE.charges(lease, lambda t: 0.05, until)).total


def test_the_term_is_owed_used_or_not():
    assert owed(0.0) == 100
    assert owed(3601.0) == Decimal("100.1")
    assert owed(5 * 3600.0, ended=3600.0) == Decimal("100.25")
    assert owed(1e9, ended=3600.0) == owed(1e9) == RULE.commitment(0.05) == Decimal("100.5")


def test_a_year_without_upfront_is_8760_hours():
    assert Reserved().commitment(0.06) == Decimal("525.6")
