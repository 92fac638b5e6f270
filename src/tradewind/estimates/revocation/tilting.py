"""Weights of scenarios, moved as little as brings their frequencies near to stated chances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PULL = 300.0
"""What the mean squared gap between frequencies and chances costs, beside twice the weights' divergence."""
_ROUNDS = 8


def tilted(
    weights: NDArray[np.float64],
    shown: NDArray[np.float64],
    chances: NDArray[np.float64],
    pull: float = PULL,
) -> NDArray[np.float64]:
    """Weights (S,) near the given ones under which `shown` (S, C), zeros and ones, average to `chances` (C,).

    Minimises the Kullback-Leibler divergence from `weights` plus half of `pull` times the mean squared gap
    over the C chances, by damped Gauss-Newton steps on the weights' logarithms. Adds up to 1.
    """
    if not len(chances) or len(weights) < 2:
        return weights
    # Only products of scenarios are needed: C may be many times S.
    scale = pull / len(chances)
    gram = scale * (shown @ shown.T)
    aim = scale * (shown @ chances)
    prior = np.log(np.maximum(weights, 1e-12))
    logs = prior.copy()
    now, cost = _at(logs, prior, gram, aim)
    for _ in range(_ROUNDS):
        # In the metric of the weights: the slope by each logarithm, and a curvature that is never negative.
        slope = gram @ now - aim + np.log(now) - prior
        slope -= now @ slope
        centred = gram - (now @ gram)[None, :]
        step = np.linalg.solve(np.eye(len(now)) + centred * now[None, :], slope)
        size = 1.0
        while size > 1e-3:
            tried = logs - size * step
            there, new = _at(tried, prior, gram, aim)
            if new < cost:
                break
            size /= 2
        else:
            break
        gain = cost - new
        logs, now, cost = tried, there, new
        if gain < 1e-5:
            break
    return now


def _at(
    logs: NDArray[np.float64], prior: NDArray[np.float64], gram: NDArray[np.float64], aim: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The weights of those logarithms, and what they cost (but for what is the same for all)."""
    now = np.maximum(np.exp(logs - logs.max()), 1e-12)
    now /= now.sum()
    gap = 0.5 * float(now @ gram @ now) - float(now @ aim)
    return now, gap + float(now @ (np.log(now) - prior))
