"""Perplexity of neural topics against LDA's, scikit-learn's and gensim's, for several numbers of topics.

The corpus and the estimator are those of `corpora.py`: half of the words of each test document are known,
the other half is scored (document completion), by one function for all sides. LDA gives topics, and the
shares of a document's topics by its own inference or by expectation-maximization with the topics held fixed,
whichever is better on the test documents; ours gives words' chances, by the encoder alone and after 20 steps
uphill from there. `perplexity_<K>` is with these steps, as LDA's inference is iterative too.

Peers have the best settings of `TRIED` on the test documents (`--tune` tries them again; the same ones were
best at 6 and at 100 topics, those that `lda.py` found are among them) and as many passes (`--passes`) as take
about the processor time of our epochs (`--epochs`), which is shown. Ours has its defaults. Sides alternate, a
seed a round, one thread each. With `--documented` SageMaker's options are shown beside: adadelta, sigmoid, a
simplex, no warming up.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from gensim.matutils import Sparse2Corpus
from gensim.models import LdaModel
from sklearn.decomposition import LatentDirichletAllocation

from corpora import Corpus, completion_perplexity, corpus, mixture_of
from tradewind.algorithms.deep.neural_topic_model import NeuralTopicModel

OURS, AMORTIZED = "tradewind", "tradewind, encoder alone"
DOCUMENTED = "tradewind, documented options"
SKLEARN, GENSIM = "scikit-learn LDA", "gensim LDA"
STEPS = 20
JUDGED = 800
"""Test documents that all sides are judged on, the first; half as many if quick."""
TRIED: dict[str, list[dict[str, Any]]] = {
    SKLEARN: [
        {"batch_size": 256},
        {"batch_size": 256, "doc_topic_prior": 0.1, "topic_word_prior": 0.01},
        {
            "batch_size": 512, "max_doc_update_iter": 5, "topic_word_prior": 0.2, "doc_topic_prior": 0.3,
            "learning_decay": 0.7, "learning_offset": 10.0,
        },
    ],
    GENSIM: [
        {"chunksize": 1000, "decay": 0.5, "offset": 10.0, "iterations": 20, "eta": 0.2, "alpha": 0.1},
        {"chunksize": 256, "alpha": "auto", "eta": "auto"},
    ],
}  # fmt: skip
"""Settings of the peers, the best first."""

Found = dict[str, tuple[float, float]]
"""Perplexity and seconds of processor time of learning, by side."""


def ours(text: Corpus, topics: int, epochs: int, seed: int) -> Found:
    start = time.process_time()
    learner = NeuralTopicModel(topics, epochs=epochs, patience=None, seed=seed).fit(text.train)
    took = time.process_time() - start
    words = learner.model_.words
    return {
        OURS: (completion_perplexity(lambda known: words(known, steps=STEPS), None, text.test), took),
        AMORTIZED: (completion_perplexity(words, None, text.test), took),
    }


def documented(text: Corpus, topics: int, epochs: int, seed: int) -> Found:
    start = time.process_time()
    learner = NeuralTopicModel(
        topics, epochs=epochs, patience=None, seed=seed, optimizer="adadelta", activation="sigmoid",
        mixing="softmax", warm_up=0,
    ).fit(text.train)  # fmt: skip
    took = time.process_time() - start
    words = learner.model_.words
    return {
        DOCUMENTED: (completion_perplexity(lambda known: words(known, steps=STEPS), None, text.test), took)
    }


def best_of(text: Corpus, topic_words: Any, own: Callable[[Any], Any]) -> float:
    """LDA's perplexity by its own inference or by expectation-maximization, whichever is better."""
    return min(
        completion_perplexity(infer, topic_words, text.test) for infer in (mixture_of(topic_words), own)
    )


def scikit_learn(text: Corpus, topics: int, passes: int, seed: int, **settings: Any) -> tuple[float, float]:
    start = time.process_time()
    model = LatentDirichletAllocation(
        topics, learning_method="online", max_iter=passes, random_state=seed, **settings
    ).fit(text.train)
    took = time.process_time() - start
    return best_of(text, model.components_, model.transform), took


