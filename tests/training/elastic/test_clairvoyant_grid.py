"""Cells hold the extremes of what was recorded in them, rounded outwards or inwards."""

import math

import numpy as np
import pytest
from clairvoyant_markets import BY_SECOND, HOURLY, A, B, C, goal_of, market_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund, Tariff
from tradewind.training.elastic.clairvoyant_grid import CELLS, cell_for, grid_of, sources_of

STEPS = st.lists(
    st.tuples(st.integers(1, 700).map(lambda n: 7.0 * n), st.integers(2, 40).map(lambda n: n / 20)),
    max_size=30,
    unique_by=lambda step: step[0],
).map(lambda steps: [(0.0, 0.5), *sorted(steps)])


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, offset=st.sampled_from([0.0, 3.5, 1000.0]), early=st.integers(0, 3))
def test_a_cell_holds_the_lowest_and_the_highest_price(steps, offset, early) -> None:
    market = market_of({C: steps}, HOURLY, sold=())
    start = HOURLY + offset
    sources = sources_of(market, goal_of(), start, refunds=True)
    grid = grid_of(market, sources, start, start + 3000.0, 60.0, early=early)
    (source,) = sources
    assert (source.vcpus, source.tariff) == (4.0, Tariff(3600.0, Refund.LAST_UNIT))
    prices = market.history.prices[C]
    every = [
        {prices.at(moment) / 4 for moment in np.arange(start + 60.0 * x, start + 60.0 * (x + 1), 0.5)}
        for x in range(grid.cells + 1)
    ]
    assert grid.high[0].tolist() == [max(each) for each in every]
    lowest = [min(each) for each in every]
    assert grid.low[0].tolist() == [min(lowest[max(0, x - early) : x + 1]) for x in range(len(lowest))]
    for x in range(grid.cells + 1):
        later = [y for y in range(x + 1, grid.cells + 1) if grid.high[0, y] > grid.high[0, x]]
        assert grid.higher[0, x] == (later[0] if later else grid.cells + 1)


@settings(max_examples=40, deadline=None)
@given(
    lives=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(1, 2000)).map(lambda life: (life[0], sum(life))),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    offset=st.sampled_from([0.0, 13.0]),
)
def test_room_is_rounded_as_told(lives, offset) -> None:
    market = market_of({A: [(0, 0.5)]}, BY_SECOND, lives={A: lives}, sold=())
    start, cell = BY_SECOND + offset, 60.0
    sources = sources_of(market, goal_of(), start, refunds=True)
    outer = grid_of(market, sources, start, start + 3600.0, cell)
    inner = grid_of(market, sources, start, start + 3600.0, cell, inwards=True)
    capacity = market.history.capacities[A]
    for x in range(outer.cells + 1):
        moment = start + cell * x
        inside = [
            life for life in lives if life[0] < offset + cell * (x + 1) and life[1] >= offset + cell * x
        ]
        assert outer.opens[0, x] == bool(inside)
        if inside:
            over = max(life[1] for life in inside)
            assert outer.until[0, x] >= min(outer.cells, math.floor((over - offset) / cell))
        slots = capacity.slots(moment)
        assert inner.opens[0, x] == bool(slots)
        if slots:
            reach = int(inner.until[0, x])
            assert start + cell * reach <= slots[0].end < start + cell * (reach + 1) or reach == inner.cells
            if slots[0].end <= start + 3600.0:
                assert inner.cut[0, reach]


def test_the_cheapest_on_demand_offer_is_the_only_one_that_matters() -> None:
    market = market_of({A: [(0, 0.5)], B: [(0, 0.5)]}, HOURLY, sold=(A, B, C))
    sources = sources_of(market, goal_of(), HOURLY, refunds=False)
    assert [(source.pool, source.terms) for source in sources] == [
        (A, Terms.SPOT),
        (B, Terms.SPOT),
        (C, Terms.ON_DEMAND),  # as cheap a vCPU as in the others, and the first by name
    ]
    assert {source.tariff for source in sources} == {Tariff(3600.0, Refund.NOTHING)}
    assert sources_of(market, goal_of(kinds=("huge",)), HOURLY, refunds=False) == ()


@pytest.mark.parametrize(
    ("span", "most", "cell"), [(100.0, 20, 5.0), (100.0, 10, 10.0), (3600.0, 60, 60.0), (1e9, 5, 3600.0)]
)
def test_cells_are_as_short_as_may_be(span, most, cell) -> None:
    assert cell_for(span, most) == cell
    assert all(3600 % each == 0 for each in CELLS)
