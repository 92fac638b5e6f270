"""Which user rated which item: a row's two columns of numbers, or its two ones among many columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch
from tradewind.errors import Misuse

MOST = 2**53
"""Numbers of users and items are below this: a float64 holds them exactly."""

_EXACT = {4: 2**24, 8: MOST}
"""Up to where floats of that many bytes hold every whole number."""

Ids = NDArray[np.int64]


class Layout(Struct, frozen=True):
    """How a row says who rated what.

    `ids`: the columns `columns` hold the numbers of the user and the item; the others are not read.
    `two_hot`: a one in the columns up to `users`, for the user, and a one behind them, for the item.
    """

    kind: str = "ids"
    columns: tuple[int, int] = (0, 1)
    users: int = 0

    def pairs(self, batch: Batch, source: str) -> tuple[Ids, Ids]:
        """User and item of each row, (n,) each; Misuse, naming the row of the batch, for what is neither."""
        if self.kind == "ids":
            return self._numbers(batch, 0, "user", source), self._numbers(batch, 1, "item", source)
        return self._places(batch, source)

    def check(self, features: int, source: str) -> None:
        """Raise Misuse unless rows of that many features can have this layout."""
        if self.kind == "ids" and max(self.columns) >= features:
            raise Misuse(
                f"there is no column {max(self.columns)} among {features}", source=source, field="columns",
                fix="Name the columns of users and items, numbered from 0.",
            )  # fmt: skip
        if self.kind == "two_hot" and not 0 < self.users < features:
            raise Misuse(
                f"{self.users} columns of users leave none of {features} for items", source=source,
                field="users", fix="Say how many of the columns are users.",
            )  # fmt: skip

    def _numbers(self, batch: Batch, which: int, name: str, source: str) -> Ids:
        column = self.columns[which]
        if batch.dense is not None:
            given = batch.dense[:, column]
        else:
            matrix: Any = batch.matrix()
            given = matrix[:, [column]].toarray()[:, 0]
        values = np.asarray(given, np.float64)
        limit = _EXACT.get(given.dtype.itemsize, MOST) if given.dtype.kind == "f" else MOST
        with np.errstate(invalid="ignore"):
            bad = np.flatnonzero(~((values >= 0) & (values < limit) & (values == np.floor(values))))
        if len(bad):
            value = float(values[bad[0]])
            why = "is no whole number from 0"
            if value == np.floor(value) and value >= limit:
                why = f"is above 2**{limit.bit_length() - 1}, beyond which {given.dtype} skips numbers"
            raise Misuse(
                f"{value:.17g} {why}", source=source, field=f"row {int(bad[0])}: {name}",
                fix="Number users and items from 0.",
            )  # fmt: skip
        return values.astype(np.int64)

    def _places(self, batch: Batch, source: str) -> tuple[Ids, Ids]:
        matrix: Any = csr_matrix(batch.matrix())
        ones = matrix.data != 0
        row = np.repeat(np.arange(len(batch)), np.diff(matrix.indptr))[ones]
        at, values = matrix.indices[ones].astype(np.int64), matrix.data[ones]
        is_user = at < self.users
        users = np.bincount(row[is_user], minlength=len(batch))
        items = np.bincount(row[~is_user], minlength=len(batch))
        bad = np.flatnonzero((users != 1) | (items != 1))
        if len(bad):
            raise Misuse(
                f"{users[bad[0]]} users and {items[bad[0]]} items are marked", source=source,
                field=f"row {int(bad[0])}", fix="Mark one user and one item in each row.",
            )  # fmt: skip
        if (values != 1).any():
            first = int(np.flatnonzero(values != 1)[0])
            raise Misuse(
                f"{values[first]:g} marks column {at[first]}", source=source, field=f"row {int(row[first])}",
                fix="Mark users and items with 1.",
            )  # fmt: skip
        return at[is_user], at[~is_user] - self.users


def check_below(ids: Ids, count: int | None, name: str, source: str) -> None:
    """Raise Misuse, naming the row of the batch, for a number that is not below a stated count."""
    if count is not None and len(ids) and int(ids.max()) >= count:
        row = int(np.flatnonzero(ids >= count)[0])
        raise Misuse(
            f"{int(ids[row])} is not among the {count} {name}s", source=source, field=f"row {row}: {name}",
            fix=f"Give {name}s= as more, or leave it out: then any number will do.",
        )  # fmt: skip
