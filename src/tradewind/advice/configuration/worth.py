"""What another run is worth: what it may save, what it may cost, and what the one after it may.

Values are logarithms of dollars or seconds; gains and prices are shares of the best so far. A probe is ended
where it can no longer be the best, so that it costs at most as much as the best run did, and less by what it
saves: expected price = 1 - expected gain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tradewind.advice.configuration.interface import AdvisingView, Array
from tradewind.advice.configuration.objective import COST

_NODES, _SHARES = np.polynomial.hermite_e.hermegauss(5)
_SHARES = _SHARES / _SHARES.sum()


def gains(logs: Array, deviations: Array, best: float | Array) -> Array:
    """E[max(1 - exp(f - best), 0)] of normal f: the share of the best so far that is saved."""
    u = (best - logs) / deviations
    # Far above the best the second term's exponent may be beyond doubles while its tail is nought.
    beyond = np.minimum(logs - best + 0.5 * deviations**2, 700.0)
    return np.asarray(np.clip(ndtr(u) - np.exp(beyond) * ndtr(u - deviations), 0.0, 1.0))


def two_steps(
    gain: Array,
    logs: Array,
    variances: Array,
    across: Array,
    rows: NDArray[np.int64],
    feasible: Array,
    open_: NDArray[np.int64],
    best: float,
    noise: float,
    recurrences: float,
) -> Array:
    """(m,) worth of probing each of `rows` (m,) and then, if it pays, the best other, in shares of the best.

    Gains of the next probe are (n,) `gain`; means and variances (n,) of the logarithms, and their
    covariances `across` (m, n), tell what is believed after it. That is of a normal distribution: what it has
    others gain after the probe counts by the share of what it has them gain before that `gain` bears out.
    `open_` may be tried, `feasible` (n,) is how likely they work. Each probe's gain counts once for itself
    and once for each of `recurrences`; its price is the best so far.
    """
    n = len(logs)

    def worth(gain: Array, likely: Array) -> Array:
        return np.asarray(likely * (recurrences + 1) * gain - 1.0)

    likely = np.zeros(n)
    likely[open_] = feasible[open_]
    first = worth(gain[rows], feasible[rows])
    total = variances[rows] + noise
    left = np.maximum(variances - across**2 / total[:, None], 1e-8)
    others = np.tile(likely, (len(rows), 1))
    others[np.arange(len(rows)), rows] = 0.0
    now = worth(gain, likely)
    after_failure = np.empty(len(rows))
    for at, number in enumerate(rows):
        kept = now[number]
        now[number] = -1.0
        after_failure[at] = max(float(now.max()), 0.0) if n > 1 else 0.0
        now[number] = kept
    borne_out = np.minimum(gain / np.maximum(gains(logs, np.sqrt(variances), best), 1e-12), 1.0)
    later = np.zeros(len(rows))
    for node, share in zip(_NODES, _SHARES, strict=True):
        seen = logs[rows] + node * np.sqrt(total)
        means = logs + across * (node / np.sqrt(total))[:, None]
        bar = np.minimum(seen, best)[:, None]
        # Gains are shares of the best so far, which this probe may have bettered.
        found = worth(gains(means, np.sqrt(left), bar) * borne_out, others).max(axis=1)
        later += share * np.exp(bar[:, 0] - best) * np.maximum(found, 0.0)
    works = feasible[rows]
    return np.asarray(first + works * later + (1 - works) * after_failure)


def money(view: AdvisingView, value: float) -> str:
    """A value of the objective in words."""
    return f"${value:.3g}" if view.objective.minimize == COST else f"{value:.3g} s"
