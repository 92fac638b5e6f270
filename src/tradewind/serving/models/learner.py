"""Models that Tradewind trained, on dense rows, with the preparation that was saved beside them.

One input `X` (rows, features), FP32, or FP64 where float32 cannot hold what the rows are. The outputs are

- `prediction` (rows,): the class as it was labelled, or the value
- `probability` (rows, classes): of classifiers, in the classes' order; of a linear model of two classes both,
  although it keeps the second's alone; `score` instead where a linear model's loss, such as hinge, knows no
  probabilities: (rows,), above 0 for the second class, or (rows, classes)
- `distances` (rows, centres) beside the number of the nearest one, of k-means
- `transformed` or `topics` (rows, k): of models that map rows to rows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.catalogue import model_from
from tradewind.algorithms.interface import Model
from tradewind.data.model_files.layout import read_model_file
from tradewind.data.preparation import Preparation
from tradewind.errors import Misuse
from tradewind.serving.tensors import Signature, Tensors, TensorSpec, datatype_of

PLATFORM = "tradewind"
INPUT = "X"
_STEPS = "preparation"
_EXACT = 2**24
_LOG_ODDS = ("logistic", "softmax")
"""The losses of linear models whose scores are log-odds."""
_REASONS = {
    "DeepARModel": ("it reads series of many lengths, not rows", "Forecast in batches, with its evaluate."),
    "HashingModel": ("its answers are sparse rows", "Serve the model behind it, with it as a preparation."),
}

Answers = dict[str, NDArray[Any]]


class LearnedModel:
    """A model of the catalogue, and the steps that its rows go through before it."""

    platform = PLATFORM

    def __init__(self, model: Model, preparation: Preparation, memory: int, source: str = "model") -> None:
        """Misuse for a model that dense rows cannot be given to, or whose code a file only names."""
        kind = str(model.header().get("kind", ""))
        if kind in _REASONS:
            problem, fix = _REASONS[kind]
            raise Misuse(f"a {kind} is not served: {problem}", source=source, field="kind", fix=fix)
        self.memory, self._model, self._steps = memory, model, preparation
        self._answer = _FACES.get(kind, _plain)
        features = _features(model, preparation, source)
        wide = kind == "RatingModel" and _largest(model) >= _EXACT
        self._dtype = np.dtype(np.float64 if wide else np.float32)
        taken = TensorSpec(INPUT, "FP64" if wide else "FP32", (-1, features))
        seen = self._told(np.zeros((2, features), self._dtype), source)
        given = tuple(
            TensorSpec(name, datatype_of(each), (-1, *each.shape[1:])) for name, each in seen.items()
        )
        self.signature = Signature((taken,), given)

    def _told(self, rows: NDArray[Any], source: str) -> Answers:
        try:
            return self._answer(self._model, self._steps.apply(batch_of(rows)))
        except Misuse as problem:
            if problem.field in ("estimator", "network"):
                raise Misuse(
                    str(problem), source=source, field=problem.field,
                    fix="Export it as ONNX, or serve it as a Python class of your own.",
                ) from None  # fmt: skip
            raise

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`."""
        return self._answer(self._model, self._steps.apply(batch_of(inputs[INPUT])))

    def close(self) -> None:
        """Nothing is held but memory, which goes with the model."""


def open_learner(path: Path) -> LearnedModel:
    """The model of a folder, or of its `model.safetensors`; the folder `preparation` beside it is applied.

    Misuse for what is damaged, of an unknown kind, or cannot be served; MissingExtra where a kind needs one.
    """
    folder = path if path.is_dir() else path.parent
    arrays, header = read_model_file(path)
    model = model_from(arrays, header, str(path))
    steps = Preparation.load(folder / _STEPS) if (folder / _STEPS).is_dir() else Preparation(())
    held = [*arrays.values(), *steps.arrays().values()]
    return LearnedModel(model, steps, sum(each.nbytes for each in held), str(path))


