"""The logarithm of expected improvement, also where improvement is next to impossible.

After Ament, Daulton, Eriksson, Balandat and Bakshy, "Unexpected improvements to expected improvement for
Bayesian optimization" (NeurIPS 2023), section 4.1 and appendix A: h(z) = phi(z) + z Phi(z) underflows for
z below -38 and loses its digits long before; its logarithm does not.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)
_HALF_ROOT = math.sqrt(0.5 * math.pi)


@njit(cache=True, nogil=True)
def log_h(z: float) -> tuple[float, float]:
    """log(phi(z) + z Phi(z)) and its derivative, to 1e-9 of both for any finite z."""
    if z > -1.0:
        cumulative = 0.5 * math.erfc(-z / math.sqrt(2.0))
        value = math.exp(-0.5 * z * z - _LOG_ROOT) + z * cumulative
        return math.log(value), cumulative / value
    inverse = 1.0 / (z * z)
    if z > -25.0:
        # Mills' ratio times |z|, from the scaled complementary error function.
        mills = _HALF_ROOT * -z * math.exp(0.5 * z * z) * math.erfc(-z / math.sqrt(2.0))
        left = 1.0 - mills
    else:
        # 1 less the asymptotic series of the same, whose first term would cancel.
        left = inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - inverse * (105.0 - 945.0 * inverse))))
        mills = 1.0 - left
    return -0.5 * z * z - _LOG_ROOT + math.log(left), mills / (-z * left)


@njit(cache=True, nogil=True)
def _log_improvements(
    means: NDArray[np.float64], deviations: NDArray[np.float64], best: float
) -> NDArray[np.float64]:
    found = np.empty(means.size)
    for i in range(means.size):
        found[i] = log_h((best - means[i]) / deviations[i])[0] + math.log(deviations[i])
    return found


def log_expected_improvement(means: ArrayLike, deviations: ArrayLike, best: float) -> NDArray[np.float64]:
    """log E[max(best - f, 0)], (n,), of normal f with these means (n,) and standard deviations (n,) above 0.

    Less is better. Finite for all finite arguments of which the squares are.
    """
    return _log_improvements(
        np.ascontiguousarray(means, np.float64).ravel(),
        np.ascontiguousarray(deviations, np.float64).ravel(),
        float(best),
    )
