"""Data that is kept: in memory, or in a file that every process of the machine maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.data.cursors import Reading, check_reading
from tradewind.data.interface import Part
from tradewind.data.schemas import Labels, Schema, check_labels
from tradewind.data.tables import Table
from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt, Misuse

_FORMAT = "tradewind-data-1"
_FIELDS = ("dense", "indptr", "indices", "values", "labels", "weights")


class StoredData:
    """A table, cut into blocks for any number of workers."""

    def __init__(self, table: Table, digest: str = "") -> None:
        self.table = table
        self.name = table.name
        self.schema = table.schema
        self.rows: int | None = len(table.batch)
        self._digest = digest

    def head(self, count: int) -> Batch:
        """The first rows, at most `count`."""
        return self.table.batch.rows(0, min(count, len(self.table.batch)))

    def whole(self) -> Batch:
        """Every row."""
        return self.table.batch

    def part(self, worker: int, of: int, batch_size: int, epochs: int = 1, seed: int | None = None) -> Part:
        """The share of logical worker `worker` of `of`; `seed` shuffles the blocks of each epoch."""
        check_reading(self.name, worker, of, batch_size, epochs)
        rows = len(self.table.batch)
        return StoredPart(self.table.batch, Reading(rows, worker, of, batch_size, epochs, seed), self.name)

    def digest(self) -> str:
        """Hexadecimal digest of the schema and of every row, whatever file they came from."""
        if not self._digest:
            digest = hashlib.blake2b(msgspec.json.encode(self.schema), digest_size=16)
            for field in _FIELDS:
                array = getattr(self.table.batch, field)
                if array is not None:
                    digest.update(f"{field} {array.dtype} {array.shape}".encode())
                    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
            self._digest = digest.hexdigest()
        return self._digest

    def check_labels(self, labels: Labels) -> None:
        """Raise Misuse, naming the row, unless the labels can be learned as `labels`."""
        check_labels(Labels(labels), self.table.batch.labels, self.schema, self.name, self.table.where)

    def save(self, path: Path) -> None:
        """Write the rows so that `StoredData.load` maps them in a moment; atomic."""
        arrays = {
            field: array for field in _FIELDS if (array := getattr(self.table.batch, field)) is not None
        }
        if self.table.lines is not None:
            arrays["lines"] = self.table.lines
        header = {"name": self.name, "digest": self.digest(), "schema": msgspec.to_builtins(self.schema)}
        write_tensors(path, arrays, {"format": _FORMAT, "header": json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> StoredData:
        """Map what `save` wrote; Corrupt if it is not whole."""
        arrays, metadata = read_tensors(path, mapped=True)
        if metadata.get("format") != _FORMAT:
            raise Corrupt(f"{path}: no data that Tradewind saved")
        header = json.loads(metadata["header"])
        schema = msgspec.convert(header["schema"], Schema)
        lines: NDArray[np.int64] | None = arrays.pop("lines", None)
        columns: dict[str, Any] = dict(arrays)
        batch = Batch(schema.features, **columns)
        return cls(Table(header["name"], batch, schema.columns, schema.classes, lines), header["digest"])


class StoredPart:
    """The batches of one logical worker; slices of the table, not copies."""

    def __init__(self, batch: Batch, reading: Reading, name: str) -> None:
        self._batch, self._reading, self._name = batch, reading, name
        self.length: int | None = reading.length

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from `start` on; Misuse at once if there is no such batch."""
        if not 0 <= start <= self._reading.length:
            raise Misuse(
                f"the cursor stands at batch {start} of {self._reading.length}", source=self._name,
                field="cursor", fix="Resume with the data, batch size and epochs that the job began with.",
            )  # fmt: skip
        return self._from(start)

    def _from(self, start: int) -> Iterator[Batch]:
        for index in range(start, self._reading.length):
            place = self._reading.place(index)
            yield replace(self._batch.rows(place.start, place.stop), epoch=place.epoch)

    def rows_before(self, index: int) -> int:
        """How many rows the batches before `index` hold."""
        return self._reading.rows_before(index)
