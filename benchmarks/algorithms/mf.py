"""Matrix factorization with biases: ours and scikit-surprise's SVD, on MovieLens-shaped ratings.

The ratings are generated: users' numbers of ratings are log-normal and items' popularity falls like a power
of their rank, as MovieLens's do; stars are those of a model of 12 factors with noise, rounded to 1 to 5. The
sizes are those of MovieLens 100K (943 users, 1,682 items) and 1M (6,040 users, 3,706 items); a tenth is held
out.

What is timed: for ours `fit` on arrays, with every check, the numbering of users and items, and the model;
for SVD `fit` on a built trainset (building it from a data frame is told apart and not counted). One process
and thread each, rounds alternate, after one of ours to load its kernels (SVD is compiled ahead); each round
has another seed on either side, and errors are means over the rounds. Both have the same loss and steps, and
run with the same settings: SVD's own defaults, and those that a search over a grid chose for SVD on the
training rows at 100K (four fifths to learn from, a fifth to choose by). `speed_vs_surprise` is the median of
the rounds' own ratios with the chosen settings at the largest size; our defaults are shown beside.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from surprise import SVD, Dataset, Reader

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.matrix_factorization import MatrixFactorization

SEED = 7
ROUNDS = 5
SIZES = {"100K": (100_000, 943, 1_682), "1M": (1_000_000, 6_040, 3_706)}
DEFAULTS = {"n_factors": 100, "n_epochs": 20, "lr_all": 0.005, "reg_all": 0.02}
GRID = {"n_factors": (16, 50), "n_epochs": (20, 40), "lr_all": (0.01, 0.02), "reg_all": (0.05, 0.1)}
FEW = {"n_factors": (16,), "n_epochs": (20,), "lr_all": (0.01, 0.02), "reg_all": (0.05, 0.1)}


def ratings(count: int, users: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 2) numbers of users and items, and stars."""
    chance = np.random.default_rng(SEED)
    activity, popularity = chance.lognormal(0, 1.2, users), 1 / (np.arange(items) + 20) ** 0.9
    drawn = int(count * 1.6)
    u = chance.choice(users, drawn, p=activity / activity.sum())
    i = chance.choice(items, drawn, p=popularity / popularity.sum())
    pairs = chance.permutation(np.unique(u * items + i))[:count]
    u, i = pairs // items, pairs % items
    p, q = chance.normal(size=(users, 12)), chance.normal(size=(items, 12)) * np.linspace(1, 0.3, 12)
    taste = (p[u] * q[i]).sum(axis=1)
    stars = 3.58 + chance.normal(0, 0.4, users)[u] + chance.normal(0, 0.45, items)[i]
    stars = stars + 0.55 * taste / taste.std() + chance.normal(0, 0.75, len(u))
    return np.c_[u, i], np.clip(np.round(stars), 1, 5)


def trainset(x: np.ndarray, y: np.ndarray) -> Any:
    frame = pd.DataFrame({"user": x[:, 0], "item": x[:, 1], "rating": y})
    return Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset()


def error_of_svd(model: SVD, x: np.ndarray, y: np.ndarray) -> float:
    """RMSE of its predictions, put together from its arrays as its `estimate` does."""
    train = model.trainset
    u = np.array([train._raw2inner_id_users.get(user, -1) for user in x[:, 0].tolist()])
    i = np.array([train._raw2inner_id_items.get(item, -1) for item in x[:, 1].tolist()])
    answers = train.global_mean + np.where(u >= 0, np.asarray(model.bu)[u], 0.0)
    answers = answers + np.where(i >= 0, np.asarray(model.bi)[i], 0.0)
    both = (u >= 0) & (i >= 0)
    answers[both] += (np.asarray(model.pu)[u[both]] * np.asarray(model.qi)[i[both]]).sum(axis=1)
    return float(np.sqrt(np.mean((np.clip(answers, 1, 5) - y) ** 2)))


def chosen(x: np.ndarray, y: np.ndarray, grid: dict[str, Any]) -> dict[str, Any]:
    """The settings of the grid with SVD's lowest error on a fifth of the rows."""
    fifth = np.random.default_rng(SEED).random(len(x)) < 0.2
    learn = trainset(x[~fifth], y[~fifth])
    found = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        model = SVD(random_state=0, **settings).fit(learn)
        found.append((error_of_svd(model, x[fifth], y[fifth]), len(found), settings))
    return min(found)[2]


