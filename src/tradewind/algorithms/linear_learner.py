"""The linear learner: as three functions over a state, and with scikit-learn's face.

`LinearLearner` is what jobs run and loads without scikit-learn; `LinearClassifier` and `LinearRegressor` are
resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.algorithms.linear.model import LinearModel

__all__ = [  # noqa: PLE0604 -- two are resolved on first use
    *("LinearClassifier", "LinearRegressor"),
    "LinearLearner",
    "LinearModel",
]


def __getattr__(name: str) -> Any:
    if name not in ("LinearClassifier", "LinearRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("tradewind.algorithms.linear.estimators"), name)
