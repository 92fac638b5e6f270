"""One step of an LSTM for many rows at once, forward and backward, as fused kernels.

Hochreiter and Schmidhuber, Neural Computation 9 (1997), with forget gates (Gers et al., 2000). The gates
stand in torch's order: input, forget, candidate, output. Arithmetic only, no calls, so that the loops become
vector instructions; a row's result does not depend on how many rows there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_WIDEST = np.float32(7.90531110763549805)
"""Beyond this the hyperbolic tangent is one in float32."""
_P = tuple(
    np.float32(each)
    for each in (
        4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
        -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
    )
)  # fmt: skip
_Q = tuple(
    np.float32(each)
    for each in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = _P
_Q0, _Q1, _Q2, _Q3 = _Q
_ONE, _HALF = np.float32(1), np.float32(0.5)


@njit(inline="always", error_model="numpy")
def _tanh(x: Any) -> Any:
    """A rational approximation, x P(x^2) / Q(x^2), within a few units of float32's last place."""
    x = min(max(x, -_WIDEST), _WIDEST)
    s = x * x
    p = ((((((_P6 * s + _P5) * s + _P4) * s + _P3) * s + _P2) * s + _P1) * s + _P0) * x
    q = ((_Q3 * s + _Q2) * s + _Q1) * s + _Q0
    return p / q


@njit(inline="always", error_model="numpy")
def _sigmoid(x: Any) -> Any:
    return _HALF * _tanh(_HALF * x) + _HALF


@njit(cache=True, nogil=True, error_model="numpy")
def step_forward(gates: Any, before: Any, cells: Any, squashed: Any, hidden: Any) -> None:
    """Turn sums (n, 4H) into activations in place; write the cells, their tanh and the output, (n, H)."""
    n, H = before.shape
    for b in range(n):
        i, f, g, o = gates[b, :H], gates[b, H : 2 * H], gates[b, 2 * H : 3 * H], gates[b, 3 * H :]
        c0, c1, s, h = before[b], cells[b], squashed[b], hidden[b]
        for j in range(H):
            i[j] = _sigmoid(i[j])
        for j in range(H):
            f[j] = _sigmoid(f[j])
        for j in range(H):
            g[j] = _tanh(g[j])
        for j in range(H):
            o[j] = _sigmoid(o[j])
        for j in range(H):
            c1[j] = f[j] * c0[j] + i[j] * g[j]
        for j in range(H):
            s[j] = _tanh(c1[j])
        for j in range(H):
            h[j] = o[j] * s[j]


@njit(cache=True, nogil=True, error_model="numpy")
def step_backward(gates: Any, before: Any, squashed: Any, d_hidden: Any, d_cells: Any, d_gates: Any) -> None:
    """Gradients of the sums (n, 4H); `d_cells` (n, H) is turned into the gradient of the cells before."""
    n, H = before.shape
    for b in range(n):
        i, f, g, o = gates[b, :H], gates[b, H : 2 * H], gates[b, 2 * H : 3 * H], gates[b, 3 * H :]
        di, df = d_gates[b, :H], d_gates[b, H : 2 * H]
        dg, do = d_gates[b, 2 * H : 3 * H], d_gates[b, 3 * H :]
        c0, s, dh, dc = before[b], squashed[b], d_hidden[b], d_cells[b]
        for j in range(H):
            do[j] = dh[j] * s[j] * o[j] * (_ONE - o[j])
        for j in range(H):
            dc[j] = dc[j] + dh[j] * o[j] * (_ONE - s[j] * s[j])
        for j in range(H):
            di[j] = dc[j] * g[j] * i[j] * (_ONE - i[j])
        for j in range(H):
            dg[j] = dc[j] * i[j] * (_ONE - g[j] * g[j])
        for j in range(H):
            df[j] = dc[j] * c0[j] * f[j] * (_ONE - f[j])
        for j in range(H):
            dc[j] = dc[j] * f[j]
