"""Searching ten standard functions: our Gaussian process, Optuna's, TPE and random search.

The functions are synthetic, as published; those whose least lies in the middle of their box are moved, for a
search that tries the middle would have it at once. Every side gets the same number of evaluations, the first
ten of them its own (ours a Sobol sequence, Optuna's at random, as it comes). Regret is what was found less
the least there is, averaged over the seeds and divided by random search's on that function; the figures are
means over the functions. Optuna's GP is told that the functions are exact (deterministic_objective=True),
which is its best setting here; ours is not told. TPE is shown as it comes and multivariate, and Optuna with
one thread, as it advises. Sides alternate seed by seed.

`suggest_ms` is the processor time, one thread, of one proposal after 100 observations in 10 dimensions, the
median over seeds. Optuna's time beside it is its own proposal with what it keeps from the one before.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

from tradewind.tuning.interface import Searcher
from tradewind.tuning.search.gaussian_process import GaussianProcessSearch
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, Trial

FIRST = 10
OURS, PEER = "tradewind GP", "Optuna GP"
Function = Callable[[np.ndarray], float]

HARTMANN = np.array([1.0, 1.2, 3.0, 3.2])
A3 = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
A6 = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381],
    ]
)  # fmt: skip
SHEKEL = np.array(
    [
        [4, 4, 4, 4], [1, 1, 1, 1], [8, 8, 8, 8], [6, 6, 6, 6], [3, 7, 3, 7],
        [2, 9, 2, 9], [5, 5, 3, 3], [8, 1, 8, 1], [6, 2, 6, 2], [7, 3.6, 7, 3.6],
    ]
)  # fmt: skip
DEPTHS = 0.1 * np.array([1, 2, 2, 4, 4, 6, 3, 7, 5, 5])


def branin(u: np.ndarray) -> float:
    x, y = 15 * u[0] - 5, 15 * u[1]
    bowl = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann3(u: np.ndarray) -> float:
    return float(-HARTMANN @ np.exp(-(A3 * (u - P3) ** 2).sum(1)))


def hartmann6(u: np.ndarray) -> float:
    return float(-HARTMANN @ np.exp(-(A6 * (u - P6) ** 2).sum(1)))


def ackley(u: np.ndarray) -> float:
    x = 20 * (u - 0.43)
    return float(
        20 + math.e - 20 * np.exp(-0.2 * np.sqrt((x * x).mean())) - np.exp(np.cos(2 * np.pi * x).mean())
    )


def rosenbrock(u: np.ndarray) -> float:
    x = 15 * u - 5
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(u: np.ndarray) -> float:
    w = 1 + (20 * u - 11) / 4
    inner = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + inner + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def griewank(u: np.ndarray) -> float:
    x = 40 * (u - 0.43)
    return float((x * x).sum() / 4000 + 1 - np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1)))))


def styblinski_tang(u: np.ndarray) -> float:
    x = 10 * u - 5
    return float(0.5 * (x**4 - 16 * x * x + 5 * x).sum())


def michalewicz(u: np.ndarray) -> float:
    x = np.pi * u
    return float(-(np.sin(x) * np.sin(np.arange(1, len(x) + 1) * x * x / np.pi) ** 20).sum())


def shekel(u: np.ndarray) -> float:
    return float(-(1 / (((10 * u - SHEKEL) ** 2).sum(1) + DEPTHS)).sum())


FUNCTIONS: dict[str, tuple[Function, int, float]] = {
    "Branin": (branin, 2, 0.397887357729738),
    "Hartmann 3": (hartmann3, 3, -3.86278214782076),
    "Hartmann 6": (hartmann6, 6, -3.32236801141551),
    "Ackley 5": (ackley, 5, 0.0),
    "Rosenbrock 4": (rosenbrock, 4, 0.0),
    "Levy 5": (levy, 5, 0.0),
    "Griewank 5": (griewank, 5, 0.0),
    "Styblinski-Tang 5": (styblinski_tang, 5, -39.16616570377142 * 5),
    "Michalewicz 5": (michalewicz, 5, -4.687658),
    "Shekel 4": (shekel, 4, -10.5364431534837),
}
"""Each on the unit cube, with its dimensions and its least value."""


def box(d: int) -> Space:
    return Space.of({f"x{i}": {"low": 0.0, "high": 1.0} for i in range(d)})


def searched(search: Searcher, function: Function, d: int, evaluations: int) -> tuple[float, list[Trial]]:
    space, trials = box(d), []
    for number in range(evaluations):
        setting = search.propose(space, trials, number)
        assert setting is not None
        loss = function(np.array(list(setting.values())))
        trials.append(Trial(number, setting, COMPLETED, final=loss))
    return min(each.final for each in trials), trials


def in_optuna(sampler: optuna.samplers.BaseSampler, function: Function, d: int, evaluations: int) -> float:
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda trial: function(np.array([trial.suggest_float(f"x{i}", 0, 1) for i in range(d)])),
        n_trials=evaluations,
    )
    return study.best_value


def sides() -> dict[str, Callable[[Function, int, int, int], float]]:
    samplers = optuna.samplers

    def gp(f: Function, d: int, n: int, seed: int) -> float:
        sampler = samplers.GPSampler(seed=seed, n_startup_trials=FIRST, deterministic_objective=True)
        return in_optuna(sampler, f, d, n)

    def tpe(multivariate: bool) -> Callable[[Function, int, int, int], float]:
        return lambda f, d, n, seed: in_optuna(
            samplers.TPESampler(seed=seed, n_startup_trials=FIRST, multivariate=multivariate), f, d, n
        )

    return {
        OURS: lambda f, d, n, seed: searched(GaussianProcessSearch(seed, initial=FIRST), f, d, n)[0],
        PEER: gp,
        "Optuna TPE": tpe(False),
        "TPE, multivariate": tpe(True),
        "random": lambda f, d, n, seed: searched(RandomSearch(seed), f, d, n)[0],
    }


def suggestion_times(seeds: int) -> tuple[float, float]:
    """Milliseconds of processor time: ours and Optuna's, medians over seeds, alternating."""
    space, ours, theirs = box(10), [], []
    for seed in range(seeds + 1):
        trials = searched(RandomSearch(seed), styblinski_tang, 10, 100)[1]
        search = GaussianProcessSearch(seed, initial=FIRST)
        begun = time.process_time()
        search.propose(space, trials, 100)
        ours.append(time.process_time() - begun)
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=FIRST, deterministic_objective=True)
        study = optuna.create_study(sampler=sampler)
        known = {name: optuna.distributions.FloatDistribution(0, 1) for name in space.names}
        for each in trials:
            study.add_trial(
                optuna.trial.create_trial(params=each.setting, distributions=known, value=each.final)
            )
        study.ask(known)
        begun = time.process_time()
        study.ask(known)
        theirs.append(time.process_time() - begun)
    # The first of each is a warm-up.
    return statistics.median(ours[1:]) * 1e3, statistics.median(theirs[1:]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer functions, seeds and evaluations")
    parser.add_argument("--seeds", type=int, help="of each function")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = given.seeds or (2 if given.quick else 20)
    evaluations = 30 if given.quick else 60
    chosen = ("Hartmann 6", "Rosenbrock 4", "Shekel 4") if given.quick else tuple(FUNCTIONS)
    machine = platform.processor() or platform.machine()
    print(f"{evaluations} evaluations, {seeds} seeds, synthetic functions;")
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()},")
    names = ("tradewind", "numpy", "scipy", "optuna", "torch")
    print(", ".join(f"{name} {version(name)}" for name in names) + ".\n")
    rivals = sides()
    regrets: dict[str, dict[str, float]] = {}
    print(f"{'regret / random search’s':<26}" + "".join(f"{name:>19}" for name in rivals))
    for name in chosen:
        function, d, least = FUNCTIONS[name]
        found: dict[str, list[float]] = {side: [] for side in rivals}
        for seed in range(seeds):
            for side, search in rivals.items():
                found[side].append(search(function, d, evaluations, seed) - least)
        chance = statistics.fmean(found["random"])
        regrets[name] = {side: statistics.fmean(each) / chance for side, each in found.items()}
        print(f"{name:<26}" + "".join(f"{each:>19.4f}" for each in regrets[name].values()), flush=True)
    means = {side: statistics.fmean(each[side] for each in regrets.values()) for side in rivals}
    print(f"{'mean':<26}" + "".join(f"{each:>19.4f}" for each in means.values()))
    lost = [name for name, each in regrets.items() if each[OURS] > each[PEER]]
    print(f"\nours is behind {PEER} on: {', '.join(lost) or 'none'}")
    ours, theirs = suggestion_times(5 if given.quick else 15)
    print(f"one suggestion, 100 observations, 10 dimensions: ours {ours:.0f} ms, Optuna's {theirs:.0f} ms")
    figures = {
        "suggest_ms": round(ours, 1),
        "regret_vs_optuna": round(means[OURS] / means[PEER], 3),
        "optuna_suggest_ms": round(theirs, 1),
        "regret_vs_random": round(means[OURS], 4),
        "regret_vs_tpe": round(means[OURS] / min(means["Optuna TPE"], means["TPE, multivariate"]), 3),
        "functions_behind": len(lost),
    }
    print(json.dumps({"benchmark": "tuning/gp", "figures": figures}))


if __name__ == "__main__":
    main()
