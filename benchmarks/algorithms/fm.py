"""Factorization machines: ours, Vowpal Wabbit's low-rank and crossed features, and a plain one in torch.

Two data sets with a known truth, both generated: ratings in the shape of MovieLens with context (five
indicators a row; root mean square error of ratings held between 1 and 5), and rows in the shape of the Criteo
click log with interactions (39 non-zeros a row, 2^19 features; log-loss). Eight factors.

What is timed is learning, all passes of it. Rows in memory: for ours `fit` on a CSR matrix, its checks
included; for torch its loop over index tensors; for Vowpal Wabbit a workspace that reads only its binary
cache, from its creation until it is finished. From text: for ours `open_data` of a LIBSVM file and `fit`, for
Vowpal Wabbit its own text form, one pass each. Ours runs on one thread, Vowpal Wabbit learns on one and reads
on another, torch has all cores. Rounds alternate, the first is a warm-up.

Every side's settings are those that did best on a sixth of the rows, learned from four sixths, of the grids
in `GRIDS` (`--tune` shows them; hours); the figures are from five sixths learned and the last tested.
Vowpal Wabbit is shown with the crossed features that did best, with `--lrq` where that is not far behind, and
without pairs: on the Criteo-shaped rows its pairs cost more than they bring, and `--lrq` ends at a loss of 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from vowpalwabbit import Workspace

import criteo_shaped
import movielens_shaped
from tradewind.algorithms.factorization_machine import (
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
)
from tradewind.data.streams import open_data

SEED, FACTORS, BITS = 7, 8, 22
OURS, VW, TORCH = "tradewind", "Vowpal Wabbit", "torch"
LRQ, LINEAR = "Vowpal Wabbit, --lrq", "Vowpal Wabbit, no pairs"
NAMES = "uidhgabc"
PAIRS = " ".join(f"--lrq {a}{b}{FACTORS}" for a, b in itertools.combinations("uidhg", 2))

SETTINGS: dict[str, dict[str, Any]] = {
    "movielens": {
        OURS: {"rate": 0.1, "factors_rate": 0.1, "l2": 0.01, "factors_l2": 0.05, "epochs": 4},
        VW: {"pairs": "-q ::", "rate": 0.2, "l2": 1e-6, "passes": 2},
        LRQ: {"pairs": PAIRS, "rate": 0.5, "l2": 1e-6, "passes": 1},
        LINEAR: {"pairs": "", "rate": 0.5, "l2": 0.0, "passes": 1},
        TORCH: {"optimizer": "adagrad", "rate": 0.1, "batch": 1024, "passes": 2, "decay": 1e-5},
    },
    "criteo": {
        OURS: {"rate": 0.1, "factors_rate": 0.05, "l2": 0.0, "factors_l2": 0.0, "epochs": 1},
        VW: {"pairs": "--interactions cc", "rate": 0.3, "l2": 0.0, "passes": 1},
        LINEAR: {"pairs": "", "rate": 0.5, "l2": 0.0, "passes": 1},
        TORCH: {"optimizer": "adam", "rate": 0.01, "batch": 4096, "passes": 1},
    },
}
"""The best of the grids."""

GRIDS: dict[str, dict[str, dict[str, list[Any]]]] = {
    "movielens": {
        OURS: {
            "rate": [0.1], "factors_rate": [0.05, 0.1], "l2": [0.01, 0.03], "factors_l2": [0.01, 0.03, 0.05],
            "epochs": [2, 3, 4, 6],
        },
        VW: {
            "pairs": ["-q ::", "-q ui"], "rate": [0.1, 0.2, 0.3, 0.5], "l2": [0.0, 1e-6, 1e-5],
            "passes": [1, 2],
        },
        LRQ: {
            "pairs": [PAIRS, f"--lrq ui{FACTORS}"], "rate": [0.1, 0.2, 0.5], "l2": [0.0, 1e-6, 1e-5],
            "passes": [1, 4],
        },
        LINEAR: {"pairs": [""], "rate": [0.1, 0.5], "l2": [0.0, 1e-7], "passes": [1, 3]},
        TORCH: {
            "optimizer": ["adagrad", "adam"], "rate": [0.01, 0.03, 0.1, 0.2], "batch": [1024, 4096],
            "passes": [1, 2, 4], "decay": [0.0, 1e-6, 1e-5, 1e-4],
        },
    },
    "criteo": {
        OURS: {
            "rate": [0.1], "factors_rate": [0.02, 0.05, 0.1], "l2": [0.0, 0.001],
            "factors_l2": [0.0, 0.001, 0.003], "epochs": [1, 2],
        },
        VW: {
            "pairs": ["--interactions cc", "--lrq cc4"], "rate": [0.1, 0.3, 0.6], "l2": [0.0, 1e-6],
            "passes": [1],
        },
        LINEAR: {"pairs": [""], "rate": [0.1, 0.5], "l2": [0.0, 1e-7], "passes": [1, 2]},
        TORCH: {
            "optimizer": ["adagrad", "adam"], "rate": [0.003, 0.01, 0.03, 0.1], "batch": [1024, 4096],
            "passes": [1, 2],
        },
    },
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Rows of equal length: columns and values (n, non-zeros), and labels."""

    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """A data set, what is learned of it, and how an answer to it is judged."""

    name: str
    rows: Part
    features: int
    classes: bool
    namespaces: str
    """The name of Vowpal Wabbit's namespace for each column of `indices`."""
    judge: Callable[[NDArray[Any], NDArray[Any]], float]
    best: float
    """The loss of the truth."""

    def part(self, start: int, stop: int) -> Part:
        """So many sixths of the rows."""
        cut = slice(len(self.rows) * start // 6, len(self.rows) * stop // 6)
        return Part(self.rows.indices[cut], self.rows.values[cut], self.rows.labels[cut])

    def matrix(self, part: Part) -> csr_matrix:
        """The rows as scipy has them."""
        width = part.indices.shape[1]
        indptr = np.arange(len(part) + 1, dtype=np.int32) * width
        return csr_matrix((part.values.ravel(), part.indices.ravel(), indptr), (len(part), self.features))


def movielens(rows: int) -> Task:
    drawn = movielens_shaped.generate(rows, seed=SEED)
    part = Part(drawn.indices, np.ones(drawn.indices.shape, np.float32), drawn.ratings)
    return Task(
        "movielens", part, drawn.features, False, "uidhg", movielens_shaped.rmse,
        movielens_shaped.rmse(drawn.ratings[rows * 5 // 6 :], drawn.truth[rows * 5 // 6 :]),
    )  # fmt: skip


def criteo(rows: int) -> Task:
    drawn = criteo_shaped.generate(rows, seed=SEED, interactions=1.0)
    width = len(drawn.indices) // rows
    part = Part(drawn.indices.reshape(rows, width), drawn.values.reshape(rows, width), drawn.labels)
    cut = rows * 5 // 6
    return Task(
        "criteo", part, drawn.features, True, "d" * criteo_shaped.DENSE + "c" * (width - criteo_shaped.DENSE),
        criteo_shaped.log_loss, criteo_shaped.log_loss(drawn.labels[cut:], drawn.truth[cut:]),
    )  # fmt: skip


def log_odds(scores: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-np.clip(scores, -30, 30)))


class Ours:
    """A machine that learns row by row."""

    def __init__(self, task: Task, learn: Part) -> None:
        self.task, self.X, self.y = task, task.matrix(learn), learn.labels

    def learn(self, rate: float, factors_rate: float, l2: float, factors_l2: float, epochs: int) -> None:
        kind = FactorizationMachineClassifier if self.task.classes else FactorizationMachineRegressor
        self.model = kind(
            FACTORS, rate=rate, factors_rate=factors_rate, l2=l2, factors_l2=factors_l2, epochs=epochs,
            tolerance=0.0, patience=epochs, shuffle=False, seed=SEED,
        ).fit(self.X, self.y)  # fmt: skip

    def answers(self, asked: Part) -> NDArray[Any]:
        X = self.task.matrix(asked)
        return self.model.predict_proba(X)[:, 1] if self.task.classes else self.model.predict(X)


class Torch:
    """A plain machine: an embedding of factors and weight, batches in order, values and labels scaled.

    Its gradients are dense: with sparse ones a pass took longer on either data set.
    """

    def __init__(self, task: Task, learn: Part) -> None:
        self.task = task
        self.indices = torch.from_numpy(learn.indices.astype(np.int64))
        self.size = np.sqrt((learn.values[:10_000] ** 2).mean(axis=0))
        self.values = torch.from_numpy(learn.values / self.size)
        labels = learn.labels.astype(np.float32)
        self.shift = 0.0 if task.classes else float(labels.mean())
        self.scale = 1.0 if task.classes else float(labels.std())
        self.labels = torch.from_numpy((labels - self.shift) / self.scale)
        self.plain = bool((learn.values == 1).all())

    def scores(self, indices: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        rows = self.table(indices)
        if not self.plain:
            rows = rows * values[:, :, None]
        sums, factors = rows.sum(dim=1), rows[:, :, :-1]
        pairs = (sums[:, :-1] ** 2).sum(dim=1) - (factors**2).sum(dim=(1, 2))
        return self.bias + sums[:, -1] + 0.5 * pairs

    def learn(self, optimizer: str, rate: float, batch: int, passes: int, decay: float = 0.0) -> None:
        torch.manual_seed(SEED)
        self.table = torch.nn.Embedding(self.task.features, FACTORS + 1)
        with torch.no_grad():
            self.table.weight.normal_(0, 0.03)
            self.table.weight[:, -1] = 0
        self.bias = torch.zeros(1, requires_grad=True)
        parameters = [*self.table.parameters(), self.bias]
        if optimizer == "adagrad":
            steps: torch.optim.Optimizer = torch.optim.Adagrad(parameters, lr=rate, weight_decay=decay)
        else:
            steps = torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
        loss_of = (
            torch.nn.functional.binary_cross_entropy_with_logits
            if self.task.classes
            else torch.nn.functional.mse_loss
        )
        for _ in range(passes):
            for at in range(0, len(self.labels), batch):
                part = slice(at, at + batch)
                loss = loss_of(self.scores(self.indices[part], self.values[part]), self.labels[part])
                steps.zero_grad()
                loss.backward()
                steps.step()

    def answers(self, asked: Part) -> NDArray[Any]:
        with torch.no_grad():
            scores = self.scores(
                torch.from_numpy(asked.indices.astype(np.int64)), torch.from_numpy(asked.values / self.size)
            ).numpy()
        return log_odds(scores) if self.task.classes else scores * self.scale + self.shift


class VowpalWabbit:
    """Its command line, through its Python package."""

    def __init__(self, task: Task, learn: Part, asked: Part, folder: Path) -> None:
        self.task, self.folder, self.asked = task, folder, asked
        self.loss = "logistic" if task.classes else "squared"
        for name, part in (("learn", learn), ("asked", asked)):
            self._write(part, folder / f"{name}.txt")
            self._run(f"-d {folder}/{name}.txt --cache_file {folder}/{name}.cache --noop")
        (folder / "asked.txt").unlink()

    def learn(self, pairs: str, rate: float, l2: float, passes: int, *, text: bool = False) -> None:
        source = (
            f"-d {self.folder}/learn.txt" if text else f"-d /dev/null --cache_file {self.folder}/learn.cache"
        )
        self._run(
            f"{source} -f {self.folder}/model --loss_function {self.loss} -l {rate} --l2 {l2} "
            f"--passes {passes} --holdout_off {pairs}"
        )

    def answers(self, asked: Part) -> NDArray[Any]:
        assert asked is self.asked or len(asked) == len(self.asked)
        link = "--link logistic" if self.task.classes else ""
        self._run(
            f"-d /dev/null --cache_file {self.folder}/asked.cache -t -i {self.folder}/model "
            f"-p {self.folder}/answers {link}"
        )
        return np.loadtxt(self.folder / "answers")

    def _run(self, arguments: str) -> None:
        initial = "" if "-i " in arguments else f"-b {BITS}"
        Workspace(f"{arguments} {initial} --quiet --random_seed {SEED}").finish()

    def _write(self, part: Part, path: Path) -> None:
        """Text; a value of one is left out, as it may be."""
        with path.open("w") as file:
            for label, columns, values in zip(
                part.labels.tolist(), part.indices.tolist(), part.values.tolist(), strict=True
            ):
                line, before = [f"{label:g}" if not self.task.classes else "1" if label > 0 else "-1"], ""
                for name, column, value in zip(self.task.namespaces, columns, values, strict=True):
                    if name != before:
                        line.append(f"|{name}")
                        before = name
                    line.append(f"{column}" if value == 1.0 else f"{column}:{value:.9g}")
                file.write(" ".join(line) + "\n")


def write_libsvm(task: Task, part: Part, path: Path) -> None:
    """Our text form, columns numbered from one."""
    with path.open("w") as file:
        for label, columns, values in zip(
            part.labels.tolist(), (part.indices + 1).tolist(), part.values.tolist(), strict=True
        ):
            cells = sorted(dict(zip(columns, values, strict=True)).items())
            file.write(f"{label:g} " + " ".join(f"{j}:{x:.9g}" for j, x in cells) + "\n")


def took(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the wall's and of the processor's time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def grid(axes: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def tune(task: Task, folder: Path, sides: list[str]) -> None:
    """Every setting of the grids, learned from four sixths and judged on the fifth."""
    learn, asked = task.part(0, 4), task.part(4, 5)
    vw = VowpalWabbit(task, learn, asked, folder)
    peers = {OURS: Ours(task, learn), TORCH: Torch(task, learn)}
    for side in sides:
        if side not in GRIDS[task.name]:
            continue
        found = []
        for settings in grid(GRIDS[task.name][side]):
            peer = peers.get(side, vw)
            wall, _ = took(lambda peer=peer, settings=settings: peer.learn(**settings))
            found.append((task.judge(asked.labels, peer.answers(asked)), wall, settings))
        for loss, wall, settings in sorted(found, key=lambda each: each[0])[:6]:
            print(f"{task.name} {side}: {loss:.4f} in {wall:.2f} s, {settings}", flush=True)


def measure(task: Task, folder: Path, rounds: int) -> dict[str, float]:
    """A table of one data set, and its figures."""
    learn, asked = task.part(0, 5), task.part(5, 6)
    vw = VowpalWabbit(task, learn, asked, folder)
    settings, own = SETTINGS[task.name], {OURS: Ours(task, learn), TORCH: Torch(task, learn)}
    peers: dict[str, Any] = {side: own.get(side, vw) for side in settings}
    walls: dict[str, list[float]] = {side: [] for side in peers}
    processors: dict[str, list[float]] = {side: [] for side in peers}
    losses: dict[str, float] = {}
    for number in range(rounds + 1):
        for side, peer in peers.items():
            wall, processor = took(lambda peer=peer, side=side: peer.learn(**settings[side]))
            if number:
                walls[side].append(wall)
                processors[side].append(processor)
            else:
                losses[side] = task.judge(asked.labels, peer.answers(asked))
    passes = {side: settings[side].get("epochs", settings[side].get("passes")) for side in peers}
    seen = {side: passes[side] * len(learn) for side in peers}
    metric = "log-loss" if task.classes else "rmse"
    print(
        f"\n{task.name}-shaped (generated, seed {SEED}): {len(learn):,} rows to learn from, {len(asked):,} to"
    )
    print(f"test on, {task.features:,} features; {metric} of the truth {task.best:.4f}.")
    print(f"{'':<26}{'passes':>7}{'s':>9}{'cpu s':>9}{'samples/s':>13}{'ours is':>9}{metric:>10}")

    def ratio(side: str) -> float:
        """The median of the rounds' ratios of samples a second."""
        return statistics.median(
            seen[OURS] / ours / (seen[side] / theirs)
            for ours, theirs in zip(walls[OURS], walls[side], strict=True)
        )

    for side in peers:
        wall, processor = statistics.median(walls[side]), statistics.median(processors[side])
        print(
            f"{side:<26}{passes[side]:>7}{wall:>9.3f}{processor:>9.3f}{seen[side] / wall:>13,.0f}"
            f"{ratio(side):>8.1f}x{losses[side]:>10.4f}   {settings[side]}"
        )
    figures = {
        "speed_vs_vw": ratio(VW),
        "loss_minus_vw": losses[OURS] - losses[VW],
        "speed_vs_vw_without_pairs": ratio(LINEAR),
        "loss_minus_vw_without_pairs": losses[OURS] - losses[LINEAR],
        "speed_vs_torch": ratio(TORCH),
        "loss_minus_torch": losses[OURS] - losses[TORCH],
        "time_vs_vw": statistics.median(b / a for a, b in zip(walls[OURS], walls[VW], strict=True)),
        "time_vs_torch": statistics.median(b / a for a, b in zip(walls[OURS], walls[TORCH], strict=True)),
        "samples_per_s": seen[OURS] / statistics.median(walls[OURS]),
    }
    if LRQ in peers:
        figures |= {"speed_vs_vw_lrq": ratio(LRQ), "loss_minus_vw_lrq": losses[OURS] - losses[LRQ]}
    figures["speed_vs_vw_from_text"] = from_text(task, learn, vw, folder, rounds)
    return figures


def from_text(task: Task, learn: Part, vw: VowpalWabbit, folder: Path, rounds: int) -> float:
    """How many times as fast ours is with reading text counted on both sides, one pass."""
    write_libsvm(task, learn, folder / "learn.libsvm")
    settings, theirs = SETTINGS[task.name][OURS], SETTINGS[task.name][VW]
    ours, found = Ours(task, learn), []

    def read(number: int) -> None:
        # a name of its own, for a file that this process has parsed is kept
        path = folder / f"learn{number}.libsvm"
        os.link(folder / "learn.libsvm", path)
        rows = open_data(str(path), features=task.features).head(2**62)
        ours.X, ours.y = rows.matrix(), rows.labels
        ours.learn(**{**settings, "epochs": 1})

    for number in range(rounds + 1):
        mine = took(lambda number=number: read(number))[0]
        other = took(lambda: vw.learn(**{**theirs, "passes": 1}, text=True))[0]
        if number:
            found.append((mine, other))
    mine, other = (statistics.median(each[i] for each in found) for i in (0, 1))
    print(
        f"From text, one pass: {OURS} {mine:.2f} s ({len(learn) / mine:,.0f} rows a second), "
        f"{VW} {other:.2f} s."
    )
    return statistics.median(b / a for a, b in found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a twelfth and a twentieth of the rows")
    parser.add_argument("--tune", nargs="*", metavar="SIDE", help="show how the settings were chosen")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(os.cpu_count() or 1)
    rounds = 5
    tasks = [movielens(30_000), criteo(12_000)] if arguments.quick else [movielens(360_000), criteo(240_000)]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()},", end=" ")
    names = ("tradewind", "numba", "numpy", "torch", "vowpalwabbit")
    print(
        ", ".join(f"{name} {version(name)}" for name in names) + f"; medians of {rounds} alternating rounds."
    )
    figures: dict[str, float] = {}
    for task in tasks:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.tune is not None:
                tune(task, Path(folder), arguments.tune or [OURS, VW, LRQ, LINEAR, TORCH])
                continue
            found = measure(task, Path(folder), rounds)
        figures |= {f"{task.name}_{name}": round(value, 4) for name, value in found.items()}
        for name in ("speed_vs_vw", "speed_vs_torch"):
            figures[name] = min(figures.get(name, np.inf), round(found[name], 3))
        for name in ("loss_minus_vw", "loss_minus_torch"):
            figures[name] = max(figures.get(name, -np.inf), round(found[name], 5))
    if figures:
        print("\nWithout a data set's name, the worse of the two.")
        print(json.dumps({"benchmark": "algorithms/fm", "figures": figures}))


if __name__ == "__main__":
    main()
