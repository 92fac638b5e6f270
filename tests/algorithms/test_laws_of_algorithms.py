"""Every learner of the catalogue keeps the laws of algorithms."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.catalogue import LEARNERS, resolved
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
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.algorithms.linear_svm import LinearSVM
from tradewind.algorithms.logistic_regression import MultinomialLogisticRegression
from tradewind.algorithms.matrix_factorization import MatrixFactorization
from tradewind.algorithms.partial_fit import PartialFitLearner
from tradewind.algorithms.principal_components import PCA
from tradewind.algorithms.random_forest import RandomForestClassifier, RandomForestRegressor
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.algorithms.series import series_rows, wide_rows
from tradewind.testing.algorithms import AlgorithmLaws


def classes(rows: int = 240, features: int = 6, kinds: int = 2) -> tuple[Any, Any]:
    chance = np.random.default_rng(3)
    x = chance.normal(size=(rows, features)).astype(np.float32)
    scores = x @ chance.normal(size=(features, kinds)) + chance.normal(size=(rows, kinds)) * 0.3
    return x, scores.argmax(axis=1).astype(float)


class TestLinearLearnerOfTwoClasses(AlgorithmLaws):
    fits = False

    def learner(self) -> Any:
        return LinearLearner(loss="logistic", l2=1e-3)

    def data(self) -> Any:
        return classes()


class TestLinearLearnerOfValues(AlgorithmLaws):
    fits = False
    epochs = 12

    def learner(self) -> Any:
        return LinearLearner(loss="squared", rate=0.5)

    def data(self) -> Any:
        x, _ = classes()
        return x, (x @ np.arange(6.0) + 3).astype(float)


class TestColumnScaler(AlgorithmLaws):
    exact, takes_missing = True, True

    def learner(self) -> Any:
        return ColumnScaler("min_max", low=-1.0, high=1.0)

    def data(self) -> Any:
        return classes()[0]


class TestRandomForestClassifier(AlgorithmLaws):
    batch = 60

    def learner(self) -> Any:
        return RandomForestClassifier(24, trees_per_batch=3, max_leaf_nodes=16)

    def data(self) -> Any:
        return classes(kinds=3)


class TestRandomForestRegressor(AlgorithmLaws):
    batch = 60
    tolerance = 0.1

    def learner(self) -> Any:
        return RandomForestRegressor(24, trees_per_batch=3, max_leaf_nodes=16)

    def data(self) -> Any:
        x, _ = classes()
        return x, (x @ np.arange(6.0) + 3).astype(float)


def hot(rows: int = 400, users: int = 8, items: int = 6) -> tuple[Any, Any]:
    """Sparse rows with a one for a user and a one for an item, and what that pair is worth."""
    chance = np.random.default_rng(4)
    u, i = chance.integers(0, users, rows), users + chance.integers(0, items, rows)
    tastes = chance.normal(size=(users + items, 2))
    worth = (tastes[u] * tastes[i]).sum(axis=1) + chance.normal(size=rows) * 0.1
    at = np.stack([u, i], axis=1).reshape(-1)
    ones = np.ones(2 * rows, np.float32)
    return csr_matrix((ones, at, np.arange(0, 2 * rows + 1, 2)), shape=(rows, users + items)), worth


class TestFactorizationMachineRegressor(AlgorithmLaws):
    batch, epochs = 40, 12
    tolerance = 0.1

    def learner(self) -> Any:
        return FactorizationMachineRegressor(num_factors=4)

    def data(self) -> Any:
        return hot()


class TestFactorizationMachineClassifier(AlgorithmLaws):
    batch, epochs = 40, 10
    tolerance = 0.1

    def learner(self) -> Any:
        return FactorizationMachineClassifier(num_factors=4)

    def data(self) -> Any:
        x, worth = hot()
        return x, (worth > 0).astype(float)


class TestMatrixFactorization(AlgorithmLaws):
    batch, epochs = 40, 10
    tolerance = 0.1
    lower_is_better = True

    def learner(self) -> Any:
        return MatrixFactorization(3, rate=0.1, l2=0.01)

    def data(self) -> Any:
        x, worth = hot()
        u, i = x.indices.reshape(-1, 2).T
        return np.stack([u, i - 8], axis=1).astype(np.float64), np.clip(worth, -3, 3)


class TestKMeans(AlgorithmLaws):
    epochs = 1
    tolerance = 0.1
    lower_is_better = True

    def learner(self) -> Any:
        return KMeans(4, k_max=6)

    def data(self) -> Any:
        x, _ = classes()
        return x + 8 * np.eye(6, dtype=np.float32)[np.arange(len(x)) % 4]


class TestRegularPCA(AlgorithmLaws):
    epochs = 1
    exact = True

    def learner(self) -> Any:
        return PCA(3)

    def data(self) -> Any:
        return classes()[0] * np.arange(1, 7, dtype=np.float32)


class TestRandomizedPCA(AlgorithmLaws):
    epochs = 2

    def learner(self) -> Any:
        return PCA(3, mode="randomized", passes=2, extra_components=2)

    def data(self) -> Any:
        x, _ = classes(features=12)
        return x * np.arange(1, 13, dtype=np.float32)


class TestNeuralTopicModel(AlgorithmLaws):
    batch, epochs = 40, 3
    tolerance = 2.0
    lower_is_better = True

    def learner(self) -> Any:
        return NeuralTopicModel(3, encoder_layers=(8,))

    def data(self) -> Any:
        return counts()


class TestPartialFitOfSums(AlgorithmLaws):
    epochs = 1
    exact = True

    def learner(self) -> Any:
        return PartialFitLearner("sklearn.naive_bayes:MultinomialNB")

    def data(self) -> Any:
        return counts(), np.arange(240.0) % 3


class TestPartialFitOfSteps(AlgorithmLaws):
    epochs = 5
    tolerance = 0.1

    def learner(self) -> Any:
        return PartialFitLearner("sklearn.linear_model:SGDClassifier", arguments={"loss": "log_loss"})

    def data(self) -> Any:
        return classes(kinds=3)


def counts(rows: int = 240, words: int = 15) -> Any:
    """How often each word is in each document; a third of them each is of one topic."""
    chance = np.random.default_rng(6)
    topics = chance.dirichlet(np.full(words, 0.1), 3)
    return chance.poisson(20 * topics[np.arange(rows) % 3]).astype(np.float32)


class TestLinearSVM(AlgorithmLaws):
    epochs = 8
    tolerance = 0.1

    def learner(self) -> Any:
        return LinearSVM(random_state=0)

    def data(self) -> Any:
        return classes(kinds=3)


class TestMultinomialLogisticRegression(AlgorithmLaws):
    epochs = 8
    tolerance = 0.1

    def learner(self) -> Any:
        return MultinomialLogisticRegression(random_state=0)

    def data(self) -> Any:
        return classes(kinds=3)


class TestLatentDirichletAllocation(AlgorithmLaws):
    batch, epochs = 40, 5
    tolerance = 2.0
    lower_is_better = True

    def learner(self) -> Any:
        return LatentDirichletAllocation(3, alpha=0.1)

    def data(self) -> Any:
        return counts()


class TestImputer(AlgorithmLaws):
    exact, takes_missing = True, True

    def learner(self) -> Any:
        return Imputer()

    def data(self) -> Any:
        return classes()[0]


class TestFeatureHashing(AlgorithmLaws):
    exact, takes_missing, onnx = True, True, False

    def learner(self) -> Any:
        return FeatureHashing([1, 2], buckets=8)

    def data(self) -> Any:
        return np.round(classes()[0])


class TestTorchLearner(AlgorithmLaws):
    batch, epochs = 40, 10
    tolerance = 0.1
    reopened_within = 1e-5

    def learner(self) -> Any:
        return TorchLearner("small_networks:perceptron", rate=0.05)

    def data(self) -> Any:
        return classes(kinds=3)


class TestDeepAR(AlgorithmLaws):
    """With dropout, an average of the parameters, gaps, and series of two lengths."""

    batch, epochs = 5, 16
    tolerance = 0.15  # of 1 for a network that says nothing; stale workers end at 0.02 to 0.13
    takes_missing = True
    lower_is_better = True
    onnx = False

    def learner(self) -> Any:
        return DeepAR(
            "6H", 4, lags=[1, 2, 3, 4], num_layers=2, num_cells=8, dropout=0.1, windows_per_series=2,
            likelihood="deterministic_l1", rate=0.02, averaging=0.7,
        )  # fmt: skip

    def data(self) -> Any:
        chance = np.random.default_rng(0)
        cycle = 1 + 0.05 * np.sin(np.arange(24) / 4 * np.pi)
        table = 10 ** chance.uniform(0, 2, size=(40, 1)) * (cycle + 0.02 * chance.normal(size=(40, 24)))
        table[chance.random(table.shape) < 0.05] = np.nan
        table[::7, 20:] = np.nan
        return wide_rows(table)

    def quality(self, model: Any) -> float:
        """The share of the values that the medians are off."""
        return float(model.score(self.rows(), "nd"))

    def wrong_rows(self) -> list[Batch]:
        """Series of another kind, and rows that are no series."""
        other = series_rows([{"start": "2026-01-01", "target": [1.0] * 9, "cat": [0]}])
        return [other, batch_of(np.ones((3, self.rows().features), np.float32))]


class TestKNeighborsClassifier(AlgorithmLaws):
    epochs = 1

    def learner(self) -> Any:
        return KNeighborsClassifier(3)

    def data(self) -> Any:
        return classes(kinds=3)


class TestKNeighborsRegressor(AlgorithmLaws):
    epochs = 1
    tolerance = 0.1

    def learner(self) -> Any:
        return KNeighborsRegressor(3, projection="sign", dimension_reduction_target=4, reservoir_size=200)

    def data(self) -> Any:
        x, _ = classes()
        return x, (x @ np.arange(6.0) + 3).astype(float)


def test_every_learner_of_the_catalogue_is_held_to_them() -> None:
    held = {type(each().learner()) for each in AlgorithmLaws.__subclasses__() if each.__module__ == __name__}
    assert {resolved(home) for home in LEARNERS.values()} <= held
