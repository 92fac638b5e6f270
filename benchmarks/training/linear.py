"""One pass of logistic regression over Criteo-shaped rows: ours, scikit-learn and Vowpal Wabbit.

What is timed: for ours and scikit-learn `fit` on a CSR matrix in memory, checks of the input included (ours
folds its scaling back when the model is first asked for, 4 ms that are not); for Vowpal Wabbit a workspace
that reads only its binary cache and learns, from its creation until it is finished. One process and one
thread each, rounds alternate, the first of each is a warm-up.
SGDClassifier is shown as it comes (it shuffles), without
shuffling, and averaged at a constant rate, the best of the settings tried; `vs_sgd` is against the first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import SGDClassifier
from vowpalwabbit import Workspace

from criteo_shaped import Rows, log_loss, train_and_test
from tradewind.algorithms.linear_learner import LinearClassifier

SEED = 7
VW = "--loss_function logistic -b 19 --quiet"
OURS = "tradewind LinearClassifier"
SGD = "SGDClassifier"


def matrix(rows: Rows) -> csr_matrix:
    shape = (len(rows), rows.features)
    return csr_matrix((rows.values, rows.indices, rows.indptr.astype(np.int32)), shape=shape)


def write_text(rows: Rows, path: Path) -> None:
    """Vowpal Wabbit's text form; a value of one is left out, as it may be."""
    indices, values = rows.indices.reshape(len(rows), -1), rows.values.reshape(len(rows), -1)
    with path.open("w") as file:
        for i in range(len(rows)):
            cells = zip(indices[i].tolist(), values[i].tolist(), strict=True)
            text = " ".join(f"{j}" if x == 1.0 else f"{j}:{x:.9g}" for j, x in cells)
            file.write(f"{'1' if rows.labels[i] > 0 else '-1'} | {text}\n")


class VowpalWabbit:
    """Its command line, through its Python package."""

    def __init__(self, train: Rows, test: Rows, folder: Path) -> None:
        self.folder = folder
        for name, rows in (("train", train), ("test", test), ("empty", train.part(0, 1))):
            write_text(rows, folder / f"{name}.txt")
            self.run(f"-d {folder}/{name}.txt --cache_file {folder}/{name}.cache --noop {VW}")
            (folder / f"{name}.txt").unlink()

    def run(self, arguments: str) -> None:
        Workspace(arguments).finish()

    def learn(self, name: str = "train") -> None:
        self.run(f"-d /dev/null --cache_file {self.folder}/{name}.cache -f {self.folder}/model {VW}")

    def predictions(self) -> np.ndarray:
        self.run(
            f"-d /dev/null --cache_file {self.folder}/test.cache -t -i {self.folder}/model --quiet "
            f"--link logistic -p {self.folder}/answers"
        )
        return np.loadtxt(self.folder / "answers")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    rounds = 5 if quick else 15
    warnings.simplefilter("ignore")
    train, test = train_and_test(seed=SEED)
    X, y, T = matrix(train), train.labels, matrix(test)

    def sgd(**settings: object) -> SGDClassifier:
        return SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=0, **settings)

    models: dict[str, Callable[[], object]] = {
        OURS: lambda: LinearClassifier(epochs=1, shuffle=False),
        SGD: sgd,
        f"{SGD}, no shuffle": lambda: sgd(shuffle=False),
        f"{SGD}, average, rate .03": lambda: sgd(average=True, learning_rate="constant", eta0=0.03),
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    times["Vowpal Wabbit"] = []
    fitted = {}
    with tempfile.TemporaryDirectory() as folder:
        vw = VowpalWabbit(train, test, Path(folder))
        for number in range(rounds + 1):
            for name, make in models.items():
                model = make()
                took = seconds(lambda model=model: model.fit(X, y))
                fitted[name] = model
                if number:
                    times[name].append(took)
            took = seconds(vw.learn)
            if number:
                times["Vowpal Wabbit"].append(took)
        answers = {name: model.predict_proba(T)[:, 1] for name, model in fitted.items()}
        answers["Vowpal Wabbit"] = vw.predictions()
        empty = min(seconds(lambda: vw.learn("empty")) for _ in range(3))
        size = Path(folder, "train.cache").stat().st_size / 1e6
    losses = {name: log_loss(test.labels, each) for name, each in answers.items()}
    medians = {name: statistics.median(each) for name, each in times.items()}
    ours = medians[OURS]
    print(f"Criteo-shaped rows (generated, seed {SEED}): {len(train)} to learn from, {len(test)} to test on,")
    print(f"{train.features} features, 39 non-zeros a row, {y.mean():.1%} positive.")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()},")
    names = ("tradewind", "numba", "numpy", "scikit-learn", "vowpalwabbit")
    print(", ".join(f"{name} {version(name)}" for name in names) + f"; VW: {VW}, cache {size:.0f} MB.")
    print(
        f"Medians of {rounds} alternating rounds; test log-loss of the truth "
        f"{log_loss(test.labels, test.truth):.4f}.\n"
    )
    print(f"{'one pass':<34}{'ms':>8}{'spread':>14}{'samples/s':>12}{'ours is':>9}{'log-loss':>10}")
    for name, each in times.items():
        spread = f"{min(each) * 1e3:.0f}-{max(each) * 1e3:.0f}"
        print(
            f"{name:<34}{medians[name] * 1e3:>8.1f}{spread:>14}{len(train) / medians[name]:>12,.0f}"
            f"{medians[name] / ours:>8.2f}x{losses[name]:>10.4f}"
        )
    print(f"\nVowpal Wabbit with a cache of one row takes {empty * 1e3:.0f} ms.")

    def ratio(name: str) -> float:
        """The median of the rounds' own ratios."""
        return statistics.median(b / a for a, b in zip(times[OURS], times[name], strict=True))

    figures = {
        "vs_sgd": round(ratio(SGD), 3),
        "vs_vw": round(ratio("Vowpal Wabbit"), 3),
        "logloss_minus_vw": round(losses[OURS] - losses["Vowpal Wabbit"], 5),
        "vs_sgd_unshuffled": round(ratio(f"{SGD}, no shuffle"), 3),
        "samples_per_s": round(len(train) / ours),
    }
    print(json.dumps({"benchmark": "training/linear", "figures": figures}))


if __name__ == "__main__":
    main()
