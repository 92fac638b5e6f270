"""k-means over 200,000 rows of 64 columns, k = 100: ours, MiniBatchKMeans and faiss; one state for every k.

What is timed: `fit` on float32 rows in memory, checks of the input included, without labels on any side.
MiniBatchKMeans makes one pass: max_iter=1, batch_size=1024 and n_init="auto" as they come, and no early stop,
so that it sees as many rows as ours; larger batches are shown beside, as a user who tunes it would try. faiss
is shown as it comes (25 iterations on at most 256 rows a centre) and with 10 iterations on all rows. One
process, one thread each (or OMP_NUM_THREADS and OPENBLAS_NUM_THREADS), rounds alternate, the first of each is
a warm-up. Inertia is that of all rows by the centres found, in float64, with other seeds each round; the
full KMeans is the best of several starts and is not timed.

All rows are made here: a mixture of 200 clusters (generated), scikit-learn's 1,797 digits (real) drawn with
repetition and jittered by noise of deviation one (generated), and uniform noise (generated).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import numpy as np
from sklearn.cluster import KMeans as Full
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits

from tradewind.algorithms.k_means import KMeans

ROWS, COLUMNS, K = 200_000, 64, 100
SOLVED = (2, 5, 10, 20, 50, 100)
OURS, MINI, LONGER = "tradewind KMeans", "MiniBatchKMeans", "MiniBatchKMeans, batch_size=4096"
FAISS, FAISS_ALL = "faiss.Kmeans", "faiss.Kmeans, all rows, 10 iterations"


def mixture(chance: np.random.Generator) -> np.ndarray:
    centres = chance.normal(size=(200, COLUMNS))
    return centres[chance.integers(200, size=ROWS)] + chance.normal(size=(ROWS, COLUMNS)) * 0.5


def digits(chance: np.random.Generator) -> np.ndarray:
    found = load_digits().data
    return found[chance.integers(len(found), size=ROWS)] + chance.normal(size=(ROWS, COLUMNS))


def noise(chance: np.random.Generator) -> np.ndarray:
    return chance.random((ROWS, COLUMNS))


SHAPES = {"mixture": mixture, "digits": digits, "noise": noise}


def inertia(rows: np.ndarray, centres: np.ndarray) -> float:
    centres = np.asarray(centres, np.float64)
    lengths, total = np.einsum("ij,ij->i", centres, centres), 0.0
    for start in range(0, len(rows), 20_000):
        part = rows[start : start + 20_000].astype(np.float64)
        total += np.einsum("ij,ij->", part, part) + (lengths - 2 * part @ centres.T).min(axis=1).sum()
    return float(total)


def with_faiss(rows: np.ndarray, seed: int, **settings: int) -> np.ndarray:
    found = faiss.Kmeans(COLUMNS, K, seed=seed + 1, **settings)
    found.train(rows)
    return found.centroids


def mini(rows: np.ndarray, seed: int, **settings: int) -> np.ndarray:
    found = MiniBatchKMeans(
        K, max_iter=1, max_no_improvement=None, compute_labels=False, random_state=seed, **settings
    )
    return found.fit(rows).cluster_centers_


SIDES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    OURS: lambda rows, seed: KMeans(K, compute_labels=False, seed=seed).fit(rows).cluster_centers_,
    MINI: mini,
    LONGER: lambda rows, seed: mini(rows, seed, batch_size=4096),
    FAISS: with_faiss,
    FAISS_ALL: lambda rows, seed: with_faiss(rows, seed, niter=10, max_points_per_centroid=ROWS),
}


def full(rows: np.ndarray, k: int, starts: int, iterations: int = 300) -> float:
    """The best inertia of several starts."""
    return inertia(
        rows, Full(k, n_init=starts, max_iter=iterations, random_state=0).fit(rows).cluster_centers_
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="5 rounds, one start of the full KMeans, no table of k"
    )
    arguments = parser.parse_args()
    rounds, starts, iterations = (5, 1, 40) if arguments.quick else (11, 3, 300)
    sides = {name: SIDES[name] for name in ((OURS, MINI, FAISS) if arguments.quick else SIDES)}
    threads = int(os.environ["OMP_NUM_THREADS"])
    faiss.omp_set_num_threads(threads)
    warnings.simplefilter("ignore")
    packages = ("tradewind", "numba", "numpy", "scikit-learn", "faiss-cpu")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {threads} thread(s),")
    print(
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + "."
    )
    print(
        f"{ROWS:,} x {COLUMNS} float32, k = {K}; medians of {rounds} alternating rounds; full KMeans: best of"
    )
    print(
        f"{starts} start(s) of at most {iterations} iterations. Generated rows, but for the digits' images."
    )
    figures: dict[str, float] = {}
    for number, (shape, make) in enumerate(SHAPES.items()):
        rows = make(np.random.default_rng(number)).astype(np.float32)
        times: dict[str, list[float]] = {name: [] for name in sides}
        losses: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(rounds + 1):  # the first is the warm-up
            for name, side in sides.items():
                start = time.perf_counter()
                centres = side(rows, turn)
                took = time.perf_counter() - start
                if turn:
                    times[name].append(took)
                    losses[name].append(inertia(rows, centres))
        reference = full(rows, K, starts, iterations)
        best = statistics.median(times[OURS])
        print(f"\n{shape:<38}{'ms':>7}{'spread':>13}{'ours is':>9}{'inertia':>9}{'worst':>8}")
        for name, each in times.items():
            middle = statistics.median(each)
            spread = f"{min(each) * 1e3:.0f}-{max(each) * 1e3:.0f}"
            relative = [loss / reference for loss in losses[name]]
            print(
                f"{name:<38}{middle * 1e3:>7.0f}{spread:>13}{middle / best:>8.2f}x"
                f"{statistics.median(relative):>9.4f}{max(relative):>8.4f}"
            )
        figures[f"{shape}_inertia_vs_full"] = statistics.median(losses[OURS]) / reference
        medians = {name: statistics.median(each) for name, each in losses.items()}
        figures[f"{shape}_inertia_vs_minibatch"] = medians[OURS] / medians[MINI]
        figures[f"{shape}_speed_vs_minibatch"] = statistics.median(
            b / a for a, b in zip(times[OURS], times[MINI], strict=True)
        )
        state = KMeans(K, compute_labels=False).fit(rows)
        solving = []
        for k in SOLVED:
            start = time.perf_counter()
            model = state.solve(k)
            solving.append(time.perf_counter() - start)
            if not arguments.quick:
                fresh = inertia(rows, model.centres) / full(rows, k, 1)
                print(f"  solved for k = {k:<4}{solving[-1] * 1e3:>6.0f} ms{fresh:>9.4f} of a full start")
        figures[f"{shape}_resolve_s"] = max(solving)
        print(f"  solved for any of k = {', '.join(map(str, SOLVED))}: at most {max(solving) * 1e3:.0f} ms")
    for name, worst in (
        ("inertia_vs_full", max), ("inertia_vs_minibatch", max), ("speed_vs_minibatch", min),
        ("resolve_s", max),
    ):  # fmt: skip
        figures[name] = worst(figures[f"{shape}_{name}"] for shape in SHAPES)
    print("\nThe figures without a shape's name are the worst of the three shapes.")
    rounded = {name: round(each, 4) for name, each in figures.items()}
    print(json.dumps({"benchmark": "algorithms/kmeans", "figures": rounded}))


if __name__ == "__main__":
    main()
