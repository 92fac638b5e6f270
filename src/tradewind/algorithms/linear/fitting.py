"""Learning from rows in memory: passes in row order, early stopping, the choice among a pack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.linear.scaling import Scaling
from tradewind.errors import Misuse

_BLOCK = 1 << 22
"""Dense values that are scaled and laid out as rows at a time."""


class RowLearner(Protocol):
    """What learns row by row: one model, or several from one reading."""

    scaling: Scaling

    def __len__(self) -> int:
        """How many models learn."""
        ...

    def learn(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: NDArray[np.float32],
        labels: NDArray[np.float32],
        weights: NDArray[np.float32] | None = None,
        *,
        scaled: bool = False,
        keep: bool = False,
    ) -> tuple[int, NDArray[np.float64]]:
        """Learn from rows; the first whose score was not finite, or -1, and sums of losses (models,)."""
        ...


class Stopping(Struct, frozen=True):
    """When to stop before the last epoch.

    After `patience` epochs in which the loss has not fallen below its best by more than `tolerance` times
    that best; a loss of zero stops at once.
    """

    epochs: int = 15
    tolerance: float = 0.001
    patience: int = 3

    def due(self, curve: list[float]) -> bool:
        """Whether to stop after the epochs whose losses `curve` holds."""
        if len(curve) >= self.epochs or curve[-1] == 0:
            return True
        best, since = curve[0], 0
        for loss in curve[1:]:
            if loss < best - self.tolerance * abs(best):
                best, since = loss, 0
            else:
                since += 1
        return since >= self.patience


def learn(
    online: RowLearner,
    batch: Batch,
    targets: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    *,
    keep: bool = False,
    source: str = "fit",
) -> NDArray[np.float64]:
    """One pass over a batch in its order; where `keep` asks, each model's mean loss before each step.

    Misuse where the scores leave float32.
    """
    totals = np.zeros(len(online))
    for start in range(0, len(batch), step := _rows_at_a_time(batch)):
        part = batch.rows(start, min(start + step, len(batch))) if step < len(batch) else batch
        y = targets[start : start + step]
        own = None if weights is None else weights[start : start + step]
        if part.dense is None:
            assert part.indptr is not None and part.indices is not None and part.values is not None
            bad, sums = online.learn(part.indptr, part.indices, part.values, y, own, keep=keep)
        else:
            values = online.scaling.rows(part)
            n, d = values.shape
            indptr, indices = np.arange(n + 1, dtype=np.int64) * d, np.tile(np.arange(d, dtype=np.int32), n)
            bad, sums = online.learn(indptr, indices, values.ravel(), y, own, scaled=True, keep=keep)
        if bad >= 0:
            raise Misuse(
                f"the score of row {start + bad} is not finite",
                source=source,
                field="rate",
                fix="Give a smaller rate, leave normalize_data on, and look for huge values in the row.",
            )
        totals += sums
    total = float(len(batch) if weights is None else weights.sum(dtype=np.float64))
    return totals / total if total > 0 else totals


def fit(
    online: RowLearner,
    batch: Batch,
    targets: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    *,
    stopping: Stopping,
    chance: np.random.Generator | None,
    validate: Any = None,
) -> tuple[list[float], NDArray[np.float64]]:
    """Passes until `stopping` says so, each in a new order drawn from `chance`, in the given one if None.

    The loss that it goes by is the least of the pack's: `validate()` (models,) after each pass, or the mean
    loss of rows before they were learned from. Returns its curve and the models' losses in the last pass.
    """
    curve: list[float] = []
    running = np.zeros(len(online))
    while not curve or not stopping.due(curve):
        rows, y, own = batch, targets, weights
        if chance is not None:
            order = chance.permutation(len(batch))
            rows, y = _reordered(batch, order), targets[order]
            own = None if weights is None else weights[order]
        keep = validate is None and (stopping.epochs > 1 or len(online) > 1)
        running = learn(online, rows, y, own, keep=keep)
        if validate is not None:
            running = validate()
        curve.append(float(running.min()))
    return curve, running


def merged(
    batch: Batch, targets: NDArray[Any], weights: NDArray[Any]
) -> tuple[Batch, NDArray[Any], NDArray[np.float64]]:
    """Equal rows with equal labels as one with their weights' sum, in a fixed order; none of weight zero.

    So a weight of two is the same as the row given twice, to the last bit, whatever the order of the rows.
    """
    keep = np.flatnonzero(np.asarray(weights) != 0).tolist()
    content, tails = _contents(batch), np.asarray(targets, np.float64).tobytes()
    keys = [content(i) + tails[8 * i : 8 * i + 8] for i in keep]
    places: dict[bytes, int] = {}
    for key, i in zip(keys, keep, strict=True):
        places.setdefault(key, i)
    order = sorted(places)
    number = {key: at for at, key in enumerate(order)}
    owners = np.fromiter((number[key] for key in keys), np.int64, len(keys))
    sums = np.zeros(len(order))
    np.add.at(sums, owners, np.asarray(weights, np.float64)[keep])
    first = np.array([places[key] for key in order], np.int64)
    return _reordered(batch, first), np.asarray(targets)[first], sums


def _contents(batch: Batch) -> Callable[[int], bytes]:
    """What gives the content of a row, by its number, the same bytes for the same; -0 is 0."""
    if batch.dense is not None:
        width, table = 8 * batch.features, (np.asarray(batch.dense, np.float64) + 0.0).tobytes()
        return lambda row: table[width * row : width * row + width]
    assert batch.indptr is not None and batch.indices is not None and batch.values is not None
    bounds = (4 * np.asarray(batch.indptr, np.int64)).tolist()
    indices = np.asarray(batch.indices, np.int32).tobytes()
    values = np.asarray(batch.values + np.float32(0), np.float32).tobytes()

    def content(row: int) -> bytes:
        start, stop = bounds[row], bounds[row + 1]
        return indices[start:stop] + b"|" + values[start:stop]

    return content


def _reordered(batch: Batch, order: NDArray[np.int64]) -> Batch:
    """The rows of a batch in another order, without labels and weights."""
    if batch.dense is not None:
        return Batch(batch.features, dense=batch.dense[order])
    rows: Any = batch.matrix()[order]
    return Batch(
        batch.features,
        indptr=np.asarray(rows.indptr, np.int64),
        indices=np.asarray(rows.indices, np.int32),
        values=np.asarray(rows.data, np.float32),
    )


def _rows_at_a_time(batch: Batch) -> int:
    return len(batch) if batch.dense is None else max(1, _BLOCK // max(1, batch.features))
