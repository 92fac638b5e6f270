"""From a state's summary to k centres: weighted Lloyd on the centres, then on the rows that were kept.

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 4, reduces K streamed centres to k by
Lloyd's iterations from k-means++. Here each centre weighs what it has counted, and the solution is refined on
the kept rows: a few of the best solutions and one that begins at the rows, then the best of these. The rows
are stratified after sampling (Holt and Smith, JRSS A 1979): those nearest to a streamed centre are moved and
weighted so that together they have its mean and its count. A centre of the solution whose region is made of
whole strata is thus the mean of all rows read, not of the sample.

Last, centres change places where that pays: the one that is missed least goes to the cluster that gains most
by being split, as in breathing k-means (Fritzke, arXiv:2006.15666), with both figures reckoned beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit

from tradewind.algorithms.kmeans.assignment import (
    Doubles,
    Floats,
    Labels,
    nearest,
    squared_distances,
    sums_by_label,
    two_nearest,
)
from tradewind.algorithms.kmeans.seeding import seeds

_ROWS_A_CENTRE = 10
"""Kept rows that a centre needs on the average for the sample to better the summary."""
_SWAPPING_ROUNDS = 3
_SPLITTING_STEPS = 5
_STEPS_BETWEEN = 2
_FINALISTS = 3


class Summary(Struct, frozen=True, eq=False):
    """What a state knows of the rows read."""

    centres: Floats
    """The live centres' means, (L, d)."""
    counts: Doubles
    """Their weights, (L,)."""
    rows: Floats
    """The rows kept, (m, d)."""
    weights: Doubles
    """For how much each of them stands, (m,)."""
    complete: bool
    """Whether all rows read are among them."""

    def most(self, enough: int) -> int:
        """How many clusters it can tell apart: its distinct centres, or kept rows where those are too few."""
        found = len(np.unique(self.centres, axis=0))
        return found if found >= enough else max(found, len(np.unique(self.rows, axis=0)))


class Start(Struct, frozen=True):
    """How Lloyd's iterations are begun and ended; see `KMeans`."""

    method: str
    trials: int
    iterations: int
    tolerance: float


def lloyd(
    rows: Floats, weights: Doubles, places: Floats, iterations: int, tolerance: float
) -> tuple[Floats, Labels, float]:
    """Lloyd's iterations until the loss falls by less than a share `tolerance` of it: O(n d k) each.

    Returns the centres, the rows' labels, and the weighted sum of squared distances to the means of these.
    """
    before = np.inf
    labels = nearest(rows, places)
    for _ in range(iterations):
        sums, squares = sums_by_label(rows, labels, weights, len(places))
        held = sums[:, -1] > 0
        means = sums[held, :-1] / sums[held, -1:]
        places = places.copy()
        places[held] = means
        if not held.all():
            places = _filled(rows, weights, places, labels, np.flatnonzero(~held))
        loss = max(float(squares.sum() - np.sum(means * means * sums[held, -1:])), 0.0)
        if before - loss <= tolerance * loss:
            break
        before = loss
        labels = nearest(rows, places)
    return places, labels, loss


def _filled(rows: Floats, weights: Doubles, places: Floats, labels: Labels, empty: Any) -> Floats:
    """The centres, those that are `empty` put where a row is farthest from its own."""
    far = squared_distances(rows, places, labels) * weights
    for centre in empty:
        at = int(far.argmax())
        if far[at] <= 0:
            break
        places[centre] = rows[at]
        far[(rows == rows[at]).all(axis=1)] = 0
    return places


def solved(summary: Summary, k: int, start: Start, chance: np.random.Generator) -> tuple[Floats, Doubles]:
    """k centres (k, d) of a summary of at least k, and the weight of each, (k,)."""
    centres, counts = summary.centres, summary.counts
    starts, enough = [centres], summary.complete or len(summary.rows) >= _ROWS_A_CENTRE * k
    tries = 2 + int(np.log(k))
    if k > len(np.unique(centres, axis=0)):
        starts, enough = [seeds("k-means++", summary.rows, summary.weights, k, chance, tries)], True
    elif k < len(centres):
        trials = []
        for _ in range(start.trials):
            first = seeds(start.method, centres, counts, k, chance, tries)
            trials.append(lloyd(centres, counts, first, start.iterations, start.tolerance))
        starts = [each[0] for each in sorted(trials, key=lambda each: each[2])]
    if not enough:
        labels = nearest(centres, starts[0])
        return starts[0], sums_by_label(centres, labels, counts, k)[0][:, -1]
    rows, weights = (summary.rows, summary.weights) if summary.complete else stratified(summary)
    steps = min(_STEPS_BETWEEN, start.iterations)
    if len(starts) > 1:
        some = [*starts[:_FINALISTS], seeds(start.method, rows, weights, k, chance, tries)]
        starts = [min((lloyd(rows, weights, each, steps, 0.0) for each in some), key=lambda each: each[2])[0]]
    places = starts[0]
    for _ in range(_SWAPPING_ROUNDS if k > 1 else 0):
        places, _, loss = lloyd(rows, weights, places, steps, start.tolerance)
        moved = swapped(rows, weights, places)
        if moved is None:
            break
        found, _, less = lloyd(rows, weights, moved, steps, start.tolerance)
        if less >= loss:
            break
        places = found
    places, labels, _ = lloyd(rows, weights, places, start.iterations, start.tolerance)
    return places, sums_by_label(rows, labels, weights, len(places))[0][:, -1]


