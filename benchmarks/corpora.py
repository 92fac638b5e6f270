"""A public bag-of-words out of text that comes with installed packages, and how topics are judged on it.

Documents are the descriptions of the operations of Amazon's services (botocore: an operation's own and its
arguments', of the newest version of each service) and the docstrings of scientific packages (read from
their source; nothing is imported). The versions are pinned, so that the same installation gives the same
corpus; `Corpus.source` says what it is, and a digest tells two apart. Some 400 services and six
packages make topics that a reader can check.

A document is cut into words of three to twenty letters without markup, addresses, examples of code and stop
words (scikit-learn's English list). Words in fewer than 10 documents or in more than a quarter of them go,
then all but the most frequent; documents of fewer than 50 remaining words go, and such as have 70 % of their
distinct words in common with an earlier one (boilerplate that services share, aliases of functions).
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

SERVICES = "botocore"
PACKAGES = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "pandas": "pandas",
            "networkx": "networkx", "sympy": "sympy"}  # fmt: skip
"""Packages whose docstrings are read, and what they are called where versions are asked for."""
SIZES = {"small": (("numpy",), 4000, 3000), "full": (tuple(PACKAGES), 1_000_000, 8000)}
"""By size: packages beside botocore, the most documents and the most words."""
FEWEST_DOCUMENTS, LARGEST_SHARE, FEWEST_WORDS, ALIKE = 10, 0.25, 50, 0.7

_MARKUP = re.compile(r"<[^>]+>|https?://\S+|``[^`]*``|^\s*(?:>>>|\.\.\.).*$", re.MULTILINE)
_WORD = re.compile(r"(?<![a-z])[a-z]{3,20}(?![a-z])")


@dataclass(frozen=True)
class Corpus:
    """Counts of words (documents, words) to learn from and to test on."""

    train: csr_matrix
    test: csr_matrix
    vocabulary: list[str]
    """The word of each column, in alphabetical order."""
    source: str
    """What it was built from, how large it is and its digest, in a sentence or two."""


@cache
def corpus(size: str = "small", seed: int = 0) -> Corpus:
    """The corpus; a fifth of its documents, drawn by `seed`, are for tests.

    `small` is 4,000 documents (4 s to build), `full` some 11,700 (16 s).
    """
    packages, most, words = SIZES[size]
    chance = np.random.default_rng(seed)
    documents = [text.split() for text in dict.fromkeys(" ".join(_words(each)) for each in _texts(packages))]
    spread = Counter(word for document in documents for word in set(document))
    frequency = Counter(word for document in documents for word in document)
    kept = [
        word for word, count in spread.items()
        if FEWEST_DOCUMENTS <= count <= LARGEST_SHARE * len(documents)
    ]  # fmt: skip
    vocabulary = sorted(sorted(kept, key=lambda word: (-frequency[word], word))[:words])
    counts = _counted(documents, vocabulary)
    counts = counts[np.asarray(counts.sum(axis=1)).ravel() >= FEWEST_WORDS]
    counts = counts[_unlike(counts)]
    order = chance.permutation(counts.shape[0])[:most]
    cut = len(order) // 5
    train, test = counts[order[cut:]], counts[order[:cut]]  # in no order: all sides may take batches of it
    return Corpus(train, test, vocabulary, _source(size, packages, train, test, vocabulary))


def completion_perplexity(
    infer: Callable[[csr_matrix], NDArray[Any]],
    topic_words: NDArray[Any] | None,
    test: csr_matrix,
    seed: int = 0,
) -> float:
    """The perplexity of one half of each document's words, when the other half is known.

    Document completion (Wallach et al., ICML 2009, section 4.3, halves drawn at random): `infer` is given the
    known halves (n, words) and answers the documents' topics (n, topics), whose mixture of `topic_words`
    (topics, words) is scored: exp(-sum of log p(word) / words) over the other halves. Rows of both are made
    to sum to one here. Where `topic_words` is None, `infer` answers the words' probabilities (n, words)
    itself, and nothing is done to them. The same `seed` gives the same halves to everybody.
    """
    known, hidden = halves(test, seed)
    topics = np.asarray(infer(known), np.float64)
    at = np.repeat(np.arange(hidden.shape[0]), np.diff(hidden.indptr))
    if topic_words is None:
        p = topics[at, hidden.indices]
    else:
        topics = topics / topics.sum(axis=1, keepdims=True)
        words = np.asarray(topic_words, np.float64)
        words = np.ascontiguousarray((words / words.sum(axis=1, keepdims=True)).T)
        p = np.einsum("ik,ik->i", topics[at], words[hidden.indices])
    return float(np.exp(-np.sum(hidden.data * np.log(np.maximum(p, 1e-300))) / hidden.data.sum()))


def halves(counts: csr_matrix, seed: int = 0) -> tuple[csr_matrix, csr_matrix]:
    """The words of each document dealt out at random into two halves; of an odd number the first has more."""
    chance = np.random.default_rng(seed)
    cells = np.repeat(np.arange(counts.nnz), counts.data.astype(np.int64))
    document = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))[cells]
    order = np.lexsort((chance.random(len(cells)), document))
    start = np.concatenate(([0], np.cumsum(np.bincount(document, minlength=counts.shape[0]))[:-1]))
    place = np.arange(len(cells)) - start[document]  # in its document; `order` keeps documents together
    parts = []
    for half in (0, 1):
        data = np.bincount(cells[order[place % 2 == half]], minlength=counts.nnz).astype(np.float32)
        part = csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape, copy=True)
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]


def mixture_of(
    topic_words: NDArray[Any], alpha: float = 0.1, sweeps: int = 100
) -> Callable[[csr_matrix], NDArray[Any]]:
    """An `infer` for any topics: the documents' topics by `sweeps` steps of expectation-maximization.

    Each step makes a document's topics proportional to alpha + the words that the topics are expected to have
    given (zero-order collapsed variational inference with the topics held fixed; Asuncion et al., UAI 2009).
    """
    words = np.asarray(topic_words, np.float64)
    words = np.ascontiguousarray((words / words.sum(axis=1, keepdims=True)).T)

    def infer(known: csr_matrix) -> NDArray[Any]:
        topics = np.full((known.shape[0], words.shape[1]), 1 / words.shape[1])
        at = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr))
        of = words[known.indices]
        part = known.astype(np.float64)
        for _ in range(sweeps):
            part.data = known.data / np.maximum(np.einsum("ik,ik->i", topics[at], of), 1e-300)
            topics = alpha + topics * (part @ words)
            topics /= topics.sum(axis=1, keepdims=True)
        return topics

    return infer


def _texts(packages: tuple[str, ...]) -> Iterator[str]:
    data = _home(SERVICES) / "data"
    for service in sorted(each for each in data.iterdir() if each.is_dir()):
        found = sorted(service.glob("*/service-2.json*"))
        if not found:
            continue
        raw = found[-1].read_bytes()
        model = json.loads(gzip.decompress(raw) if found[-1].suffix == ".gz" else raw)
        for name, operation in sorted(model["operations"].items()):
            taken = model["shapes"].get(operation.get("input", {}).get("shape", ""), {}).get("members", {})
            parts = [name, operation.get("documentation", "")]
            yield " ".join(parts + [member.get("documentation", "") for member in taken.values()])
    for package in packages:
        for path in sorted(_home(package).rglob("*.py")):
            if not {"tests", "test", "_vendor"} & set(path.parts):
                yield from _docstrings(path)


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # some packages ship templates that are no Python yet
        return
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        text = ast.get_docstring(node, clean=False)
        if text:
            yield text
        waiting += (each for each in node.body if isinstance(each, (ast.ClassDef, ast.FunctionDef)))


def _words(text: str) -> list[str]:
    return [
        word for word in _WORD.findall(_MARKUP.sub(" ", text).lower()) if word not in ENGLISH_STOP_WORDS
    ]  # fmt: skip


def _counted(documents: list[list[str]], vocabulary: list[str]) -> csr_matrix:
    column = {word: place for place, word in enumerate(vocabulary)}
    found = [[column[word] for word in document if word in column] for document in documents]
    indptr = np.concatenate(([0], np.cumsum([len(each) for each in found])))
    indices = np.fromiter((each for document in found for each in document), np.int32, int(indptr[-1]))
    counts = csr_matrix(
        (np.ones(len(indices), np.float32), indices, indptr), shape=(len(found), len(vocabulary))
    )
    counts.sum_duplicates()
    return counts


def _unlike(counts: csr_matrix, bands: int = 12, width: int = 4) -> NDArray[np.int64]:
    """The rows without those that are like an earlier one.

    Candidates by minhash (Broder, SEQUENCES 1997) in bands, then judged by their distinct words themselves.
    """
    chance = np.random.default_rng(0)
    sets = [frozenset(counts.indices[a:b].tolist()) for a, b in zip(counts.indptr, counts.indptr[1:])]  # noqa: B905
    near: list[list[int]] = [[] for _ in sets]
    for _ in range(bands):
        least = [
            np.minimum.reduceat(chance.permutation(counts.shape[1])[counts.indices], counts.indptr[:-1])
            for _ in range(width)
        ]
        met: dict[tuple[int, ...], list[int]] = {}
        for row, key in enumerate(zip(*(each.tolist() for each in least), strict=True)):
            met.setdefault(key, []).append(row)
        for group in met.values():
            for place, row in enumerate(group[1:], 1):
                near[row] += group[:place]
    gone: set[int] = set()
    for row, mine in enumerate(sets):
        for other in set(near[row]) - gone:
            if len(mine & sets[other]) >= ALIKE * len(mine | sets[other]):
                gone.add(row)
                break
    return np.array([row for row in range(len(sets)) if row not in gone], np.int64)


def _source(
    size: str, packages: tuple[str, ...], train: csr_matrix, test: csr_matrix, vocabulary: list[str]
) -> str:
    digest = hashlib.sha256(" ".join(vocabulary).encode())
    for part in (train, test):
        for array in (part.indptr, part.indices, part.data):
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    names = [SERVICES, *(PACKAGES[each] for each in packages)]
    return (
        f"Bag-of-words '{size}': descriptions of operations and docstrings out of "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + f"; {train.shape[0]} documents to learn from, {test.shape[0]} to test on, {len(vocabulary)} words, "
        f"{int(train.sum() + test.sum())} tokens; digest {digest.hexdigest()[:12]}."
    )


def _home(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations, f"{package} is not installed"
    return Path(next(iter(found.submodule_search_locations)))
