"""What a row would show in columns where it was not measured, from other rows: biases and latent factors.

    r_ac = mean + b_a + b_c + p_a . q_c

of which mean, biases and factors are those that minimise the squared error over what was measured plus
`penalty` times the squares of biases and factors, found by alternating least squares (Koren, Bell and
Volinsky, "Matrix factorization techniques for recommender systems", IEEE Computer 42(8), 2009). Selecta
(Klimovic et al., ATC 2018) and Quasar (Delimitrou and Kozyrakis, ASPLOS 2014) use the like, rows being
workloads and columns configurations: a new workload is measured in two or three columns, and its row is
solved with the columns as they are.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

Floats = NDArray[np.float64]


class LatentFactors(Struct, frozen=True, eq=False):
    """A fitted model of a table of n rows and m columns."""

    mean: float
    penalty: float
    row_biases: Floats
    """(n,)"""
    row_factors: Floats
    """(n, rank)"""
    column_biases: Floats
    """(m,)"""
    column_factors: Floats
    """(m, rank)"""
    losses: tuple[float, ...]
    """What is minimised, after each round; it never rises."""

    def table(self) -> Floats:
        """(n, m) every entry, measured or not, as the model has it."""
        found: Floats = (
            self.mean
            + self.row_biases[:, None]
            + self.column_biases
            + self.row_factors @ self.column_factors.T
        )
        return found

    def row(self, measured: ArrayLike) -> Floats:
        """(m,) the entries of a new row of which `measured` (m,) has some, and NaN for the others.

        Its bias and factors are those that minimise the same as above, columns kept. Raises Misuse where the
        row has another length or an entry is infinite; of a row without any entry the column biases are said.
        """
        row = np.asarray(measured, np.float64)
        if row.shape != self.column_biases.shape or np.isinf(row).any():
            raise Misuse(
                f"a row of shape {row.shape}, or with an infinity", field="measured",
                fix=f"Give {len(self.column_biases)} numbers, NaN where nothing was measured.",
            )  # fmt: skip
        known = np.isfinite(row)
        base = self.mean + self.column_biases
        bias, factors = _solved(row[known] - base[known], self.column_factors[known], self.penalty)
        found: Floats = base + bias + self.column_factors @ factors
        return found


def latent_factors(
    table: ArrayLike, *, rank: int = 2, penalty: float = 0.1, rounds: int = 30, seed: int = 0
) -> LatentFactors:
    """Fit a table (n, m), NaN where nothing was measured; take logarithms first of what has ratios.

    O(rounds n m rank**2). Equal arguments give equal models. Raises Misuse for a table without entries or
    with infinities, and for arguments out of range.
    """
    known_table = np.asarray(table, np.float64)
    if known_table.ndim != 2 or np.isinf(known_table).any() or not np.isfinite(known_table).any():
        raise Misuse(
            "no table of numbers", field="table", fix="Give rows and columns, NaN where not measured."
        )
    if rank < 0 or rounds < 1 or not 0 < penalty < math.inf:
        raise Misuse(
            f"rank {rank!r}, {rounds!r} rounds, penalty {penalty!r}", field="rank",
            fix="Give a rank of 0 or more, a round or more, and a penalty above 0.",
        )  # fmt: skip
    known = np.isfinite(known_table)
    mean = float(known_table[known].mean())
    rest = np.where(known, known_table - mean, 0.0)
    rows, columns = rest.shape
    chance = np.random.default_rng(seed)
    row_biases, column_biases = np.zeros(rows), np.zeros(columns)
    row_factors = np.zeros((rows, rank))
    column_factors = 0.1 * chance.standard_normal((columns, rank))
    losses = []
    for _ in range(rounds):
        for at in range(rows):
            there = known[at]
            row_biases[at], row_factors[at] = _solved(
                rest[at, there] - column_biases[there], column_factors[there], penalty
            )
        for at in range(columns):
            there = known[:, at]
            column_biases[at], column_factors[at] = _solved(
                rest[there, at] - row_biases[there], row_factors[there], penalty
            )
        error = rest - row_biases[:, None] - column_biases - row_factors @ column_factors.T
        squares = sum(
            float((each**2).sum()) for each in (row_biases, column_biases, row_factors, column_factors)
        )
        losses.append(float((error[known] ** 2).sum()) + penalty * squares)
    return LatentFactors(mean, penalty, row_biases, row_factors, column_biases, column_factors, tuple(losses))


def _solved(residuals: Floats, factors: Floats, penalty: float) -> tuple[float, Floats]:
    """The bias and the factors of one row or column against the others': ridge regression."""
    against = np.column_stack([np.ones(len(residuals)), factors])
    width = against.shape[1]
    found: Floats = np.asarray(
        np.linalg.solve(against.T @ against + penalty * np.eye(width), against.T @ residuals), np.float64
    )
    return float(found[0]), found[1:]
