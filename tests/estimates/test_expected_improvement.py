"""The logarithm of expected improvement, near and far."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from tradewind.estimates.expected_improvement import log_expected_improvement, log_h


@pytest.mark.parametrize("z", [3.0, 0.0, -0.99, -1.01, -3.0, -6.0])
def test_it_is_the_integral(z):
    # E[max(z + e, 0)] of standard normal e.
    expected = quad(lambda e: (z + e) * norm.pdf(e), -z, -z + 12.0, epsabs=0, epsrel=1e-11)[0]
    assert log_h(z)[0] == pytest.approx(math.log(expected), rel=1e-8)


@pytest.mark.parametrize("z", [4.0, 0.5, -0.999, -1.001, -8.0, -24.9, -25.1, -300.0])
def test_its_derivative_is_that_of_differences(z):
    step = 1e-4 * max(abs(z), 1.0)
    assert log_h(z)[1] == pytest.approx((log_h(z + step)[0] - log_h(z - step)[0]) / (2 * step), rel=1e-4)


@given(st.floats(-1e6, 30.0), st.floats(1e-9, 10.0))
def test_it_rises_and_is_finite(z, more):
    assert math.isfinite(log_h(z)[0]) and log_h(z)[1] > 0
    assert log_h(z + more)[0] >= log_h(z)[0]


@pytest.mark.parametrize("seam", [-1.0, -25.0])
def test_its_pieces_meet(seam):
    below, above = log_h(np.nextafter(seam, -99)), log_h(np.nextafter(seam, 99))
    assert below[0] == pytest.approx(above[0], rel=1e-9) and below[1] == pytest.approx(above[1], rel=1e-9)


def test_improvement_has_the_scale_of_its_targets():
    means, deviations = np.array([1.0, 2.0, 50.0]), np.array([0.5, 0.1, 0.2])
    found = log_expected_improvement(means, deviations, 1.2)
    z = (1.2 - means[:2]) / deviations[:2]
    plain = deviations[:2] * (norm.pdf(z) + z * norm.cdf(z))
    assert found[:2] == pytest.approx(np.log(plain), rel=1e-9)
    assert -1e5 < found[2] < -1e4
    assert log_expected_improvement(means * 7, deviations * 7, 8.4) == pytest.approx(found + math.log(7))
