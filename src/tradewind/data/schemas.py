"""What the rows of a data set look like, and whether they fit what is to be learned from them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion

_MOST_CLASSES = 10_000
"""More distinct labels than this are taken for a number to predict."""


class Labels(StrEnum):
    """What a learner takes the labels for."""

    NUMBER = "number"
    """A quantity."""
    BINARY = "binary"
    """One of two classes."""
    CLASSES = "classes"
    """One of several classes."""


class Schema(Struct, frozen=True):
    """The shape of every row."""

    features: int
    """d, the number of columns."""
    sparse: bool = False
    labelled: bool = True
    columns: tuple[str, ...] = ()
    """The features' names; empty where they have none."""
    classes: tuple[str, ...] = ()
    """What the labels 0, 1, ... stand for, where the source wrote text; empty where it wrote numbers."""

    def check_continues(self, earlier: Schema, source: str) -> None:
        """Raise Misuse, naming `source`, unless these rows may follow those that `earlier` describes."""
        if self.features != earlier.features:
            raise Misuse(
                f"{self.features} features, but the job began with {earlier.features}", source=source,
                field="features", fix=f"Give features={earlier.features}, or begin a new job.",
            )  # fmt: skip
        if self.columns and earlier.columns and self.columns != earlier.columns:
            new, old = next((a, b) for a, b in zip(self.columns, earlier.columns, strict=True) if a != b)
            raise Misuse(
                f"the column is {new!r} where the job began with {old!r}", source=source, field="columns",
                fix="Give the same columns in the same order.",
            )  # fmt: skip
        if self.labelled != earlier.labelled:
            raise Misuse(
                "no labels" if earlier.labelled else "labels, but the job began without", source=source,
                field="label", fix="Give data of the kind that the job began with.",
            )  # fmt: skip
        if self.classes != earlier.classes:
            raise Misuse(
                f"the classes are {', '.join(self.classes) or 'numbers'}, but the job began with "
                f"{', '.join(earlier.classes) or 'numbers'}", source=source, field="label",
                fix="Open the data with classes= as the job began.",
            )  # fmt: skip


def check_labels(
    wanted: Labels, labels: NDArray[Any] | None, schema: Schema, source: str, where: Callable[[int], str]
) -> None:
    """Raise Misuse, naming the row by `where`, unless `labels` can be learned as `wanted`."""

    def refuse(problem: str, row: int | None, fix: str) -> None:
        field = "label" if row is None else f"{where(row)}: label"
        raise Misuse(problem, source=source, field=field, fix=fix)

    if labels is None:
        refuse("there are none", None, "Name the label column with label=.")
        return
    if wanted is Labels.NUMBER:
        if schema.classes:
            name = schema.classes[int(labels[0])] if len(labels) else schema.classes[0]
            refuse(f"{name!r} is text, not a number", 0, "Use a loss for classes, or give numbers.")
        return
    kinds, first = np.unique(labels, return_index=True)
    if wanted is Labels.BINARY and len(kinds) > 2:
        row = int(np.sort(first)[2])
        refuse(
            f"{_name(labels[row], schema)} is a third class; binary labels have two", row,
            "Use loss='softmax', or keep the rows of two classes.",
        )  # fmt: skip
    if len(kinds) == 1:
        refuse(
            f"all are {_name(kinds[0], schema)}; there is nothing to tell apart", None, "Give rows of two."
        )
    if not schema.classes and len(kinds) > 2:
        fractional = np.flatnonzero(labels != np.floor(labels))
        if len(fractional):
            row = int(fractional[0])
            refuse(
                f"{labels[row]} is no class", row, "Use a loss for numbers, or give whole numbers or text."
            )
    if len(kinds) > _MOST_CLASSES:
        refuse(f"{len(kinds)} distinct values are too many classes", None, "Use a loss for numbers.")


def _name(label: Any, schema: Schema) -> str:
    return repr(schema.classes[int(label)]) if schema.classes else f"{float(label):g}"


def column_index(wanted: str | int, columns: tuple[str, ...], source: str, field: str) -> int:
    """Which column `wanted` names, by name or number (negative from the end); Misuse with a suggestion."""
    if isinstance(wanted, str):
        if wanted in columns:
            if columns.count(wanted) > 1:
                raise Misuse(
                    f"two columns are called {wanted!r}", source=source, field=field, fix="Give its number."
                )
            return columns.index(wanted)
        raise Misuse(
            f"there is no column {wanted!r}", source=source, field=field, fix=suggestion(wanted, set(columns))
        )
    if not -len(columns) <= wanted < len(columns):
        raise Misuse(
            f"there is no column {wanted}", source=source, field=field,
            fix=f"Columns are numbered from 0 to {len(columns) - 1}, or from -1 at the end.",
        )  # fmt: skip
    return wanted % len(columns)


def encode_classes(
    texts: NDArray[Any], classes: tuple[str, ...] | None, source: str, where: Callable[[int], str]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes of an array of text labels, and what they stand for: `classes`, or the distinct ones, sorted."""
    kinds, first, codes = np.unique(texts, return_index=True, return_inverse=True)
    names = tuple(kind.decode("utf-8", "replace") if isinstance(kind, bytes) else str(kind) for kind in kinds)
    if classes is None:
        return codes.astype(np.int64), names
    place = {name: code for code, name in enumerate(classes)}
    unknown = [(int(row), name) for row, name in zip(first, names, strict=True) if name not in place]
    if unknown:
        row, name = min(unknown)
        raise Misuse(
            f"{name!r} is not among the classes", source=source, field=f"{where(row)}: label",
            fix=suggestion(name, classes),
        )  # fmt: skip
    return np.array([place[name] for name in names], np.int64)[codes], tuple(classes)
