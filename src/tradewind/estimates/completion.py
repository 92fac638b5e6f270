"""How likely a run is to come to its end on each of n configurations, from which ended and which failed.

Three kinds of explanation, each weighed by how well it foretold what was seen, in order: failures are rare
and strike anywhere; a run needs so much of something, such as memory in all or on each machine, below which
it fails (a threshold with a posterior on a grid); configurations that are alike fare alike. Runs of other
workloads say where thresholds lie, how often failures strike anywhere, and what fails for everybody. More of
a safe thing never lowers the probability where all else is equal: what has less lends its own.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from tradewind.estimates.workload_prior import matern

Array = NDArray[np.float64]

_SLACK = 0.1
"""Of the logarithm of what is needed: how sharp a threshold is."""
_HEED = 3.0
"""How much a run tells of what is like it, beside what is usual there."""
_NEVER = -40.0
"""A threshold that everything is above."""
_ANYWHERE, _STRENGTH = 0.04, 10.0
"""Share of runs that fail for no reason that is known, and how many runs that guess is worth."""
_LIKELY = 0.5
"""Probability that a workload's failures have no threshold."""
_ALIKE = 0.3
"""Probability that what is alike fares alike, beside the others."""


class Feasibility(Struct, frozen=True):
    """What is believed before the workload ran; `given` its runs, probabilities."""

    explanations: tuple[tuple[float, Array, Array], ...]
    """Of each: its weight, probabilities (G, n) under each of its G hypotheses, and their weights (G,)."""
    likeness: Array
    """(n, n) between configurations, at most one."""
    usual: Array
    """(n,) probabilities by what others did there."""
    safer: NDArray[np.bool_]
    """(n, n) whether the second has no less of any safe thing than the first, and is like it otherwise."""

    def given(self, where: NDArray[np.int64], fine: NDArray[np.bool_]) -> Array:
        """(n,) probabilities, after runs on those configurations ended well or failed; in their order."""
        weights, beliefs = [], []
        for weight, tables, prior in self.explanations:
            posterior, evidence = prior, weight
            for at, well in zip(where, fine, strict=True):
                chance = tables[:, at] if well else 1 - tables[:, at]
                share = float(posterior @ chance)
                evidence *= share
                posterior = posterior * chance / share
            weights.append(evidence)
            beliefs.append(posterior @ tables)
        evidence = _ALIKE / (1 - _ALIKE)
        alike = np.zeros(len(self.usual))
        well_alike = np.zeros(len(self.usual))
        for at, well in zip(where, fine, strict=True):
            chance = (self.usual[at] + well_alike[at]) / (1 + alike[at])
            evidence *= chance if well else 1 - chance
            alike = alike + _HEED * self.likeness[at]
            well_alike = well_alike + _HEED * self.likeness[at] * well
        weights.append(evidence)
        beliefs.append((self.usual + well_alike) / (1 + alike))
        found = np.array(weights) @ np.array(beliefs) / sum(weights)
        return np.asarray(np.where(self.safer, found[:, None], 0.0).max(axis=0))


def feasibility(safe: Array, kinds: Array, others: Array) -> Feasibility:
    """From safe things (n, m), as logarithms, other columns (n, d), and how others fared (W, n).

    `others` has 1 where a run ended well, 0 where it failed, NaN where there was none; W may be 0.
    O(n (n + W) (m + d)).
    """
    n = len(safe)
    known = np.isfinite(others)
    fared = np.where(known, others, 1.0)
    failures, runs = float((fared == 0).sum()), float(known.sum())
    rate = (failures * 0.25 + _ANYWHERE * _STRENGTH) / (runs + _STRENGTH)
    # A guess for all that do not need anything: at three rates, the middle one the likeliest.
    rates = np.clip(np.array([rate / 3, rate, 4 * rate]), 1e-3, 0.6)
    anywhere = np.repeat(1 - rates[:, None], n, axis=1)
    tables = [anywhere]
    priors = [np.array([0.25, 0.5, 0.25])]
    for column in safe.T:
        if np.ptp(column) > 0:
            tables.append(_thresholds(column, float(rates[1])))
            priors.append(np.full(len(tables[-1]), 1 / len(tables[-1])))
    explanations = _taught(tables, priors, fared, known)
    usual = (fared * known).sum(axis=0) + 4 * (1 - rate)
    alike = matern(kinds, np.full(kinds.shape[1], 0.5)) if kinds.shape[1] else np.eye(n)
    same = np.ones((n, n), np.bool_)
    for column in kinds.T:
        same &= np.isclose(column[:, None], column)
    for column in safe.T:
        same &= column[:, None] <= column + 1e-9
    if not safe.shape[1]:
        same = np.eye(n, dtype=np.bool_)
    return Feasibility(tuple(explanations), alike, usual / (known.sum(axis=0) + 4), same)


def _thresholds(column: Array, rate: float) -> Array:
    """(G, n) probabilities under no threshold, and under one between each two values in turn."""
    values = np.unique(np.round(column, 6))
    if len(values) > 40:
        values = values[np.linspace(0, len(values) - 1, 40).astype(np.int64)]
    grid = np.concatenate([[_NEVER], (values[1:] + values[:-1]) / 2])
    return np.asarray((1 - rate) * expit((column - grid[:, None]) / _SLACK))


def _taught(
    tables: list[Array], priors: list[Array], fared: Array, known: NDArray[np.bool_]
) -> tuple[tuple[float, Array, Array], ...]:
    """Explanations, each weighed by the other workloads that it explains, and one more for what is usual.

    Of those that hold a workload's failures for a matter of a threshold, the weights of the thresholds are
    the mean of the others' posteriors and a prior that counts as one of them.
    """
    shares = np.array([_LIKELY] + [(1 - _LIKELY) / max(len(tables) - 1, 1)] * (len(tables) - 1))
    shares = shares / shares.sum()
    total, beliefs = shares.copy(), [prior.copy() for prior in priors]
    for row, there in zip(fared, known, strict=True):
        if not there.any():
            continue
        evidence, owns = [], []
        for share, table, prior in zip(shares, tables, priors, strict=True):
            chance = np.where(row[there] == 1, table[:, there], 1 - table[:, there])
            log = np.log(prior) + np.log(np.maximum(chance, 1e-12)).sum(axis=1)
            evidence.append(np.log(share) + logsumexp(log))
            owns.append(np.exp(log - logsumexp(log)))
        weights = np.exp(np.array(evidence) - logsumexp(evidence))
        total += weights
        for belief, weight, own in zip(beliefs, weights, owns, strict=True):
            belief += weight * own
    total = total / total.sum()
    return tuple(
        (float(weight), table, belief / belief.sum())
        for weight, table, belief in zip(total, tables, beliefs, strict=True)
    )
