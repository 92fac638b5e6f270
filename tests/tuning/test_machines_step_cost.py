from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.tuning.machines.step_cost import HOUR, Stakes, move_pays, step_cost

prices, times, chances = st.floats(0.01, 50.0), st.floats(0.001, 100.0), st.floats(0.0, 0.99)


@given(price=prices, seconds=times, revoked=chances)
def test_spottune_formula_2_2_is_the_case_where_nothing_is_lost_and_all_is_refunded(price, seconds, revoked):
    found = step_cost(price, seconds, revoked, Stakes(refunded=1.0), uptime=HOUR)
    assert found == pytest.approx(seconds * (1 - revoked) * price / HOUR)


@given(price=prices, seconds=times)
def test_a_machine_that_stays_costs_its_price(price, seconds):
    assert step_cost(price, seconds, 0.0) == pytest.approx(price * seconds / HOUR)


@given(price=prices, seconds=times, low=chances, high=chances)
def test_without_refunds_a_riskier_machine_is_never_cheaper(price, seconds, low, high):
    low, high = sorted((low, high))
    terms = Stakes(overhead=60.0, lost=120.0)
    assert step_cost(price, seconds, low, terms) <= step_cost(price, seconds, high, terms) * (1 + 1e-9)


@given(price=prices, seconds=times, revoked=chances, lost=st.floats(0, 600), overhead=st.floats(0, 600))
def test_losses_and_starts_only_cost(price, seconds, revoked, lost, overhead):
    plain = step_cost(price, seconds, revoked)
    assert step_cost(price, seconds, revoked, Stakes(lost=lost, overhead=overhead)) >= plain * (1 - 1e-9)


def test_with_refunds_a_revocation_can_be_a_gift_and_without_it_is_none():
    kind, none = Stakes(refunded=1.0), Stakes(refunded=0.0)
    assert step_cost(1.0, 1.0, 0.5, kind) < step_cost(1.0, 1.0, 0.0, kind)
    assert step_cost(1.0, 1.0, 0.5, none) == pytest.approx(step_cost(1.0, 1.0, 0.0, none))


def test_a_machine_that_never_finishes_a_step_has_no_price():
    assert math.isinf(step_cost(1.0, 1.0, 0.9, Stakes(overhead=3600.0)))


def test_time_has_its_price():
    assert step_cost(1.0, 2.0, 0.0, Stakes(value_of_time=3.0)) == pytest.approx(4.0 * 2.0 / HOUR)


def test_a_move_pays_when_enough_is_left_to_do():
    assert not move_pays(here=0.002, there=0.001, steps=100, moving=0.2)
    assert move_pays(here=0.002, there=0.001, steps=300, moving=0.2)