def _features(model: Model, preparation: Preparation, source: str) -> int:
    """How many columns the rows have before any step."""
    header: Mapping[str, Any] = preparation.steps[0].header() if preparation.steps else model.header()
    try:
        return int(header["features"])
    except (KeyError, TypeError, ValueError):
        raise Misuse(
            "it does not say how many features it takes", source=source, field="features",
            fix="Restore the file as it was written.",
        ) from None  # fmt: skip


def _largest(model: Any) -> int:
    return max((int(each.max()) for each in (model.user_ids, model.item_ids) if len(each)), default=0)


def _plain(model: Any, batch: Batch) -> Answers:
    """Values, or rows."""
    found = np.asarray(model.evaluate(batch))
    return {"prediction" if found.ndim == 1 else "transformed": found}


def _classified(model: Any, batch: Batch) -> Answers:
    """Of models that know `classes` and answer how likely each is, or the second of two."""
    if model.classes is None:
        return {"prediction": np.asarray(model.evaluate(batch))}
    chances = np.asarray(model.evaluate(batch))
    classes, threshold = np.asarray(model.classes), getattr(model, "threshold", 0.5)
    places = chances.argmax(axis=1) if chances.ndim > 1 else (chances >= threshold).astype(np.int64)
    answers = {"prediction": _labels(classes[places], classes)}
    if hasattr(model, "scores") and model.loss not in _LOG_ODDS:
        answers["score"] = np.asarray(model.scores(batch))
    else:
        answers["probability"] = np.stack([1 - chances, chances], axis=1) if chances.ndim == 1 else chances
    return answers


def _labels(found: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Classes as INT64 where all are whole numbers, as bytes where they are texts."""
    if classes.dtype.kind in "US":
        return np.array([str(each).encode() for each in found], object)
    if classes.dtype.kind == "O":
        return np.array([each if isinstance(each, bytes) else str(each).encode() for each in found], object)
    if classes.dtype.kind == "f" and bool((classes == np.floor(classes)).all()):
        return found.astype(np.int64)
    return found


def _neighbours(model: Any, batch: Batch) -> Answers:
    if model.predictor != "classifier":
        return {"prediction": np.asarray(model.evaluate(batch))}
    shares, classes = model.shares(batch), np.asarray(model.classes)
    return {"prediction": _labels(classes[shares.argmax(axis=1)], classes), "probability": shares}


def _clustered(model: Any, batch: Batch) -> Answers:
    return {
        "prediction": np.asarray(model.evaluate(batch), np.int64),
        "distances": np.asarray(model.transform(batch)),
    }


def _topics(model: Any, batch: Batch) -> Answers:
    return {"topics": np.asarray(model.evaluate(batch))}


def _estimated(model: Any, batch: Batch) -> Answers:
    found = np.asarray(model.evaluate(batch))
    if model.role != "classifier":
        return {"prediction" if found.ndim == 1 else "transformed": found}
    classes = np.asarray(model.estimator.classes_)
    answers = {"prediction": _labels(model.predict(batch), classes)}
    if hasattr(model.estimator, "predict_proba"):
        answers["probability"] = np.stack([1 - found, found], axis=1) if found.ndim == 1 else found
    else:
        answers["score"] = found
    return answers


def _dense(model: Any, batch: Batch) -> Answers:
    found = model.evaluate(batch)
    return {"transformed": found.toarray() if hasattr(found, "toarray") else np.asarray(found)}


_FACES: dict[str, Callable[[Any, Batch], Answers]] = {
    "LinearModel": _classified,
    "FactorizationModel": _classified,
    "ForestModel": _classified,
    "TorchModel": _classified,
    "NeighborsModel": _neighbours,
    "KMeansModel": _clustered,
    "TopicModel": _topics,
    "NeuralTopics": _topics,
    "PartialFitModel": _estimated,
    "ScalerModel": _dense,
    "FillModel": _dense,
}
