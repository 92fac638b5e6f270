from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_histories import MONDAY

from tradewind.estimates.revocation import base_rate, empirical, hour_of_day
from tradewind.estimates.revocation.experience import UNKNOWN, experience_of
from tradewind.estimates.revocation.interface import monotone
from tradewind.estimates.revocation.sights import look_back, situations

KINDS = {"base_rate": base_rate, "empirical": empirical, "hour_of_day": hour_of_day}


@pytest.mark.parametrize("name", KINDS)
def test_without_data_the_prior_stands(priced, name):
    experience = experience_of(priced)
    model = KINDS[name].learn(experience, np.arange(0))
    cases = situations(experience.columns, np.array([MONDAY + 600.0]))
    chances = model.probabilities(cases, look_back(experience.columns, cases, experience.deltas))
    assert chances.shape == (3, 10, 5)
    assert np.allclose(chances, 1 - np.exp(-0.1 * experience.horizons / 3600))


@pytest.mark.parametrize("name", KINDS)
def test_with_data_rates_come_near_to_the_share_that_ended(priced, name):
    experience = experience_of(priced)
    model = KINDS[name].learn(experience, np.arange(len(experience.moments)))
    known = experience.outcomes[:, 0, 0] != UNKNOWN
    rows = np.flatnonzero(known)
    cases = experience.cases(rows, np.zeros(len(rows), np.int64))
    chances = model.probabilities(cases, look_back(experience.columns, cases, experience.deltas))
    for delta in (0, 3, 6):
        came = (experience.outcomes[rows, 0, delta] <= 2).mean()
        assert chances[:, delta, 2].mean() == pytest.approx(came, abs=0.04)


def test_the_class_tells_more_than_the_pool(priced):
    """On a market that is restless on some days, the clocks of the bid beat the base rate out of sample."""
    experience = experience_of(priced)
    half = len(experience.moments) // 2
    rows = np.flatnonzero(experience.outcomes[:, 0, 0] != UNKNOWN)
    rows = rows[rows > half + 24]
    cases = experience.cases(rows, np.zeros(len(rows), np.int64))
    sights = look_back(experience.columns, cases, experience.deltas)
    came = experience.outcomes[rows, 0][:, :, None] <= np.arange(5)
    errors = {
        name: ((kind.learn(experience, np.arange(half)).probabilities(cases, sights) - came) ** 2).mean()
        for name, kind in KINDS.items()
    }
    assert errors["empirical"] < 0.9 * errors["base_rate"]


def test_what_was_seen_fades_into_the_rate_of_the_pool(priced):
    experience = experience_of(priced)
    every = np.arange(len(experience.moments))
    model, base = empirical.learn(experience, every), base_rate.learn(experience, every)
    fresh = situations(experience.columns, np.array([MONDAY + 3 * 86400.0 + 40_000]))
    old = fresh.known_before(np.full(3, 40 * 86400.0))
    usual = base.probabilities(fresh, look_back(experience.columns, fresh, experience.deltas))
    seen = model.probabilities(fresh, look_back(experience.columns, fresh, experience.deltas))
    stale = model.probabilities(old, look_back(experience.columns, old, experience.deltas))
    assert np.abs(stale - usual).max() < 1e-9
    assert np.abs(seen - usual).max() > 0.1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_monotone_falls_in_the_bid_and_rises_in_the_horizon(values):
    mended = monotone(np.array(values).reshape(1, 4, 3))
    assert (np.diff(mended, axis=1) <= 1e-15).all() and (np.diff(mended, axis=2) >= -1e-15).all()
    assert np.allclose(monotone(mended), mended)
    assert mended.min() >= min(values) and mended.max() <= max(values)


def test_the_hour_of_the_day_is_told_apart(priced):
    experience = experience_of(priced)
    model = hour_of_day.learn(experience, np.arange(len(experience.moments)))
    cases = situations(experience.columns, MONDAY + 86400 + 3600.0 * np.array([3, 3.5, 15]))
    chances = model.probabilities(cases, look_back(experience.columns, cases, experience.deltas))
    assert np.array_equal(chances[:3], chances[3:6])
    assert np.abs(chances[:3] - chances[6:]).max() > 0.001
