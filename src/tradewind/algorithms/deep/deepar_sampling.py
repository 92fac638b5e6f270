"""The likelihoods that DeepAR draws from, without torch; Salinas et al. (2020), section 3.2."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.series import SeriesBlock

PARAMETERS_OF = {"student_t": 3, "gaussian": 2, "negative_binomial": 2, "beta": 2, "deterministic_l1": 1}
"""The likelihoods, and how many outputs of the network each takes."""

EDGE = 1e-4
"""What is added to parameters that must be positive; and how near to 0 and 1 beta takes values."""


class Chances:
    """A generator for each of n series, `count` numbers of which are drawn at a time.

    Each is seeded by the history of its series, whose paths so are the same whichever others there are.
    """

    def __init__(self, block: SeriesBlock, count: int, seed: int) -> None:
        self._count = count
        self._each = []
        for row in range(len(block)):
            history = block.target[row, : int(block.length[row])] + np.float32(0)  # no minus zero
            digest = hashlib.blake2b(history.tobytes(), digest_size=8)
            digest.update(block.start[row].tobytes())
            entropy = (seed, int.from_bytes(digest.digest(), "little"))
            self._each.append(np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy))))

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """(n count,)"""
        return np.concatenate([each.standard_normal(self._count) for each in self._each])

    def standard_gamma(self, shape: NDArray[Any]) -> NDArray[np.float64]:
        """(n count,)"""
        return self._over(lambda chance, a: chance.standard_gamma(a), shape)

    def poisson(self, mean: NDArray[Any]) -> NDArray[np.int64]:
        """(n count,)"""
        return self._over(lambda chance, a: chance.poisson(a), mean)

    def beta(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
        """(n count,)"""
        return self._over(lambda chance, a, b: chance.beta(a, b), first, second)

    def _over(self, drawn: Callable[..., NDArray[Any]], *parameters: NDArray[Any]) -> NDArray[Any]:
        parts = [each.reshape(-1, self._count) for each in parameters]
        return np.concatenate(
            [drawn(each, *(part[row] for part in parts)) for row, each in enumerate(self._each)]
        )


def draw(
    likelihood: str,
    raw: NDArray[np.float32],
    scale: NDArray[np.float32],
    chance: np.random.Generator | Chances,
) -> NDArray[np.float32]:
    """One value (n,) for each row of the head's outputs (n, P) and scales (n,).

    - `student_t`: location r0, deviation softplus(r1), 2 + softplus(r2) degrees of freedom, times the scale;
    - `gaussian`: mean r0, deviation softplus(r1), times the scale;
    - `negative_binomial`: mean softplus(r0) times the scale, shape softplus(r1) over the scale's root;
    - `beta`: softplus(r0), softplus(r1);
    - `deterministic_l1`: r0 times the scale.
    """
    r = raw.astype(np.float64)
    if likelihood == "deterministic_l1":
        return (r[:, 0] * scale).astype(np.float32)
    if likelihood == "gaussian":
        deviation = softplus(r[:, 1]) + EDGE
        found = (r[:, 0] + deviation * chance.standard_normal(len(r))) * scale
    elif likelihood == "student_t":
        deviation, freedom = softplus(r[:, 1]) + EDGE, 2 + softplus(r[:, 2])
        normal, square = chance.standard_normal(len(r)), chance.standard_gamma(freedom / 2)
        found = (r[:, 0] + deviation * normal * np.sqrt(freedom / 2 / square)) * scale
    elif likelihood == "negative_binomial":
        mean, shape = (softplus(r[:, 0]) + EDGE) * scale, (softplus(r[:, 1]) + EDGE) / np.sqrt(scale)
        rates = chance.standard_gamma(1 / shape) * shape * mean
        found = chance.poisson(np.minimum(rates, 2.0**53)).astype(np.float64)
    else:
        found = chance.beta(softplus(r[:, 0]) + EDGE, softplus(r[:, 1]) + EDGE)
    limit = float(np.finfo(np.float32).max) / 4  # a tail may be this heavy; it must stay a number
    return np.clip(found, -limit, limit).astype(np.float32)


def softplus(x: NDArray[Any]) -> NDArray[Any]:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.logaddexp(0, x))
