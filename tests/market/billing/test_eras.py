from __future__ import annotations

import math

import pytest

from tradewind.clock import moment
from tradewind.errors import Misuse
from tradewind.market.billing.burst_credits import BurstCredits
from tradewind.market.billing.eras import RULES, rule_for, spot_without_refunds
from tradewind.market.billing.functions import BY_MILLISECONDS, BY_TENTHS
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.billing.on_demand import BY_THE_SECOND, HOURLY
from tradewind.market.billing.per_second import PerSecond
from tradewind.market.billing.reserved import Reserved
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund

CHANGE = moment("2017-10-02T00:00:00Z")


@pytest.mark.parametrize(
    ("terms", "at", "rule"),
    [
        (Terms.SPOT, moment("2015-06-01"), HourlyWithRefund()),
        (Terms.SPOT, CHANGE - 1, HourlyWithRefund()),
        (Terms.SPOT, CHANGE, PerSecond()),
        (Terms.ON_DEMAND, CHANGE - 1, HOURLY),
        (Terms.ON_DEMAND, CHANGE, BY_THE_SECOND),
        (Terms.RESERVED, CHANGE, Reserved()),
        (Terms.BURSTABLE, CHANGE, BurstCredits()),
        (Terms.FUNCTION, moment("2020-11-30T23:59:59Z"), BY_TENTHS),
        (Terms.FUNCTION, moment("2020-12-01"), BY_MILLISECONDS),
    ],
)
def test_the_rule_is_that_of_the_terms_and_the_time(terms, at, rule):
    assert rule_for(terms, at) == rule


def test_every_moment_has_one_rule():
    for terms, rules in RULES.items():
        edges = [rules[0].valid_from, *(rule.valid_to for rule in rules)]
        assert edges[0] == -math.inf and edges[-1] == math.inf, terms
        assert [rule.valid_from for rule in rules] == edges[:-1], terms


def test_each_year_can_be_had_without_refunds():
    for at, rule in ((CHANGE - 1, HourlyWithRefund(refunds=False)), (CHANGE, PerSecond(refunds=False))):
        assert spot_without_refunds(at) == rule
        assert rule.tariff.unit == rule_for(Terms.SPOT, at).tariff.unit
        assert rule.tariff.refund is Refund.NOTHING
        assert rule_for(Terms.SPOT, at).tariff.refund is not Refund.NOTHING


def test_no_moment_is_refused():
    with pytest.raises(Misuse, match="no billing rule"):
        rule_for(Terms.SPOT, math.nan)