def stratified(summary: Summary) -> tuple[Floats, Doubles]:
    """The kept rows and their weights, so that each stratum has its centre's mean and count.

    A centre without a kept row stands for its stratum itself.
    """
    labels = nearest(summary.rows, summary.centres)
    sums, _ = sums_by_label(summary.rows, labels, summary.weights, len(summary.centres))
    there = sums[:, -1] > 0
    held = np.where(there, sums[:, -1], 1.0)
    moved = summary.centres - sums[:, :-1] / held[:, None]
    rows = (summary.rows + moved[labels]).astype(np.float32)
    weights = summary.weights * (summary.counts / held)[labels]
    return (
        np.concatenate([rows, summary.centres[~there]]),
        np.concatenate([weights, summary.counts[~there]]),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _halve(
    rows: Any, weights: Any, order: Any, bounds: Any, places: Any, steps: Any, halves: Any, gains: Any
) -> None:
    """Two centres for each cluster's own rows, and by how much they lower its loss.

    They begin at the row farthest from the centre and the one farthest from that.
    """
    d = rows.shape[1]
    sums = np.empty((2, d + 1))
    for c in range(places.shape[0]):
        gains[c] = 0.0
        if bounds[c + 1] - bounds[c] < 2:
            continue
        before = 0.0
        for turn in range(2):
            far, at = -1.0, order[bounds[c]]
            for n in range(bounds[c], bounds[c + 1]):
                total = 0.0
                for j in range(d):
                    from_ = places[c, j] if turn == 0 else halves[c, 0, j]
                    gap = rows[order[n], j] - from_
                    total += gap * gap
                if turn == 0:
                    before += total * weights[order[n]]
                if total > far:
                    far, at = total, order[n]
            for j in range(d):
                halves[c, turn, j] = rows[at, j]
        after = before
        for _ in range(steps):
            after = 0.0
            sums[:] = 0.0
            for n in range(bounds[c], bounds[c + 1]):
                i = order[n]
                one, two = 0.0, 0.0
                for j in range(d):
                    a, b = rows[i, j] - halves[c, 0, j], rows[i, j] - halves[c, 1, j]
                    one += a * a
                    two += b * b
                side = 0 if one <= two else 1
                after += min(one, two) * weights[i]
                sums[side, d] += weights[i]
                for j in range(d):
                    sums[side, j] += weights[i] * rows[i, j]
            for side in range(2):
                if sums[side, d] > 0:
                    for j in range(d):
                        halves[c, side, j] = sums[side, j] / sums[side, d]
        gains[c] = before - after


def swapped(rows: Floats, weights: Doubles, places: Floats) -> Floats | None:
    """Centres of which some have moved to where they lower the loss by more than they are missed; or None."""
    count = len(places)
    labels, first, second = two_nearest(rows, places)
    missed = np.bincount(labels, (second - first) * weights, count)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count + 1))
    halves, gains = np.zeros((count, 2, places.shape[1])), np.zeros(count)
    _halve(rows, weights, order, bounds, places, _SPLITTING_STEPS, halves, gains)
    moved = places.copy()
    split = np.argsort(-gains, kind="stable")
    gone = list(np.argsort(missed, kind="stable"))
    used: set[int] = set()
    for centre in split[: count // 2]:
        if centre in used:
            continue
        spare = next((each for each in gone if each not in used and each != centre), None)
        if spare is None or gains[centre] <= missed[spare]:
            break
        moved[centre], moved[spare] = halves[centre]
        used |= {int(centre), int(spare)}
    return moved if used else None
