"""The table `data` of a spec: where rows are, how they are read and made ready, and which are held back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tradewind.data.preparation import check_plans
from tradewind.errors import Misuse


class SplitSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows that are held back: the finished model is scored on them."""

    test: float
    """Their share of the rows, or of the keys; on average."""
    seed: int = 0
    """Another seed holds back others; the run's own seed has no part in it."""
    key: str | int | None = None
    """The column whose value decides, by name, or by number among the features; None for the whole row."""


class DataSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows are, and how they are read and made ready; see `data.streams.open_data`."""

    path: str
    """A file, a folder, a URL, or the name of a data set that the package carries."""
    format: str = "auto"
    """`libsvm`, `csv`, `parquet`, `series` (JSON Lines) or `saved`; `auto` goes by the name's ending."""
    label: str | int = ""
    """The column to predict, by name or number; empty where the format has a place for it."""
    weight: str | int | None = None
    """The column that says how much a row counts."""
    features: int | None = None
    """Columns in a row; None to count them."""
    columns: tuple[str | int, ...] = ()
    """The columns to learn from; empty for all that are not label or weight."""
    categories: tuple[str | int, ...] = ()
    """The columns among them that are text."""
    missing: str = "refuse"
    """What a missing value is: `refuse` an error, `keep` NaN, `mean` the mean of its column."""
    split: SplitSpec | None = None
    """Rows of `path` that are held back as test rows."""
    prepare: str | tuple[str | dict[str, Any], ...] = ()
    """Steps that rows go through, fitted on those to learn from; or the folder of steps that are fitted."""
    test: str | None = None
    """Further rows that the finished model is scored on, made ready as the others are."""
    validation: str | None = None
    """Further rows for early stopping and for the choice of a threshold."""


def check_data(data: DataSpec, where: Callable[[str], str]) -> None:
    """Raise Misuse for fields that are wrong together, and for steps that there are not; nothing is read.

    `where` gives the source that a field was given in.
    """
    if not isinstance(data.prepare, str):
        check_plans(data.prepare, where("data.prepare"), "data.prepare")
    elif data.missing == "mean":
        raise Misuse(
            "the steps are fitted, and fill what they fill",
            source=where("data.missing"),
            field="data.missing",
            fix='Set data.missing = "keep": the means are among the steps.',
        )
    if data.split is not None and data.test is not None:
        raise Misuse(
            "the test rows are named by data.test already",
            source=where("data.split"),
            field="data.split",
            fix="Give one of the two.",
        )
    if data.columns and data.features is not None:
        raise Misuse(
            "data.columns says how many there are",
            source=where("data.features"),
            field="data.features",
            fix="Give one of the two.",
        )
