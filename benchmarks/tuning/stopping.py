"""Rules of stopping at 20 to 60 % of the steps: the regret of what they choose among 16 settings.

Curves are recorded: six tasks of TaskSet with 1,000 settings each (validation loss at 51 points; settings
whose curve is not finite are left out), or come from the surrogate of LCBench, a network that was fitted to
recorded curves (34 tasks, 52 epochs, validation cross-entropy; settings drawn at random). A draw is 16
settings of a task, all run at once; the rules see one report a step. Regret is the final loss of the chosen
setting less the least final loss of the 16, hit is how often it is nought, and steps are all that were run,
going on included, as a share of 16 whole runs. A draw in which a rule finishes nobody counts as one in which
it chose its setting with the least last loss.

Race keeps its defaults and is given the share. Every other rule has a grid of settings, and at each budget
the one of them with the least mean regret over the draws in the table whose mean steps are within the budget
(and half a percent): a choice in hindsight that no user has. Race's constants were chosen on the first,
third and fifth task of TaskSet, on other draws; the tables show both halves. Intervals: bootstrap over draws,
not over tasks, of which there are few.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tradewind.estimates.bootstrap import paired_interval
from tradewind.tuning.interface import Stopper
from tradewind.tuning.stopping.asha import PROMOTION, STOPPING, Asha
from tradewind.tuning.stopping.decay_curve import DecayCurve
from tradewind.tuning.stopping.early_curve import EarlyCurve
from tradewind.tuning.stopping.hyperband import Hyperband
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.stopping.median_rule import MedianRule
from tradewind.tuning.stopping.race import Race
from tradewind.tuning.stopping.replay import replay

SETTINGS, BUDGETS, SLACK = 16, (0.2, 0.3, 0.4, 0.5, 0.6), 0.005
OURS = "race"
HERE = Path(__file__).resolve()


def taskset(folder: Path) -> dict[str, np.ndarray]:
    """Curves (settings, 51) by task."""
    found = {}
    for path in sorted(folder.glob("*.json.gz")):
        with gzip.open(path) as file:
            losses = np.array([each["valid"]["loss"] for each in json.load(file)], np.float64)
        found[path.name.split("imdb_")[-1].split(".")[0]] = losses[np.isfinite(losses).all(axis=1)]
    return found


def lcbench(folder: Path, settings: int, tasks: int) -> dict[str, np.ndarray]:
    """Curves (settings, 52) by task, of settings drawn from the space that comes with the surrogate."""
    space = {
        each["name"]: each
        for each in json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    }
    codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    names = (
        "batch_size",
        "learning_rate",
        "momentum",
        "weight_decay",
        "num_layers",
        "max_units",
        "max_dropout",
    )
    chance, found = np.random.default_rng(11), {}
    for task in space["OpenML_task_id"]["choices"][:tasks]:
        columns = []
        for name in names:
            low, high, log = (space[name][key] for key in ("lower", "upper", "log"))
            drawn = chance.random(settings)
            value = low * (high / low) ** drawn if log else low + (high - low) * drawn
            columns.append(np.rint(value) if space[name]["type"] == "uniform_int" else value)
        epochs = np.arange(1, 53)
        grid = np.column_stack([np.tile(epochs, settings), np.repeat(np.column_stack(columns), 52, axis=0)])
        said = network.run(
            None, {"x_cat": np.full((len(grid), 1), codes[task], np.int32), "x_cont": grid.astype(np.float32)}
        )[0]
        found[f"LCBench {task}"] = said[:, 2].reshape(settings, 52).astype(np.float64)
    return found


def rules(length: int) -> Iterator[tuple[str, str, int | None, Callable[[], Stopper]]]:
    """Name, settings, workers and maker of each rule that is tried."""
    for budget in BUDGETS:
        yield OURS, f"share={budget}", None, lambda b=budget: Race(length, share=b)
        for top in (1, 2, 3):
            whole = int((budget + SLACK) * SETTINGS * length)
            pause = (whole - top * length) // (SETTINGS - top)
            if pause >= 1:
                share = (pause - 0.5) / length
                yield (
                    "last value",
                    f"{pause} steps, top {top}",
                    None,
                    lambda s=share, t=top: LastValue(length, share=s, top=t),
                )
                yield (
                    "early curve",
                    f"{pause} steps, top {top}",
                    None,
                    lambda s=share, t=top: EarlyCurve(length, theta=s, top=t),
                )
    for variant in (STOPPING, PROMOTION):
        for eta in (2, 3, 4):
            for first in (1, 2, 3, 5, 8, 12, 18, 25):
                yield (
                    f"asha, {variant}",
                    f"eta={eta}, first={first}",
                    None,
                    lambda e=eta, f=first, v=variant: Asha(length, eta=e, first=f, variant=v),
                )
            yield (
                f"hyperband, {variant}",
                f"eta={eta}",
                None,
                lambda e=eta, v=variant: Hyperband(length, eta=e, variant=v),
            )
    for warm_up in (0.0, 0.1, 0.2):
        yield "median rule", f"warm_up={warm_up}", None, lambda w=warm_up: MedianRule(length, warm_up=w)
    for chance in (0.01, 0.05, 0.2):
        yield "decay curve, 4 at a time", f"chance={chance}", 4, lambda c=chance: DecayCurve(length, chance=c)


def outcome(stopper: Stopper, curves: np.ndarray, workers: int | None) -> tuple[float, float]:
    """Regret and share of the steps."""
    found = replay(stopper, curves.tolist(), workers=workers)
    chosen = found.chosen
    if chosen is None:
        last = [each.losses[-1] for each in found.trials]
        chosen = int(np.argmin(last))
    return float(curves[chosen, -1] - curves[:, -1].min()), found.reports / curves.size


def measured(
    curves: dict[str, np.ndarray], seeds: int
) -> tuple[list[str], dict[tuple[str, str], np.ndarray]]:
    """The task of each draw, and by rule and settings (draws, 2): regret and steps."""
    tasks: list[str] = []
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for place, (task, losses) in enumerate(sorted(curves.items())):
        for seed in range(seeds):
            chance = np.random.default_rng([seed, place])
            drawn = losses[chance.choice(len(losses), SETTINGS, replace=False)]
            tasks.append(task)
            for name, settings, workers, make in rules(losses.shape[1]):
                found.setdefault((name, settings), []).append(outcome(make(), drawn, workers))
    return tasks, {key: np.array(each) for key, each in found.items()}


def table(
    title: str, found: dict[tuple[str, str], np.ndarray], pick: np.ndarray
) -> dict[str, dict[float, tuple[float, float]]]:
    """Print the best of each rule at each budget over the draws picked; regret and hit of each."""
    print(f"\n{title}, {pick.sum()} draws")
    print(
        f"{'budget':<8}{'rule':<26}{'settings':<22}{'regret':>10}{'95 % interval':>20}{'hit':>7}{'steps':>7}"
    )
    chosen: dict[str, dict[float, tuple[float, float]]] = {}
    for budget in BUDGETS:
        for name in dict.fromkeys(name for name, _ in found):
            fits = {
                settings: each[pick]
                for (other, settings), each in found.items()
                if other == name and each[pick, 1].mean() <= budget + SLACK
            }
            if name == OURS:
                fits = {settings: each for settings, each in fits.items() if settings == f"share={budget}"}
            if not fits:
                continue
            settings, best = min(fits.items(), key=lambda item: (item[1][:, 0].mean(), item[1][:, 1].mean()))
            regret, hit = float(best[:, 0].mean()), float((best[:, 0] == 0).mean())
            interval = paired_interval(best[:, 0], range(len(best)))
            print(
                f"{budget:<8.0%}{name:<26}{settings:<22}{regret:>10.5f}"
                f"{f'{interval.low:.5f}-{interval.high:.5f}':>20}{hit:>7.3f}{best[:, 1].mean():>7.3f}"
            )
            chosen.setdefault(name, {})[budget] = (regret, hit)
    return chosen


def beaten(chosen: dict[str, dict[float, tuple[float, float]]]) -> list[int]:
    """The budgets, in percent, at which Race's mean regret is below that of last value and of both ASHA."""
    peers = [name for name in chosen if name == "last value" or name.startswith("asha")]
    return [
        round(100 * budget)
        for budget in BUDGETS
        if all(chosen[OURS][budget][0] < chosen[name][budget][0] for name in peers if budget in chosen[name])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few draws: no figure of it says anything")
    parser.add_argument("--seeds", type=int, default=20, help="draws of each task of TaskSet")
    default = os.environ.get("TRADEWIND_DATA", HERE.parents[3] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of recorded data")
    arguments = parser.parse_args()
    seeds = 2 if arguments.quick else arguments.seeds
    start = time.perf_counter()
    print(
        f"{SETTINGS} settings a draw; seeds 0 to {seeds - 1} for each task of TaskSet, a quarter for LCBench;"
    )
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()},", end=" ")
    print(", ".join(f"{each} {version(each)}" for each in ("tradewind", "numpy", "numba", "onnxruntime")))
    figures: dict[str, Any] = {}
    tasks, found = measured(taskset(arguments.data / "curves" / "taskset"), seeds)
    order = {task: at for at, task in enumerate(sorted(set(tasks)))}
    odd = np.array([order[task] % 2 == 1 for task in tasks])
    for title, key, pick in (
        ("TaskSet, all six tasks", "", np.ones(len(tasks), bool)),
        ("TaskSet, the three on which Race's constants were chosen", "_chosen_on", ~odd),
        ("TaskSet, the three others", "_others", odd),
    ):
        chosen = table(title, found, pick)
        figures |= {
            f"regret{key}": round(chosen[OURS][0.4][0], 6),
            f"hit{key}": round(chosen[OURS][0.4][1], 4),
        }
        figures[f"better_than_last_and_asha_at{key}"] = beaten(chosen)
        if not key:
            figures["rules"] = _rounded(chosen)
    count = 3 if arguments.quick else 34
    tasks, found = measured(lcbench(arguments.data / "curves" / "lcbench", 200, count), max(1, seeds // 4))
    chosen = table(f"LCBench's surrogate (synthetic curves), {count} tasks", found, np.ones(len(tasks), bool))
    figures |= {
        "regret_lcbench": round(chosen[OURS][0.4][0], 6),
        "hit_lcbench": round(chosen[OURS][0.4][1], 4),
    }
    figures["better_than_last_and_asha_at_lcbench"] = beaten(chosen)
    figures["rules_lcbench"] = _rounded(chosen)
    here, there = (figures[f"better_than_last_and_asha_at{key}"] for key in ("", "_lcbench"))
    print(f"\nRace is better than last value and ASHA at {here} % (TaskSet), {there} % (LCBench).")
    print(f"{time.perf_counter() - start:.0f} s")
    print(json.dumps({"benchmark": "tuning/stopping", "figures": figures}))


def _rounded(chosen: dict[str, dict[float, tuple[float, float]]]) -> dict[str, dict[str, list[float]]]:
    """Regret and hit by rule and budget, for the line of figures."""
    return {
        name: {f"{budget:.0%}": [round(regret, 6), round(hit, 4)] for budget, (regret, hit) in each.items()}
        for name, each in chosen.items()
    }


if __name__ == "__main__":
    main()