def ours(settings: dict[str, Any]) -> MatrixFactorization:
    return MatrixFactorization(
        settings["n_factors"], epochs=settings["n_epochs"], rate=settings["lr_all"], l2=settings["reg_all"]
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(size: str, settings: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Print the table of a size; its figures."""
    x, y = ratings(*SIZES[size])
    test = np.arange(len(x)) % 10 == 0
    X, stars, held = x[~test].astype(np.float64), y[~test], (x[test], y[test])
    begun = time.perf_counter()
    built = trainset(x[~test], stars)
    building = time.perf_counter() - begun
    batch = batch_of(held[0].astype(np.float64), held[1])
    print(f"\n{size}: {len(X):,} ratings to learn from, {len(held[0]):,} to test on; building SVD's trainset")
    print(f"took {building:.1f} s. RMSE of the mean alone {np.std(held[1]):.4f}.")
    print(f"{'':<40}{'s':>8}{'spread':>14}{'us/rating':>11}{'RMSE':>9}{'SVD/ours':>10}")
    figures: dict[str, Any] = {}
    for name, keys, each in (
        ("SVD's defaults", "_at_defaults", DEFAULTS),
        ("chosen for SVD", "", settings),
        ("our defaults", "_own", None),
    ):
        times: dict[str, list[float]] = {"tradewind": [], "SVD": []}
        errors: dict[str, list[float]] = {"tradewind": [], "SVD": []}
        passes = len(X) * (MatrixFactorization().epochs if each is None else each["n_epochs"])
        for number in range(rounds + 1):
            model = (MatrixFactorization() if each is None else ours(each)).set_params(seed=number)
            took = seconds(lambda model=model: model.fit(X, stars))
            if number:
                times["tradewind"].append(took)
                errors["tradewind"].append(model.model_.score(batch))
            if number and each is not None:
                theirs = SVD(random_state=number, **each)
                times["SVD"].append(seconds(lambda theirs=theirs: theirs.fit(built)))
                errors["SVD"].append(error_of_svd(theirs, *held))
        ratios = [b / a for a, b in zip(times["tradewind"], times["SVD"], strict=False)]
        for side in ("tradewind", "SVD")[: 1 if each is None else 2]:
            middle = statistics.median(times[side])
            spread = f"{min(times[side]):.2f}-{max(times[side]):.2f}"
            shown = f"{statistics.median(ratios):>9.1f}x" if ratios and side == "tradewind" else ""
            print(
                f"{side + ', ' + name:<40}{middle:>8.2f}{spread:>14}{middle / passes * 1e6:>11.3f}"
                f"{statistics.mean(errors[side]):>9.4f}{shown:>10}"
            )
        figures[f"rmse{keys}"] = round(statistics.mean(errors["tradewind"]), 5)
        if each is not None:
            figures[f"speed_vs_surprise{keys}"] = round(statistics.median(ratios), 2)
            figures[f"rmse_surprise{keys}"] = round(statistics.mean(errors["SVD"]), 5)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="100K only, a smaller grid")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    x, y = ratings(*SIZES["100K"])
    learn = np.arange(len(x)) % 10 != 0
    settings = chosen(x[learn], y[learn], FEW if quick else GRID)
    machine = platform.processor() or platform.machine()
    print(f"Ratings are generated, seed {SEED}. {machine}, {os.cpu_count()} cores,")
    names = ("tradewind", "numba", "numpy", "scikit-surprise")
    told = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    print(", ".join(told) + f". Medians of {ROUNDS} alternating rounds.")
    print(f"SVD's defaults: {DEFAULTS}.")
    print(f"Chosen for SVD at 100K from {FEW if quick else GRID}: {settings}.")
    figures: dict[str, Any] = {}
    for size in ("100K",) if quick else SIZES:
        found = compare(size, settings, ROUNDS)
        figures = {**{f"{name}_100k": value for name, value in figures.items()}, **found}
    print(json.dumps({"benchmark": "algorithms/mf", "figures": figures}))


if __name__ == "__main__":
    main()
