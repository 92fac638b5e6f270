"""Topics of a public bag-of-words in a given time: ours, scikit-learn's and gensim's.

Everybody learns from the same documents, passes them again and again (in new orders of their own; gensim in
the order given, which is a random one) and is stopped by the clock; what counts is the last pass that ended
within the budget. The clock covers the construction of the model, the learning and the reading of the topics
after each pass; not the compilation of our kernels (a warm-up), not the corpus in each side's own form, and
not the judging. One thread each; LdaMulticore with `workers=1` has a worker process beside the one that feeds
it, that is two cores; it takes part at 20 topics.

All topics are judged by one estimator that belongs to none of the sides: `completion_perplexity` with
`mixture_of`, in `benchmarks/corpora.py`. The peers' settings are the best of those tried, one by one and the
best ones together, at 20 topics and 10 s of processor time, on a tenth of the documents to learn from:
batches, learning rates, priors and how long a document is looked at (`--tune` tries those of `TRIED` again).
Ours has its defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from gensim.models import LdaModel, LdaMulticore
from gensim.models.callbacks import Metric
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import LatentDirichletAllocation as ScikitLearn

from corpora import completion_perplexity, corpus, mixture_of
from tradewind.algorithms.latent_dirichlet_allocation import LatentDirichletAllocation

JUDGED_AT = 0.1
"""The alpha of the estimator; the full run shows others too."""
OURS, SKLEARN, GENSIM, MULTICORE = "tradewind", "scikit-learn", "gensim", "gensim, LdaMulticore"
TUNED: dict[str, dict[str, Any]] = {
    SKLEARN: {
        "batch_size": 512, "max_doc_update_iter": 5, "topic_word_prior": 0.2, "doc_topic_prior": 0.3,
        "learning_decay": 0.7, "learning_offset": 10.0,
    },
    GENSIM: {"chunksize": 1000, "decay": 0.5, "offset": 10.0, "iterations": 20, "eta": 0.2},
}  # fmt: skip
"""The best settings of those tried; see the top of the file."""
TRIED: dict[str, list[dict[str, Any]]] = {
    OURS: [{}, {"batch_size": 64}, {"batch_size": 1024}, {"kappa": 0.5}, {"tau": 64.0}, {"tolerance": 0.01}],
    SKLEARN: [
        {}, {"batch_size": 64}, {"batch_size": 128}, {"batch_size": 256}, {"batch_size": 1024},
        {"learning_decay": 0.51}, {"learning_offset": 1.0}, {"learning_offset": 64.0},
        {"topic_word_prior": 0.05}, {"doc_topic_prior": 0.1}, {"max_doc_update_iter": 2},
        {"max_doc_update_iter": 10}, {"max_doc_update_iter": 20}, {"max_doc_update_iter": 100},
    ],
    GENSIM: [
        {}, {"chunksize": 250}, {"chunksize": 500}, {"chunksize": 2000}, {"chunksize": 4000}, {"decay": 0.7},
        {"offset": 1.0}, {"offset": 64.0}, {"eta": 0.05}, {"alpha": "auto"}, {"iterations": 5},
        {"iterations": 50}, {"gamma_threshold": 1e-2},
    ],
}  # fmt: skip


class Over(Exception):
    """The largest budget is spent."""


@dataclass
class Clock:
    """Called after each pass with a way to read the topics; it stands still while they are kept."""

    budgets: tuple[float, ...]
    keep: int = 0
    """Of how many passes the topics are kept."""
    passes: int = 0
    best: dict[float, tuple[int, float, NDArray[Any]]] = field(default_factory=dict)
    """By budget: passes, seconds and topics of the last pass within it, or of the first of all."""
    kept: list[tuple[float, NDArray[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = time.perf_counter()

    def __call__(self, topics: Callable[[], NDArray[Any]]) -> None:
        found = topics()
        now = time.perf_counter()
        took = now - self.start
        self.passes += 1
        copy = np.array(found, np.float32)
        for budget in self.budgets:
            if took <= budget or budget not in self.best:
                self.best[budget] = (self.passes, took, copy)
        if self.passes <= self.keep:
            self.kept.append((took, copy))
        if took > max(self.budgets):
            raise Over
        self.start += time.perf_counter() - now


def ours(clock: Clock, rows: csr_matrix, topics: int, seed: int, **settings: Any) -> None:
    order = np.random.default_rng(seed)
    learner = LatentDirichletAllocation(topics, **{"seed": seed, **settings})
    while True:
        learner.partial_fit(rows[order.permutation(rows.shape[0])])
        clock(lambda: learner.components_)


def scikit_learn(clock: Clock, rows: csr_matrix, topics: int, seed: int, **settings: Any) -> None:
    order = np.random.default_rng(seed)
    learner = ScikitLearn(
        topics, learning_method="online", total_samples=rows.shape[0], random_state=seed,
        **{**TUNED[SKLEARN], **settings},
    )  # fmt: skip
    while True:
        learner.partial_fit(rows[order.permutation(rows.shape[0])])
        clock(lambda: learner.components_)


class Passes(Metric):
    """gensim's callback after each pass."""

    logger, title, viz_env = "shell", "passes", None

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def get_value(self, **given: Any) -> float:
        self.clock(given["model"].get_topics)
        return 0.0


