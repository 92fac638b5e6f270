"""What docs/models.md says of each kind of model is run with numpy alone, and gives what the model gives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.catalogue import MODELS
from tradewind.algorithms.deep.deepar import DeepAR
from tradewind.algorithms.deep.neural_topic_model import NeuralTopicModel
from tradewind.algorithms.deep.torch_learner import TorchLearner
from tradewind.algorithms.factorization_machine import (
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
)
from tradewind.algorithms.feature_hashing import FeatureHashing
from tradewind.algorithms.imputer import Imputer
from tradewind.algorithms.k_means import KMeans
from tradewind.algorithms.k_neighbors import KNeighborsClassifier, KNeighborsRegressor
from tradewind.algorithms.latent_dirichlet_allocation import LatentDirichletAllocation
from tradewind.algorithms.linear.model import LinearModel
from tradewind.algorithms.matrix_factorization import MatrixFactorization
from tradewind.algorithms.partial_fit import PartialFitLearner
from tradewind.algorithms.principal_components import PCA
from tradewind.algorithms.random_forest import RandomForestClassifier, RandomForestRegressor
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.algorithms.series import series_rows, wide_rows
from tradewind.data.model_files.layout import write_model_file

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
ALONE = """
import sys
allowed = {"numpy", "json", "__main__", *sys.stdlib_module_names}
class Nobody:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(f"{name} is not numpy")
sys.meta_path.insert(0, Nobody())
"""
CHANCE = np.random.default_rng(11)
X = CHANCE.normal(size=(9, 4)).astype(np.float32)
MANY = CHANCE.normal(size=(90, 4)).astype(np.float32)
VALUES = MANY @ np.arange(4.0) + CHANCE.normal(size=90)
CLASSES = np.digitize(VALUES, [-2.0, 2.0]).astype(float)
COUNTS = CHANCE.poisson(2.0, size=(90, 7)).astype(np.float32)
GAPS = np.where(MANY > 1, np.nan, MANY)
SERIES = CHANCE.poisson(9.0, size=(6, 30)).astype(np.float64)
SERIES[0, 27], SERIES[1, 3] = np.nan, np.nan
PAIRS = np.stack([np.arange(90) % 9, np.arange(90) % 7], axis=1)
TWO_HOT = np.hstack([np.eye(9)[PAIRS[:, 0]], np.eye(7)[PAIRS[:, 1]]])


def linear(loss: str, classes: int = 0) -> LinearModel:
    wide = classes > 2
    return LinearModel(
        CHANCE.normal(size=(4, classes) if wide else 4),
        CHANCE.normal(size=classes) if wide else np.float64(0.7),
        loss=loss,
        classes=np.arange(float(classes)) if classes else None,
    )


def torch_model(loss: str, labels: np.ndarray) -> Any:
    outputs = 3 if loss == "cross_entropy" else 1
    learner = TorchLearner(
        "torch.nn:Linear", arguments={"in_features": 4, "out_features": outputs}, loss=loss, epochs=2
    )
    return learner.fit(MANY, labels).model_


class OfTables:
    """A model of series that is asked about a table of them."""

    def __init__(self, model: Any) -> None:
        self.arrays, self.header, self._model = model.arrays, model.header, model

    def evaluate(self, table: np.ndarray) -> np.ndarray:
        return self._model.evaluate(wide_rows(table))


def deepar(frequency: str, likelihood: str) -> OfTables:
    learner = DeepAR(
        frequency, 4, context_length=6, likelihood=likelihood, num_layers=2, num_cells=5, lags=(1, 2, 5),
        num_eval_samples=30, quantiles=(0.1, 0.5, 0.9), epochs=1, batch_size=4,
    )  # fmt: skip
    return OfTables(learner.fit(SERIES).model_)


Made = tuple[Any, np.ndarray]
"""A model and the rows that it is asked about."""
KINDS: dict[str, Callable[[], list[Made]]] = {
    "LinearModel": lambda: [
        (linear("squared"), X),
        (linear("logistic", 2), X),
        (linear("hinge", 2), X),
        (linear("softmax", 5), X),
    ],
    "ScalerModel": lambda: [
        (ColumnScaler("min_max").fit(X).model_, X),
        (ColumnScaler().fit(X).model_, np.where(X > 1, np.nan, X)),
    ],
    "ForestModel": lambda: [
        (RandomForestClassifier(7).fit(MANY, CLASSES).model_, X),
        (RandomForestRegressor(7).fit(MANY, VALUES).model_, X),
    ],
    "FactorizationModel": lambda: [
        (FactorizationMachineRegressor(num_factors=3, epochs=2).fit(MANY, VALUES).model_, X),
        (FactorizationMachineClassifier(num_factors=2, epochs=2).fit(MANY, VALUES > 0).model_, X),
    ],
    "RatingModel": lambda: [
        (MatrixFactorization(3, epochs=3).fit(PAIRS, VALUES).model_, PAIRS + np.array([0, 5])),
        (MatrixFactorization(2, epochs=3, layout="two_hot", users=9).fit(TWO_HOT, VALUES).model_, TWO_HOT),
    ],
    "KMeansModel": lambda: [(KMeans(4).fit(MANY).model_, X)],
    "PCAModel": lambda: [(PCA(2).fit(MANY).model_, X), (PCA(3, whiten=True).fit(MANY).model_, X)],
    "NeuralTopics": lambda: [
        (NeuralTopicModel(3, encoder_layers=(6, 5), epochs=1, activation=each).fit(COUNTS).model_, COUNTS)
        for each in ("relu", "tanh", "sigmoid")
    ],
    "PartialFitModel": lambda: [
        (PartialFitLearner(f"sklearn.{home}", arguments=arguments).fit(rows, labels).model_, rows)
        for home, arguments, rows, labels in (
            ("linear_model:SGDClassifier", {"loss": "log_loss"}, MANY, CLASSES),
            ("linear_model:SGDClassifier", {"loss": "log_loss"}, MANY, VALUES > 0),
            ("linear_model:SGDClassifier", {}, MANY, CLASSES),
            ("linear_model:SGDRegressor", {}, MANY, VALUES),
            ("naive_bayes:MultinomialNB", {}, COUNTS, CLASSES),
            ("naive_bayes:ComplementNB", {}, COUNTS, VALUES > 0),
        )
    ],
    "NeighborsModel": lambda: [
        (learner.fit(MANY, labels).model_, X)
        for learner, labels in (
            (KNeighborsClassifier(3), CLASSES),
            (KNeighborsClassifier(4, metric="cosine", weighting="distance"), CLASSES),
            (KNeighborsRegressor(3, weighting="distance"), VALUES),
            (KNeighborsRegressor(3, projection="sign", dimension_reduction_target=3), VALUES),
            (KNeighborsRegressor(2, projection="fjlt", dimension_reduction_target=3), VALUES),
            (KNeighborsRegressor(2, metric="inner_product"), VALUES),
        )
    ],
    "TopicModel": lambda: [(LatentDirichletAllocation(3, epochs=2).fit(COUNTS).model_, COUNTS)],
    "FillModel": lambda: [(Imputer().fit(GAPS).model_, GAPS)],
    "HashingModel": lambda: [
        (FeatureHashing(columns, buckets=5, tokens=tokens, seed=3).fit(rows).model_, rows)
        for columns, tokens, rows in (([1, 3], "category", np.round(GAPS)), (None, "column", X))
    ],
    "TorchModel": lambda: [
        (torch_model("cross_entropy", CLASSES), X), (torch_model("bce", VALUES > 0), X),
        (torch_model("mse", VALUES), X),
    ],
    "DeepARModel": lambda: [
        (deepar(frequency, likelihood), SERIES)
        for frequency, likelihood in (
            ("D", "student_t"), ("H", "gaussian"), ("M", "deterministic_l1"), ("2W", "negative_binomial")
        )
    ],
}  # fmt: skip
"""By kind, models to try its block on."""


def sections() -> dict[str, str]:
    """The first block of each kind's section."""
    found = {}
    for part in PAGE.split("\n### ")[1:]:
        name, _, rest = part.partition("\n")
        block = BLOCK.search(rest)
        assert block, f"{name} has no block"
        found[name.strip()] = block[1]
    return found


