"""What policies are told of billing is what the rules do."""

import pytest

from tradewind import clock
from tradewind.market.billing.eras import rule_for
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.billing.per_second import PerSecond
from tradewind.market.offers import Terms
from tradewind.market.tariffs import BY_THE_SECOND, Refund, Tariff
from tradewind.market.views import View


@pytest.mark.parametrize(
    ("moment", "spot", "on_demand"),
    [
        ("2015-06-01T00:00:00Z", Tariff(3600.0, Refund.LAST_UNIT), Tariff(3600.0)),
        ("2020-06-01T00:00:00Z", Tariff(1.0, Refund.FIRST_HOUR), Tariff(1.0)),
    ],
)
def test_the_tariff_of_a_year_is_that_of_its_rule(moment, spot, on_demand):
    assert rule_for(Terms.SPOT, clock.moment(moment)).tariff == spot
    assert rule_for(Terms.ON_DEMAND, clock.moment(moment)).tariff == on_demand


def test_a_market_that_forgives_nothing_says_so():
    assert HourlyWithRefund(refunds=False).tariff == Tariff(3600.0)
    assert PerSecond(refunds=False).tariff == Tariff(1.0)


def test_a_view_that_says_nothing_bills_by_the_second():
    assert View(0.0, (), ()).tariff(Terms.SPOT) == BY_THE_SECOND
    told = View(0.0, (), (), tariffs={Terms.SPOT: Tariff(3600.0)})
    assert told.tariff(Terms.SPOT) == Tariff(3600.0)