def texts(rows: csr_matrix) -> list[list[tuple[int, int]]]:
    """Documents in gensim's form."""
    counts = rows.data.astype(int).tolist()
    words = rows.indices.tolist()
    pairs = list(zip(words, counts, strict=True))
    return [pairs[a:b] for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)]


def of_gensim(topics: int, words: int, seed: int, **settings: Any) -> dict[str, Any]:
    return {
        "num_topics": topics, "id2word": {i: str(i) for i in range(words)}, "alpha": [0.1] * topics,
        "eval_every": None, "random_state": seed, **TUNED[GENSIM], **settings,
    }  # fmt: skip


def gensim(clock: Clock, documents: Any, topics: int, seed: int, **settings: Any) -> None:
    given, words = documents
    LdaModel(given, passes=10**6, callbacks=[Passes(clock)], **of_gensim(topics, words, seed, **settings))


def multicore(clock: Clock, documents: Any, topics: int, seed: int) -> None:
    """It tells nothing between its passes: the time of one says how many fit into the longest budget."""
    given, words = documents
    settings = of_gensim(topics, words, seed)
    budget = max(clock.budgets)

    def learned(passes: int) -> tuple[int, float, NDArray[Any]]:
        start = time.perf_counter()
        found = LdaMulticore(given, passes=passes, workers=1, **settings).get_topics()
        return passes, time.perf_counter() - start, found

    clock.best[budget] = learned(1)
    passes = int(budget / clock.best[budget][1])
    if passes > 1:
        clock.best[budget] = learned(passes)
    raise Over


SIDES: dict[str, Callable[..., None]] = {
    OURS: ours, SKLEARN: scikit_learn, GENSIM: gensim, MULTICORE: multicore,
}  # fmt: skip


def timed(
    side: str, given: Any, topics: int, seed: int, budgets: tuple[float, ...], **settings: Any
) -> Clock:
    clock = Clock(budgets, keep=10 if side == OURS else 0)
    try:
        SIDES[side](clock, given, topics, seed, **settings)
    except Over:
        return clock
    raise AssertionError("it is stopped by the clock only")


def judged(topic_words: NDArray[Any], test: csr_matrix, alpha: float = JUDGED_AT) -> float:
    return completion_perplexity(mixture_of(topic_words, alpha, 50), topic_words, test)


def tune(train: csr_matrix, topics: int, budget: float) -> None:
    """Every setting by itself, on a tenth of the documents to learn from."""
    cut = train.shape[0] // 10
    test, rows = train[:cut], train[cut:]
    given = {SKLEARN: rows, OURS: rows, GENSIM: (texts(rows), rows.shape[1])}
    for side, settings in TRIED.items():
        for each in settings:
            passes, took, found = timed(side, given[side], topics, 0, (budget,), **each).best[budget]
            print(
                f"{side:<14}{json.dumps(each):<55}{passes:>4} passes{took:>7.1f} s{judged(found, test):>9.1f}"
            )


