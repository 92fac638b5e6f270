from __future__ import annotations

import numpy as np
import pytest
from made_up_histories import MONDAY

from tradewind.errors import Misuse
from tradewind.estimates.revocation.experience import (
    UNKNOWN,
    Experience,
    experience_of,
    lateness,
    room,
)
from tradewind.estimates.revocation.sights import look_ahead, look_back, situations


@pytest.mark.parametrize("which", ["priced", "counted"])
def test_outcomes_are_classes_of_the_lives(which, request):
    experience = experience_of(request.getfixturevalue(which))
    columns, horizons = experience.columns, experience.horizons
    cases = situations(columns, experience.moments)
    lives = look_ahead(columns, cases, experience.deltas)
    known = experience.outcomes != UNKNOWN
    shape = known.shape
    assert (known[:, :, 0].ravel() == (lives.leasable & (lives.recorded >= horizons[-1]))).all()
    for horizon, seconds in enumerate(horizons):
        within = lives.seconds.reshape(shape) <= seconds
        assert ((experience.outcomes <= horizon)[known] == within[known]).all()
    assert 0.05 < (experience.outcomes[known] <= 2).mean() < 0.95, "the made-up market tells something"
    sights = look_back(columns, cases, experience.deltas)
    assert (experience.above.ravel() == lateness(sights.above).ravel()).all()
    assert ((experience.standing > 0).ravel() == lives.leasable).all()


def test_what_was_known_by_a_moment_ended_by_then(priced):
    experience = experience_of(priced)
    until = MONDAY + 3.3 * 86400
    rows = experience.known_rows(until)
    assert experience.moments[rows - 1] + experience.horizons[-1] <= until
    assert experience.moments[rows] + experience.horizons[-1] > until
    assert experience.known_rows(MONDAY - 5) == 0
    assert experience.rows_before(float("inf")) == len(experience.moments)


def test_cases_are_the_situations_of_the_grid(priced):
    experience = experience_of(priced)
    every = situations(experience.columns, experience.moments)
    rows, pools = np.array([5, 900, 5]), np.array([2, 0, 1])
    some = experience.cases(rows, pools)
    expected = every.chosen(rows * 3 + pools)
    assert np.array_equal(some.prices, expected.prices, equal_nan=True)
    assert np.array_equal(some.counts, expected.counts, equal_nan=True)
    assert np.array_equal(some.now, expected.now) and np.array_equal(some.pools, expected.pools)


def test_classes_of_clocks_and_room():
    assert lateness(np.array([0.0, 3599, 3600, 21600, 86000, 86400])).tolist() == [0, 0, 1, 2, 2, 3]
    assert room(np.array([1, 1, 2, 4, 5, np.nan]), np.array([0.2, 0.7, 0, 0, 0, np.nan])).tolist() == [
        0, 1, 2, 2, 3, 1,
    ]  # fmt: skip


def test_it_is_built_once(priced, made_up):
    assert experience_of(priced) is experience_of(priced)
    assert experience_of(priced) is not experience_of(made_up.priced(5.0))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"deltas": (0.1, 0.1)}, "deltas"),
        ({"deltas": ()}, "deltas"),
        ({"horizons": (0.0, 1.0)}, "horizons"),
        ({"horizons": (600.0, 90_000.0)}, "horizons"),
    ],
)
def test_wrong_grids_are_misuse(counted, options, field):
    with pytest.raises(Misuse) as caught:
        Experience(counted, **options)
    assert caught.value.field == field
