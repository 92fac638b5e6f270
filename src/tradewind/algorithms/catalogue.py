"""Every learner and every model by the name that users and files call it, and where it lives."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from tradewind.algorithms.interface import Model
from tradewind.errors import MissingExtra, Misuse, suggestion

_HERE = "tradewind.algorithms."

LEARNERS: dict[str, str] = {
    "LinearLearner": _HERE + "linear_learner:LinearLearner",
    "ColumnScaler": _HERE + "scaler:ColumnScaler",
    "RandomForestClassifier": _HERE + "random_forest:RandomForestClassifier",
    "RandomForestRegressor": _HERE + "random_forest:RandomForestRegressor",
}
"""What a job can run, by its class."""

MODELS: dict[str, str] = {
    "LinearModel": _HERE + "linear.model:LinearModel",
    "ForestModel": _HERE + "trees.forest:ForestModel",
    "ScalerModel": _HERE + "scaler:ScalerModel",
}
"""What was learned, by the `kind` in its header; each class has `of(arrays, header)`."""

EXTRAS = {"torch": "deep", "faiss": "neighbors", "onnx": "onnx"}
"""The extra that brings a package which some of these need."""


def resolved(home: str) -> Any:
    """What `module:Name` names; MissingExtra where a package of an extra is not installed."""
    module, _, name = home.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as problem:
        if problem.name in EXTRAS:
            raise MissingExtra(problem.name, EXTRAS[problem.name], name) from problem
        raise


def model_from(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any], source: str = "model") -> Model:
    """The model that gave `arrays` and `header`; Misuse for a kind that is not known."""
    kind = str(header.get("kind", ""))
    if kind not in MODELS:
        raise Misuse(
            f"{kind!r} is no kind of model", source=source, field="kind", fix=suggestion(kind, MODELS)
        )
    model: Model = resolved(MODELS[kind]).of(arrays, header)
    return model