def spread(values: list[float]) -> str:
    return f"{min(values):.0f}-{max(values):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small corpus, 20 topics, short budgets")
    parser.add_argument("--tune", action="store_true", help="only try the peers' settings, at 20 topics")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = corpus("small" if options.quick else "full")
    train, test = found.train, found.test
    LatentDirichletAllocation(2, epochs=1).fit(train[:300])  # compiles
    if options.tune:
        tune(train, 20, 1.0 if options.quick else 10.0)
        return
    rounds = 5
    budgets = (0.5, 1.5) if options.quick else (2.0, 8.0)
    pairs = (texts(train), train.shape[1])
    given = {OURS: train, SKLEARN: train, GENSIM: pairs, MULTICORE: pairs}
    print(found.source)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread a side,")
    packages = ("tradewind", "numba", "numpy", "scikit-learn", "gensim")
    print(", ".join(f"{each} {version(each)}" for each in packages) + ";")
    print(f"scikit-learn {TUNED[SKLEARN]}, gensim {TUNED[GENSIM]}.")
    print(f"Medians of {rounds} alternating rounds, seeds 0 to {rounds - 1}; less perplexity is better.\n")
    figures: dict[str, float] = {}
    for topics in (20,) if options.quick else (20, 50):
        first = topics == 20 and not options.quick  # where more is looked at
        sides = [OURS, SKLEARN, GENSIM] + ([MULTICORE] if first else [])
        perplexities: dict[tuple[str, float], list[float]] = {}
        others: dict[tuple[str, float], list[float]] = {}
        ended: dict[tuple[str, float], list[tuple[int, float]]] = {}
        matched: list[float] = []
        for seed in range(rounds):
            kept: list[tuple[float, NDArray[Any]]] = []
            for side in sides:
                clock = timed(side, given[side], topics, seed, budgets)
                kept = clock.kept if side == OURS else kept
                for budget, (passes, took, topic_words) in clock.best.items():
                    ended.setdefault((side, budget), []).append((passes, took))
                    perplexities.setdefault((side, budget), []).append(judged(topic_words, test))
                    if budget == max(budgets) and first:
                        for alpha in (0.03, 0.3):
                            others.setdefault((side, alpha), []).append(judged(topic_words, test, alpha))
            bar = min(
                each[-1] for (side, _), each in perplexities.items() if side != OURS
            )  # the best that a peer came to in this round
            matched.append(next((took for took, words in kept if judged(words, test) < bar), float("inf")))
        print(
            f"{f'{topics} topics':<24}{'budget s':>9}{'took s':>8}{'passes':>8}{'perplexity':>12}{'of':>12}"
        )
        for (side, budget), values in sorted(perplexities.items(), key=lambda each: each[0][1]):
            passes, took = (statistics.median(column) for column in zip(*ended[side, budget], strict=True))
            late = "" if took <= budget else "  (its first pass took longer)"
            print(
                f"{side:<24}{budget:>9.1f}{took:>8.2f}{passes:>8.0f}{statistics.median(values):>12.1f}"
                f"{spread(values):>12}{late}"
            )
            suffix = {OURS: "", SKLEARN: "_sklearn", GENSIM: "_gensim", MULTICORE: "_multicore"}[side]
            for key in (f"perplexity{suffix}", f"perplexity{suffix}_{topics}_topics_{budget:g}s"):
                figures[key] = round(statistics.median(values), 2)
        match = statistics.median(matched)
        if np.isfinite(match):
            print(f"Ours is below the best of the others' after {match:.2f} s.")
            figures[f"seconds_to_match_{topics}_topics"] = round(match, 3)
        else:
            print("Ours is not below the best of the others' in its first ten passes.")
        for alpha in sorted({alpha for _, alpha in others}):
            told = ", ".join(f"{side} {statistics.median(others[side, alpha]):.1f}" for side in sides)
            print(f"Judged with alpha {alpha}, at the longer budget: {told}.")
        print()
        figures["seconds"] = max(budgets)
    print(json.dumps({"benchmark": "algorithms/lda", "figures": figures}))


if __name__ == "__main__":
    main()
