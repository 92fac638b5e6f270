"""Distributions of what is left: by hand, by enumeration, and with a common shock."""

from itertools import product

import numpy as np
import pytest

from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.instances import Pool
from tradewind.serving.provisioning.footprint import (
    CELLS,
    Stake,
    beside,
    distribution,
    expected,
    rest_of,
    shocks_of,
    spread_of,
)

A, B, C = Pool("small", "a"), Pool("small", "b"), Pool("large", "a")


def test_bids_of_one_market_are_nested():
    """Bids with chances 0.5 and 0.2: both die with 0.2, the higher alone survives with 0.3, both with 0.5."""
    found = spread_of([Stake(A, 32.0, 0.5), Stake(A, 96.0, 0.2)], 128.0)
    assert {cell: round(each, 9) for cell, each in enumerate(found) if each} == {0: 0.2, 96: 0.3, 128: 0.5}


def test_independent_markets_multiply():
    found = distribution([Stake(A, 64.0, 0.3), Stake(B, 64.0, 0.2), Stake(C, 64.0, 0.1)], 128.0)
    enough = sum(
        np.prod([1 - p if up else p for up, p in zip(ups, (0.3, 0.2, 0.1), strict=True)])
        for ups in product((0, 1), repeat=3)
        if sum(ups) >= 2
    )
    assert found[CELLS] == pytest.approx(enough) and found.sum() == pytest.approx(1.0)
    assert expected(found, 128.0) == pytest.approx(enough * 128 + found[64] * 64)


def test_with_a_common_shock_zones_of_a_type_go_together():
    """Independent 0.7 x 0.8 = 0.56; together the lower of the two, 0.7; half of each."""
    stakes = [Stake(A, 64.0, 0.3), Stake(B, 64.0, 0.2)]
    assert distribution(stakes, 128.0, {"small": 0.5})[CELLS] == pytest.approx(0.5 * 0.56 + 0.5 * 0.7)
    assert distribution(stakes, 128.0, {"large": 0.5})[CELLS] == pytest.approx(0.56)
    either = [Stake(A, 128.0, 0.3), Stake(B, 128.0, 0.2)]
    assert distribution(either, 128.0, {"small": 1.0})[CELLS] == pytest.approx(0.8)  # not 0.94


def test_asked_beside_the_rest_is_the_same_as_all_at_once():
    rest = [Stake(A, 50.0, 0.3), Stake(C, 20.0, 0.05), Stake(A, 13.0, 0.1)]
    mine = [Stake(B, 40.0, 0.25), Stake(B, 30.0, 0.4), Stake(B, 10.0, 0.0)]
    whole = distribution([*rest, *mine], 128.0)
    secured, held = beside(rest_of(distribution(rest, 128.0)), mine, 128.0)
    assert secured == pytest.approx(whole[CELLS]) and held == pytest.approx(expected(whole, 128.0))


def test_the_shock_is_what_the_joint_scenarios_show():
    """Each zone goes in half of the scenarios: together always, never, and as if independent."""

    def outlook(pairs):
        scenes = tuple(
            Scenario(1 / len(pairs), ((NEVER if up else 60.0,), (NEVER if down else 60.0,)), ())
            for up, down in pairs
        )
        return Outlook(0.0, (A, B), (0.01,), (3600.0,), (((0.5,),), ((0.5,),)), (0.0,), scenes)

    assert shocks_of(outlook([(0, 0), (1, 1)]), 0.01) == {"small": pytest.approx(1.0)}
    assert shocks_of(outlook([(0, 1), (1, 0)]), 0.01) == {"small": 0.0}
    four = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert shocks_of(outlook(four), 0.01) == {"small": pytest.approx(0.0, abs=1e-12)}
    assert shocks_of(outlook([*four, (0, 0), (1, 1)]), 0.01) == {"small": pytest.approx(1 / 3)}
