"""Data that comes by: an iterable of rows or batches, read on, never held in full.

A source that can be opened again (a callable that returns an iterator) is read by each part for itself, which
passes over the blocks of the others: it has epochs, and any cursor can be reached. A stream that cannot is
read once, for all parts of the process together; a part that is given to a new host can go back over its last
few batches, and no further.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.data.cursors import check_reading
from tradewind.data.interface import Part
from tradewind.data.schemas import Labels, Schema, check_labels
from tradewind.data.tables import Table, check_finite, concatenate
from tradewind.errors import Misuse, Temporary


def as_batch(item: Any, name: str, labelled: bool | None) -> Batch:
    """A batch of what an iterable gave: a Batch, (X, y), (X, y, weights), X; or one row of such."""
    if isinstance(item, Batch):
        return item
    parts = item if isinstance(item, tuple) and len(item) in (2, 3) and labelled is not False else (item,)
    features = parts[0]
    if hasattr(features, "tocsr"):
        labels = np.atleast_1d(np.asarray(parts[1])) if len(parts) > 1 else None
        weights = np.atleast_1d(np.asarray(parts[2])) if len(parts) > 2 else None
        return batch_of(features, labels, weights)
    try:
        dense = np.asarray(features, None)
    except ValueError:
        raise Misuse("a ragged row or batch", source=name, fix="Give each row the same features.") from None
    if dense.ndim not in (1, 2):
        raise Misuse(
            f"an array of {dense.ndim} dimensions",
            source=name,
            fix="Give rows (d,) or batches (n, d), with labels.",
        )
    if dense.dtype.kind not in "fiub":
        raise Misuse(
            f"features of type {dense.dtype}", source=name, field="X", fix="Encode the features as numbers."
        )
    if dense.dtype.kind != "f" or dense.dtype.itemsize < 4:
        dense = dense.astype(np.float64 if dense.dtype.kind != "f" else np.float32)
    matrix = np.atleast_2d(dense)
    labels = np.atleast_1d(np.asarray(parts[1])) if len(parts) > 1 else None
    weights = np.atleast_1d(np.asarray(parts[2], np.float32)) if len(parts) > 2 else None
    for field, numbers in (("y", labels), ("weights", weights)):
        if numbers is not None and numbers.shape != (len(matrix),):
            raise Misuse(
                f"shape {numbers.shape} for {len(matrix)} rows",
                source=name,
                field=field,
                fix="Give one for each row.",
            )
    if labels is not None and labels.dtype.kind in "iub":
        labels = labels.astype(np.float64)
    return batch_of(matrix, labels, weights)


class _Blocks:
    """Cuts whatever an iterator gives into checked blocks of `size` rows; the last may be shorter."""

    def __init__(
        self, items: Iterator[Any], name: str, schema: Schema | None, size: int, gaps: bool = False
    ) -> None:
        self._items, self._name, self._schema, self._size = items, name, schema, size
        self._gaps = gaps
        self._held: list[Batch] = []
        self._count = 0
        self._seen = 0

    def _take(self) -> bool:
        for item in self._items:
            batch = as_batch(item, self._name, None if self._schema is None else self._schema.labelled)
            self._schema = check_rows(batch, self._name, self._schema, self._seen, self._gaps)
            self._seen += len(batch)
            if len(batch):
                self._held.append(batch)
                self._count += len(batch)
                return True
        return False

    def next(self) -> Batch | None:
        """The next block; None at the end."""
        while self._count < self._size and self._take():
            pass
        if not self._count:
            return None
        whole = concatenate(self._held)
        block = whole.rows(0, min(self._size, self._count))
        rest = whole.rows(len(block), self._count)
        self._held = [rest] if len(rest) else []
        self._count -= len(block)
        return block


def check_rows(batch: Batch, name: str, schema: Schema | None, first_row: int, gaps: bool = False) -> Schema:
    """The schema of a stream's next rows; Misuse if they are bad or unlike those before.

    With `gaps` a value may be missing, as NaN.
    """
    if batch.labels is not None and batch.labels.dtype.kind not in "fiub":
        raise Misuse(
            f"the label {batch.labels[0]!r} is not a number", source=name, field=f"row {first_row}: label",
            fix="Encode a stream's labels as numbers.",
        )  # fmt: skip
    found = Schema(batch.features, batch.sparse, batch.labels is not None)
    if schema is not None and found != schema:
        if found.features != schema.features:
            what = f"{found.features} features where those before had {schema.features}"
        elif found.labelled != schema.labelled:
            what = "no labels" if schema.labelled else "labels where those before had none"
        else:
            what = "sparse and dense rows are mixed"
        raise Misuse(what, source=name, field=f"row {first_row}", fix="Give every row the same shape.")
    check_finite(batch, name, first_row=first_row, gaps=gaps)
    return found


class StreamedData:
    """Rows from a callable that returns an iterator, which reopens, or from an iterable, which does not."""

    ahead = 256
    """How many blocks the slowest part of a stream may lag before the others wait for it."""
    keep = 4
    """How many of its last batches a part of a stream can go back over."""
    patience = 60.0
    """Seconds that a part of a stream waits for the slowest one."""

    def __init__(
        self,
        source: Callable[[], Iterable[Any]] | Iterable[Any],
        name: str,
        rows: int | None = None,
        gaps: bool = False,
    ) -> None:
        """With `gaps` a value may be missing, as NaN."""
        self.name = name
        self.rows = rows
        self._gaps = gaps
        self._source = source
        self._reopens = callable(source)
        first = iter(source() if callable(source) else source)
        sizing = _Blocks(first, name, None, 1, gaps)
        if not sizing._take():
            raise Misuse("there are no rows", source=name, fix="Give an iterable with rows.")
        self._first = sizing._held[0]
        assert sizing._schema is not None
        self.schema = sizing._schema
        self._rest = first
        self._live: _LiveStream | None = None
        self._lock = threading.Lock()

    def head(self, count: int) -> Batch:
        """The first rows, at most `count`; they are kept for the parts, nothing is taken away."""
        with self._lock:
            if self._reopens:
                block = _Blocks(self._open(), self.name, self.schema, count, self._gaps).next()
                assert block is not None
                return block
            if self._live is not None:
                raise Misuse(
                    "the head was asked for after reading began", source=self.name,
                    fix="Ask for the head of a stream first.",
                )  # fmt: skip
            blocks = _Blocks(self._open(), self.name, self.schema, count, self._gaps)
            block = blocks.next()
            assert block is not None
            self._first = concatenate([block, *blocks._held])
            return block

    @property
    def reopens(self) -> bool:
        """Whether the rows can be read more than once."""
        return self._reopens

    def blocks(self, size: int) -> _Blocks:
        """All rows of a source that reopens, in checked blocks of `size`."""
        return _Blocks(self._open(), self.name, self.schema, size, self._gaps)

    def _open(self) -> Iterator[Any]:
        if callable(self._source):
            return iter(self._source())
        # chain, not a generator: dropping that one would close the stream that it yields from
        return itertools.chain([self._first], self._rest)

    def part(self, worker: int, of: int, batch_size: int, epochs: int = 1, seed: int | None = None) -> Part:
        """The share of logical worker `worker` of `of`. A stream has its own order: no `seed`."""
        check_reading(self.name, worker, of, batch_size, epochs)
        if seed is not None:
            raise Misuse(
                "a stream cannot be shuffled",
                source=self.name,
                field="seed",
                fix="Leave it out, or store the data.",
            )
        if self._reopens:
            return ReopenedPart(self, worker, of, batch_size, epochs)
        if epochs != 1:
            raise Misuse(
                f"a stream that is not stored passes once, not {epochs} times", source=self.name,
                field="epochs", fix="Give epochs=1, or a callable that opens the stream again.",
            )  # fmt: skip
        with self._lock:
            if self._live is None:
                blocks = _Blocks(self._open(), self.name, self.schema, batch_size, self._gaps)
                self._live = _LiveStream(blocks, of, batch_size, self)
            elif (self._live.workers, self._live.batch_size) != (of, batch_size):
                raise Misuse(
                    f"the stream is read by {self._live.workers} workers in batches of "
                    f"{self._live.batch_size}", source=self.name, field="of",
                    fix="Give every part the same numbers.",
                )  # fmt: skip
        return LivePart(self._live, worker)

    def digest(self) -> str:
        """Hexadecimal digest of the schema: the content is not kept."""
        return hashlib.blake2b(b"stream" + msgspec.json.encode(self.schema), digest_size=16).hexdigest()

    def check_labels(self, labels: Labels) -> None:
        """Raise Misuse unless the labels seen so far can be learned as `labels`; one class so far is fine."""
        seen = self._first.labels
        if labels is not Labels.NUMBER and seen is not None and len(np.unique(seen)) == 1:
            return
        table = Table(self.name, self._first)
        check_labels(Labels(labels), seen, self.schema, self.name, table.where)


class ReopenedPart:
    """One worker's blocks of a source that can be opened again."""

    def __init__(self, data: StreamedData, worker: int, of: int, batch_size: int, epochs: int) -> None:
        self._data, self._worker, self._of, self._size, self._epochs = data, worker, of, batch_size, epochs
        self.length: int | None = None

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from `start` on; those before are read and passed over."""
        index = 0
        for epoch in range(self._epochs):
            blocks = self._data.blocks(self._size)
            number = 0
            while (block := blocks.next()) is not None:
                if number % self._of == self._worker:
                    if index >= start:
                        yield replace(block, epoch=epoch)
                    index += 1
                number += 1

    def rows_before(self, index: int) -> int:
        """How many rows the batches before `index` hold, were they all full."""
        return index * self._size


class _LiveStream:
    """Deals the blocks of a stream that passes once to the parts of this process."""

    def __init__(self, blocks: _Blocks, workers: int, batch_size: int, data: StreamedData) -> None:
        self.workers, self.batch_size, self.name = workers, batch_size, data.name
        self._blocks = blocks
        self._ahead, self._patience, self._keep = data.ahead, data.patience, data.keep
        self._waiting: list[deque[Batch]] = [deque() for _ in range(workers)]
        self._past: list[deque[Batch]] = [deque(maxlen=data.keep) for _ in range(workers)]
        self._dealt = [0] * workers
        self._number = 0
        self._ended = False
        self._change = threading.Condition()

    def block(self, worker: int, index: int) -> Batch | None:
        """Batch `index` of a worker; None after the last."""
        with self._change:
            back = self._dealt[worker] - index
            if back > 0:
                return self._past[worker][-back]
            while not self._waiting[worker]:
                if self._ended:
                    return None
                if max(len(waiting) for waiting in self._waiting) >= self._ahead:
                    if not self._change.wait(self._patience):
                        slow = max(range(self.workers), key=lambda other: len(self._waiting[other]))
                        raise Temporary(f"{self.name}: worker {slow} of {self.workers} has stopped reading")
                    continue
                block = self._blocks.next()
                if block is None:
                    self._ended = True
                else:
                    self._waiting[self._number % self.workers].append(block)
                    self._number += 1
            block = self._waiting[worker].popleft()
            self._past[worker].append(block)
            self._dealt[worker] += 1
            self._change.notify_all()
            return block

    def check(self, worker: int, start: int) -> None:
        """Raise Misuse unless a worker can go on at batch `start`."""
        with self._change:
            earliest = self._dealt[worker] - len(self._past[worker])
            if not earliest <= start <= self._dealt[worker]:
                raise Misuse(
                    f"worker {worker} wants batch {start}, the stream stands at {self._dealt[worker]} and "
                    f"keeps the last {self._keep}", source=self.name, field="cursor",
                    fix="A stream that is not stored goes on where it stands; store it to go back.",
                )  # fmt: skip


class LivePart:
    """One worker's blocks of a stream that passes once."""

    def __init__(self, stream: _LiveStream, worker: int) -> None:
        self._stream, self._worker = stream, worker
        self.length: int | None = None

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from `start` on; Misuse at once if the stream has passed them."""
        self._stream.check(self._worker, start)
        return self._from(start)

    def _from(self, index: int) -> Iterator[Batch]:
        while (block := self._stream.block(self._worker, index)) is not None:
            yield block
            index += 1

    def rows_before(self, index: int) -> int:
        """How many rows the batches before `index` hold, were they all full."""
        return index * self._stream.batch_size
