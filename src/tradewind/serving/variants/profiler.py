"""Measures a variant: opens its model, times its batches, watches its memory, checks its answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from tradewind.clock import stopwatch
from tradewind.errors import Misuse
from tradewind.serving.models.interface import LoadedModel
from tradewind.serving.tensors import Tensors
from tradewind.serving.variants.variant import Profile, Rated, Variant, check_profile, check_variant, fitted

_MOST = 2000
"""Times that a batch is run at most."""


def predictions(outputs: Tensors) -> NDArray[Any]:
    """The answer of each row: the first output, or, where it is a matrix of scores, its largest column."""
    first = next(iter(outputs.values()))
    if first.ndim == 2 and first.shape[1] > 1:
        return np.asarray(first.argmax(axis=1))
    return first.reshape(len(first), -1)[:, 0]


def accuracy(answers: NDArray[Any], labels: NDArray[Any]) -> float:
    """The share of rows that were answered as labelled."""
    return float(np.mean(answers == labels))


def measured(
    variant: Variant,
    opened: Callable[[], LoadedModel],
    rows: Tensors,
    *,
    per_hour: float,
    labels: ArrayLike | None = None,
    read: Callable[[Tensors], NDArray[Any]] = predictions,
    metric: Callable[[NDArray[Any], NDArray[Any]], float] = accuracy,
    startup: float = 0.0,
    warm_up: int = 3,
    repeats: int = 9,
    patience: float = 0.05,
    watch: Callable[[], Callable[[], float]] = stopwatch,
) -> Rated:
    """The variant with its profile, and with its accuracy where labels are given.

    `opened` opens the model; its time is the profile's `load`, to which `startup` is added (seconds that a
    replica takes until then). `rows` are real inputs, one row at least; batches of 1, 2, 4 ... rows up to
    `max_batch` are cut from them, each run `warm_up` times without the watch and then, with it, `repeats`
    times at least and until `patience` seconds are over; medians are kept. Memory is what the process has
    grown by after them (on Linux), or what the model says if that is more. `read` makes answers of outputs,
    and `metric` compares them with `labels`. `watch` begins a measurement and gives a function that says how
    many seconds have passed: the wall's, unless another is given, such as the processor's on a busy machine.

    Misuse where the variant is not well said, the rows do not fit the model's inputs, the labels do not fit
    the rows, or a model that cannot be batched has a `max_batch` above 1.
    """
    check_variant(variant)
    source = f"variant {variant.name!r}"
    count = _counted(rows, source)
    truth = None if labels is None else np.asarray(labels)
    if truth is not None and len(truth) != count:
        raise Misuse(
            f"{len(truth)} labels for {count} rows", source=source, field="labels", fix="Give one each."
        )
    before = _resident()
    opening = stopwatch()
    model = opened()
    load = opening() + startup
    try:
        wanted = {spec.name for spec in model.signature.inputs}
        if wanted != set(rows):
            raise Misuse(
                f"the model takes {sorted(wanted)}, and the rows have {sorted(rows)}", source=source,
                field="rows", fix="Give each input by its name.",
            )  # fmt: skip
        if variant.max_batch > 1 and not model.signature.batched:
            raise Misuse(
                "the model takes one request at a time", source=source, field="max_batch", fix="Give 1."
            )
        sizes = _sizes(variant.max_batch)
        batches = {size: _cut(rows, 0, size, count) for size in sizes}
        seconds = {size: _timed(model, batches[size], warm_up, repeats, patience, watch) for size in sizes}
        memory = max(model.memory, _resident() - before)
        if truth is not None:
            found = [
                np.asarray(read(model.predict(_cut(rows, at, min(variant.max_batch, count - at), count))))
                for at in range(0, count, variant.max_batch)
            ]
            variant = replace(variant, accuracy=metric(np.concatenate(found), truth), tested=count)
    finally:
        model.close()
    times = tuple(seconds[size] for size in sizes)
    profile = Profile(
        variant.name, sizes, times, fitted(sizes, times), load, memory, _size(variant.artefact), per_hour
    )
    check_variant(variant)
    check_profile(profile, variant)
    return Rated(variant, profile)


def _timed(
    model: LoadedModel, batch: Tensors, warm_up: int, repeats: int, patience: float,
    watch: Callable[[], Callable[[], float]],
) -> float:  # fmt: skip
    for _ in range(warm_up):
        model.predict(batch)
    times: list[float] = []
    whole = stopwatch()
    while len(times) < repeats or (whole() < patience and len(times) < _MOST):
        passed = watch()
        model.predict(batch)
        times.append(passed())
    return median(times)


def _counted(rows: Tensors, source: str) -> int:
    counts = {len(each) for each in rows.values()}
    if len(counts) != 1 or 0 in counts:
        raise Misuse(
            f"inputs of {sorted(counts)} rows", source=source, field="rows",
            fix="Give every input as many rows, and one at least.",
        )  # fmt: skip
    return counts.pop()


def _sizes(largest: int) -> tuple[int, ...]:
    """1, 2, 4 ... and the largest.

    >>> _sizes(12)
    (1, 2, 4, 8, 12)
    """
    sizes = [1]
    while sizes[-1] * 2 <= largest:
        sizes.append(sizes[-1] * 2)
    return tuple(sizes) if sizes[-1] == largest else (*sizes, largest)


def _cut(rows: Tensors, at: int, size: int, count: int) -> Tensors:
    """So many rows from a place on, over and over where there are not enough."""
    places = np.arange(at, at + size) % count
    return {name: np.ascontiguousarray(each[places]) for name, each in rows.items()}


def _resident() -> int:
    """Bytes of memory that this process has; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _size(artefact: str) -> int:
    """Bytes of a file, or of all the files of a folder; 0 where it is no path."""
    path = Path(artefact)
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) if path.is_dir() else 0
