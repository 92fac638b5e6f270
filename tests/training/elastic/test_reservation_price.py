"""The programme that says what an hour of work is worth, against plain cases and against chance itself."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.training.elastic.bidding.reservation_price import IDLE, LATE, SPOT, STEADY, Chain, Worth

HOUR = 3600.0


def two_levels(up_to_none=0.1, none_to_up=0.1, **options):
    moves = ((1 - up_to_none, up_to_none), (none_to_up, 1 - none_to_up))
    return Chain(costs=(1.0, LATE), moves=moves, step=900.0, **{"steady": 3.0, "startup": 180.0, **options})


def test_with_spot_for_ever_the_work_costs_its_hours_and_one_start_up():
    solved = Worth(two_levels(0.0, 1.0), 10 * HOUR)
    assert solved.value(10 * HOUR, 4 * HOUR, 0, IDLE) == pytest.approx(6.0 + 0.05, rel=1e-3)
    assert solved.value(10 * HOUR, 4 * HOUR, 0, SPOT) == pytest.approx(6.0, rel=1e-3)


def test_without_spot_the_work_costs_its_hours_on_demand():
    solved = Worth(two_levels(1.0, 0.0), 10 * HOUR)
    assert solved.value(10 * HOUR, 4 * HOUR, 1, IDLE) == pytest.approx(3 * 6.05, rel=1e-3)


def test_standing_costs_are_owed_until_the_work_is_done():
    solved = Worth(two_levels(0.0, 1.0, standing=0.5), 10 * HOUR)
    assert solved.value(10 * HOUR, 4 * HOUR, 0, SPOT) == pytest.approx(6.0 * 1.5, rel=1e-2)


def test_it_waits_for_spot_while_there_is_slack_and_goes_on_demand_in_time():
    solved = Worth(two_levels(), 12 * HOUR)
    choices = [solved.choose(12 * HOUR, slack * HOUR, 1, IDLE) for slack in (0.1, 0.3, 4.0, 8.0)]
    assert choices[0] == choices[1] == STEADY
    assert choices[2] == choices[3] == IDLE


def test_it_takes_spot_whenever_it_is_there():
    solved = Worth(two_levels(), 12 * HOUR)
    assert {solved.choose(12 * HOUR, slack * HOUR, 0, IDLE) for slack in (1.0, 4.0, 8.0)} == {SPOT}


def test_without_slack_it_does_not_leave_on_demand_for_spot():
    solved = Worth(two_levels(), 12 * HOUR)
    assert solved.choose(12 * HOUR, 0.0, 0, STEADY) == STEADY
    assert solved.choose(12 * HOUR, 3 * HOUR, 0, STEADY) == SPOT


def test_a_dear_level_is_waited_out():
    moves = ((0.6, 0.4, 0.0), (0.4, 0.6, 0.0), (0.5, 0.5, 0.0))
    chain = Chain((1.0, 2.5, LATE), moves, 900.0, steady=3.0, startup=60.0)
    solved = Worth(chain, 20 * HOUR)
    assert solved.choose(20 * HOUR, 12 * HOUR, 1, IDLE) == IDLE
    assert solved.choose(20 * HOUR, 12 * HOUR, 0, IDLE) == SPOT
    assert solved.choose(20 * HOUR, 0.05 * HOUR, 1, IDLE) == SPOT


def test_the_reservation_price_rises_as_the_slack_goes():
    solved = Worth(two_levels(), 12 * HOUR)
    prices = [solved.reservation_price(12 * HOUR, slack * HOUR, 1) for slack in (8.0, 4.0, 2.0, 1.0, 0.4)]
    assert prices == sorted(prices)
    assert prices[0] < 3.0 < prices[-1]


@settings(max_examples=15, deadline=None)
@given(st.floats(0.02, 0.5), st.floats(0.02, 0.5), st.floats(1.2, 9.0), st.sampled_from((0.0, 60.0, 600.0)))
def test_more_slack_never_costs_more_and_holding_never_costs_more_than_not(down, up, steady, startup):
    solved = Worth(two_levels(down, up, steady=steady, startup=startup), 10 * HOUR)
    for level, held in itertools.product((0, 1), (IDLE, SPOT, STEADY)):
        if (level, held) == (1, SPOT):
            continue  # spot cannot be held where there is none
        values = [solved.value(10 * HOUR, slack * HOUR, level, held) for slack in np.linspace(0.2, 9, 30)]
        # the work falls as the slack rises, so the value falls by an hour's cost at least
        assert all(b <= a + 1e-6 for a, b in itertools.pairwise(values))
    idle = solved.value(10 * HOUR, 3 * HOUR, 0, IDLE)
    assert solved.value(10 * HOUR, 3 * HOUR, 0, SPOT) <= idle + 1e-6


def test_its_value_is_what_its_choices_cost_on_average():
    """Play the chain with its own choices: the mean cost is the value, and nothing is late."""
    chain = two_levels(0.15, 0.2, startup=0.0)
    solved = Worth(chain, 12 * HOUR)
    step, work = 12 * HOUR / 160, 7 * HOUR
    rng = np.random.default_rng(5)
    costs = []
    ratio = step / chain.step
    moves = np.array(chain.moves)
    moves = np.eye(2) + (moves - np.eye(2)) * ratio
    for _ in range(1500):
        left, todo, level, held, cost = 12 * HOUR, work, 0, IDLE, 0.0
        while todo > 1e-6:
            held = solved.choose(left, left - todo, level, held)
            if held != IDLE:
                done = min(step, todo)
                cost += (chain.costs[0] if held == SPOT else chain.steady) * done / HOUR
                todo -= done
            left -= step
            level = int(rng.random() < moves[level, 1])
            if held == SPOT and level == 1:
                held = IDLE
        assert left >= -step
        costs.append(cost)
    # The value is interpolated between slacks, and it is convex: so it is a little too high, never too low.
    expected = solved.value(12 * HOUR, 5 * HOUR, 0, IDLE)
    assert 0.94 * expected <= np.mean(costs) <= 1.01 * expected
