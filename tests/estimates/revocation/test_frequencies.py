from __future__ import annotations

import numpy as np
import pytest

from tradewind.estimates.revocation import base_rate, empirical, hour_of_day
from tradewind.estimates.revocation.experience import UNKNOWN, experience_of
from tradewind.estimates.revocation.frequencies import Counts, Rates, counted

KINDS = {"base_rate": base_rate, "empirical": empirical, "hour_of_day": hour_of_day}


def test_counts_up_to_any_row_are_those_of_its_rows(priced):
    experience = experience_of(priced)
    classes = empirical.classes_of(experience)
    counts = Counts(experience, classes, empirical.CLASSES)
    for rows in (0, 1, 700, 1008, 1009, 2016, 2500, len(experience.moments)):
        expected = counted(experience, classes, empirical.CLASSES, np.arange(rows))
        assert np.array_equal(counts.before(rows), expected)
    assert np.array_equal(counts.before(10**9), expected)
    assert not counts.before(-3).any()


def test_counts_are_counts(priced):
    experience = experience_of(priced)
    sums = base_rate.counts_of(experience).before(10**9)[:, :, 0]
    known = experience.outcomes != UNKNOWN
    assert np.array_equal(sums[:, :, 0], known.sum(axis=0))
    assert np.array_equal(sums[:, :, 3], (experience.outcomes <= 2).sum(axis=0))


def test_rates_of_few_lean_to_the_pool():
    counts = np.zeros((1, 1, 2, 2), np.int32)
    counts[0, 0] = [[1000, 500], [1, 1]]
    rates = Rates(counts, np.array([3600.0]))
    assert rates.by_class[0, 0, 0, 0] == pytest.approx(rates.by_pool[0, 0, 0], abs=0.01)
    assert rates.by_class[0, 0, 1, 0] - rates.by_pool[0, 0, 0] < 0.01
