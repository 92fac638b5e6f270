"""A path is worth what its stays come to, and no single lease is worth more."""

import math

import pytest
from clairvoyant_markets import BY_SECOND, HOURLY, A, B, goal_of, market_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.training.elastic.clairvoyant_grid import grid_of, sources_of
from tradewind.training.elastic.clairvoyant_paths import best_path, delays

STEPS = st.lists(
    st.tuples(st.integers(1, 250).map(lambda n: 97.0 * n), st.integers(2, 40).map(lambda n: n / 20)),
    max_size=14,
    unique_by=lambda step: step[0],
).map(lambda steps: [(0.0, 0.5), *sorted(steps)])


def worth(grid, path, waits):
    """The work and the cost of a path by its stays, reckoned one after another; and what that leaves open.

    A stay that is revoked at the end of an hour was revoked in that hour, or in the first cell of the next:
    then it owes the hour before to its last cell.
    """
    hour = round(3600 / grid.cell)
    work = cost = unclear = 0.0
    for stay in path.stays:
        source = grid.sources[stay.source]
        work += stay.end - stay.start - waits.lost + waits.given + (waits.doubled if stay.revoked else 0)
        at, first = stay.start, True
        while at < stay.end or (first and not stay.free):
            price, held = grid.low[stay.source, at], min(hour, stay.end - at)
            last = at + hour >= stay.end
            if not (last and stay.free):
                whole = source.tariff.unit > 1 or not last
                cost += price if whole else price * max(0, held - 1) / hour
            if stay.revoked and at + hour == stay.end:
                unclear += price if stay.free else price / hour
            at, first = at + hour, False
    return work * grid.cell, cost, unclear


@settings(max_examples=60, deadline=None)
@given(
    prices=st.tuples(STEPS, STEPS),
    era=st.sampled_from([HOURLY, BY_SECOND]),
    refunds=st.booleans(),
    startup=st.sampled_from([0.0, 60.0, 180.0, 4000.0]),
    notice=st.sampled_from([0.0, 120.0]),
    earns=st.sampled_from([0.00005, 0.0002, 0.001]),
)
def test_a_path_is_worth_what_its_stays_are(prices, era, refunds, startup, notice, earns) -> None:
    market = market_of({A: prices[0], B: prices[1]}, era, notice=notice)
    sources = sources_of(market, goal_of(kinds=("small",)), era, refunds=refunds)
    waits = delays(startup, notice, 60.0)
    grid = grid_of(market, sources, era, era + 8 * 3600.0, 60.0, early=waits.early)
    path = best_path(grid, earns, waits)
    work, cost, unclear = worth(grid, path, waits)
    assert path.work == pytest.approx(work)
    assert path.value == pytest.approx(earns * path.work - path.cost, abs=1e-9)
    # One that is revoked in the cell in which it begins to work is given the next, unpaid.
    unpaid = sum(stay.revoked for stay in path.stays) * float(grid.high.max()) / 60
    assert cost - unpaid - 1e-9 <= path.cost <= cost + unclear + 1e-9
    for one, other in zip(path.stays, path.stays[1:], strict=False):
        follows = one.end - (waits.lost - waits.after_notice if one.revoked else 0)
        assert other.start >= min(follows, one.end)
    # One lease of a whole number of hours, from anywhere to anywhere, is worth no more.
    if era == HOURLY:
        hour = 60
        for row in range(len(sources)):
            for start in range(0, grid.cells - hour, 37):
                for hours in range(1, (grid.cells - start) // hour + 1):
                    gained = (hours * hour - waits.lost) * grid.cell * earns
                    owed = sum(grid.low[row, start + hour * n] for n in range(hours))
                    assert gained - owed <= path.value + 1e-9


def test_nothing_is_worth_a_lease_that_costs_more_than_it_earns() -> None:
    market = market_of({A: [(0, 0.5)]}, HOURLY)
    sources = sources_of(market, goal_of(), HOURLY, refunds=False)
    grid = grid_of(market, sources, HOURLY, HOURLY + 7200.0, 60.0)
    path = best_path(grid, 0.5 / 3600 * 0.9, delays(60.0, 0.0, 60.0))
    assert (path.value, path.work, path.cost, path.stays) == (0.0, 0.0, 0.0, ())


@pytest.mark.parametrize(
    ("startup", "notice", "lost", "after", "early", "given", "doubled"),
    [
        (180.0, 120.0, 3, 1, 0, 1.0, 0.0),
        (60.0, 120.0, 1, 0, 1, 2.0, 1.0),
        (90.0, 0.0, 1, 1, 0, 1.0, 0.0),
        (0.0, 0.0, 0, 0, 0, 1.0, 0.0),
    ],
)
def test_delays_in_cells(startup, notice, lost, after, early, given, doubled) -> None:
    waits = delays(startup, notice, 60.0)
    assert (waits.lost, waits.after_notice, waits.early) == (lost, after, early)
    assert (waits.given, waits.doubled) == (given, doubled)
    assert not math.isnan(waits.given)
