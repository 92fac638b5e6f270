"""Rows of counts on their way into the kernels, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.errors import Misuse

Documents = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""`indptr` (n + 1,), `indices` (nnz,) and counts (nnz,); a word stands in a document once."""


def documents_of(given: Batch | ArrayLike, words: int, source: str) -> Documents:
    """The documents of a batch or matrix (n, words).

    Misuse for another number of words, and for counts that are negative, infinite or not a number. Weights
    multiply the counts.
    """
    batch = given if isinstance(given, Batch) else batch_of(given)
    if batch.features != words:
        raise Misuse(
            f"the documents have {batch.features} words, the vocabulary has {words}",
            source=source,
            field="features",
            fix="Count the words of the same vocabulary in the same order.",
        )
    values = batch.dense if batch.dense is not None else batch.values
    if values is None or values.dtype.kind not in "biuf":
        raise Misuse("counts must be numbers", source=source, field="features", fix="Count words, in rows.")
    found: Any = batch.matrix()
    rows = csr_matrix(found, dtype=np.float32) if batch.dense is not None else found
    if not rows.has_canonical_format:
        rows = rows.copy()  # they are the caller's
        rows.sum_duplicates()
    counts = np.asarray(rows.data, np.float32)
    wrong = ~np.isfinite(counts) | (counts < 0)
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(rows.indptr, at, "right")) - 1
        raise Misuse(
            f"document {row} has word {int(rows.indices[at])} {counts[at]:g} times",
            source=source,
            field="features",
            fix="Counts are 0 or more; drop or fill what is missing.",
        )
    indptr = np.asarray(rows.indptr, np.int64)
    if len(rows.indices) and not 0 <= int(rows.indices.min()) <= int(rows.indices.max()) < words:
        raise Misuse(
            f"there is a column outside of 0 to {words - 1}",
            source=source,
            field="features",
            fix="Number the words of the vocabulary from 0.",
        )
    if batch.weights is not None:
        if not np.all(np.isfinite(batch.weights) & (batch.weights >= 0)):
            raise Misuse(
                "a weight is negative or not finite", source=source, field="weights", fix="Give 0 or more."
            )
        counts = counts * np.repeat(np.asarray(batch.weights, np.float32), np.diff(indptr))
    return indptr, np.asarray(rows.indices, np.int32), counts
