"""The leading directions of a matrix of which only products with a few vectors are known.

- Tropp, Yurtsever, Udell and Cevher, Fixed-rank approximation of a positive-semidefinite matrix from
  streaming data, NeurIPS 2017, section 3: the Nystrom approximation A K (K'A K)^-1 (A K)'.
- Musco and Musco, Randomized block Krylov methods, NeurIPS 2015: the bases of all passes count, not only the
  last one's.
- Epperly, Tropp and Webber, XTrace, SIAM J. Matrix Analysis 2024, section 2: what was left out of an
  approximation is estimated by leaving out each test vector in turn.

A is (d, d), symmetric and positive semi-definite; it is never formed. O(d r^2) time for r vectors in all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_UNEVEN = 1e-7
"""An asymmetry above this, as a share, is no rounding."""
_DEPENDENT = 1e-5
"""A direction whose singular value is below this share of the largest is one that others already span."""
_NOTHING = 1e-13
"""An eigenvalue below this share of the largest is rounding."""


class Approximation(Struct, frozen=True, eq=False):
    """The leading directions of A, and how much of A's trace they hold."""

    vectors: Matrix
    """(d, k), orthonormal, by falling value."""
    values: Matrix
    """(k,), the quadratic forms of the Nystrom approximation; never above those of A."""
    captured: float
    """An estimate of the sum of A's quadratic forms along `vectors`."""
    error: float
    """The standard error of `captured`; zero where it is exact. After several passes, when there is nothing
    to leave out, the size of what the estimate adds to `at_least`."""

    @property
    def at_least(self) -> float:
        """What `vectors` capture at the least."""
        return float(self.values.sum())


def signs(seed: int, features: int, columns: int) -> Matrix:
    """Test vectors (features, columns) of random signs."""
    bits = np.random.Generator(np.random.Philox(seed)).integers(0, 2, (features, columns), np.int8)
    return bits * 2.0 - 1.0


def basis_of(product: Matrix) -> Matrix:
    """An orthonormal basis (d, l) of the columns' span, which changes little where the columns do."""
    q, r = np.linalg.qr(product)
    return np.asarray(q * np.where(np.diagonal(r) < 0, -1.0, 1.0))


def of_one_matrix(
    bases: Sequence[Matrix], products: Sequence[Matrix], weights: Sequence[float] | Matrix
) -> list[int]:
    """Those of the products that can all be a symmetric A times their basis, each (d, l), in their order.

    Where they disagree, because rows are missing from some or were multiplied with another basis, those of
    the greatest weight stay. What `approximate` does with all of them is not stable against that.
    """

    def agree(one: int, other: int) -> bool:
        core, back = bases[one].T @ products[other], products[one].T @ bases[other]
        return float(np.abs(core - back).max(initial=0.0)) <= _UNEVEN * float(np.abs(core).max(initial=0.0))

    chosen: list[int] = []
    for each in sorted(range(len(bases)), key=lambda number: (-weights[number], number)):
        if agree(each, each) and all(agree(each, other) for other in chosen):
            chosen.append(each)
    return sorted(chosen) or [0]


def approximate(bases: Sequence[Matrix], products: Sequence[Matrix], trace: float, k: int) -> Approximation:
    """The k leading directions of A from `products[i]` = A `bases[i]`, each (d, l), and A's trace."""
    d = len(bases[0])
    span, image = _orthonormal(np.hstack(bases), np.hstack(products))
    half = image @ _inverse_root(span.T @ image)
    vectors, roots, _ = np.linalg.svd(half, full_matrices=False)
    rank = int((roots > _NOTHING * max(roots[0], 1e-300)).sum()) if len(roots) else 0
    vectors, values = _completed(vectors[:, : min(k, rank)], k), np.zeros(k)
    values[: min(k, rank)] = roots[: min(k, rank)] ** 2
    lower = float(values.sum())
    if span.shape[1] == d or trace <= 0:
        return Approximation(vectors, values, lower, 0.0)
    left = max(trace - float((roots**2).sum()), 0.0)
    if bases[0].shape[1] == 1 and len(bases) == 1:
        captured, error = lower, left  # one vector leaves nothing to compare with
    elif len(bases) == 1:
        captured, error = _left_out(bases[0], products[0], lower, k)
    else:
        # what the approximation lacks lies across `span`; how it lies there nobody knows, so: evenly
        across = vectors - span @ (span.T @ vectors)
        captured = lower + float((across * across).sum()) * left / (d - span.shape[1])
        error = captured - lower
    return Approximation(vectors, values, float(np.clip(captured, lower, min(lower + left, trace))), error)


def _orthonormal(basis: Matrix, product: Matrix) -> tuple[Matrix, Matrix]:
    """An orthonormal basis of the same span, without what depends on the rest, and A times it."""
    basis = np.asarray(basis, np.float64)
    u, s, v = np.linalg.svd(basis, full_matrices=False)
    kept = s > _DEPENDENT * s[0]
    return u[:, kept], product @ (v[kept].T / s[kept])


def _inverse_root(core: Matrix) -> Matrix:
    """W with W W' the pseudo-inverse of the symmetric part of `core`; (r, 0) where that is zero."""
    values, vectors = np.linalg.eigh((core + core.T) / 2)
    kept = values > _NOTHING * values.max(initial=0.0)
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]))


def _completed(vectors: Matrix, k: int) -> Matrix:
    """`vectors` and as many more directions across them as make k."""
    missing = k - vectors.shape[1]
    if not missing:
        return vectors
    d = len(vectors)
    # coordinate axes that the vectors hold least of, made orthonormal to them
    axes = np.zeros((d, missing))
    axes[np.argsort((vectors * vectors).sum(axis=1), kind="stable")[:missing], np.arange(missing)] = 1.0
    return np.asarray(np.linalg.qr(np.hstack([vectors, axes]))[0])


def _left_out(basis: Matrix, product: Matrix, lower: float, k: int) -> tuple[float, float]:
    """What k directions capture, estimated with each test vector left out in turn, and its standard error.

    `lower` is what they capture at the least when none is left out. All of it happens in the (l, l) products:
    O(l^4).
    """
    core, square = basis.T @ product, product.T @ product
    core = (core + core.T) / 2
    gaps, bounds = [], []
    for i in range(len(core)):
        others = np.delete(np.arange(len(core)), i)
        root = _inverse_root(core[np.ix_(others, others)])
        inner = square[np.ix_(others, others)]
        values, vectors = np.linalg.eigh(root.T @ inner @ root)
        values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
        kept = values > _NOTHING * values.max(initial=0.0)
        values, vectors = values[kept], vectors[:, kept]
        out = root @ (vectors / np.sqrt(values))
        along = out.T @ core[others, i]
        whole = out.T @ square[others, i]
        known = out.T @ (inner @ (root @ (root.T @ core[others, i])))
        gaps.append(float(along @ (whole - known)))
        bounds.append(float(values.sum()))
    # a vector fewer captures a little less, and the gap below it is a little wider: the two nearly cancel
    captured = float(np.mean(gaps)) + (lower + float(np.mean(bounds))) / 2
    # the terms share all but one of their vectors, so they scatter less than the estimate errs: half as much,
    # over spectra from flat to steep
    return captured, 2 * float(np.std(gaps)) / float(np.sqrt(len(gaps)))
