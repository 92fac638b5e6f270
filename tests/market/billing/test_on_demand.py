from __future__ import annotations

from decimal import Decimal

import pytest

from tradewind.market.billing.on_demand import BY_THE_SECOND, HOURLY
from tradewind.market.charges import Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

MACHINE = Instance("i", InstanceType("m5.large", Resources(vcpus=2)), "us-east-1a")


@pytest.mark.parametrize(
    ("rule", "length", "dollars"),
    [
        (HOURLY, 0.0, "0"),
        (HOURLY, 0.5, "0.36"),
        (HOURLY, 3600.0, "0.36"),
        (HOURLY, 3601.0, "0.72"),
        (BY_THE_SECOND, 0.0, "0.006"),
        (BY_THE_SECOND, 61.0, "0.0061"),
        (BY_THE_SECOND, 3601.0, "0.3601"),
        (BY_THE_SECOND, 3_600_000.0, "360"),
    ],
)
@pytest.mark.parametrize("ending", Ending)
def test_started_units_whoever_ends_it(rule, length, dollars, ending):
    lease = Lease(LeaseId("l"), MACHINE, Terms.ON_DEMAND, 7.0, ended=7.0 + length, ending=ending)
    assert Invoice(rule.charges(lease, lambda t: 0.36, 1e9)).total == Decimal(dollars)
