"""Factors begin by number and seed, alike everywhere."""

import numpy as np

from tradewind.algorithms.ratings.start import ITEMS, USERS, beginnings


def test_a_beginning_depends_on_seed_side_and_number_alone() -> None:
    ids = np.array([5, 1, 2**52])
    first = beginnings(3, USERS, ids, 4, 0.1)
    assert np.array_equal(beginnings(3, USERS, ids[::-1].copy(), 4, 0.1)[::-1], first)
    assert np.array_equal(beginnings(3, USERS, ids, 7, 0.1)[:, :4], first), "nor on the number of factors"
    assert np.array_equal(beginnings(3, USERS, ids, 4, 0.1, 8), np.hstack([first, np.zeros((3, 4))]))
    assert not np.isin(beginnings(4, USERS, ids, 4, 0.1), first).any()
    assert not np.isin(beginnings(3, ITEMS, ids, 4, 0.1), first).any()


def test_beginnings_are_spread_as_asked() -> None:
    values = beginnings(0, ITEMS, np.arange(20_000), 5, 0.1)
    assert abs(values.mean()) < 0.001 and abs(values.std() - 0.1) < 0.001
    corner = np.corrcoef(values, rowvar=False) - np.eye(5)
    assert np.abs(corner).max() < 0.03, "columns are independent"
    assert abs(np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]) < 0.03, "and neighbours"
