"""What a topic model is once learned: the topics' words, and how documents' topics are found from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.lda.documents import Documents, documents_of
from tradewind.algorithms.lda.inference import deal, infer, padded
from tradewind.errors import Misuse, suggestion

KIND = "TopicModel"
SWEEPS = 50
"""Always as many, so that other tools can do the very same."""
METRICS = ("perplexity", "log_likelihood")


class TopicModel:
    """Topics as distributions over words.

    `topic_words` (k, d) holds one topic a row, which sums to one; `alpha` (k,) is the prior of a document's
    topics.
    """

    metric = "perplexity"

    def __init__(self, topic_words: NDArray[Any], alpha: NDArray[Any]) -> None:
        self.topic_words = np.asarray(topic_words, np.float32)
        self.alpha = np.asarray(alpha, np.float32)
        self._words = np.zeros((self.topic_words.shape[1], padded(len(self.alpha))), np.float32)
        self._words[:, : len(self.alpha)] = self.topic_words.T
        self._prior = np.zeros(self._words.shape[1], np.float32)
        self._prior[: len(self.alpha)] = self.alpha

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.float64]:
        """The documents' topics (n, k), each row a distribution; an empty document's is the prior.

        O(nnz k) time, `SWEEPS` times.
        """
        return self._mixtures(documents_of(batch, len(self._words), "evaluate"))

    def score(self, batch: Batch | ArrayLike, metric: str = "") -> float:
        """`perplexity`: of one half of each document's words when the other half is known; less is better.

        Document completion (Wallach et al., ICML 2009, section 4.3); the halves are decided by the document
        itself, see `inference.deal`. `log_likelihood` is minus its logarithm, the mean a word. Misuse where
        no word is left to be scored.
        """
        metric = metric or self.metric
        if metric not in METRICS:
            raise Misuse(
                f"{metric!r} is no metric of topics", field="metric", fix=suggestion(metric, METRICS)
            )
        indptr, indices, counts = documents_of(batch, len(self._words), "score")
        known, hidden = np.empty_like(counts), np.empty_like(counts)
        deal(indptr, indices, counts, known, hidden)
        total = float(hidden.sum(dtype=np.float64))
        if total <= 0:
            raise Misuse(
                "no document has a second word",
                source="score",
                field="features",
                fix="Give documents of two words and more.",
            )
        mixtures = self._mixtures((indptr, indices, known))
        document = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        likely = np.einsum(
            "ik,ik->i", mixtures[document], self._words[indices, : len(self.alpha)], dtype=np.float64
        )
        mean = float(np.sum(hidden * np.log(np.maximum(likely, 1e-300)), dtype=np.float64)) / total
        return mean if metric == "log_likelihood" else float(np.exp(-mean))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`topic_words` (k, d) and `alpha` (k,), float32."""
        return {"topic_words": self.topic_words, "alpha": self.alpha}

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return {
            "kind": KIND, "version": 1, "topics": len(self.alpha), "features": len(self._words),
            "sweeps": SWEEPS,
            "formula": "T = alpha + X.sum(1) / topics; `sweeps` times"
            " T = alpha + T * ((X / (T @ topic_words)) @ topic_words.T); the answer is T / T.sum(1)",
        }  # fmt: skip

    def graph(self) -> Graph:
        """The sweeps of `evaluate` one after the other, on dense rows: O(n d k) each."""
        topics, words = self.topic_words.shape
        nodes = [
            Node("MatMul", ("X", "spread"), ("evenly",)),
            Node("Add", ("evenly", "alpha"), ("mixture0",)),
        ]
        for i in range(SWEEPS):
            nodes += [
                Node("MatMul", (f"mixture{i}", "topic_words"), (f"likely{i}",)),
                Node("Div", ("X", f"likely{i}"), (f"share{i}",)),
                Node("MatMul", (f"share{i}", "word_topics"), (f"moved{i}",)),
                Node("Mul", (f"mixture{i}", f"moved{i}"), (f"given{i}",)),
                Node("Add", (f"given{i}", "alpha"), (f"mixture{i + 1}",)),
            ]
        nodes += [
            Node("MatMul", (f"mixture{SWEEPS}", "ones"), ("total",)),
            Node("Div", (f"mixture{SWEEPS}", "total"), ("Y",)),
        ]
        return Graph(
            nodes=tuple(nodes),
            inputs=(rows(words),),
            outputs=(Port("Y", ("rows", topics)),),
            constants={
                "topic_words": constant(self.topic_words),
                "word_topics": constant(self.topic_words.T),
                "spread": constant(np.full((words, topics), 1 / topics)),
                "ones": constant(np.ones((topics, 1))),
                "alpha": constant(self.alpha),
            },
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> TopicModel:
        """The model that gave `arrays` and `header`."""
        if int(header["sweeps"]) != SWEEPS:
            raise Misuse(
                f"a model of {header['sweeps']} sweeps", source="header", field="sweeps",
                fix=f"Open it with the version that wrote it, or set {SWEEPS}.",
            )  # fmt: skip
        return cls(arrays["topic_words"], arrays["alpha"])

    def _mixtures(self, documents: Documents) -> NDArray[np.float64]:
        indptr, indices, counts = documents
        mixtures = np.empty((len(indptr) - 1, self._words.shape[1]), np.float32)
        infer(
            indptr, indices, counts, self._words, self._prior, SWEEPS, 0.0, mixtures,
            np.empty((0, self._words.shape[1]), np.float32), np.empty(len(mixtures)),
        )  # fmt: skip
        found = mixtures[:, : len(self.alpha)].astype(np.float64)
        return np.asarray(found / found.sum(axis=1, keepdims=True))
