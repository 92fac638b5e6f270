"""Ten nearest neighbours among 100,000 x 64 rows: ours, scikit-learn's brute force and faiss's indexes.

What is timed: batches of 1,000 questions, from float32 arrays to places and distances; what each index cost
to build is shown beside. Three kinds of rows, all generated: `clusters` (200 of them, normal), `factors`
(twelve directions and some noise), and `noise` (64 independent normal columns), in which no index can leave
out much. Questions are of the same kind and are no rows. Ours chooses its own index for a recall of .99
(index="auto"); faiss's inverted file has as many cells as ours, its graph 32 links and a breadth of 80 while
it is built; of the breadths and probes tried, each has the cheapest that finds .99, or the most that was
tried. All may use both cores. Rounds alternate, the first is a warm-up. `speed_vs_faiss` is against the
fastest of faiss's indexes that finds .99. With --quick the graph, which is the slowest to build, is left
out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors

from tradewind.algorithms.k_neighbors import KNeighborsRegressor

SEED, ROWS, COLUMNS, K, BATCH, RECALL = 7, 100_000, 64, 10, 1000, 0.99
OURS, OURS_EXACT, SCIKIT = "tradewind, auto", "tradewind, exact", "scikit-learn, brute"


def made(kind: str, chance: np.random.Generator) -> Callable[[int], np.ndarray]:
    centres, turn = 2 * chance.normal(size=(200, COLUMNS)), chance.normal(size=(12, COLUMNS))

    def some(count: int) -> np.ndarray:
        noise = chance.normal(size=(count, COLUMNS))
        if kind == "clusters":
            noise += centres[chance.integers(0, 200, count)]
        elif kind == "factors":
            noise = chance.normal(size=(count, 12)) @ turn + 0.3 * noise
        return noise.astype(np.float32)

    return some


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    out = work()
    return time.perf_counter() - start, out


def recall_of(places: np.ndarray, true: np.ndarray) -> float:
    return float((places[:, :, None] == true[:, None, :]).sum() / true.size)


def faiss_index(spec: str, settings: tuple[int, ...], X: np.ndarray, Q: np.ndarray, true: np.ndarray) -> Any:
    """An index, tuned as a user would, on the questions themselves; and what it cost to build."""
    index = faiss.index_factory(COLUMNS, spec)
    if spec.startswith("HNSW"):
        index.hnsw.efConstruction = 80

    def build() -> None:
        index.train(X)
        index.add(X)

    built, _ = timed(build)
    for setting in settings:
        if spec.startswith("HNSW"):
            index.hnsw.efSearch = setting
        else:
            index.nprobe = setting
        if recall_of(index.search(Q[:200], K)[1], true[:200]) >= RECALL:
            break
    return index, built, (f" {setting}" if settings else "")


def compared(kind: str, rounds: int, graph: bool) -> dict[str, float]:
    """The table of one kind of rows, and its figures."""
    some = made(kind, np.random.default_rng(SEED))
    X, Q = some(ROWS), some(BATCH)
    labels = np.zeros(ROWS)
    builds: dict[str, float] = {}
    asked: dict[str, Callable[[], Any]] = {}
    builds[SCIKIT], brute = timed(lambda: NearestNeighbors(n_neighbors=K, algorithm="brute").fit(X))
    asked[SCIKIT] = lambda: brute.kneighbors(Q)[1]
    true = asked[SCIKIT]()
    for name, index in ((OURS, "auto"), (OURS_EXACT, "exact")):
        model = KNeighborsRegressor(K, index=index, recall=RECALL)

        def build(model: Any = model) -> Any:
            return model.fit(X, labels).model_.plan

        builds[name], plan = timed(build)
        named = name + (f": {plan.kind}" + (f" {plan.probes}" if plan.probes else "") if name == OURS else "")
        builds[named] = builds.pop(name)
        asked[named] = lambda model=model: model.kneighbors(Q)[1]
    ours = next(name for name in asked if name.startswith(OURS))
    cells = round(ROWS**0.5)
    specs: dict[str, tuple[int, ...]] = {
        "Flat": (),
        f"IVF{cells},Flat": (1, 2, 3, 4, 6, 8, 16, 32, 64, 128, cells),
    }
    if graph:
        specs["HNSW32"] = (16, 32, 64, 128, 256, 512)
    for spec, settings in specs.items():
        index, built, setting = faiss_index(spec, settings, X, Q, true)
        name = f"faiss, {spec}{setting}"
        builds[name] = built
        asked[name] = lambda index=index: index.search(Q, K)[1]
    times: dict[str, list[float]] = {name: [] for name in asked}
    recalls: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, ask in asked.items():
            took, places = timed(ask)
            recalls[name] = recall_of(places, true)
            if number:
                times[name].append(took)
    print(f"\n{kind:<28}{'ms':>9}{'spread':>14}{'questions/s':>13}{'ours is':>9}{'recall':>9}{'build s':>9}")
    for name, each in times.items():
        middle, spread = statistics.median(each), f"{min(each) * 1e3:.0f}-{max(each) * 1e3:.0f}"
        print(
            f"{name:<28}{middle * 1e3:>9.1f}{spread:>14}{BATCH / middle:>13,.0f}"
            f"{middle / statistics.median(times[ours]):>8.2f}x{recalls[name]:>9.4f}{builds[name]:>9.2f}"
        )

    def ratio(name: str) -> float:
        """The median of the rounds' own ratios."""
        return statistics.median(b / a for a, b in zip(times[ours], times[name], strict=True))

    good = [name for name in asked if name.startswith("faiss") and recalls[name] >= RECALL]
    return {
        "recall": round(recalls[ours], 4),
        "speed_vs_sklearn": round(ratio(SCIKIT), 1),
        "speed_vs_faiss": round(min(ratio(name) for name in good), 2),
        "exact_speed_vs_sklearn": round(ratio(SCIKIT) / ratio(OURS_EXACT), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no graph")
    quick = parser.parse_args().quick
    rounds = 5 if quick else 15
    chance = np.random.default_rng(0)
    KNeighborsRegressor(2).fit(chance.normal(size=(99, 3)), np.zeros(99)).kneighbors(np.zeros((2, 3)))
    print(f"{ROWS} x {COLUMNS} generated rows, {K} neighbours, batches of {BATCH}, seed {SEED};")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()},")
    names = ("tradewind", "numpy", "numba", "scikit-learn", "faiss-cpu")
    print(", ".join(f"{name} {version(name)}" for name in names) + f"; medians of {rounds} rounds.")
    found = {kind: compared(kind, rounds, not quick) for kind in ("clusters", "factors", "noise")}
    figures = dict(found.pop("clusters"))
    for kind, each in found.items():
        figures |= {f"{name}_{kind}": value for name, value in each.items()}
    print(json.dumps({"benchmark": "algorithms/knn", "figures": figures}))


if __name__ == "__main__":
    main()
