from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest

from tradewind.market.billing.stretches import (
    charged_until,
    dollars,
    plus,
    resumed,
    started_units,
    stretches,
    times,
)
from tradewind.market.charges import Charge
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

MACHINE = Instance("i", InstanceType("c3.xlarge", Resources(vcpus=4)), "us-east-1a")
LEASE = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 100.0)


def test_a_tenth_is_a_tenth_whatever_the_callers_precision():
    assert 3 * 0.1 != 0.3
    with localcontext() as context:
        context.prec = 2
        assert dollars(0.1, 3) == Decimal("0.3")
        assert dollars(0.27, 1000, 1800) == Decimal("270.135")
        assert times(0.123456, 1000) == Decimal("123.456")
        assert plus(Decimal("100.01"), Decimal("0.001")) == Decimal("100.011")


@pytest.mark.parametrize(
    ("seconds", "units"), [(0.0, 0), (1e-7, 0), (0.001, 1), (3600.0, 1), (3600.0000001, 1), (3600.01, 2)]
)
def test_a_unit_is_owed_once_it_has_started(seconds, units):
    assert started_units(seconds, 3600.0) == units


def test_a_lease_is_charged_up_to_its_end_and_not_before_its_start():
    ended = Lease(LeaseId("l"), MACHINE, Terms.SPOT, 100.0, ended=150.0, ending=Ending.RELEASED)
    assert [charged_until(LEASE, until) for until in (0.0, 120.0, 900.0)] == [100.0, 120.0, 900.0]
    assert [charged_until(ended, until) for until in (0.0, 120.0, 900.0)] == [100.0, 120.0, 150.0]


def test_hours_of_equal_price_are_one_stretch():
    prices = {0: 1.0, 1: 1.0, 2: 2.0, 3: 2.0, 4: 1.0}

    def price_at(moment):
        return prices[math.floor((moment - 100.0) / 3600)]

    assert list(stretches(LEASE, price_at, 0, 5)) == [(0, 2, 1.0), (2, 2, 2.0), (4, 1, 1.0)]
    assert list(stretches(LEASE, price_at, 3, 5)) == [(3, 1, 2.0), (4, 1, 1.0)]
    assert list(stretches(LEASE, price_at, 2, 2)) == []


def test_all_but_the_last_charge_is_settled():
    first, last = (
        Charge(LEASE.id, LEASE.pool, LEASE.terms, 100.0 + 3600 * k, 3700.0 + 3600 * k, Decimal(k))
        for k in (0, 7)
    )
    assert resumed(LEASE, (first, last)) == ([first], 7)
    assert resumed(LEASE, ()) == ([], 0)
