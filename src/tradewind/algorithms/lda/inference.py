"""The topics of documents when the topics' words are known: the inner loop of learning and of every answer.

Zero-order collapsed variational inference with the topics' words held still (Asuncion et al., UAI 2009,
section 3; Foulds et al., KDD 2013, section 3, whose tokens are taken one by one). What a document's topics
are expected to have given of its words is proportional to `mixture * words`, and the mixture is alpha plus
the sum of that; the two are taken in turn, for all words of a document at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 4
"""Topics are padded to a multiple of it, with words that have probability zero there."""
LEAST = 1e-30
"""Added to the probability of every word, so that padding divides by something."""

Floats = NDArray[np.float32]


def padded(topics: int) -> int:
    """The topics, rounded up to whole lanes."""
    return -(-topics // LANES) * LANES


@njit(cache=True, nogil=True, error_model="numpy")
def infer(
    indptr: Any, places: Any, counts: Any, words: Any, alpha: Any, sweeps: int, tolerance: float,
    mixtures: Any, given: Any, losses: Any,
) -> None:  # fmt: skip
    """Find the mixtures of documents, and add what their topics are expected to have given to `given`.

    Document i has the words `places[indptr[i] : indptr[i + 1]]`, rows of `words` (u, k), `counts` times.
    `alpha` is (k,), 0 for padding. At most `sweeps` sweeps are made, and no more once the mixture moves by
    less than `tolerance` of the document's length. `mixtures` (n, k) takes each document's alpha plus
    expected counts, not normalized. `given` is (u, k), or (0, k) where it is not wanted; `losses` (n,) takes
    the mean -log probability of a document's words. float32 but for `losses`; k is a multiple of LANES.
    O(nnz k sweeps). The order of all sums is fixed.
    """
    topics, real = words.shape[1], np.float32(0)
    for k in range(topics):
        if alpha[k] > 0:
            real += np.float32(1)
    longest = 0
    for i in range(indptr.shape[0] - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    longest = (longest + 3) // 4 * 4
    # a document's rows of `words` and their transpose: each loop below then runs over neighbours, unreduced
    rows = np.zeros((longest, topics), np.float32)
    columns = np.zeros((topics, longest), np.float32)
    likely = np.zeros(longest, np.float32)
    share = np.zeros(longest, np.float32)
    count = np.zeros(longest, np.float32)
    mixture = np.zeros(topics, np.float32)
    moved = np.zeros(topics, np.float32)
    for i in range(indptr.shape[0] - 1):
        first, own = indptr[i], indptr[i + 1] - indptr[i]
        wide = (own + 3) // 4 * 4
        length = np.float32(0)
        for j in range(wide):
            if j < own:
                row = places[first + j]
                count[j] = counts[first + j]
                length += count[j]
                for k in range(topics):
                    rows[j, k] = words[row, k]
            else:
                count[j] = np.float32(0)
                for k in range(topics):
                    rows[j, k] = np.float32(0)
        for k in range(topics):
            mixture[k] = alpha[k]
            if alpha[k] > 0:
                mixture[k] += length / real
            for j in range(wide):
                columns[k, j] = rows[j, k]
        if length > 0:
            for _ in range(sweeps):
                _likely(columns, mixture, wide, likely)
                for j in range(wide):
                    share[j] = count[j] / likely[j]
                for k in range(topics):
                    moved[k] = np.float32(0)
                for j in range(0, wide, 4):
                    a, b, c, d = share[j], share[j + 1], share[j + 2], share[j + 3]
                    for k in range(topics):
                        moved[k] += (rows[j, k] * a + rows[j + 1, k] * b) + (
                            rows[j + 2, k] * c + rows[j + 3, k] * d
                        )
                far = np.float32(0)
                for k in range(topics):
                    new = alpha[k] + mixture[k] * moved[k]
                    far += abs(new - mixture[k])
                    mixture[k] = new
                if far < tolerance * length:
                    break
        losses[i] = 0.0
        if length > 0:
            _likely(columns, mixture, wide, likely)
            total = np.float32(0)
            for k in range(topics):
                total += mixture[k]
            for j in range(own):
                losses[i] -= count[j] * np.log(np.float64(likely[j]) / total)
            losses[i] /= length
            if given.shape[0] > 0:
                for j in range(own):
                    row = places[first + j]
                    part = count[j] / likely[j]
                    for k in range(topics):
                        given[row, k] += part * (rows[j, k] * mixture[k])
        for k in range(topics):
            mixtures[i, k] = mixture[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _likely(columns: Any, mixture: Any, wide: int, likely: Any) -> None:
    """The words' probabilities under a mixture that is not normalized, times its sum."""
    for j in range(wide):
        likely[j] = np.float32(LEAST)
    for k in range(0, mixture.shape[0], 4):
        a, b, c, d = mixture[k], mixture[k + 1], mixture[k + 2], mixture[k + 3]
        for j in range(wide):
            likely[j] += (columns[k, j] * a + columns[k + 1, j] * b) + (
                columns[k + 2, j] * c + columns[k + 3, j] * d
            )


@njit(cache=True, nogil=True, error_model="numpy")
def deal(indptr: Any, indices: Any, counts: Any, known: Any, hidden: Any) -> None:
    """Deal the words of every document into two halves, `known` and `hidden`, both of the shape of `counts`.

    Each single word goes by a bit of a hash of its column, its place among its like and the document's words,
    so that a document is always dealt in the same way, whatever stands beside it. Of a count that is no whole
    number the rest is dealt as one word, of one above 4096 what is more is halved.
    """
    for i in range(indptr.shape[0] - 1):
        salt = np.uint64(0)
        for j in range(indptr[i], indptr[i + 1]):
            salt += _mixed(np.uint64(indices[j]) + np.uint64(1))
        for j in range(indptr[i], indptr[i + 1]):
            half, mine, other = np.float32(0), np.float32(0), np.float32(0)
            left = counts[j]
            if left > 4096:  # what chance would do to so many, without their number of steps
                half = (left - np.float32(4096)) / np.float32(2)
                left = np.float32(4096)
            number = np.uint64(0)
            while left > 0:
                part = min(left, np.float32(1))
                bit = _mixed(salt + _mixed(np.uint64(indices[j])) + number) >> np.uint64(63)
                if bit == np.uint64(0):
                    mine += part
                else:
                    other += part
                left -= part
                number += np.uint64(1)
            known[j], hidden[j] = half + mine, half + other


@njit(cache=True, nogil=True, error_model="numpy")
def _mixed(x: Any) -> Any:
    """The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014, figure 15)."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
