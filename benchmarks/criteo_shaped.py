"""Synthetic rows in the shape of the Criteo click log, with a known truth.

Each row has 13 dense features (columns 0 to 12: logarithms of counts, skewed, not scaled) and 26 categorical
ones whose values follow Zipf's law over vocabularies of 3 to a million and are hashed to the other columns,
39 non-zeros in all. Labels are drawn from a logistic model whose weights are known; 26 % are positive. The
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


def generate(rows: int = 300_000, features: int = 2**19, *, seed: int = 7) -> Rows:
    """Draw `rows` rows; the same seed gives the same rows."""
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
    score -= _intercept_for(score, 0.26)
    truth = 1 / (1 + np.exp(-score))
    labels = (chance.random(rows) < truth).astype(np.float32)
    indptr = np.arange(rows + 1, dtype=np.int64) * width
    return Rows(indptr, indices.ravel(), values.ravel(), labels, truth, features)


def train_and_test(rows: int = 300_000, features: int = 2**19, *, seed: int = 7) -> tuple[Rows, Rows]:
    """Five rows in six to learn from, the rest to test on: 250,000 and 50,000."""
    drawn = generate(rows, features, seed=seed)
    cut = rows * 5 // 6
    return drawn.part(0, cut), drawn.part(cut, rows)


def log_loss(labels: NDArray[np.float32], probabilities: NDArray[np.floating]) -> float:
    """Mean negative log-likelihood, probabilities clipped to 1e-7 from zero and one."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels > 0.5, np.log(p), np.log1p(-p))))


def _intercept_for(score: NDArray[np.float64], share: float) -> float:
    """What to subtract from `score` so that `share` of the labels are expected positive."""
    low, high = score.min() - 10, score.max() + 10
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(middle - score))) > share else (low, middle)
    return float(low)
