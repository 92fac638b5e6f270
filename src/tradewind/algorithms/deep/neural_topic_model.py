"""Topics of documents by a variational autoencoder over bags of words, trained through a state.

Miao, Yu and Blunsom, "Neural variational inference for text processing", ICML 2016, section 3 (`gaussian`:
words' chances are softmax(z @ topics + background) of a Gaussian z); Srivastava and Sutton, "Autoencoding
variational inference for topic models", ICLR 2017, section 4 (`softmax`: of the shares softmax(z), a product
of experts). The options are those of SageMaker's NTM (Liberty et al., SIGMOD 2020, section 5; its
developer guide).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.deep.gradients import (
    OPTIMIZERS,
    Facts,
    GradientLearner,
    check_config,
)
from tradewind.algorithms.deep.neural_topics import (
    ACTIVATIONS,
    MIXINGS,
    NeuralTopics,
    check_counts,
    scaled,
)
from tradewind.algorithms.interface import PROGRESS
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.shuffling import shuffled
from tradewind.errors import Misuse

_WARM = 5
"""Rows that the divergence is warmed up over, in multiples of those that `initialize` sees."""


class NeuralTopicModel(TransformerMixin, GradientLearner):
    """Topics of documents, from counts of words (n, words), dense or sparse; maps rows to (n, topics).

    A document's counts go through an encoder, of log(1 + counts) scaled to length one, to a Gaussian over z;
    a draw of it, to the chances of its words. The loss is the negative evidence lower bound; its divergence
    counts for nothing at first and in full after `warm_up` rows, or topics collapse. Each batch takes
    O(batch * words * topics) time and O(batch * words) memory beside the parameters,
    O(words * (topics + first layer)).

    It departs from SageMaker's NTM in its defaults, since theirs stay far above LDA's perplexity where both
    were measured: `gaussian` for a simplex, adam for adadelta, relu for sigmoid, warming up. With
    `mixing="softmax", optimizer="adadelta", activation="sigmoid", warm_up=0` it is the documented one.

    Args:
        topics: how many.
        encoder_layers: units of each layer of the encoder; `auto` is three times the topics, then twice.
        activation: `relu`, `tanh` or `sigmoid`, after each of them.
        mixing: `gaussian` or `softmax`, see above.
        optimizer: `adam`, `adadelta`, `rmsprop`, `adagrad` or `sgd`.
        rate: its rate; None is 0.005 for adam, and the usual one of the others.
        clip: the most that a gradient's norm may be; None for any.
        weight_decay: what of each parameter is added to its gradient.
        batch_size, epochs: of `fit`; a job says its own.
        patience, tolerance: `fit` stops after so many epochs in a row whose loss is not below the best by
            that share; a job goes through all of its epochs.
        sub_sample: the share of each batch's rows that is learned from, drawn anew each time.
        warm_up: rows until the divergence counts in full; None is five times those that `initialize` sees
            (at most `sample_size`).
        vocabulary: the word of each column, for `top_words`.
        seed: of the first weights, the order of rows and the draws.
        sample_size: rows that `initialize` sees, for the words' background frequencies.

    >>> counts = [[3, 2, 0, 0], [2, 4, 0, 0], [0, 0, 3, 1], [0, 0, 2, 2]]
    >>> NeuralTopicModel(2, epochs=2, optimizer="adam").fit_transform(counts).shape
    (4, 2)
    """

    draws: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "topics": [Interval(Integral, 1, None, closed="left")],
        "encoder_layers": [StrOptions({"auto"}), "array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "mixing": [StrOptions(set(MIXINGS))],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "rate": [None, Interval(Real, 0, None, closed="neither")],
        "clip": [None, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [None, Interval(Integral, 1, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "sub_sample": [Interval(Real, 0, 1, closed="right")],
        "warm_up": [None, Interval(Integral, 0, None, closed="left")],
        "vocabulary": [None, "array-like"],
        "seed": [Interval(Integral, 0, None, closed="left")],
        "sample_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        topics: int = 20,
        *,
        encoder_layers: str | Sequence[int] = "auto",
        activation: str = "relu",
        mixing: str = "gaussian",
        optimizer: str = "adam",
        rate: float | None = None,
        clip: float | None = None,
        weight_decay: float = 0.0,
        batch_size: int = 256,
        epochs: int = 50,
        patience: int | None = 3,
        tolerance: float = 0.001,
        sub_sample: float = 1.0,
        warm_up: int | None = None,
        vocabulary: Sequence[str] | None = None,
        seed: int = 0,
        sample_size: int = 10_000,
    ) -> None:
        self.topics, self.encoder_layers, self.activation = topics, encoder_layers, activation
        self.mixing, self.optimizer, self.rate = mixing, optimizer, rate
        self.clip, self.weight_decay = clip, weight_decay
        self.batch_size, self.epochs, self.patience, self.tolerance = batch_size, epochs, patience, tolerance
        self.sub_sample, self.warm_up, self.vocabulary = sub_sample, warm_up, vocabulary
        self.seed, self.sample_size = seed, sample_size

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        self._check_units()

    def _check_units(self) -> None:
        if self.encoder_layers != "auto" and not all(
            isinstance(each, Integral) and each > 0 for each in self.encoder_layers
        ):
            raise Misuse(
                f"{self.encoder_layers!r} are no units", source="NeuralTopicModel", field="encoder_layers",
                fix="Give 'auto', or how many units each layer has, 1 or more.",
            )  # fmt: skip

    # as a learner of networks

    def facts(self, sample: Batch) -> dict[str, NDArray[Any]]:
        """The words' chances in the first rows, (words,), and how long to warm up."""
        counts = sample.matrix()
        check_counts(counts, sample.features, "initialize")
        if self.vocabulary is not None and len(self.vocabulary) != sample.features:
            raise Misuse(
                f"{len(self.vocabulary)} words for {sample.features} columns", source="NeuralTopicModel",
                field="vocabulary", fix="Give the word of each column.",
            )  # fmt: skip
        found = np.asarray(counts.sum(axis=0), np.float64).ravel() + 1
        warm = _WARM * len(sample) if self.warm_up is None else self.warm_up
        return {
            "background": np.log(found / found.sum()).astype(np.float32),
            "warm_up": np.array([warm], np.int64),
        }

    def fact_names(self) -> tuple[str, ...]:
        """Of what `facts` gives."""
        return ("background", "warm_up")

    def usual_rate(self) -> float | None:
        """Adam's is larger than usual: the loss is a document's, not a word's."""
        return 0.005 if self.optimizer == "adam" else None

    def network(self, facts: Facts) -> nn.Module:
        """The autoencoder."""
        words = len(facts["background"])
        units = [3 * self.topics, 2 * self.topics]
        if self.encoder_layers != "auto":
            units = [int(each) for each in self.encoder_layers]
        return _Autoencoder(words, units, self.topics, self.activation, facts["background"])

    def loss(
        self, network: nn.Module, batch: Batch, facts: Facts, chance: torch.Generator, seen: float
    ) -> tuple[torch.Tensor, float]:
        """The negative evidence lower bound, the divergence as far as it is warmed up."""
        assert isinstance(network, _Autoencoder)
        if self.sub_sample < 1:
            count = max(1, round(self.sub_sample * len(batch)))
            kept = torch.randperm(len(batch), generator=chance)[:count].numpy()
            batch = batch_of(batch.matrix()[np.sort(kept)])
        counts: Any = batch.matrix()
        check_counts(counts, len(facts["background"]), "update")
        mean, spread = network(_rows_of(scaled(counts)))
        noise = torch.randn(mean.shape, generator=chance)
        z = mean + torch.exp(spread / 2) * noise
        mixed = torch.softmax(z, 1) if self.mixing == "softmax" else z
        told = torch.log_softmax(mixed @ network.topics + network.background, 1)
        if batch.sparse:
            at, columns, values = _entries(counts)
            missed = -(values * told[at, columns]).sum()
        else:
            missed = -(torch.from_numpy(np.array(counts, np.float32)) * told).sum()
        divergence = 0.5 * (torch.exp(spread) + mean * mean - 1 - spread).sum()
        warm = int(facts["warm_up"][0])
        share = min(1.0, seen / warm) if warm else 1.0
        return missed + share * divergence, float(len(batch))

    def model(self, network: nn.Module, facts: Facts, **config: Any) -> NeuralTopics:
        """The topics; `vocabulary` may be given anew."""
        check_config(config, ("vocabulary", "validation"))
        assert isinstance(network, _Autoencoder)
        words = config.get("vocabulary", self.vocabulary)
        settings = {name: each for name, each in self.parameters().items() if name != "vocabulary"}
        return NeuralTopics(
            network.arrays(), activation=self.activation, mixing=self.mixing,
            vocabulary=None if words is None else [str(each) for each in words], settings=settings,
        )  # fmt: skip

    # scikit-learn's

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from scratch, until the loss no longer falls."""
        self._validate_params()
        self._check_units()
        batch = self._rows(X, reset=True)
        self._state = LocalState()
        self.initialize(self._state, batch.rows(0, min(len(batch), self.sample_size)))
        warm = int(self._state.pull("fact/warm_up")[0])
        self.loss_curve_: list[float] = []
        best, worse, before = np.inf, 0, np.zeros(2)
        for epoch in range(self.epochs):
            self._learn(shuffled(batch, self.seed, epoch))
            self.n_iter_ = epoch + 1
            after = np.array(self._state.pull(PROGRESS))
            loss = float((after - before)[0] / max(after[1] - before[1], 1e-12))
            self.loss_curve_.append(loss)
            # while it warms up the loss is another one each epoch
            if self.patience is not None and before[1] >= warm:
                better = not np.isfinite(best) or loss < best - self.tolerance * abs(best)
                worse, best = 0 if better else worse + 1, min(best, loss)
                if worse >= self.patience:
                    break
            before = after
        return self._made()

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The shares of topics in each row of counts, (n, topics)."""
        found: NDArray[np.float32] = self.model_.evaluate(self._given(X))
        return found

    def score(self, X: Any, y: Any = None) -> float:
        """The evidence lower bound per word, the more the better."""
        return float(-np.log(self.perplexity(X)))

    def perplexity(self, X: Any) -> float:
        """exp(-bound / words), the less the better."""
        return float(self.model_.score(self._given(X), "perplexity"))

    def _given(self, X: Any) -> Batch:
        check_is_fitted(self)
        return self._rows(X, reset=False)

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        found = validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32],
            ensure_non_negative=True,
        )  # fmt: skip
        return batch_of(found)

    def _fitted(self) -> None:
        self.components_ = self._model.topics
        self._n_features_out = self.topics

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """`neuraltopicmodel0` and so on."""
        check_is_fitted(self)
        return np.asarray([f"neuraltopicmodel{k}" for k in range(self.topics)], object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


Rows = torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Dense rows, or the columns, the starts and the values of sparse ones."""


def _rows_of(matrix: Any) -> Rows:
    if not hasattr(matrix, "tocsr"):
        return torch.from_numpy(np.array(matrix, np.float32))
    starts = torch.from_numpy(np.array(matrix.indptr[:-1], np.int64))
    _, columns, values = _entries(matrix)
    return columns, starts, values


def _entries(matrix: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The rows, the columns and the values of what sparse rows hold."""
    at = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns = np.array(matrix.indices, np.int64)
    return (
        torch.from_numpy(at),
        torch.from_numpy(columns),
        torch.from_numpy(np.array(matrix.data, np.float32)),
    )


class _Words(nn.Module):
    """A linear layer over words, weights (words, units), that reads of sparse rows only what they hold."""

    def __init__(self, words: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(words, units))
        self.bias = nn.Parameter(torch.empty(units))

    def forward(self, rows: Rows) -> torch.Tensor:
        """(n, units)."""
        if isinstance(rows, torch.Tensor):
            return rows @ self.weight + self.bias
        columns, starts, values = rows
        bags = nn.functional.embedding_bag(
            columns, self.weight, starts, mode="sum", per_sample_weights=values
        )
        return bags + self.bias


class _Autoencoder(nn.Module):
    """The encoder as layers, the decoder as `topics` and `background`."""

    def __init__(
        self, words: int, units: Sequence[int], topics: int, activation: str, background: NDArray[Any]
    ) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(
            nn.Linear(a, b) if i else _Words(a, b)
            for i, (a, b) in enumerate(itertools.pairwise((words, *units)))
        )
        last: type[nn.Linear | _Words] = nn.Linear if units else _Words
        self.mean, self.spread = (last(units[-1] if units else words, topics) for _ in range(2))
        for each in (*self.layers, self.mean, self.spread):
            nn.init.xavier_uniform_(each.weight)
            nn.init.zeros_(each.bias)
        self.topics = nn.Parameter(0.02 * torch.randn(topics, words))
        self.background = nn.Parameter(torch.from_numpy(np.array(background, np.float32)))

    def forward(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log-variances of z, of rows as `scaled` makes them."""
        h: Any = rows
        for layer in self.layers:
            h = getattr(torch, self.activation)(layer(h))
        return self.mean(h), torch.clamp(self.spread(h), -20, 20)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `NeuralTopics` is made of."""
        found: dict[str, Any] = {"topics": self.topics, "background": self.background}
        for i, layer in enumerate(self.layers):
            found[f"weight{i}"], found[f"bias{i}"] = _weights(layer)
        for name in ("mean", "spread"):
            found[f"{name}_weight"], found[f"{name}_bias"] = _weights(getattr(self, name))
        return {name: np.ascontiguousarray(each.detach().numpy()) for name, each in found.items()}


def _weights(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's weights (in, out) and biases (out,)."""
    return layer.weight if isinstance(layer, _Words) else layer.weight.T, layer.bias
