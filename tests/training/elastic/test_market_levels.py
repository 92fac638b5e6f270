"""Levels and their moves, drawn from scenarios of a market whose chain is known."""

import numpy as np
import pytest

from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.instances import Pool
from tradewind.training.elastic.bidding.market_levels import STEP, cheapest_paths, levels_of
from tradewind.training.elastic.bidding.reservation_price import LATE

A, B = Pool("m", "east-1a"), Pool("m", "east-1b")


def outlook(paths):
    scenarios = tuple(Scenario(1 / len(paths), (), tuple(map(tuple, pools))) for pools in paths)
    return Outlook(
        0.0, (A, B), (0.1,), (3600.0,), (), tuple(900.0 * k for k in range(len(paths[0][0]))), scenarios
    )


def test_the_cheapest_pool_of_each_step_counts_and_dear_ones_do_not():
    shown = outlook([[(1.0, NEVER, 4.0), (2.0, 2.0, NEVER)]])
    assert cheapest_paths(shown, {A: 0.5, B: 0.5}, steady=1.5) == [[0.5, 1.0, LATE]]
    assert cheapest_paths(shown, {A: 0.5}, steady=1.5) == [[0.5, LATE, LATE]]


def test_alike_costs_are_one_level():
    costs, moves = levels_of([[1.0, 1.05, 1.02, 1.08]], [1.0], [0.0, 900.0, 1800.0, 2700.0])
    assert costs == (pytest.approx(1.0375), LATE)
    assert moves[0][0] > 0.95


def test_levels_are_told_apart_and_ascend():
    paths = [[1.0, 2.0, 4.0, LATE], [1.0, 1.0, 2.0, 4.0]]
    costs, moves = levels_of(paths, [0.5, 0.5], [0.0, 900.0, 1800.0, 2700.0])
    assert costs == (1.0, 2.0, 4.0, LATE)
    assert all(sum(row) == pytest.approx(1.0) for row in moves)


def test_nothing_on_spot_is_one_level():
    costs, moves = levels_of([[LATE, LATE]], [1.0], [0.0, 900.0])
    assert costs == (LATE,)
    assert moves == ((1.0,),)


def test_one_step_alone_is_enough():
    costs, moves = levels_of([[1.0], [LATE]], [0.5, 0.5], [0.0])
    assert costs == (1.0, LATE)
    assert all(sum(row) == pytest.approx(1.0) for row in moves)


def test_the_moves_are_those_of_the_chain_that_made_the_paths():
    rng = np.random.default_rng(0)
    down, up = 0.10, 0.05
    steps = [0.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0]
    paths = []
    for _ in range(400):
        state, states = int(rng.random() > up / (up + down)), []
        for _ in range(33):
            states.append(state)
            state = int(rng.random() < down) if state == 0 else int(rng.random() >= up)
        paths.append([LATE if states[int(step // STEP)] else 1.0 for step in steps])
    costs, moves = levels_of(paths, [1 / 400] * 400, steps)
    assert costs == (1.0, LATE)
    assert moves[0][1] == pytest.approx(down, rel=0.2)
    assert moves[1][0] == pytest.approx(up, rel=0.2)