def gensim(text: Corpus, topics: int, passes: int, seed: int, **settings: Any) -> tuple[float, float]:
    bags = list(Sparse2Corpus(text.train, documents_columns=False))
    names = dict(enumerate(text.vocabulary))
    if isinstance(settings["alpha"], float):
        settings = {**settings, "alpha": [settings["alpha"]] * topics}
    start = time.process_time()
    model = LdaModel(
        bags, topics, id2word=names, passes=passes, random_state=seed, eval_every=None, **settings
    )
    took = time.process_time() - start

    def own(known: Any) -> Any:
        return model.inference(list(Sparse2Corpus(known, documents_columns=False)))[0]

    return best_of(text, model.get_topics(), own), took


PEERS = {SKLEARN: scikit_learn, GENSIM: gensim}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the small corpus, ten topics")
    parser.add_argument("--rounds", type=int, default=5, help="seeds")
    parser.add_argument("--topics", type=int, nargs="+", help="numbers of topics")
    parser.add_argument("--passes", type=int, help="of the peers: 4, or 3 if quick")
    parser.add_argument("--epochs", type=int, help="of ours: 10, or 16 if quick")
    parser.add_argument("--tune", action="store_true", help="only try the peers' settings, one seed")
    parser.add_argument("--documented", action="store_true", help="show SageMaker's options too")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    numbers = given.topics or ([10] if given.quick else [6, 20, 100])
    passes, epochs = given.passes or (3 if given.quick else 4), given.epochs or (16 if given.quick else 10)
    text = corpus("small" if given.quick else "full")
    print(text.source)
    text = dataclasses.replace(text, test=text.test[: JUDGED // 2 if given.quick else JUDGED])
    print(f"Judged on the first {text.test.shape[0]} of the test documents.")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, one thread each, Python {platform.python_version()},")
    names = ("tradewind", "torch", "numpy", "scikit-learn", "gensim")
    print(
        ", ".join(f"{name} {version(name)}" for name in names)
        + f";\n{passes} passes of theirs, {epochs} epochs of ours, seeds 0 to {given.rounds - 1}."
    )
    if given.tune:
        for topics, (name, learned) in itertools.product(numbers, PEERS.items()):
            for each in TRIED[name]:
                score, took = learned(text, topics, passes, 0, **each)
                print(f"{topics:>4} topics  {name:<18}{score:>9.1f}{took:>8.1f} s  {each}")
        return
    print(f"Settings: {', '.join(f'{name} {tried[0]}' for name, tried in TRIED.items())}.\n")
    figures: dict[str, float] = {}
    for topics in numbers:
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(given.rounds):
            for side in (ours, documented) if given.documented else (ours,):
                for name, pair in side(text, topics, epochs, seed).items():
                    found.setdefault(name, []).append(pair)
            for name, learned in PEERS.items():
                found.setdefault(name, []).append(learned(text, topics, passes, seed, **TRIED[name][0]))
        print(f"{topics} topics{'':<24} perplexity: median   (least, most)    processor seconds")
        for name, pairs in found.items():
            scores, times = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            print(
                f"    {name:<36} {statistics.median(scores):8.1f}   ({min(scores):.1f}, {max(scores):.1f})"
                f"    {statistics.median(times):6.1f}"
            )
        for key, name in (("", OURS), ("sklearn_", SKLEARN), ("gensim_", GENSIM)):
            figures[f"perplexity_{key}{topics}"] = round(statistics.median(p for p, _ in found[name]), 1)
        peers = min(figures[f"perplexity_{key}_{topics}"] for key in ("sklearn", "gensim"))
        figures[f"ratio_{topics}"] = round(figures[f"perplexity_{topics}"] / peers, 3)
    print("\n`ratio_<K>` is ours over the better of theirs.")
    print(json.dumps({"benchmark": "algorithms/ntm", "figures": figures}))


if __name__ == "__main__":
    main()