def test_every_kind_of_model_is_told_of() -> None:
    assert set(sections()) == set(KINDS) >= set(MODELS)


def alone(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", ALONE + script, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_nothing_but_numpy_can_be_had_there() -> None:
    for name in ("tradewind", "safetensors", "scipy", "sklearn", "msgspec"):
        assert "is not numpy" in alone(f"import {name}").stderr
    assert alone("import numpy, json").returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_answers_without_us(kind: str, tmp_path: Path) -> None:
    wanted = []
    for number, (model, rows) in enumerate(KINDS[kind]()):
        assert model.header()["kind"] == kind
        write_model_file(tmp_path / str(number), model.arrays(), model.header())
        np.save(tmp_path / f"{number}.npy", rows)
        answer = model.evaluate(rows)
        wanted.append(np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer))
    reader = BLOCK.search(PAGE)
    assert reader
    use = """
for number in range(int(sys.argv[2])):
    arrays, header = read(f"{sys.argv[1]}/{number}/model.safetensors")
    X = np.load(f"{sys.argv[1]}/{number}.npy")
    np.save(f"{sys.argv[1]}/answer-{number}.npy", answer(arrays, header, X))
"""
    ran = alone(reader[1] + sections()[kind] + use, str(tmp_path), str(len(wanted)))
    assert ran.returncode == 0, ran.stderr
    single = kind in ("DeepARModel", "NeighborsModel", "TopicModel", "TorchModel")  # which compute in float32
    rtol, atol = (1e-4, 1e-5) if single else (1e-6, 1e-9)
    for number, answer in enumerate(wanted):
        found = np.load(tmp_path / f"answer-{number}.npy")
        assert found.shape == answer.shape
        assert np.allclose(found, answer, rtol=rtol, atol=atol, equal_nan=True)


def test_a_forecast_takes_categories_and_features_along(tmp_path: Path) -> None:
    time, given = np.arange(34.0), []
    for n in range(3):
        told = {"target": 9 + np.sin(time[:30] + n), "cat": n, "dynamic_feat": [time * n]}
        given.append({"start": f"2026-02-0{n + 1} 03:00:00", **told})
    learner = DeepAR(
        "6H", 4, context_length=6, num_layers=1, num_cells=5, lags=(1, 2), num_eval_samples=20, epochs=1
    )
    model = learner.fit(given).model_
    write_model_file(tmp_path, model.arrays(), model.header())
    reader = BLOCK.search(PAGE)
    assert reader
    use = """
arrays, header = read(f"{sys.argv[1]}/model.safetensors")
time = np.arange(34.0)
target = 9 + np.sin(time[:30] + 2)
np.save(f"{sys.argv[1]}/a.npy", forecast(arrays, header, target, "2026-02-03T03:00:00", (2,), [time * 2]))
"""
    ran = alone(reader[1] + sections()["DeepARModel"] + use, str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    wanted = model.evaluate(series_rows(given[2:], span=34))[0]
    assert np.allclose(np.load(tmp_path / "a.npy"), wanted, rtol=1e-4, atol=1e-5)
