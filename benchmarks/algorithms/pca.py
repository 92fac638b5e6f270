"""Principal components of 50,000 x 500 rows, ten of them: ours, IncrementalPCA and PCA by its covariance.

What is timed: `fit` on float64 rows in memory, checks of the input included; randomized mode with its
passes. The rows are generated: normal, with deviations .9^i and .99^i along random directions, and means
that are not zero. IncrementalPCA reads batches of 2,500, its default; smaller ones save a quarter of its
time at most and cost it accuracy. PCA(svd_solver="covariance_eigh") is scikit-learn's fastest exact solver
here. All may use as many threads as the environment gives to BLAS, which matters: with one
(OPENBLAS_NUM_THREADS=1) IncrementalPCA, which decomposes small matrices, is much less behind. Rounds
alternate, the first of each but IncrementalPCA is a warm-up. With --quick IncrementalPCA learns 5,000 of
the rows only, and its time, which grows with the batches, is multiplied by ten.
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
from typing import Any

import numpy as np
from sklearn.decomposition import PCA as ScikitPCA
from sklearn.decomposition import IncrementalPCA
from sklearn.exceptions import ConvergenceWarning

from tradewind.algorithms.principal_components import PCA

SEED, ROWS, COLUMNS, K = 7, 50_000, 500, 10
OURS, EXACT, INCREMENTAL = "tradewind PCA, regular", "PCA, covariance_eigh", "IncrementalPCA"


def rows_of(base: float) -> np.ndarray:
    chance = np.random.default_rng(SEED)
    turn = np.linalg.qr(chance.normal(size=(COLUMNS, COLUMNS)))[0]
    return (chance.normal(size=(ROWS, COLUMNS)) * base ** np.arange(COLUMNS)) @ turn + chance.normal(
        size=COLUMNS
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def passes_name(passes: int) -> str:
    return f"tradewind PCA, {passes} pass{'es' * (passes > 1)}"


def compared(base: float, rounds: int, slow_rounds: int, part: int, seeds: int) -> dict[str, Any]:
    """The table of one spectrum, and what the figures are made of."""
    X = rows_of(base)
    makers: dict[str, Callable[[], Any]] = {
        OURS: lambda: PCA(K),
        EXACT: lambda: ScikitPCA(K, svd_solver="covariance_eigh"),
    }
    for passes in (1, 2, 3):
        makers[passes_name(passes)] = lambda passes=passes: PCA(K, mode="randomized", passes=passes)
    makers[INCREMENTAL] = lambda: IncrementalPCA(K, batch_size=2500)
    times: dict[str, list[float]] = {name: [] for name in makers}
    fitted: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, make in makers.items():
            slow = name == INCREMENTAL
            if (
                (number > slow_rounds or not number)
                if slow
                else (number > 2 and "pass" in name and seeds < 5)
            ):
                continue
            fitted[name] = model = make()
            rows = X[:part] if slow else X
            took = seconds(lambda model=model, rows=rows: model.fit(rows)) * (len(X) / len(rows))
            if number:
                times[name].append(took)
    centred = X - X.mean(axis=0)
    total = float(np.square(centred).sum())
    held = {
        name: float(np.square(centred @ model.components_.T).sum()) / total for name, model in fitted.items()
    }
    best = held[EXACT]
    print(f"\n{f'deviations {base}^i':<28}{'ms':>10}{'spread':>16}{'ours is':>10}{'variance':>10}{'told':>8}")
    ours = statistics.median(times[OURS])
    for name, each in times.items():
        middle, spread = statistics.median(each), f"{min(each) * 1e3:.0f}-{max(each) * 1e3:.0f}"
        told = getattr(fitted[name], "variance_captured_", None)
        line = f"{name:<28}{middle * 1e3:>10.0f}{spread:>16}{middle / ours:>9.2f}x{held[name] / best:>10.4f}"
        print(line + (f"{told / best:>8.4f}" if told is not None else ""))
    errors = []
    for seed in range(seeds):
        model = PCA(K, mode="randomized", seed=seed).fit(X)
        true = float(np.square(centred @ model.components_.T).sum()) / total
        errors.append(100 * abs(model.variance_captured_ - true))

    def paired(name: str) -> float:
        """The median of the rounds' own ratios."""
        return statistics.median(b / a for a, b in zip(times[OURS], times[name], strict=False))

    return {
        "speed": paired(INCREMENTAL), "time": 1 / paired(EXACT), "ratio": held[OURS] / best, "errors": errors,
        "passes": {passes: round(held[passes_name(passes)] / best, 4) for passes in (1, 2, 3)},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a part of the rows for one peer")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", ConvergenceWarning)
    PCA(K).fit(np.random.default_rng(0).normal(size=(3000, COLUMNS)))  # kernels are compiled or loaded
    names = ("tradewind", "numpy", "scipy", "scikit-learn")
    print(f"{ROWS} x {COLUMNS} generated rows, {K} components, seed {SEED};")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(", ".join(f"{name} {version(name)}" for name in names) + ".")
    how = (5, 1, ROWS // 10, 3) if quick else (9, 5, ROWS, 10)
    found = {base: compared(base, *how) for base in (0.9, 0.99)}
    worst = max(error for each in found.values() for error in each["errors"])
    print(
        f"\nvariance: of these rows, against the exact components';\ntold: what the fit says itself. "
        f"One pass errs by {worst:.2f} points of all variance at most, over {2 * how[3]} fits."
    )
    slow = found[0.99]["passes"]
    figures = {
        "speed_vs_incremental": round(min(each["speed"] for each in found.values()), 1),
        "incremental_extrapolated": quick,
        "time_vs_covariance_eigh": round(max(each["time"] for each in found.values()), 3),
        "variance_ratio": round(min(each["ratio"] for each in found.values()), 6),
        "randomized_variance_ratio": slow[3],
        "randomized_variance_ratio_2_passes": slow[2],
        "randomized_variance_ratio_1_pass": slow[1],
        "randomized_variance_ratio_fast_spectrum": found[0.9]["passes"][3],
        "estimate_error_points": round(worst, 2),
    }
    print(json.dumps({"benchmark": "algorithms/pca", "figures": figures}))


if __name__ == "__main__":
    main()
