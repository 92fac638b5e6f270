"""Thirty-two linear models in one reading of the data, against thirty-two readings.

Both sides are `LinearClassifier.fit` on the same CSR matrix in memory, rows in order: one with 32 learning
rates, and 32 with one each, the fastest way there is here to learn one model. Checks of the input and making
of the models are included on both sides; the pack also has each row's loss of each model summed up, by which
the best is chosen. Then the weights are compared: a pack's models are the separate ones.

On UCI Adult (Becker and Kohavi, CC BY 4.0) as LIBSVM has it, and on Criteo-shaped rows (generated).
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
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.datasets import load_svmlight_file

from criteo_shaped import train_and_test
from tradewind.algorithms.linear_learner import LinearClassifier

MODELS = 32
RATES = [0.02 * 1.12**i for i in range(MODELS)]
ROOT = Path(__file__).parents[2]


def adult() -> tuple[csr_matrix, np.ndarray]:
    shipped = ROOT / "src/tradewind/data/samples/adult.libsvm.gz"
    recorded = Path(os.environ.get("TRADEWIND_DATA", ROOT.parent / "shared/data")) / "learn/a9a.gz"
    for path in (shipped, recorded):
        if path.exists():
            X, y = load_svmlight_file(str(path), n_features=123, dtype=np.float32)
            return X, y
    sys.exit(f"UCI Adult is neither at {shipped} nor at {recorded}; set TRADEWIND_DATA")


def learner(rate: float | list[float], epochs: int) -> LinearClassifier:
    return LinearClassifier(rate=rate, epochs=epochs, tolerance=0.0, patience=epochs, shuffle=False)


def measure(
    X: csr_matrix, y: np.ndarray, epochs: int, rounds: int
) -> tuple[list[float], list[float], float, float]:
    """Seconds of a pack and of the separate runs by round, and how far their weights are apart."""
    learner(RATES, 1).fit(X[:12_000], y[:12_000])
    learner(RATES[0], 1).fit(X[:12_000], y[:12_000])
    packed, separate, apart, mean = [], [], 0.0, 0.0
    for number in range(rounds):
        start = time.perf_counter()
        pack = learner(RATES, epochs).fit(X, y)
        packed.append(time.perf_counter() - start)
        start = time.perf_counter()
        alone = [learner(rate, epochs).fit(X, y) for rate in RATES]
        separate.append(time.perf_counter() - start)
        if number == 0:
            off = [
                np.abs(each.coef_[0] - model.weights) for each, model in zip(alone, pack.models_, strict=True)
            ]
            apart, mean = max(float(each.max()) for each in off), float(np.mean(off))
        del pack, alone
    return packed, separate, apart, mean


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and fewer wide rows")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    rows, _ = train_and_test(120_000 if quick else 300_000)
    wide = csr_matrix(
        (rows.values, rows.indices, rows.indptr.astype(np.int32)), shape=(len(rows), rows.features)
    )
    X, y = adult()
    runs = {
        "vs_separate": ("UCI Adult, 123 features", X, y, 5),
        "vs_separate_wide": (f"Criteo-shaped, {rows.features} features", wide, rows.labels, 1),
    }
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()},"
    )
    names = ("tradewind", "numba", "numpy", "scikit-learn")
    print(", ".join(f"{name} {version(name)}" for name in names) + f"; {MODELS} learning rates.\n")
    print(
        f"{'data':<34}{'rows':>8}{'epochs':>7}{'packed ms':>11}{'separate ms':>13}{'cheaper':>9}"
        "  weights differ"
    )
    figures = {}
    for figure, (name, matrix, labels, epochs) in runs.items():
        packed, separate, apart, mean = measure(matrix, labels, epochs, 5)
        ratio = statistics.median(b / a for a, b in zip(packed, separate, strict=True))
        figures[figure] = round(ratio, 3)
        print(
            f"{name:<34}{matrix.shape[0]:>8}{epochs:>7}{statistics.median(packed) * 1e3:>11.0f}"
            f"{statistics.median(separate) * 1e3:>13.0f}{ratio:>8.2f}x{apart:>10.1g} max, {mean:.1g} mean"
        )
    print("\nMedians of 5 alternating rounds, seed 7. Where a row holds a feature twice (hashed so), a pack")
    print("steps twice and one model alone steps once: the wide weights differ by that.")
    print(json.dumps({"benchmark": "training/packing", "figures": figures}))


if __name__ == "__main__":
    main()
