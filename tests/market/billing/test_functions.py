from __future__ import annotations

from decimal import Decimal

from tradewind.market.billing.functions import BY_MILLISECONDS, BY_TENTHS, Call, Functions
from tradewind.market.charges import Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

MACHINE = Instance("i", InstanceType("function-1gb", Resources(memory_gib=2)), "us-east-1")
LEASE = Lease(LeaseId("l"), MACHINE, Terms.FUNCTION, 0.0, ended=900.0, ending=Ending.RELEASED)


def owed(rule, until=1e9):
    return Invoice(rule.charges(LEASE, lambda t: 0.0, until)).total


def test_memory_times_time_and_a_price_a_call():
    calls = {LEASE.id: (Call(0.0, 0.0421), Call(5.0, 6.0))}
    by_tenths = Functions(unit=0.1, calls=calls)
    by_milliseconds = Functions(unit=0.001, calls=calls)
    rate, a_call = Decimal("0.0000166667") * 2, Decimal("0.0000002")
    assert owed(by_tenths) == rate * Decimal("1.1") + 2 * a_call
    assert owed(by_milliseconds) == rate * Decimal("1.043") + 2 * a_call


def test_calls_to_come_cost_nothing_yet():
    rule = Functions(unit=0.001, calls={LEASE.id: (Call(0.0, 1.0), Call(5.0, 6.0))})
    assert owed(rule, until=5.0) < owed(rule, until=5.5) < owed(rule, until=6.0) == owed(rule)
    assert len(rule.charges(LEASE, lambda t: 0.0, 4.9)) == 1


def test_a_lease_without_calls_is_one_call():
    assert owed(BY_MILLISECONDS) == Decimal("0.0000166667") * 2 * 900 + Decimal("0.0000002")
    assert owed(BY_TENTHS) == owed(BY_MILLISECONDS)
