"""The seam between data and whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tradewind.algorithms.batch import Batch
from tradewind.data.schemas import Labels, Schema


class Part(Protocol):
    """What one logical worker reads: a sequence of batches, the same whoever reads it and whenever.

    1. Batch i has the same rows in the same order each time, in every process.
    2. `batches(i)` begins with batch i, so that i, the count of batches done, is the durable cursor.
    """

    length: int | None
    """Batches over all epochs; None where the end of the data is not known."""

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from `start` on.

        Misuse if the source cannot go back that far: one that is never stored replays its last batches only.
        """
        ...

    def rows_before(self, index: int) -> int:
        """How many rows the batches before `index` hold."""
        ...


class DataSet(Protocol):
    """Rows that somebody keeps, or that come by once."""

    name: str
    """Where it is from, as errors name it."""
    schema: Schema
    rows: int | None
    """None where it is not known until the end."""

    def head(self, count: int) -> Batch:
        """The first rows, at most `count`; reading them takes nothing away."""
        ...

    def part(self, worker: int, of: int, batch_size: int, epochs: int = 1, seed: int | None = None) -> Part:
        """The share of logical worker `worker` of `of`; `seed` shuffles the blocks of each epoch."""
        ...

    def digest(self) -> str:
        """Hexadecimal digest of the content; of the schema alone where the content is not kept."""
        ...

    def check_labels(self, labels: Labels) -> None:
        """Raise Misuse, naming the row, unless the labels can be learned as `labels`."""
        ...
