"""Decima's graph network, evaluated with numpy.

Mao et al., SIGCOMM 2019, sections 5.1 and 5.2. A stage's embedding is its features', and what its children
send: `e_v = prepare(x_v) + receive(sum of send(e_u) over children u)`. A job's summary is the sum of its
stages', the cluster's the sum of its jobs'. One head gives each runnable stage a score, one each limit of the
chosen stage's job. Networks of two layers each, leaky rectifiers with slope 0.2, 4.8 thousand weights in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.scheduling.decima.features import LIMIT, NODE, OPTION, Graphs
from tradewind.errors import Misuse

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
WIDTH = 8
"""Of each embedding."""
LAYERS: dict[str, tuple[int, ...]] = {
    "prepare": (NODE, 16, WIDTH),
    "send": (WIDTH, 16, WIDTH),
    "receive": (WIDTH, 16, WIDTH),
    "job": (NODE + WIDTH, 16, WIDTH),
    "cluster": (WIDTH, 16, WIDTH),
    "stage_head": (NODE + 3 * WIDTH + OPTION, 32, 16, 1),
    "limit_head": (NODE + 3 * WIDTH + LIMIT, 32, 16, 1),
}
"""By network, the widths of its layers; heads end without a rectifier."""
HEADS = ("stage_head", "limit_head")
SLOPE = 0.2
"""Of a leaky rectifier below 0."""
SUM = 0.1
"""What sums over stages and jobs are multiplied by, so that they begin near 1."""


class Embedded(Struct, frozen=True, eq=False):
    """Jobs as the heads see them."""

    stage: Floats
    """(stages, NODE + WIDTH) features and embedding, in the order of the graphs' table."""
    job: Floats
    """(jobs, WIDTH) summaries."""
    share: Floats
    """(jobs, WIDTH) what each adds to the summary of the cluster."""


class Network:
    """The network with its weights: `NAME.LAYER.weight` (out, in) and `NAME.LAYER.bias` (out,), float32.

    Raises Misuse where a weight is missing, of another shape, or not finite.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.generic]], source: str = "decima") -> None:
        self._layers: dict[str, list[tuple[Floats, Floats]]] = {}
        for name, widths in LAYERS.items():
            pairs = []
            for at, (wide, narrow) in enumerate(pairwise(widths)):
                weight = _weight(weights, f"{name}.{at}.weight", (narrow, wide), source)
                bias = _weight(weights, f"{name}.{at}.bias", (narrow,), source)
                pairs.append((np.ascontiguousarray(weight.T), bias))
            self._layers[name] = pairs

    def _through(self, name: str, x: Floats) -> Floats:
        last = len(self._layers[name]) - 1
        for at, (weight, bias) in enumerate(self._layers[name]):
            x = x @ weight
            x += bias
            if at < last or name not in HEADS:
                x = np.maximum(x, SLOPE * x)
        return x

    def embed(self, graphs: Graphs) -> Embedded:
        """Jobs' stages, summaries and shares of the cluster's summary."""
        e = self._through("prepare", graphs.x)
        for height, edges in enumerate(graphs.edges, 1):
            begin, end = graphs.levels[height], graphs.levels[height + 1]
            heard = np.zeros((end - begin, WIDTH), np.float32)
            # Children of one height may be many; each is asked what it sends where it is heard.
            np.add.at(heard, edges[:, 1] - begin, self._through("send", e[edges[:, 0]]))
            e[begin:end] += self._through("receive", heard)
        stage = np.concatenate((graphs.x, e), axis=1)
        job = np.zeros((len(graphs.runnable), WIDTH), np.float32)
        np.add.at(job, graphs.job, self._through("job", stage))
        job *= SUM
        return Embedded(stage, job, self._through("cluster", job))

    def stage_scores(self, rows: Floats) -> Floats:
        """(n,) scores of stages; `rows` are stage, job, cluster and option features side by side."""
        return np.asarray(self._through("stage_head", rows)[:, 0])

    def limit_scores(self, rows: Floats) -> Floats:
        """(n,) scores of limits; `rows` are stage, job, cluster and limit features side by side."""
        return np.asarray(self._through("limit_head", rows)[:, 0])


def cluster_summary(shares: Floats) -> Floats:
    """(WIDTH,) of the jobs at hand; shares are (jobs, WIDTH)."""
    return np.asarray(shares.sum(axis=0) * SUM)


def first_weights(seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights to begin training with: Glorot's uniform ones, and heads that score nearly alike.

    Glorot and Bengio, AISTATS 2010, equation 16.
    """
    rng = np.random.default_rng([seed, 0xDEC1])
    weights: dict[str, NDArray[np.float32]] = {}
    for name, widths in LAYERS.items():
        for at, (wide, narrow) in enumerate(pairwise(widths)):
            bound = np.sqrt(6.0 / (wide + narrow)) * (0.1 if narrow == 1 else 1.0)
            weights[f"{name}.{at}.weight"] = rng.uniform(-bound, bound, (narrow, wide)).astype(np.float32)
            weights[f"{name}.{at}.bias"] = np.zeros(narrow, np.float32)
    return weights


def _weight(
    weights: Mapping[str, NDArray[np.generic]], name: str, shape: Sequence[int], source: str
) -> Floats:
    if name not in weights:
        raise Misuse("is missing", source=source, field=name, fix="Give the weights of this network.")
    found = np.asarray(weights[name], np.float32)
    if found.shape != tuple(shape):
        raise Misuse(
            f"has shape {found.shape}, not {tuple(shape)}", source=source, field=name,
            fix="Give the weights of this network.",
        )  # fmt: skip
    if not np.isfinite(found).all():
        raise Misuse("is not finite", source=source, field=name, fix="Train again, with smaller steps.")
    return found
