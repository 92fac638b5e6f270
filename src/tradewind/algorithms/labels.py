"""What labels mean to a learner: classes as numbers, and their balance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse


def numeric(labels: NDArray[Any] | None, source: str) -> NDArray[np.float64]:
    """Labels as finite numbers; Misuse where there are none or they are of another kind."""
    if labels is None:
        raise Misuse("the rows have no labels", source=source, field="labels", fix="Name the label column.")
    given = np.asarray(labels)
    if given.dtype.kind not in "biuf" or given.ndim != 1:
        raise Misuse(
            f"labels of kind {given.dtype} and shape {given.shape} are no numbers",
            source=source,
            field="labels",
            fix="Give one number a row; code classes as 0, 1, ....",
        )
    numbers = given.astype(np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise Misuse(
            f"the label of row {row} is {numbers[row]}", source=source, field="labels", fix="Drop it."
        )
    return numbers


def classes_in(labels: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """The classes among `labels`, rising; 0 and 1, or -1 and 1, where only one of these is there.

    Misuse for one class of which the other cannot be told, and for labels that look like a regression's.
    """
    found = np.unique(labels)
    for pair in ([0.0, 1.0], [-1.0, 1.0]):
        if len(found) == 1 and found[0] in pair and found[0] != 1.0:
            return np.array(pair)
    if len(found) < 2:
        raise Misuse(
            f"the first {len(labels)} rows show one class only: {found.tolist()}",
            source=source,
            field="labels",
            fix="Name all of them, such as classes=(0, 1), or shuffle the rows.",
        )
    if (found != np.floor(found)).any():
        raise Misuse(
            "labels that are no whole numbers are no classes",
            source=source,
            field="labels",
            fix="Code classes as 0, 1, ..., or choose a regression's loss, such as squared.",
        )
    return found


def class_numbers(
    labels: NDArray[np.float64], classes: NDArray[np.float64], source: str
) -> NDArray[np.int64]:
    """The place of each label among the rising `classes`; Misuse for a label that is not there."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    wrong = classes[places] != labels
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise Misuse(
            f"the label {labels[row]:g} of row {row} is none of the classes {classes.tolist()}",
            source=source,
            field="labels",
            fix="Give classes=(...) with all that occur.",
        )
    return places


def balanced_weights(numbers: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The weight of each class under which all count the same in all, as (classes,); 1 for one never seen."""
    counts = np.bincount(numbers, minlength=classes).astype(np.float64)
    return np.where(counts > 0, len(numbers) / (classes * np.maximum(counts, 1.0)), 1.0)
