"""Which rows are kept, and for how many each stands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.reservoir import draw, rate, row_weights, shares


def kept(rows, slots, half_life, batch, seed):
    """The arrivals in the reservoir after so many rows."""
    chance = np.random.default_rng(seed)
    held = np.full(slots, -1.0)
    for seen in range(0, rows, batch):
        count = min(batch, rows - seen)
        taken, to = draw(seen, count, slots, half_life, chance)
        assert len(np.unique(to)) == len(to) and ((to >= 0) & (to < slots)).all()
        held[to] = seen + taken
    return held[held >= 0]


@given(slots=st.integers(0, 40), workers=st.integers(1, 9))
def test_shares_cover_all_slots_evenly(slots, workers) -> None:
    bounds = shares(slots, workers)
    assert len(bounds) == workers + 1 and (bounds[0], bounds[-1]) == (0, slots)
    assert set(np.diff(bounds).tolist()) <= {slots // workers, slots // workers + 1}


@settings(max_examples=40, deadline=None)
@given(
    seen=st.integers(0, 50), count=st.integers(0, 40), slots=st.integers(0, 30), seed=st.integers(0, 9),
    half_life=st.sampled_from([0, 7.5]),
)  # fmt: skip
def test_slots_are_distinct_and_filled_in_order(seen, count, slots, seed, half_life) -> None:
    rows, to = draw(seen, count, slots, half_life, np.random.default_rng(seed))
    assert len(rows) == len(to) == len(set(to.tolist())) == len(set(rows.tolist()))
    assert ((rows >= 0) & (rows < count)).all() and ((to >= 0) & (to < slots)).all()
    if seen + count <= slots:
        assert (to == rows + seen).all() and len(rows) == count
    assert set(range(seen, min(slots, seen + count))) <= set(to.tolist())


def test_a_worker_without_slots_keeps_nothing() -> None:
    assert shares(10, 3).tolist() == [0, 3, 6, 10]
    assert shares(2, 4).tolist() == [0, 0, 1, 1, 2]
    assert [len(each) for each in draw(5, 10, 0, 0, np.random.default_rng(0))] == [0, 0]


@pytest.mark.parametrize("batch", [3, 7, 200])
def test_every_row_has_the_same_chance(batch) -> None:
    """Whatever the size of the batches: 200 rows, 40 slots, 400 times, six deviations allowed."""
    counts = np.zeros(200)
    for seed in range(400):
        found = kept(200, 40, 0.0, batch, seed)
        assert len(found) == 40 == len(np.unique(found))
        counts[found.astype(int)] += 1
    expected, deviation = 400 * 0.2, np.sqrt(400 * 0.2 * 0.8)
    assert np.abs(counts - expected).max() < 6 * deviation
    # early, middle and late rows alike
    assert np.abs(counts.reshape(4, 50).mean(axis=1) - expected).max() < 6 * deviation / np.sqrt(50)


def test_few_rows_are_all_kept() -> None:
    assert kept(30, 40, 0.0, 7, 0).tolist() == list(range(30))
    assert row_weights(np.arange(30.0), 30.0, 40, 0.0).tolist() == [1.0] * 30
    assert row_weights(np.arange(40.0), 200.0, 40, 0.0).tolist() == [5.0] * 40
    assert len(row_weights(np.empty(0), 0.0, 40, 0.0)) == 0


@pytest.mark.parametrize("half_life", [20.0, 100.0, 1000.0])
def test_weights_make_up_for_the_chance_to_be_kept(half_life) -> None:
    """The weights of the kept rows, by age, add up to what has decayed: on the average over 500 samples."""
    rows, slots = 300, 40
    ages = rows - 1 - np.arange(rows)
    wanted = np.add.reduceat(0.5 ** (ages / half_life), np.arange(0, rows, 60))
    found = np.zeros(5)
    for seed in range(500):
        arrival = kept(rows, slots, half_life, 20, seed)
        weights = row_weights(arrival, rows, slots, half_life)
        found += np.bincount((arrival // 60).astype(int), weights, 5) / 500
    assert np.allclose(found, wanted, rtol=0.25, atol=0.01 * wanted.max())
    assert np.isclose(found[-1], wanted[-1], rtol=0.08)


def test_the_rate_is_a_chance() -> None:
    assert rate(40, 20.0) == 1.0 and np.isclose(rate(40, 1000.0), 40 * np.log(2) / 1000)
