"""Train, tune and serve models on machines that come and go, for the least money that meets the deadline.

The public names are resolved on first use, so that `import tradewind` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LinearLearner": "tradewind.algorithms.linear_learner",
    "LinearClassifier": "tradewind.algorithms.linear_learner",
    "LinearRegressor": "tradewind.algorithms.linear_learner",
    "ColumnScaler": "tradewind.algorithms.scaler",
    "TradewindError": "tradewind.errors",
    "Misuse": "tradewind.errors",
    "train": "tradewind.session.train",
    "learn_on": "tradewind.session.train",
    "resume": "tradewind.session.train",
    "estimate": "tradewind.session.train",
    "local": "tradewind.session.train",
    "simulated": "tradewind.session.train",
    "processes": "tradewind.session.train",
    "inline": "tradewind.session.train",
    "ray": "tradewind.session.train",
    "ray_nodes": "tradewind.session.train",
    "aws": "tradewind.session.renting",
    "compare": "tradewind.session.comparison",
    "explain": "tradewind.session.explanation",
}

__all__ = [  # noqa: PLE0604 -- resolved on first use
    *_HOMES,
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tradewind' has no attribute {name!r}")
    return import_module("tradewind.algorithms.catalogue").resolved(f"{home}:{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
