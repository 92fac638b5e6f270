from __future__ import annotations

import numpy as np

from tradewind.estimates.revocation.experience import UNKNOWN, experience_of
from tradewind.estimates.revocation.lessons import DAY, drawn, tail, trust, worth
from tradewind.estimates.revocation.sights import look_back


def test_rows_are_what_the_experience_says(priced):
    experience = experience_of(priced)
    rows = np.arange(300, 2400)
    found = drawn(experience, rows, 2000, 7)
    assert len(found.came) == 2000
    at = experience.moments.searchsorted(found.cases.now)
    assert ((at >= 300) & (at < 2400)).all()
    outcomes = experience.outcomes[at, found.cases.pools, found.deltas]
    assert (outcomes != UNKNOWN).all()
    assert np.array_equal(found.came > 0, outcomes <= found.horizons)
    assert np.array_equal(
        look_back(experience.columns, found.cases, experience.deltas).above, found.sights.above
    )
    ages = found.cases.now - found.cases.known
    assert 0.4 < (ages == 0).mean() < 0.6 and ages.max() <= DAY
    assert len(np.unique(found.deltas)) == 10 and len(np.unique(found.horizons)) == 5


def test_the_frequencies_of_a_row_do_not_know_its_part_of_the_past(priced):
    """What came in the last fifth does not change what the rows of that fifth start from."""
    experience = experience_of(priced)
    rows = np.arange(0, 2400)
    before = drawn(experience, rows, 1500, 7)
    last = experience.moments.searchsorted(before.cases.now) >= 2400 * 4 // 5
    kept = experience.outcomes.copy()
    try:
        part = experience.outcomes[2400 * 4 // 5 : 2400]
        part[part != UNKNOWN] = 0
        after = drawn(experience, rows, 1500, 7)
    finally:
        experience.outcomes[:] = kept
    assert np.array_equal(before.cases.now, after.cases.now)
    assert np.array_equal(before.usual[last], after.usual[last])
    assert not np.array_equal(before.usual[~last], after.usual[~last])


def test_too_few_rows_are_none(priced):
    assert drawn(experience_of(priced), np.arange(30), 1000, 0) is None


def test_the_tail_is_the_last_of_the_time(priced):
    found = drawn(experience_of(priced), np.arange(2400), 1500, 0)
    late = tail(found, 0.25)
    assert 0.15 < late.mean() < 0.35
    assert found.cases.now[late].min() > found.cases.now[~late].max()


def test_trust_grows_with_the_days_and_worth_with_pools_and_days(priced):
    experience = experience_of(priced)
    few, many = (drawn(experience, np.arange(rows), 1500, 0) for rows in (300, 2800))
    assert 0 < trust(few, 14.0) < 0.25 < trust(many, 14.0) < 1
    assert worth(few) * len(few.came) <= 2 * 3 * 4
    assert worth(few) < worth(many) < 1
