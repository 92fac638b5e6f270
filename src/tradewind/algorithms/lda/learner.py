"""Latent Dirichlet allocation, learned from a stream of documents.

The model is Blei, Ng and Jordan's (JMLR 2003, section 3, smoothed as in 5.4). Documents' topics are found by
zero-order collapsed variational inference (Asuncion et al., UAI 2009, section 3), topics' words are averages
over the stream that forget (Hoffman et al., NIPS 2010, section 2.2; Foulds et al., KDD 2013, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_non_negative

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.lda.documents import documents_of
from tradewind.algorithms.lda.forgetting import weight_of
from tradewind.algorithms.lda.inference import infer, padded
from tradewind.algorithms.lda.model import TopicModel
from tradewind.algorithms.linear.minibatch import Distinct
from tradewind.algorithms.shuffling import shuffled
from tradewind.errors import Misuse, suggestion

WORDS, TOTALS, READ, TABLES = "words", "totals", "read", "tables"
"""Tables. WORDS (d, k) float32: how often each topic is expected to have given each word, a document counted
by its weight (see `forgetting`); TOTALS (k,): its sums over words. READ (2,) int64: documents that were read,
and d. TABLES (k + 1,): what `alpha="auto"` is estimated from, see `_seats`."""

_BEGINNING = 100
"""Documents that what a topic begins with counts for."""
_USUAL_ALPHA, _LEAST_ALPHA, _TINY = 0.1, 1e-4, 1e-30


class LatentDirichletAllocation(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StreamEstimator):
    """Find topics in documents that are given as counts of words, one document a row.

    Rows are best sparse. Counts need not be whole; weights of rows multiply them. Empty documents are read
    and teach nothing. A word that was never seen is about as likely under every topic. Each batch pulls and
    pushes the rows of its own words only: O(u k) numbers for u distinct ones. O(nnz k) time a sweep, O(d k)
    memory for d words and k topics.

    Args:
        topics: k.
        alpha: prior of each document's topics; `auto` learns one for each topic (Minka, Estimating a
            Dirichlet distribution, 2000, section 3.1), beginning at 0.1.
        eta: prior of each topic's words.
        epochs: passes of `fit`; in a job the job says so.
        batch_size: documents between two updates of the topics; in a job the job says so.
        kappa, tau: how fast what was learned early is forgotten: a share of (tau + t) ** -kappa at each
            step t of 256 documents.
        sweeps, tolerance: a document's topics are found in at most so many sweeps, while learning fewer when
            they move by less than this share of its words.
        shuffle: whether `fit` reads the documents of each epoch in a new order.
        seed: of how topics begin, and of the order.

    Attributes:
        components_: (k, d), the distribution over words of each topic.
        alpha_: (k,), the prior of documents' topics.
        n_iter_: passes that `fit` made.

    >>> documents = [[3, 2, 0, 0], [4, 1, 0, 0], [0, 0, 2, 5], [0, 0, 1, 1]] * 50
    >>> found = LatentDirichletAllocation(2, alpha=0.01, seed=1).fit(documents)
    >>> found.transform([[1, 1, 0, 0], [0, 0, 1, 1]]).max(axis=1).round(1).tolist()
    [1.0, 1.0]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "topics": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "eta": [Interval(Real, 0, None, closed="neither")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "kappa": [Interval(Real, 0.5, 1, closed="both")],
        "tau": [Interval(Real, 1, None, closed="left")],
        "sweeps": [Interval(Integral, 1, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "shuffle": ["boolean"],
        "seed": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        topics: int = 10,
        *,
        alpha: float | str = _USUAL_ALPHA,
        eta: float = 0.05,
        epochs: int = 10,
        batch_size: int = 256,
        kappa: float = 0.7,
        tau: float = 1.0,
        sweeps: int = 20,
        tolerance: float = 0.03,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self.topics, self.alpha, self.eta = topics, alpha, eta
        self.epochs, self.batch_size = epochs, batch_size
        self.kappa, self.tau = kappa, tau
        self.sweeps, self.tolerance = sweeps, tolerance
        self.shuffle, self.seed = shuffle, seed

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; topics begin as the words of `sample`, each with chance of its own."""
        self.check()
        _, indices, counts = documents_of(sample, sample.features, "initialize")
        chance = np.random.default_rng(self.seed)
        share = np.bincount(indices, counts, sample.features) + 1.0
        length = max(float(counts.sum(dtype=np.float64)) / max(len(sample), 1), 1.0)
        share *= length * _BEGINNING / (self.topics * share.sum())
        words = (chance.exponential(size=(sample.features, self.topics)) * share[:, None]).astype(np.float32)
        words *= np.float32(weight_of(0, self.kappa, self.tau))
        state.initialize(WORDS, words)
        state.initialize(TOTALS, words.sum(axis=0, dtype=np.float64))
        state.initialize(READ, np.array([0, sample.features], np.int64))
        if self.alpha == "auto":
            weight = _BEGINNING * weight_of(0, self.kappa, self.tau)
            state.initialize(TABLES, np.append(np.full(self.topics, _USUAL_ALPHA), 1.0) * weight)
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the documents: a sparse pull and a sparse push a batch.

        Misuse for another vocabulary than the state's and for counts that are negative or not finite.
        """
        features = int(state.pull(READ)[1])
        distinct = Distinct(features)
        for batch in stream:
            indptr, indices, counts = documents_of(batch, features, "update")
            places, local = distinct(indices)
            read = int(state.pull(READ)[0])
            weight = weight_of(read, self.kappa, self.tau)
            totals = np.maximum(state.pull(TOTALS), 0.0) / weight + self.eta * features
            words = self._likely(state.pull(WORDS, places), totals, weight)
            alpha = np.zeros(words.shape[1], np.float32)
            alpha[: self.topics] = self._alpha(state)
            given, losses = np.zeros_like(words), np.empty(len(batch))
            mixtures = np.empty((len(batch), words.shape[1]), np.float32)
            infer(
                indptr, local, counts, words, alpha, self.sweeps, float(self.tolerance), mixtures,
                given, losses,
            )  # fmt: skip
            found = given[:, : self.topics]
            state.push(WORDS, found * np.float32(weight), places)
            state.push(TOTALS, found.sum(axis=0, dtype=np.float64) * weight)
            state.push(READ, np.array([len(batch), 0]))
            if self.alpha == "auto":
                state.push(TABLES, _seats(mixtures[:, : self.topics], alpha[: self.topics]) * weight)
            state.push(PROGRESS, np.array([losses.sum(), len(batch)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> TopicModel:
        """The topics; `alpha`, a number, and `eta` may be given anew."""
        for name in config:
            if name not in ("alpha", "eta"):
                raise Misuse(
                    f"finalize takes no {name!r}", field=name, fix=suggestion(name, ("alpha", "eta"))
                )
        plan = LatentDirichletAllocation(**{**self.parameters(), **config})
        plan.check()
        if plan.alpha == "auto" != self.alpha:
            raise Misuse(
                "alpha was not learned", field="alpha", fix="Give a number, or learn with alpha='auto'."
            )
        weight = weight_of(int(state.pull(READ)[0]), self.kappa, self.tau)
        counts = np.maximum(np.asarray(state.pull(WORDS), np.float64).T / weight, 0.0) + plan.eta
        return TopicModel(counts / counts.sum(axis=1, keepdims=True), plan._alpha(state))

    def transform(self, X: Any) -> NDArray[np.float64]:
        """The documents' topics (n, k), each row a distribution."""
        check_is_fitted(self)
        found: NDArray[np.float64] = self._model.evaluate(self._rows(X, reset=False))
        return found

    def perplexity(self, X: Any) -> float:
        """The perplexity of one half of each document's words when the other is known; less is better."""
        check_is_fitted(self)
        return float(self._model.score(self._rows(X, reset=False), "perplexity"))

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the logarithm of `perplexity`."""
        check_is_fitted(self)
        return float(self._model.score(self._rows(X, reset=False), "log_likelihood"))

    def _alpha(self, state: State) -> NDArray[np.float32]:
        if self.alpha != "auto":
            return np.full(self.topics, max(float(self.alpha), _TINY), np.float32)
        seats = state.pull(TABLES)
        return np.asarray(np.maximum(seats[:-1] / seats[-1], _LEAST_ALPHA), np.float32)

    def _likely(
        self, counts: NDArray[np.float32], totals: NDArray[np.float64], weight: float
    ) -> NDArray[np.float32]:
        """The probability of some words (u,) under each topic, (u, k) padded to whole lanes."""
        words = np.zeros((len(counts), padded(self.topics)), np.float32)
        found = words[:, : self.topics]
        np.multiply(np.maximum(counts, 0), np.float32(1 / weight), out=found)
        found += np.float32(self.eta)
        found *= (1 / totals).astype(np.float32)
        return words

    def _fitted(self) -> None:
        self.components_, self.alpha_ = self._model.topic_words, self._model.alpha
        self._n_features_out = len(self.components_)

    def _ordered(self, batch: Batch, epoch: int) -> Batch:
        return shuffled(batch, self.seed, epoch) if self.shuffle else batch

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        batch = super()._rows(X, y, reset=reset, classes=classes)
        check_non_negative(batch.matrix(), type(self).__name__)
        return batch

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


def _seats(mixtures: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float64]:
    """A batch's part in the estimate of alpha, (k + 1,): that is the quotient of the first k by the last.

    Minka's fixed point with its sums taken over the stream, each with the alpha of its time: by topic
    alpha * (digamma(alpha + count) - digamma(alpha)), and at the end the same of all topics together without
    the factor. The counts are expected ones, and half a word is no word half of the time: each stands for its
    value where it is not zero, with the probability of that (Teh, Kurihara and Welling, NIPS 2007), as if it
    were Poisson's.
    """
    prior = alpha.astype(np.float64)
    counts = np.maximum(mixtures.astype(np.float64) - prior, 1e-12)
    some = -np.expm1(-counts)
    own = prior * (some * (digamma(counts / some + prior) - digamma(prior))).sum(axis=0)
    lengths = counts.sum(axis=1)
    return np.append(own, (digamma(lengths + prior.sum()) - digamma(prior.sum())).sum())
