"""Rows to learn from and rows to test on, parted by a hash: a row's side depends on the row and a seed alone.

So it stays on its side when the data is read again, reordered, or grows, and rows that are equal, or equal in
a key column, are all on one side: no user of the test rows was learned from, if the key is the user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, ValidationError, convert
from msgspec.json import encode
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.mixing import number_hashes, row_hashes
from tradewind.data.schemas import column_index
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.data.tables import Table
from tradewind.errors import Misuse, suggestion

SIDES = ("train", "test")

_BLOCK = 10_000
"""Rows that are parted at a time."""


class Split(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows are on a side."""

    test: float
    """The share of the rows, or of the keys, that are test rows; on average."""
    side: str = "train"
    """`train` or `test`."""
    seed: int = 0
    """Another seed parts them otherwise."""
    key: str | int | None = None
    """The column that decides, by name, or by number among the features; None for the whole row without its
    label and weight."""

    def check(self) -> None:
        """Raise Misuse for what cannot be meant."""
        if not 0 < self.test < 1:
            raise Misuse(f"{self.test} is no share", field="split.test", fix="Give a number between 0 and 1.")
        if self.side not in SIDES:
            raise Misuse(f"{self.side!r} is no side", field="split.side", fix="Give train or test.")

    def mask(self, batch: Batch, columns: tuple[str, ...] = (), source: str = "") -> NDArray[np.bool_]:
        """Which rows of a batch are on the side, (n,); `columns` names its features."""
        self.check()
        hashes = self._hashes(batch, columns, source)
        bound = np.uint64(min(int(self.test * 2.0**64), 2**64 - 1))
        test = hashes < bound
        return test if self.side == "test" else ~test

    def _hashes(self, batch: Batch, columns: tuple[str, ...], source: str) -> NDArray[np.uint64]:
        matrix: Any = batch.matrix()
        if self.key is not None:
            names = columns or tuple(str(place) for place in range(batch.features))
            if isinstance(self.key, str) and not columns:
                raise Misuse(
                    f"the columns have no names to find {self.key!r} in", source=source, field="split.key",
                    fix="Give the column's number.",
                )  # fmt: skip
            place = column_index(self.key, names, source, "split.key")
            if batch.sparse:
                values = matrix[:, [place]].toarray()[:, 0].astype(np.float64)
            else:
                values = np.asarray(matrix[:, place], np.float64)
            return number_hashes(values, self.seed)
        if batch.sparse:
            assert batch.indptr is not None and batch.indices is not None and batch.values is not None
            return row_hashes(batch.indptr, batch.indices, batch.values, self.seed)
        n, d = len(batch), batch.features
        indptr = np.arange(n + 1, dtype=np.int64) * d
        indices = np.tile(np.arange(d, dtype=np.int32), n)
        return row_hashes(indptr, indices, np.asarray(batch.dense).reshape(-1), self.seed)


def split_of(given: Mapping[str, Any]) -> Split:
    """The split that a table of a spec describes; Misuse for an unknown or wrong field."""
    for name in given:
        if name not in Split.__struct_fields__:
            fix = suggestion(name, Split.__struct_fields__)
            raise Misuse(f"a split takes no {name!r}", field=f"split.{name}", fix=fix)
    try:
        made = convert(dict(given), Split)
    except ValidationError as problem:
        raise Misuse(str(problem), field="split", fix="Give test, and side, seed or key.") from None
    made.check()
    return made


def split(data: StoredData | StreamedData, where: Split) -> StoredData | StreamedData:
    """The rows of `data` on one side; stored rows are copied, streamed ones left out as they come by.

    Misuse if no row is on that side.
    """
    where.check()
    if isinstance(data, StoredData):
        return _stored(data, where)
    return SplitStream(data, where)


def _stored(data: StoredData, where: Split) -> StoredData:
    table = data.table
    whole = table.batch
    masks = [
        where.mask(whole.rows(at, min(at + _BLOCK, len(whole))), table.columns, data.name)
        for at in range(0, len(whole), _BLOCK)
    ]
    kept = np.flatnonzero(np.concatenate(masks))
    if not len(kept):
        raise _none(data.name, where)
    lines = None if table.lines is None else table.lines[kept]
    return StoredData(Table(data.name, taken(whole, kept), table.columns, table.classes, lines))


def _none(name: str, where: Split) -> Misuse:
    return Misuse(
        f"none of the rows is on the side {where.side}", source=name, field="split.test",
        fix="Give another share or seed, or more rows.",
    )  # fmt: skip


def taken(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """Some rows of a batch, copied, in the order asked."""
    labels = None if batch.labels is None else batch.labels[rows]
    weights = None if batch.weights is None else batch.weights[rows]
    matrix: Any = batch.matrix()
    return batch_of(matrix[rows], labels, weights)


class SplitStream(StreamedData):
    """One side of a stream's rows. It reopens if the stream does."""

    def __init__(self, data: StreamedData, where: Split) -> None:
        self._whole, self._where = data, where
        items = self._kept if data.reopens else self._kept()
        try:
            super().__init__(items, data.name, gaps=True)  # the stream has checked its rows
        except Misuse as problem:
            if "no rows" in str(problem):
                raise _none(data.name, where) from None
            raise
        self.schema = data.schema

    def _kept(self) -> Iterator[Batch]:
        for batch in self._whole.part(0, 1, _BLOCK).batches():
            kept = np.flatnonzero(self._where.mask(batch, self._whole.schema.columns, self.name))
            if len(kept):
                yield taken(batch, kept)

    def digest(self) -> str:
        """Hexadecimal digest of the schema and of the split."""
        known = hashlib.blake2b(self._whole.digest().encode() + encode(self._where), digest_size=16)
        return known.hexdigest()
