"""What a decision was worth: returns, the baseline that knows the arrivals, and advantages.

Mao et al., SIGCOMM 2019, section 5.3: the reward between two decisions is minus the time that jobs spend in
the cluster, whose sum is that of the completion times; runs that share an arrival sequence share a baseline,
the mean of their returns at the same moment (Mao, Venkatakrishnan, Schwarzkopf and Alizadeh, "Variance
reduction for reinforcement learning in input-driven environments", ICLR 2019). Returns are discounted in
time, and exact between decisions. To the baseline is added a linear correction for what a run has in hand
more than the others at that moment, and advantages are summed with a decay, in time too (Schulman et al.,
"High-dimensional continuous control using generalized advantage estimation", ICLR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cost_to_come(arrivals: Floats, completions: Floats, moments: Floats, horizon: float) -> Floats:
    """(moments,) job-seconds from each moment on, discounted by exp(-seconds / horizon)."""
    begin = np.maximum(arrivals[None, :], moments[:, None]) - moments[:, None]
    end = np.maximum(completions[None, :] - moments[:, None], begin)
    return np.asarray(horizon * (np.exp(-begin / horizon) - np.exp(-end / horizon)).sum(axis=1))


def advantages(
    runs: Sequence[tuple[Floats, Floats, Floats, Floats]], horizon: float, memory: float
) -> list[Floats]:
    """By run, (decisions,) what each decision was worth, in job-seconds saved.

    `runs` share an arrival sequence; each is its arrivals, completions, moments of decisions, and (decisions,
    features) what it had in hand at them. `memory` is the decay of the sum of advantages, seconds.
    """
    costs = [
        [cost_to_come(arrivals, completions, moments, horizon) for arrivals, completions, _, _ in runs]
        for _, _, moments, _ in runs
    ]
    excess = [own[which] - np.mean(own, axis=0) for which, own in enumerate(costs)]
    hands = []
    for _, _, moments, in_hand in runs:
        typical = np.mean([_at(moments, other, held) for _, _, other, held in runs], axis=0)
        hands.append(in_hand - typical)
    x, y = np.concatenate(hands), np.concatenate(excess)
    scale = np.maximum(np.abs(x).mean(axis=0), 1e-9)
    x = x / scale
    slope = np.linalg.solve(x.T @ x + 1e-2 * len(x) * np.eye(x.shape[1]), x.T @ y) / scale
    found = []
    for which, (_, _, moments, _) in enumerate(runs):
        own = costs[which][which]
        value = np.mean(costs[which], axis=0) + hands[which] @ slope
        gaps = np.diff(moments)
        keep = np.exp(-gaps / horizon)
        # What was paid until the next decision, and the value there, against the value here.
        errors = own - value
        errors[:-1] = own[:-1] - keep * own[1:] + keep * value[1:] - value[:-1]
        fade = keep * np.exp(-gaps / memory)
        for at in range(len(errors) - 2, -1, -1):
            errors[at] += fade[at] * errors[at + 1]
        found.append(-errors)
    return found


def _at(moments: Floats, known: Floats, values: Floats) -> Floats:
    """(moments, features) of another run, between its decisions by straight lines."""
    return np.stack([np.interp(moments, known, column) for column in values.T], axis=1)
