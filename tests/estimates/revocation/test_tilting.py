from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.estimates.revocation.tilting import tilted


def cost(weights, prior, shown, chances, pull):
    gap = weights @ shown - chances
    return 0.5 * pull * (gap**2).mean() + (weights * np.log(weights / prior)).sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from((1.0, 100.0, 3000.0)))
def test_no_small_move_is_better(seed, pull):
    chance = np.random.default_rng(seed)
    prior = chance.dirichlet(np.ones(8))
    prior = np.maximum(prior, 1e-6) / np.maximum(prior, 1e-6).sum()
    shown = (chance.random((8, 12)) < 0.5).astype(float)
    chances = chance.random(12)
    found = tilted(prior, shown, chances, pull)
    assert found.sum() == pytest.approx(1) and (found > 0).all()
    least = cost(found, prior, shown, chances, pull)
    assert least <= cost(prior, prior, shown, chances, pull) + 1e-9
    for _ in range(20):
        other = found * np.exp(0.05 * chance.standard_normal(8))
        assert least <= cost(other / other.sum(), prior, shown, chances, pull) + 1e-3


def test_what_can_be_met_is_met():
    shown = np.array([[1.0], [0.0]])
    assert tilted(np.array([0.5, 0.5]), shown, np.array([0.8]), 3000.0)[0] == pytest.approx(0.8, abs=0.01)


def test_nothing_to_meet_changes_nothing():
    prior = np.array([0.3, 0.7])
    assert tilted(prior, np.zeros((2, 0)), np.zeros(0)) is prior
