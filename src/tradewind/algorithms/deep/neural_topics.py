"""What a neural topic model has learned: an encoder and topics, used with numpy alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.lda.documents import documents_of
from tradewind.algorithms.lda.inference import deal
from tradewind.errors import Misuse, suggestion

KIND = "NeuralTopics"
"""What its header calls it."""

ACTIVATIONS = ("sigmoid", "tanh", "relu")
MIXINGS = ("gaussian", "softmax")
METRICS = ("perplexity", "loss", "completion")

_AT_ONCE = 4_000_000
"""Probabilities of words held in memory at a time."""
_DRAWS = 8
"""Draws from each document's posterior that its bound is the mean of."""


class NeuralTopics:
    """Documents' topics by an encoder, and words' chances by a decoder.

    - x is log(1 + counts), scaled to length one; layer i: h = activation(h @ weight{i} + bias{i})
    - mean = h @ mean_weight + mean_bias; log-variance = h @ spread_weight + spread_bias
    - the answer is softmax(mean): the shares of topics, (n, k)
    - words' chances, of z = mean: softmax(m @ topics + background), where m is z, or softmax(z) under
      `mixing` softmax

    Memory O(V * (k + h)) for V words and a first layer of h units; `evaluate` takes O(nnz * h) time for
    sparse rows, `words` O(n * V * k).
    """

    metric = "perplexity"

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        activation: str,
        mixing: str,
        vocabulary: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`arrays` as `arrays` gives them; `settings` say how it was learned and come back in the header."""
        self._arrays = {name: np.asarray(each, np.float32) for name, each in arrays.items()}
        self.activation, self.mixing = activation, mixing
        self.vocabulary = None if vocabulary is None else list(vocabulary)
        self.settings = dict(settings or {})
        self.layers = sum(name.startswith("weight") for name in self._arrays)

    @property
    def topics(self) -> NDArray[np.float32]:
        """What a unit of each topic adds to each word's logarithm, (k, words)."""
        return self._arrays["topics"]

    @property
    def features(self) -> int:
        """How many words there are."""
        return int(self.topics.shape[1])

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.float32]:
        """The shares of topics in each row of counts, (n, k); a row without words has the usual ones."""
        shares: NDArray[np.float32] = _softmax(self.posterior(batch)[0])
        return shares

    def posterior(self, batch: Batch | ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Means and log-variances of z, each (n, k). Misuse for other columns or counts below zero."""
        h: Any = scaled(self._counts(batch))
        for i in range(self.layers):
            h = _activated(self.activation, h @ self._arrays[f"weight{i}"] + self._arrays[f"bias{i}"])
        mean = h @ self._arrays["mean_weight"] + self._arrays["mean_bias"]
        spread = h @ self._arrays["spread_weight"] + self._arrays["spread_bias"]
        return np.asarray(mean, np.float32), np.asarray(np.clip(spread, -20, 20), np.float32)

    def words(self, batch: Batch | ArrayLike, *, steps: int = 0) -> NDArray[np.float32]:
        """The chance of each word in documents of which the rows are a part, (n, words).

        `steps` of gradient ascent (Adam) move each document's z from the encoder's mean to the mode of its
        posterior: amortized inference alone is not the best that the decoder can do (Kim et al., ICML 2018).
        """
        counts = self._counts(batch)
        out = np.empty((counts.shape[0], self.features), np.float32)
        for a, b in self._parts(counts.shape[0]):
            x = counts[a:b]
            z = self.posterior(x)[0]
            out[a:b] = np.exp(self._log_words(self._refined(x, z, steps)))
        return out

    def topic_words(self) -> NDArray[np.float64]:
        """The chance of each word where one topic is all there is, (k, words)."""
        raised = self.topics.astype(np.float64) + self._arrays["background"]
        return np.asarray(_softmax(raised), np.float64)

    def top_words(self, count: int = 10) -> list[list[Any]]:
        """The words that each topic raises most, the first most: of the vocabulary, or else columns."""
        best = np.argsort(-self.topics, axis=1, kind="stable")[:, :count]
        if self.vocabulary is None:
            return [[int(each) for each in row] for row in best]
        return [[self.vocabulary[each] for each in row] for row in best]

    def coherence(self, batch: Batch | ArrayLike, count: int = 10) -> NDArray[np.float64]:
        """How often each topic's `count` first words are met in one document, (k,): mean NPMI of pairs.

        Normalised pointwise mutual information (Bouma, GSCL 2009; Lau et al., EACL 2014, section 3), from the
        rows of counts given, a row a document; no word embeddings. -1 where two are never met together, 0 for
        chance, 1 where always. A pair with a word that no row has counts as -1.
        """
        met = self._counts(batch)
        met = (met > 0).astype(np.float64)
        documents = met.shape[0]
        best = np.argsort(-self.topics, axis=1, kind="stable")[:, :count]
        found = np.empty(len(best))
        for k, words in enumerate(best):
            part = met[:, words]
            part = np.asarray(part.todense()) if hasattr(part, "todense") else part
            both = (part.T @ part) / documents
            alone = np.diag(both)
            with np.errstate(divide="ignore", invalid="ignore"):
                npmi = np.log(both / np.outer(alone, alone)) / -np.log(both)
            npmi = np.where(both == 0, -1.0, np.where(both >= 1, 1.0, npmi))
            upper = np.triu_indices(len(words), 1)
            found[k] = npmi[upper].mean() if len(upper[0]) else 0.0
        return found

    def bound(self, batch: Batch | ArrayLike, *, draws: int = _DRAWS) -> NDArray[np.float64]:
        """A lower bound on the logarithm of each row's chance (its words in any one order), (n,).

        The evidence lower bound (Kingma and Welling, ICLR 2014, section 2.2): the mean of `draws`, always the
        same ones, less the divergence of the posterior from a standard normal.
        """
        counts = self._counts(batch)
        chance = np.random.Generator(np.random.Philox(0))
        out = np.empty(counts.shape[0])
        for a, b in self._parts(counts.shape[0]):
            x = counts[a:b]
            mean, spread = self.posterior(x)
            divergence = 0.5 * (np.exp(spread) + mean * mean - 1 - spread).sum(axis=1, dtype=np.float64)
            told = np.zeros(b - a)
            for _ in range(draws):
                noise = chance.standard_normal(mean.shape, np.float32)
                z = np.asarray(mean + np.exp(spread / 2) * noise, np.float32)
                told += _dot(x, self._log_words(z))
            out[a:b] = told / draws - divergence
        return out

    def score(self, batch: Batch, metric: str = "") -> float:
        """`perplexity`, exp(-bound / words), the less the better; `loss`, the mean of -bound a row; or
        `completion`, see there."""
        if metric not in ("", *METRICS):
            raise Misuse(
                f"{metric!r} is no metric of topics", field="metric", fix=suggestion(metric, METRICS)
            )
        if metric == "completion":
            return self.completion(batch)
        bound = self.bound(batch)
        if metric == "loss":
            return float(-bound.mean())
        count = float(self._counts(batch).sum())
        if not count:
            raise Misuse("there is not a word", source="score", field="batch", fix="Give rows with counts.")
        return float(np.exp(-bound.sum() / count))

    def completion(self, batch: Batch | ArrayLike, *, steps: int = 20) -> float:
        """The perplexity of one half of each row's words when the other is known; `steps` as for `words`.

        Document completion (Wallach et al., ICML 2009, section 4.3), with the halves that latent Dirichlet
        allocation's `perplexity` deals, so that the two can be compared.
        """
        self._counts(batch)
        indptr, indices, counts = documents_of(batch, self.features, "score")
        known, hidden = np.empty_like(counts), np.empty_like(counts)
        deal(indptr, indices, counts, known, hidden)
        if not hidden.sum() > 0:
            raise Misuse(
                "no document has a second word", source="score", field="batch",
                fix="Give documents of two words and more.",
            )  # fmt: skip
        rows: Any = csr_matrix((known, indices, indptr), shape=(len(indptr) - 1, self.features))
        told = 0.0
        for a, b in self._parts(rows.shape[0]):
            z = self._refined(rows[a:b], self.posterior(rows[a:b])[0], steps)
            own = slice(int(indptr[a]), int(indptr[b]))
            at = np.repeat(np.arange(b - a), np.diff(indptr[a : b + 1]))
            logs = self._log_words(z)[at, indices[own]]
            told += float(np.sum(hidden[own] * logs, dtype=np.float64))
        return float(np.exp(-told / hidden.sum(dtype=np.float64)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name: `weight{i}` (in, out) and `bias{i}` of each layer, those of `mean_` and `spread_`,
        `topics` (k, words) and `background` (words,)."""
        return dict(self._arrays)

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        mixed = "softmax(mean)" if self.mixing == "softmax" else "mean"
        return {
            "kind": KIND, "version": 1, "features": self.features, "topics": len(self.topics),
            "layers": self.layers, "activation": self.activation, "mixing": self.mixing,
            "vocabulary": self.vocabulary,
            "formula": "h = log(1 + X); h /= sqrt(sum(h * h)); per layer h = activation(h @ weight + bias); "
            "mean = h @ mean_weight + mean_bias; topics' shares are softmax(mean); "
            f"words' chances are softmax({mixed} @ topics + background)",
            "settings": self.settings,
        }  # fmt: skip

    def graph(self) -> Graph:
        """`evaluate` on dense rows of counts."""
        nodes = [
            Node("Add", ("X", "one"), ("more",)),
            Node("Log", ("more",), ("logs",)),
            Node("ReduceL2", ("logs",), ("length",), {"axes": [1], "keepdims": 1}),
            Node("Max", ("length", "least"), ("divisor",)),
            Node("Div", ("logs", "divisor"), ("h0",)),
        ]
        operator = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}[self.activation]
        for i in range(self.layers):
            nodes.append(Node("Gemm", (f"h{i}", f"weight{i}", f"bias{i}"), (f"s{i}",)))
            nodes.append(Node(operator, (f"s{i}",), (f"h{i + 1}",)))
        nodes.append(Node("Gemm", (f"h{self.layers}", "mean_weight", "mean_bias"), ("mean",)))
        nodes.append(Node("Softmax", ("mean",), ("Y",), {"axis": 1}))
        used = {name for node in nodes for name in node.inputs}
        constants = {name: constant(each) for name, each in self._arrays.items() if name in used}
        return Graph(
            nodes=tuple(nodes),
            inputs=(rows(self.features),),
            outputs=(Port("Y", ("rows", len(self.topics))),),
            constants={**constants, "one": constant([1.0]), "least": constant([_LEAST])},
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> NeuralTopics:
        """The model that gave `arrays` and `header`; Misuse where they do not belong together."""
        wanted = {f"{kind}{i}" for i in range(int(header.get("layers", 0))) for kind in ("weight", "bias")}
        wanted |= {"mean_weight", "mean_bias", "spread_weight", "spread_bias", "topics", "background"}
        if set(arrays) != wanted:
            raise Misuse(
                f"the arrays are {sorted(arrays)}, not {sorted(wanted)}", source="model", field="arrays",
                fix="Give the file as it was written.",
            )  # fmt: skip
        for field, known in (("activation", ACTIVATIONS), ("mixing", MIXINGS)):
            if header.get(field) not in known:
                raise Misuse(
                    f"{header.get(field)!r} is not known", source="model", field=field,
                    fix=suggestion(str(header.get(field)), known),
                )  # fmt: skip
        return cls(
            arrays, activation=str(header["activation"]), mixing=str(header["mixing"]),
            vocabulary=header.get("vocabulary"), settings=header.get("settings"),
        )  # fmt: skip

    def _counts(self, batch: Any) -> Any:
        """The counts as a matrix; Misuse for another width or counts that are none."""
        if isinstance(batch, Batch) or hasattr(batch, "tocsr"):
            found = batch.matrix() if isinstance(batch, Batch) else batch.tocsr()
        else:
            found = np.asarray(batch)
        check_counts(found, self.features, "evaluate")
        return found

    def _log_words(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        mixed = _softmax(z) if self.mixing == "softmax" else z
        raised = mixed @ self.topics + self._arrays["background"]
        raised -= raised.max(axis=1, keepdims=True)
        raised -= np.log(np.exp(raised).sum(axis=1, keepdims=True))
        return np.asarray(raised, np.float32)

    def _refined(self, x: Any, z: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
        """Steps of Adam, at a rate of 0.1, up the logarithm of the posterior."""
        first, second = np.zeros_like(z), np.zeros_like(z)
        total = np.asarray(x.sum(axis=1), np.float32).reshape(-1, 1)
        seen = np.asarray(x @ self.topics.T, np.float32)
        for step in range(1, steps + 1):
            slope = seen - (total * np.exp(self._log_words(z))) @ self.topics.T
            if self.mixing == "softmax":
                share = _softmax(z)
                slope = share * (slope - (slope * share).sum(axis=1, keepdims=True))
            slope = slope - z
            first = np.asarray(np.float32(0.9) * first + np.float32(0.1) * slope, np.float32)
            second = np.asarray(np.float32(0.999) * second + np.float32(0.001) * slope * slope, np.float32)
            rise = first / np.float32(1 - 0.9**step)
            move = rise / (np.sqrt(second / np.float32(1 - 0.999**step)) + np.float32(1e-8))
            z = np.asarray(z + np.float32(0.1) * move, np.float32)
        return z

    def _parts(self, count: int) -> Iterator[tuple[int, int]]:
        size = max(1, _AT_ONCE // self.features)
        for a in range(0, count, size):
            yield a, min(count, a + size)


_LEAST = 1e-12


def check_counts(counts: Any, features: int, source: str) -> None:
    """Raise Misuse unless a matrix has `features` columns of finite counts that are not below zero."""
    if counts.ndim != 2 or counts.shape[1] != features:
        raise Misuse(
            f"rows of shape {counts.shape[1:]}, where the model has {features} words", source=source,
            field="features", fix="Give the columns that it was trained on, in their order.",
        )  # fmt: skip
    values = counts.data if hasattr(counts, "tocsr") else counts
    least = values.min(initial=0)
    if not (least >= 0 and np.isfinite(values.max(initial=0))):
        raise Misuse(
            "Negative values in data passed to a topic model" if least < 0 else "a count is not finite",
            source=source, field="X", fix="Give counts of words: zero or more.",
        )  # fmt: skip


def scaled(counts: Any) -> Any:
    """log(1 + counts), each row scaled to length one; sparse rows stay so."""
    if hasattr(counts, "tocsr"):
        logs = counts.astype(np.float32)
        logs.data = np.log1p(logs.data)
        length = np.sqrt(np.asarray(logs.multiply(logs).sum(axis=1), np.float32)).reshape(-1)
        logs.data /= np.repeat(np.maximum(length, _LEAST), np.diff(logs.indptr))
        return logs
    logs = np.log1p(np.asarray(counts, np.float32))
    return logs / np.maximum(np.sqrt((logs * logs).sum(axis=1, keepdims=True)), np.float32(_LEAST))


def _activated(kind: str, values: Any) -> Any:
    if kind == "relu":
        return np.maximum(values, 0)
    return np.tanh(values) if kind == "tanh" else 0.5 * (1 + np.tanh(0.5 * values))


def _softmax(values: Any) -> Any:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _dot(counts: Any, logs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row by row the sum of counts times logarithms, (n,)."""
    if hasattr(counts, "tocsr"):
        at = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        told = counts.data.astype(np.float64) * logs[at, counts.indices]
        return np.asarray(np.bincount(at, told, counts.shape[0]), np.float64)
    return np.asarray(np.einsum("ij,ij->i", counts, logs, dtype=np.float64))
