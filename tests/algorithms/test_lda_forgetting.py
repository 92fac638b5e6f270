"""Weights that grow are shares that fade."""

import numpy as np
import pytest

from tradewind.algorithms.lda.forgetting import UNIT, weight_of


@pytest.mark.parametrize("kappa", [0.5, 0.7, 0.9999999, 1.0])
@pytest.mark.parametrize("tau", [1.0, 64.0])
def test_a_step_fades_what_was_before_by_its_share(kappa, tau):
    for t in (10.0, 300.0, 2000.0):
        faded = weight_of(t * UNIT, kappa, tau) / weight_of((t + 1) * UNIT, kappa, tau)
        share = (tau + t) ** -kappa
        assert faded == pytest.approx(np.exp(-share), abs=0.1 * share)
        assert faded == pytest.approx(1 - share, abs=share * share)


def test_the_ends_of_kappa_meet():
    assert weight_of(10_000, 1 - 1e-9, 2.0) == pytest.approx(weight_of(10_000, 1.0, 2.0), rel=1e-6)


@pytest.mark.parametrize("kappa", [0.5, 0.7, 1.0])
def test_it_never_leaves_what_a_float32_holds(kappa):
    weights = [weight_of(10.0**power, kappa, 1.0) for power in range(13)]
    assert weights == sorted(weights)
    assert all(np.isfinite(np.float32(each * 1e12)) and np.float32(each * 1e-12) > 0 for each in weights)
    assert np.isfinite(np.float32(1 / weights[0])) and np.float32(1 / weights[-1]) > 0


@pytest.mark.parametrize(("kappa", "documents"), [(0.5, 660_000), (0.7, 24_000_000)])
def test_weights_grow_for_as_long_as_is_said(kappa, documents):
    assert weight_of(0.98 * documents, kappa, 1.0) < weight_of(0.99 * documents, kappa, 1.0)
    assert weight_of(1.1 * documents, kappa, 1.0) == weight_of(2.0 * documents, kappa, 1.0)
