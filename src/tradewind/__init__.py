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
    "LinearSVM": "tradewind.algorithms.linear_svm",
    "MultinomialLogisticRegression": "tradewind.algorithms.logistic_regression",
    "FactorizationMachineClassifier": "tradewind.algorithms.factorization_machine",
    "FactorizationMachineRegressor": "tradewind.algorithms.factorization_machine",
    "MatrixFactorization": "tradewind.algorithms.matrix_factorization",
    "RandomForestClassifier": "tradewind.algorithms.random_forest",
    "RandomForestRegressor": "tradewind.algorithms.random_forest",
    "KNeighborsClassifier": "tradewind.algorithms.k_neighbors",
    "KNeighborsRegressor": "tradewind.algorithms.k_neighbors",
    "KMeans": "tradewind.algorithms.k_means",
    "PCA": "tradewind.algorithms.principal_components",
    "LatentDirichletAllocation": "tradewind.algorithms.latent_dirichlet_allocation",
    "NeuralTopicModel": "tradewind.algorithms.deep.neural_topic_model",
    "DeepAR": "tradewind.algorithms.deep.deepar",
    "TorchLearner": "tradewind.algorithms.deep.torch_learner",
    "PartialFitLearner": "tradewind.algorithms.partial_fit",
    "ColumnScaler": "tradewind.algorithms.scaler",
    "Imputer": "tradewind.algorithms.imputer",
    "FeatureHashing": "tradewind.algorithms.feature_hashing",
    "open_data": "tradewind.data.streams",
    "Preparation": "tradewind.data.preparation",
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
    "load": "tradewind.session.models",
    "Study": "tradewind.tuning.study",
    "Earlier": "tradewind.tuning.earlier_studies",
    "from_optuna": "tradewind.tuning.optuna_studies",
    "to_optuna": "tradewind.tuning.optuna_studies",
    "tune": "tradewind.session.tune",
    "TradewindSearchCV": "tradewind.session.search_cv",
    "GridSearch": "tradewind.session.grid.search",
    "watch": "tradewind.console.server",
    "advise": "tradewind.session.advise",
    "resume_advice": "tradewind.session.advise",
    "run": "tradewind.session.pipeline.run",
    "serve": "tradewind.session.serve",
    "Overflowing": "tradewind.session.overflowing",
    "EmbeddingTable": "tradewind.serving.server.embeddings.table",
    "CachedEmbeddings": "tradewind.serving.server.embeddings.cached",
    "serve_rented": "tradewind.session.rented_serving",
    "Renting": "tradewind.session.rented_serving",
    "export": "tradewind.session.models",
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
