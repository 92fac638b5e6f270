"""What holds for every rule: nothing depends on when one looks, refunds stay within what was owed."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.market.billing.burst_credits import BurstCredits, Busy
from tradewind.market.billing.functions import BY_MILLISECONDS, BY_TENTHS, Call, Functions
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.billing.on_demand import BY_THE_SECOND, HOURLY
from tradewind.market.billing.per_second import PerSecond
from tradewind.market.billing.reserved import Reserved
from tradewind.market.charges import Invoice
from tradewind.market.histories import PriceHistory
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources

POOL = Pool("t3.large", "us-east-1a")
TYPE = InstanceType("t3.large", Resources(vcpus=2, memory_gib=8, burst_credits_per_hour=36))
START = 10_000.0
USAGE = {LeaseId("l"): (Busy(START, START + 9000, 2.0), Busy(START + 20_000, START + 80_000, 1.9))}
CALLS = {LeaseId("l"): (Call(START, START + 0.25), Call(START + 100, START + 131.5))}

RULES = {
    "hourly_with_refund": HourlyWithRefund(),
    "per_second": PerSecond(),
    "hourly_without_refund": HourlyWithRefund(refunds=False),
    "per_second_without_refund": PerSecond(refunds=False),
    "hourly": HOURLY,
    "by_the_second": BY_THE_SECOND,
    "reserved": Reserved(upfront=12.5, term=50_000.0),
    "burst_credits": BurstCredits(busy=USAGE),
    "by_tenths": BY_TENTHS,
    "by_milliseconds": BY_MILLISECONDS,
    "functions": Functions(unit=0.001, calls=CALLS),
}
any_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
some = settings(max_examples=40, deadline=None)


def lease(length=None, ending=None, terms=Terms.SPOT):
    ended = None if length is None else START + length
    return Lease(LeaseId("l"), Instance("i", TYPE, POOL.zone), terms, START, ended=ended, ending=ending)


def total(charges):
    return Invoice(tuple(charges)).total


LENGTH = st.one_of(
    st.integers(0, 30 * 3600).map(float),
    st.floats(0, 30 * 3600),
    st.integers(0, 30).map(lambda h: h * 3600.0),
    st.integers(0, 30).map(lambda h: h * 3600.0 + 0.5),
)
ENDING = st.sampled_from(Ending)
PRICES = st.lists(st.sampled_from([0.1, 0.27, 0.3001, 1.0, 3.06]), min_size=1, max_size=40).map(
    lambda values: PriceHistory(POOL, [START + 1800.0 * (k - 1) for k in range(len(values))], values)
)


@any_rule
@some
@given(prices=PRICES, first=LENGTH, more=LENGTH)
def test_an_open_lease_never_owes_less_later(rule, prices, first, more):
    early = total(rule.charges(lease(), prices.at, START + first))
    late = total(rule.charges(lease(), prices.at, START + first + more))
    assert Decimal(0) <= early <= late


@any_rule
@some
@given(prices=PRICES, length=LENGTH, ending=ENDING, looks=st.lists(LENGTH, max_size=6))
def test_looking_in_between_changes_no_total(rule, prices, length, ending, looks):
    done = lease(length, ending)
    at_once = rule.charges(done, prices.at, START + length)
    settled = ()
    for look in sorted(looks):
        if look < length:
            settled = rule.charges(lease(), prices.at, START + look, settled)
    assert rule.charges(done, prices.at, START + length, settled) == at_once
    if not isinstance(rule, Reserved):
        for look in looks:
            assert rule.charges(done, prices.at, START + length + look) == at_once


@any_rule
@some
@given(prices=PRICES, length=LENGTH, looks=st.lists(LENGTH, min_size=1, max_size=6))
def test_building_on_what_is_settled_gives_the_same_charges(rule, prices, length, looks):
    settled = ()
    for look in sorted(looks):
        settled = rule.charges(lease(), prices.at, START + look, settled)
        assert settled == rule.charges(lease(), prices.at, START + look)


@any_rule
@some
@given(prices=PRICES, length=LENGTH)
def test_a_refund_is_at_most_what_was_owed_and_never_for_a_user(rule, prices, length):
    end = START + length
    held = total(rule.charges(lease(), prices.at, end))
    revoked = total(rule.charges(lease(length, Ending.REVOKED), prices.at, end))
    released = total(rule.charges(lease(length, Ending.RELEASED), prices.at, end))
    failed = total(rule.charges(lease(length, Ending.FAILED), prices.at, end))
    assert Decimal(0) <= revoked <= released == failed
    assert held <= released
    if not isinstance(rule, BurstCredits):  # whose debt is settled at any ending
        assert revoked <= held


@any_rule
@some
@given(prices=PRICES, length=LENGTH, ending=ENDING)
def test_charges_follow_one_another_and_sum_exactly(rule, prices, length, ending):
    charges = rule.charges(lease(length, ending), prices.at, START + length)
    assert all(charge.start <= charge.end for charge in charges)
    exact = sum((Fraction(charge.amount) for charge in charges), Fraction(0))
    assert Fraction(total(charges)) == Fraction(total(reversed(charges))) == exact
    with localcontext() as context:
        context.prec = 5
        assert rule.charges(lease(length, ending), prices.at, START + length) == charges


def test_charges_name_their_lease():
    (charge,) = PerSecond().charges(lease(100.0, Ending.RELEASED), lambda t: 0.36, START + 100)
    assert (charge.lease, charge.pool, charge.terms) == ("l", POOL, Terms.SPOT)
    assert msgspec.json.decode(msgspec.json.encode(charge), type=type(charge)) == charge
