"""Learning ratings one by one in one process, a user's together, and the gradient of a batch.

Stochastic gradient descent as in Koren, Bell and Volinsky, IEEE Computer 2009, "Learning algorithms". A
user's ratings follow each other, so that what is learned of the user stays in the nearest cache and the rows
are read in sequence; the order of the users is new each epoch. The error is that of a fresh order of all
ratings, in less time, see docs/decisions/0111.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LANES = 8
"""Factors are kept in rows of a multiple of this many floats; those too many are zero and stay so."""

_F = np.float32


@njit(cache=True, nogil=True, error_model="numpy")
def _dot(a: Any, b: Any) -> Any:
    """Sum of products in eight partial sums, which are one vector register; always in the same order."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = _F(0)
    for j in range(0, a.shape[0], LANES):
        s0 += a[j] * b[j]
        s1 += a[j + 1] * b[j + 1]
        s2 += a[j + 2] * b[j + 2]
        s3 += a[j + 3] * b[j + 3]
        s4 += a[j + 4] * b[j + 4]
        s5 += a[j + 5] * b[j + 5]
        s6 += a[j + 6] * b[j + 6]
        s7 += a[j + 7] * b[j + 7]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@njit(cache=True, nogil=True, error_model="numpy")
def learn_users(
    order: Any, bounds: Any, items: Any, ratings: Any, P: Any, Q: Any, bu: Any, bi: Any, mean: Any,
    rate: Any, l2: Any,
) -> float:  # fmt: skip
    """One pass: the users in `order`, user u's ratings from bounds[u] to bounds[u + 1].

    The biases are (n,), the factors (n, a multiple of LANES), all float32 and changed in place. Returns the
    sum of squared errors, each taken before its step.
    """
    keep = _F(1) - rate * l2
    width = P.shape[1]
    total = 0.0
    for t in range(order.shape[0]):
        u = order[t]
        p, bias = P[u], bu[u]
        for n in range(bounds[u], bounds[u + 1]):
            i = items[n]
            q = Q[i]
            error = ratings[n] - (mean + bias + bi[i] + _dot(p, q))
            total += error * error
            step = rate * error
            bias = keep * bias + step
            bi[i] = keep * bi[i] + step
            for j in range(width):
                x, y = p[j], q[j]
                p[j] = keep * x + step * y
                q[j] = keep * y + step * x
        bu[u] = bias
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def gradient(
    users: Any, items: Any, ratings: Any, weights: Any, U: Any, V: Any, mean: Any, l2: Any, gU: Any, gV: Any,
    counts: Any,
) -> None:  # fmt: skip
    """Add up the gradient of half the squared error and of the penalty over ratings, in their order.

    `U` and `V` hold (bias, factors) of the batch's users and items, which `users` and `items` number; `gU`
    and `gV` take the gradients. `counts` takes the sum of losses, the sum of weights, and the sum of the
    negative errors.
    """
    k = U.shape[1]
    for n in range(users.shape[0]):
        u, i, w = users[n], items[n], weights[n]
        z = mean + U[u, 0] + V[i, 0]
        for j in range(1, k):
            z += U[u, j] * V[i, j]
        error = z - ratings[n]
        counts[0] += w * error * error
        counts[1] += w
        counts[2] += w * error
        step, decay = w * error, w * l2
        gU[u, 0] += step + decay * U[u, 0]
        gV[i, 0] += step + decay * V[i, 0]
        for j in range(1, k):
            x, y = U[u, j], V[i, j]
            gU[u, j] += step * y + decay * x
            gV[i, j] += step * x + decay * y
