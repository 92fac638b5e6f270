"""scikit-learn's estimators, saved by skops: JSON and arrays, of which only trusted types are made.

What skops itself knows to be safe is made, and what the operator names. Everything else is refused by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MissingExtra, Misuse
from tradewind.serving.tensors import Signature, Tensors, TensorSpec, datatype_of

PLATFORM = "sklearn_skops"
INPUT = "X"
_TEXTS = "text"


class EstimatorModel:
    """An estimator with `predict`, or else `transform`.

    One input: `X` (rows, features), FP64; of a pipeline that begins with words, `text` (rows,), BYTES. The
    outputs are `prediction`, and `probability` (rows, classes) or else `score` where the estimator has
    `predict_proba` or `decision_function`; `transformed` of a transformer. Several targets go side by side.
    """

    platform = PLATFORM

    def __init__(self, estimator: Any, memory: int, source: str) -> None:
        """Misuse for what is not fitted, or is no estimator of dense rows."""
        self.memory, self._source = memory, source
        self._estimator: Any = estimator
        self._methods = _methods(estimator, source)
        _forget_names(estimator)
        self._text = hasattr(_first(estimator), "build_analyzer")
        features = getattr(estimator, "n_features_in_", None)
        if self._text:
            taken = TensorSpec(_TEXTS, "BYTES", (-1,))
        elif isinstance(features, int | np.integer):
            taken = TensorSpec(INPUT, "FP64", (-1, int(features)))
        else:
            raise Misuse(
                f"the {type(estimator).__name__} does not say how many features it takes", source=source,
                field="n_features_in_", fix="Fit it before it is saved, on an array (rows, features).",
            )  # fmt: skip
        trial: Any = np.full(2, b"", object) if self._text else np.zeros((2, int(features or 0)))
        try:
            seen = self.predict({taken.name: trial})
        except Misuse:
            raise
        except Exception as problem:
            raise Misuse(
                f"it does not answer rows of zeros: {type(problem).__name__}: {problem}", source=source,
                fix="Fit it on arrays; name columns by number, not by a data frame's names.",
            ) from None  # fmt: skip
        given = tuple(
            TensorSpec(name, datatype_of(each), (-1, *each.shape[1:])) for name, each in seen.items()
        )
        self.signature = Signature((taken,), given)

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`."""
        if self._estimator is None:
            raise Misuse("the model is closed", source=self._source)
        rows: Any = [each.decode() for each in inputs[_TEXTS]] if self._text else inputs[INPUT]
        return {name: _array(getattr(self._estimator, method)(rows)) for name, method in self._methods}

    def close(self) -> None:
        """Let go of the estimator."""
        self._estimator = None


def ready() -> Any:
    """`skops.io`, imported; MissingExtra without it."""
    try:
        import skops.io as skops  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("skops", "serving", "A scikit-learn model") from None
    return skops


def open_skops(path: Path, trusted: Sequence[str] = ()) -> EstimatorModel:
    """The estimator of a skops file.

    `trusted` are the types that the operator allows beside those that skops knows, as `package.module.Type`.
    Misuse, naming the types, where it would need others; nothing of theirs is imported before.
    """
    skops = ready()
    try:
        unknown = [each for each in skops.get_untrusted_types(file=path) if each not in trusted]
    except Exception as problem:
        raise _damaged(path, problem) from None
    if unknown:
        raise Misuse(
            f"it holds {', '.join(unknown)}, which nobody said to trust", source=str(path), field="trusted",
            fix="Name the types as trusted if they are yours, or save the model as ONNX.",
        )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = skops.load(path, trusted=list(trusted))
    except Exception as problem:
        raise _damaged(path, problem) from None
    return EstimatorModel(estimator, path.stat().st_size, str(path))


def _damaged(path: Path, problem: Exception) -> Misuse:
    return Misuse(
        f"skops does not read it ({type(problem).__name__}: {problem})", source=str(path),
        fix="Save the model again, by a version of skops and scikit-learn such as here.",
    )  # fmt: skip


def _methods(estimator: Any, source: str) -> list[tuple[str, str]]:
    if hasattr(estimator, "predict"):
        found = [("prediction", "predict")]
        if hasattr(estimator, "predict_proba"):
            found.append(("probability", "predict_proba"))
        elif hasattr(estimator, "decision_function"):
            found.append(("score", "decision_function"))
        return found
    if hasattr(estimator, "transform"):
        return [("transformed", "transform")]
    raise Misuse(
        f"a {type(estimator).__name__} has neither predict nor transform", source=source,
        fix="Save a fitted estimator or pipeline.",
    )  # fmt: skip


def _first(estimator: Any) -> Any:
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[0][1]
    return estimator


def _forget_names(estimator: Any) -> None:
    """Drop the names of a data frame's columns: requests are arrays, which would be warned of each time."""
    inner = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    for each in (estimator, *inner):
        fitted: Any = vars(each) if hasattr(each, "__dict__") and not isinstance(each, type) else {}
        fitted.pop("feature_names_in_", None)
        for part in fitted.values():
            for deeper in part if isinstance(part, list | tuple) else (part,):
                own = {} if isinstance(deeper, type) else getattr(deeper, "__dict__", {})
                own.pop("feature_names_in_", None)


def _array(found: Any) -> NDArray[Any]:
    if isinstance(found, list):  # of probabilities, one array a target
        return np.concatenate([np.asarray(each) for each in found], axis=1)
    if hasattr(found, "toarray"):
        found = found.toarray()
    array = np.asarray(found)
    if array.dtype.kind in "UO":
        texts = [each if isinstance(each, bytes) else str(each).encode() for each in array.ravel()]
        return np.array(texts, object).reshape(array.shape)
    return array
