"""Synthetic ratings in the shape of MovieLens with context, with a known truth.

Each row has a user, an item, a day of the week, an hour and a genre, five indicators in all. Half of the
users and seven items in ten are drawn by Zipf's law, the others evenly. The rating is a sum of biases and of
the products of hidden factors of rank eight over all pairs of the five, with noise of 0.8, between 1 and 5 in
steps of 0.1. The data is generated, not GroupLens's: nothing measured on it is a claim about theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USERS, ITEMS, CONTEXTS, RANK = 20_000, 8_000, (7, 24, 18), 8
LOW, HIGH = 1.0, 5.0


@dataclass(frozen=True)
class Ratings:
    """Rows as the columns of their five ones (n, 5), their ratings, and what these are without noise."""

    indices: NDArray[np.int32]
    ratings: NDArray[np.float32]
    truth: NDArray[np.float64]
    features: int

    def __len__(self) -> int:
        return len(self.ratings)

    def part(self, start: int, stop: int) -> Ratings:
        """The rows from `start` up to `stop`."""
        return Ratings(
            self.indices[start:stop], self.ratings[start:stop], self.truth[start:stop], self.features
        )


def generate(rows: int = 600_000, *, seed: int = 7) -> Ratings:
    """Draw `rows` rows; the same seed gives the same rows."""
    chance = np.random.default_rng(seed)

    def drawn(count: int, evenly: float) -> NDArray[np.int64]:
        rank = np.minimum(np.floor(np.exp(chance.random(rows) * np.log(count + 1))) - 1, count - 1)
        even = chance.random(rows) < evenly
        rank[even] = chance.integers(0, count, int(even.sum()))
        return np.asarray(chance.permutation(count)[rank.astype(np.int64)])

    fields = [drawn(USERS, 0.5), drawn(ITEMS, 0.3), *(chance.integers(0, each, rows) for each in CONTEXTS)]
    sizes = np.array([USERS, ITEMS, *CONTEXTS])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    indices = np.stack([field + start for field, start in zip(fields, starts, strict=True)], axis=1)
    features = int(sizes.sum())
    biases, factors = chance.normal(0, 0.35, features), chance.normal(0, 1, (features, RANK))
    biases[starts[2] :] *= 0.3
    factors[starts[2] :] *= 0.5
    sums, squares, score = np.zeros((rows, RANK)), np.zeros((rows, RANK)), np.zeros(rows)
    for column in indices.T:
        sums += factors[column]
        squares += factors[column] ** 2
        score += biases[column]
    pairs = (sums * sums - squares).sum(axis=1)
    truth = 3.5 + score + 0.6 * pairs / pairs.std()
    ratings = np.clip(truth + chance.normal(0, 0.8, rows), LOW, HIGH).round(1)
    return Ratings(indices.astype(np.int32), ratings.astype(np.float32), np.clip(truth, LOW, HIGH), features)


def rmse(truth: NDArray[np.floating], answers: NDArray[np.floating]) -> float:
    """Root mean square error of answers held between the lowest and the highest rating."""
    held = np.clip(np.asarray(answers, np.float64), LOW, HIGH)
    return float(np.sqrt(np.mean((held - truth) ** 2)))
