from __future__ import annotations

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.revocation.calibration import Platt, isotonic, logit, platt, sigmoid
from tradewind.estimates.revocation.evaluation import brier


def overstated(many: int = 4000):
    """Chances whose odds are twice as far from even as they should be, and what came."""
    chance = np.random.default_rng(0)
    true = chance.uniform(0.05, 0.95, many)
    return sigmoid(2 * logit(true) + 0.5), (chance.random(many) < true).astype(float)


def test_platt_finds_the_slope_and_the_offset():
    stated, came = overstated()
    found = platt(stated, came)
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.offset == pytest.approx(-0.25, abs=0.1)
    assert brier(found(stated), came > 0) < 0.95 * brier(stated, came > 0)


def test_few_observations_change_little():
    stated, came = overstated(5)
    few = platt(stated, came, independent=0.1)
    assert abs(few.slope - 1) < 0.1 and abs(few.offset) < 0.1


def test_isotonic_rises_and_corrects():
    stated, came = overstated()
    found = isotonic(stated, came)
    line = found(np.linspace(0, 1, 101))
    assert (np.diff(line) >= 0).all() and line[0] >= 0 and line[-1] <= 1
    assert brier(found(stated), came > 0) < 0.95 * brier(stated, came > 0)


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_all_of_one_kind_neither_overflows_nor_turns_around(truth):
    stated = np.linspace(0, 1, 50)
    found = platt(stated, np.full(50, truth))
    assert np.isfinite([found.slope, found.offset]).all() and found.slope >= 0
    assert (np.diff(found(stated)) >= 0).all()
    assert np.allclose(isotonic(stated, np.full(50, truth))(stated), truth)


def test_the_identity_is_the_identity():
    stated = np.array([0.1, 0.5, 0.9])
    assert np.allclose(Platt()(stated), stated)


@pytest.mark.parametrize("fit", [platt, isotonic])
def test_one_outcome_for_each_chance(fit):
    with pytest.raises(Misuse):
        fit(np.zeros(3), np.zeros(2))
    with pytest.raises(Misuse):
        fit(np.zeros(0), np.zeros(0))
