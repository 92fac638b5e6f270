"""Every learner and every model by the name that users and files call it, and where it lives."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from tradewind.algorithms.interface import Model
from tradewind.algorithms.layouts import check_layout
from tradewind.errors import MissingExtra, Misuse, suggestion

_HERE = "tradewind.algorithms."

LEARNERS: dict[str, str] = {
    "LinearLearner": _HERE + "linear_learner:LinearLearner",
    "LinearSVM": _HERE + "linear_svm:LinearSVM",
    "MultinomialLogisticRegression": _HERE + "logistic_regression:MultinomialLogisticRegression",
    "FactorizationMachineClassifier": _HERE + "factorization_machine:FactorizationMachineClassifier",
    "FactorizationMachineRegressor": _HERE + "factorization_machine:FactorizationMachineRegressor",
    "MatrixFactorization": _HERE + "matrix_factorization:MatrixFactorization",
    "RandomForestClassifier": _HERE + "random_forest:RandomForestClassifier",
    "RandomForestRegressor": _HERE + "random_forest:RandomForestRegressor",
    "KNeighborsClassifier": _HERE + "k_neighbors:KNeighborsClassifier",
    "KNeighborsRegressor": _HERE + "k_neighbors:KNeighborsRegressor",
    "KMeans": _HERE + "k_means:KMeans",
    "PCA": _HERE + "principal_components:PCA",
    "LatentDirichletAllocation": _HERE + "latent_dirichlet_allocation:LatentDirichletAllocation",
    "NeuralTopicModel": _HERE + "deep.neural_topic_model:NeuralTopicModel",
    "DeepAR": _HERE + "deep.deepar:DeepAR",
    "TorchLearner": _HERE + "deep.torch_learner:TorchLearner",
    "PartialFitLearner": _HERE + "partial_fit:PartialFitLearner",
    "ColumnScaler": _HERE + "scaler:ColumnScaler",
    "Imputer": _HERE + "imputer:Imputer",
    "FeatureHashing": _HERE + "feature_hashing:FeatureHashing",
}
"""What a job can run, by its class."""

MODELS: dict[str, str] = {
    "LinearModel": _HERE + "linear.model:LinearModel",
    "FactorizationModel": _HERE + "factorization.model:FactorizationModel",
    "RatingModel": _HERE + "ratings.model:RatingModel",
    "ForestModel": _HERE + "trees.forest:ForestModel",
    "NeighborsModel": _HERE + "neighbors.model:NeighborsModel",
    "KMeansModel": _HERE + "kmeans.model:KMeansModel",
    "PCAModel": _HERE + "pca.model:PCAModel",
    "TopicModel": _HERE + "lda.model:TopicModel",
    "NeuralTopics": _HERE + "deep.neural_topics:NeuralTopics",
    "DeepARModel": _HERE + "deep.deepar_model:DeepARModel",
    "TorchModel": _HERE + "deep.torch_model:TorchModel",
    "PartialFitModel": _HERE + "partial_fit_model:PartialFitModel",
    "ScalerModel": _HERE + "scaler_model:ScalerModel",
    "FillModel": _HERE + "imputer_model:FillModel",
    "HashingModel": _HERE + "feature_hashing_model:HashingModel",
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
    """The model that gave `arrays` and `header`; Misuse for an unknown kind, or where they do not fit."""
    kind = str(header.get("kind", ""))
    if kind not in MODELS:
        raise Misuse(
            f"{kind!r} is no kind of model", source=source, field="kind", fix=suggestion(kind, MODELS)
        )
    check_layout(arrays, header, source)
    made = resolved(MODELS[kind])
    try:
        model: Model = made.of(arrays, header)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as problem:
        raise Misuse(
            f"this is no whole {kind} ({type(problem).__name__}: {problem})", source=source, field="header",
            fix="Restore both files from the same save.",
        ) from None  # fmt: skip
    return model
