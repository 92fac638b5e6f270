"""Synthetic rows in the shape of the Criteo click log, with a known truth.

Each row has 13 dense features (columns 0 to 12: logarithms of counts, skewed, not scaled) and 26 categorical
ones whose values follow Zipf's law over vocabularies of 3 to a million and are hashed to the other columns,
39 non-zeros in all. Labels are drawn from a logistic model whose weights are known; 26 % are positive.
Where interactions are asked for, pairs of features add the products of their hidden factors to the score. The
data is generated, not Criteo's: nothing measured on it is a claim about theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DENSE = 13
VOCABULARIES = (
    1460, 583, 1_000_000, 500_000, 305, 24, 12_517, 633, 3, 93_145, 5683, 800_000, 3194,
    27, 14_992, 600_000, 10, 5652, 2173, 4, 700_000, 18, 15, 286_181, 105, 142_572,
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Sparse rows, their labels (0.0 or 1.0) and the probabilities that those were drawn from."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    labels: NDArray[np.float32]
    truth: NDArray[np.float64]
    features: int

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> Rows:
        """The rows from `start` up to `stop`, as arrays of their own."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        return Rows(
            self.indptr[start : stop + 1] - first,
            self.indices[first:last].copy(),
            self.values[first:last].copy(),
            self.labels[start:stop].copy(),
            self.truth[start:stop].copy(),
            self.features,
        )


def generate(
    rows: int = 300_000, features: int = 2**19, *, seed: int = 7, interactions: float = 0.0, hidden: int = 4
) -> Rows:
    """Draw `rows` rows; the same seed gives the same rows.

    `interactions` is the deviation of what the pairs of features add to the score, by `hidden` factors each.
    """
    chance = np.random.default_rng(seed)
    width = DENSE + len(VOCABULARIES)
    indices = np.empty((rows, width), np.int32)
    values = np.ones((rows, width), np.float32)
    indices[:, :DENSE] = np.arange(DENSE)
    spreads = np.linspace(0.5, 1.6, DENSE)
    counts = np.floor(np.exp(chance.normal(1.0, 1.0, (rows, DENSE)) * spreads))
    values[:, :DENSE] = np.log1p(counts) + 0.05  # never zero, so that every row has 39 non-zeros
    for field, vocabulary in enumerate(VOCABULARIES):
        # the inverse of Zipf's distribution function with exponent one, to within rounding
        rank = np.floor(np.exp(chance.random(rows) * np.log(vocabulary + 1))).astype(np.uint64)
        salt = np.uint64((field + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mixed = (rank + salt) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
        bucket = (mixed >> np.uint64(33)) % np.uint64(features - DENSE)
        indices[:, DENSE + field] = DENSE + bucket.astype(np.int64)
    weights = chance.normal(0.0, 0.42, features)
    weights[:DENSE] = chance.normal(0.0, 0.12, DENSE)
    score = np.zeros(rows)
    for column in range(width):
        score += weights[indices[:, column]] * values[:, column]
    if interactions:
        score += interactions * _pairs(indices, values, features, hidden, chance)
    score -= _intercept_for(score, 0.26)
    truth = 1 / (1 + np.exp(-score))
    labels = (chance.random(rows) < truth).astype(np.float32)
    indptr = np.arange(rows + 1, dtype=np.int64) * width
    return Rows(indptr, indices.ravel(), values.ravel(), labels, truth, features)


def train_and_test(
    rows: int = 300_000, features: int = 2**19, *, seed: int = 7, interactions: float = 0.0
) -> tuple[Rows, Rows]:
    """Five rows in six to learn from, the rest to test on: 250,000 and 50,000."""
    drawn = generate(rows, features, seed=seed, interactions=interactions)
    cut = rows * 5 // 6
    return drawn.part(0, cut), drawn.part(cut, rows)


def log_loss(labels: NDArray[np.float32], probabilities: NDArray[np.floating]) -> float:
    """Mean negative log-likelihood, probabilities clipped to 1e-7 from zero and one."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels > 0.5, np.log(p), np.log1p(-p))))


def _pairs(
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    features: int,
    hidden: int,
    chance: np.random.Generator,
) -> NDArray[np.float64]:
    """The sum over pairs of a row's features of value times value times their factors' product, deviation 1.

    Fields of more than 20,000 values interact a tenth as strongly: hardly any of their values is seen twice.
    """
    factors = chance.normal(0.0, 1.0, (features, hidden)).astype(np.float32)
    strength = [0.3] * DENSE + [1.0 if each <= 20_000 else 0.1 for each in VOCABULARIES]
    sums, squares = np.zeros((len(indices), hidden)), np.zeros((len(indices), hidden))
    for column in range(indices.shape[1]):
        part = factors[indices[:, column]] * values[:, column, None] * strength[column]
        sums += part
        squares += part * part
    found = (sums * sums - squares).sum(axis=1) / 2
    return np.asarray((found - found.mean()) / found.std())


def _intercept_for(score: NDArray[np.float64], share: float) -> float:
    """What to subtract from `score` so that `share` of the labels are expected positive."""
    low, high = score.min() - 10, score.max() + 10
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(middle - score))) > share else (low, middle)
    return float(low)
