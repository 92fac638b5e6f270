"""US dollars until the best of 64 settings is trained, on simulated markets with real prices and revocations.

    make bench NAME=tuning/dollars
    make bench NAME=tuning/dollars ARGS=--quick

A case is a task, 64 of its settings, a kind of training, and a moment in an era of spot. Learning curves are
TaskSet's recorded ones or LCBench's surrogate's, what a step takes is measured (`curves_of_trials`,
`market_of_trials`); nothing is trained, boots, checkpoints and restores take stated seconds, and what is
rented changes no price. What is counted is the provider's bill, boots and idle time included, up to the first
moment at which a trial is trained to its end whose final loss is within 1 % of the least of the 64. A
contender whose plan is over before that goes on with what it left, and how often the answer of its own plan
was within 1 % stands beside.

All get the same 64 settings, the same market, costs of checkpoints and restarts, and number of machines at
once. Ours: CheapestStep places each trial, and is told no speed. The others run on one type of spot machine,
in its cheapest zone: the type that costs least a step over the tuning cases, by measured speeds. SpotTune has
its own provisioner. Each contender's options are chosen by mean dollars on the tuning cases: other tasks,
other draws, and moments in an earlier third of the record; every contender has the same cases and five sets
of options. `told` is the best peer's rule on the type that costs least for the task at hand,
which it is told. `clairvoyant` trains the best setting alone on whichever machine is cheapest for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from contenders_of_trials import Listed, OptunaHyperband, OptunaListed, ToTheEnd, answer
from curves_of_trials import Task, lcbench, taskset
from market_of_trials import BOOT, CHECKPOINT, ERAS, EVERY, LONGEST, RESTORE, Era

from tradewind import clock
from tradewind.clock import stopwatch
from tradewind.control.loop import Unrecorded
from tradewind.control.policy import AnyPolicy
from tradewind.errors import NoCapacity
from tradewind.market.demands import Demand
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.trials import trials
from tradewind.tuning.attempt import Asked
from tradewind.tuning.interface import Stopper
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.modelled_trials import MODEL, ModelledTrials
from tradewind.tuning.machines.one_type import OneType
from tradewind.tuning.machines.spottune import SpotTune
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.stopping.early_curve import EarlyCurve
from tradewind.tuning.stopping.widening import Widening
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, Setting

SETTINGS, WITHIN = 64, 0.01
OURS, OPTUNA, ASHA, SPOTTUNE, RANDOM = "tradewind", "optuna", "asha", "spottune", "random"
PEERS = (OPTUNA, ASHA, SPOTTUNE)
TOLD, CLAIRVOYANT = "told", "clairvoyant"
SETS = ("TaskSet", "LCBench")
Options = dict[str, Any]
GRIDS: dict[str, list[Options]] = {
    OURS: [
        *({"start": start, "explore": 2, "waits": 1.3} for start in (1.0, 1.5, 2.5)),
        {"start": 1.5, "explore": 3, "waits": 1.3},
        {"start": 1.5, "explore": 0, "waits": None},
    ],
    OPTUNA: [{"least": least, "eta": eta} for least, eta in ((1, 3), (1, 4), (3, 3), (3, 4), (5, 3))],
    ASHA: [
        *({"variant": "stopping", "eta": eta, "first": first} for eta, first in ((4, 1), (4, 3), (3, 3))),
        *({"variant": "promotion", "eta": eta, "first": 3} for eta in (3, 4)),
    ],
    SPOTTUNE: [{"theta": theta, "top": 3} for theta in (0.1, 0.2, 0.3, 0.5, 0.7)],
    RANDOM: [{}],
}


@dataclass(frozen=True)
class Case:
    """One contender with its options, on one task from one moment."""

    contender: str
    options: Options
    data: str
    era: str
    task: Task
    kind: int
    start: float
    seed: int
    types: tuple[str, ...]
    """On which it may be rented; all, where it chooses."""


@dataclass(frozen=True)
class Outcome:
    """What it came to."""

    dollars: float
    hours: float
    steps: int
    lost: int
    revocations: int
    own: bool | None
    """Whether the answer of its own plan was within 1 %; None for a plan that ends with the last setting."""
    stuck: bool = False
    """Whether the record was over before it got there."""


class Told(Study):
    """A study that says when a trial was completed."""

    completed: Callable[[int, float], None] = staticmethod(lambda number, value: None)

    def tell(self, trial: Asked, value: float | None = None, **rest: Any) -> None:  # type: ignore[override]
        """As a study's, and say so."""
        super().tell(trial, value, **rest)
        if value is not None and rest.get("state", COMPLETED) == COMPLETED:
            self.completed(trial.number, value)


class Bench:
    """The tasks and eras, and how a case of them is run."""

    def __init__(
        self, data: Path, at_once: int, hours: float, lcbench_tasks: int = 34, settings: int = SETTINGS
    ) -> None:
        curves = data / "curves"
        self.tasks = {
            "TaskSet": taskset(curves / "taskset"), "LCBench": lcbench(curves / "lcbench", lcbench_tasks)
        }  # fmt: skip
        self.eras = {name: Era(name, data) for name in ERAS}
        self.at_once, self.hours, self.settings = at_once, hours, settings

    def cases(self, data: str, era: str, count: int, tuning: bool) -> list[Case]:
        """Tasks, draws, kinds of training and moments, without contenders.

        Tuning has the first, third and fifth task of TaskSet, and the first ten of LCBench.
        """
        tasks = self.tasks[data]
        if data == "TaskSet":
            tasks = tasks[0::2] if tuning else tasks[1::2]
        else:
            most = min(10, len(tasks) // 2)
            tasks = tasks[:most] if tuning else tasks[most:]
        found = []
        for seed in range(count):
            chance = np.random.default_rng([seed, SETS.index(data), ERAS.index(era), int(tuning)])
            task = tasks[seed % len(tasks)]
            chosen = chance.choice(len(task.settings), self.settings, replace=False)
            there = self.eras[era]
            kind = int(chance.integers(len(there.kinds)))
            start = there.starts(chance, tuning)
            found.append(Case("", {}, data, era, task.drawn(chosen), kind, start, seed, there.types))
        return found

    def seconds(self, case: Case) -> Callable[[Setting, str], float]:
        """What a step takes: a whole trial of the median setting takes `hours` on the middle type."""
        era, task = self.eras[case.era], case.task
        kind = era.kinds[case.kind]
        middle = np.median([kind.step(each, size) for each in era.types for size in (16.0, 64.0, 256.0)])
        scale = self.hours * 3600 / (task.losses.shape[1] * float(middle))
        place = {_key(setting): at for at, setting in enumerate(task.settings)}

        def step(setting: Setting, instance_type: str) -> float:
            at = place[_key(setting)]
            # a larger batch takes longer a batch, but there are fewer of them in an epoch
            size = task.batch[at]
            once = kind.step(instance_type, size)
            if np.isnan(size):
                return scale * once
            by_type = np.mean([kind.step(each, size) for each in era.types])
            return scale * float(middle) * float(task.pace[at]) * once / float(by_type)

        return step

    def run(self, case: Case) -> Outcome:
        """Run a case to the moment at which it has what is looked for."""
        if case.contender == CLAIRVOYANT:
            return self._clairvoyant(case)
        return self._run(case)

    def _clairvoyant(self, case: Case) -> Outcome:
        best = np.array([int(np.argmin(case.task.losses[:, -1]))])
        alone = replace(case, task=case.task.drawn(best), contender=RANDOM)
        found = []
        for kind in case.types:
            with contextlib.suppress(NoCapacity):  # at what on-demand costs it may not be had for days
                found.append(self._run(replace(alone, types=(kind,))))
        return min(found, key=lambda each: each.dollars)

    def _run(self, case: Case) -> Outcome:
        task, era = case.task, self.eras[case.era]
        count, steps = task.losses.shape
        finals = task.losses[:, -1]
        enough = float(finals.min()) + WITHIN * abs(float(finals.min()))
        order = np.random.default_rng([case.seed, 5]).permutation(count)
        settings = [task.settings[at] for at in order]
        curves = {_key(setting): task.losses[at].tolist() for at, setting in enumerate(task.settings)}
        space = Space.of(dict(task.space), source=task.name)
        search: Any = Listed(settings)
        rule: Stopper | None = None
        policy: AnyPolicy = OneType()
        options = dict(case.options)
        if case.contender == OURS:
            policy = CheapestStep(**{key: options.pop(key) for key in list(options) if key in _OF_MACHINES})
            rule = self._ours(steps, count, options)
        elif case.contender == OPTUNA:
            search = OptunaListed(space, settings, task.rows[order], steps, case.seed, **options)
            rule = OptunaHyperband(search, steps)
        elif case.contender == ASHA:
            rule = Asha(steps, **options)
        elif case.contender == SPOTTUNE:
            policy, rule = SpotTune(case.seed), EarlyCurve(steps, **options)
        own: list[bool] = []
        study: Told
        stop: Any = ToTheEnd(rule, steps, lambda: own.append(_within(study, enough)))
        study = Told(space, trials=count, search=search, stop=stop, failures=None)
        work = ModelledTrials(
            study, lambda setting: curves[_key(setting)], self.seconds(case), boot=BOOT,
            checkpoint=CHECKPOINT, restore=RESTORE, every=EVERY,
        )  # fmt: skip
        demand = Demand(resources=Resources(vcpus=1), count=self.at_once, instance_types=case.types)

        async def main() -> controller.Result:
            found = asyncio.Event()

            def completed(number: int, value: float) -> None:
                if isinstance(rule, OptunaHyperband):
                    rule.finished(number, value)
                if value <= enough:
                    found.set()

            study.completed = completed
            goal = controller.Goal(demand=demand)
            return await controller.run(
                study, goal, policy, provider, work, Unrecorded(), steps=steps, stop=found
            )

        provider = SimulatedProvider(era.market(case.start))
        try:
            result = clock.simulate(main(), start=case.start)
        except NoCapacity:
            if case.contender == RANDOM and count == 1:
                raise
            # the record is over before it got there: what it owed by then is less than what it would owe
            owed = float(clock.simulate(provider.owed(), start=case.start + LONGEST))
            return Outcome(owed, LONGEST / 3600, work.steps, work.lost_steps, 0, False, stuck=True)
        if not _within(study, enough):
            raise RuntimeError(f"{case.contender} {options} on {task.name} ended without: {result.reason}")
        return Outcome(
            result.cost, result.seconds / 3600, work.steps, work.lost_steps, result.revocations,
            None if case.contender == OURS else own[0] if own else True,
        )  # fmt: skip

    @staticmethod
    def _ours(steps: int, count: int, options: Options) -> Stopper:
        return Widening(steps, width=count, share=1.0, **options)


_OF_MACHINES = ("explore", "margin", "revoked", "waits")


def _key(setting: Setting) -> tuple[Any, ...]:
    return tuple(setting.values())


def _within(study: Study, enough: float) -> bool:
    known = study.trials
    number = answer(known)
    return number is not None and float(known[number].final or 0.0) <= enough


def main() -> None:
    """Tune, run, print the tables and the closing line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve()
    default = os.environ.get("TRADEWIND_DATA", here.parents[3] / "shared" / "data")
    made.add_argument("--data", type=Path, default=Path(default), help="folder of recorded data")
    made.add_argument("--quick", action="store_true", help="few cases: no figure of it says anything")
    made.add_argument("--seeds", type=int, default=20, help="cases of each set of curves in each era")
    made.add_argument("--tuning", type=int, default=3, help="tuning cases of each set in each era")
    made.add_argument("--at-once", type=int, default=8, help="machines at once, at most")
    made.add_argument("--hours", type=float, default=6.0, help="of a whole trial on the middle type")
    made.add_argument("--jobs", type=int, default=2)
    options = made.parse_args()
    elapsed = stopwatch()
    seeds, tuning = (1, 1) if options.quick else (options.seeds, options.tuning)
    size = (4, 24) if options.quick else (34, SETTINGS)
    bench = Bench(options.data, options.at_once, options.hours, *size)
    print(_said(options, seeds, tuning, size[1]))
    chosen = tuned(bench, tuning, options.jobs, brief=options.quick)
    print(f"tuned in {elapsed():.0f} s")
    outcomes = evaluated(bench, chosen, seeds, options.jobs)
    print(json.dumps({"benchmark": "tuning/dollars", "figures": shown(outcomes)}))
    print(f"{elapsed():.0f} s")


def tuned(bench: Bench, count: int, jobs: int, brief: bool) -> dict[tuple[str, str, str], Case]:
    """By set, era and contender: a case with its options and type, chosen on the tuning cases."""
    cases: list[Case] = []
    for data in SETS:
        for era in ERAS:
            given = bench.cases(data, era, count, tuning=True)
            only = (_cheapest(bench, given),)
            for contender, grid in GRIDS.items():
                for options in grid[:: 3 if brief else 1]:
                    types = given[0].types if contender in (OURS, SPOTTUNE) else only
                    cases += [
                        replace(each, contender=contender, options=options, types=types) for each in given
                    ]
    needed = [each for each in cases if each.contender != RANDOM]
    found = dict(zip(map(id, needed), trials(needed, bench.run, jobs=jobs), strict=True))
    best: dict[tuple[str, str, str], tuple[float, Case]] = {}
    # one choice for both eras: what a rule of stopping should be asked does not depend on the market
    for data in SETS:
        for contender, grid in GRIDS.items():
            scores = []
            for options in grid:
                mine = [
                    each for each in cases
                    if each.data == data and each.contender == contender and each.options == options
                ]  # fmt: skip
                if not mine:
                    continue
                costs = {
                    era: [found[id(each)].dollars for each in mine if each.era == era and id(each) in found]
                    for era in ERAS
                }
                score = sum(
                    float(np.mean(costs[era])) / _scale(found, cases, data, era) for era in ERAS if costs[era]
                )
                scores.append((score, mine))
                if contender != RANDOM:
                    told = ", ".join(f"{era} {np.mean(costs[era]):.3f}" for era in ERAS)
                    print(f"  tuning {data} {contender} {options}: {told}")
            _, mine = min(scores, key=lambda item: item[0])
            for each in mine:
                best[data, each.era, contender] = (0.0, each)
            print(
                f"{data}: {contender} with {mine[0].options}, on {sorted({each.types for each in mine})}",
                flush=True,
            )
    return {key: case for key, (_, case) in best.items()}


def _scale(found: dict[int, Outcome], cases: Sequence[Case], data: str, era: str) -> float:
    return float(
        np.mean(
            [
                found[id(each)].dollars
                for each in cases
                if id(each) in found and each.data == data and each.era == era
            ]
        )
    )


def _cheapest(bench: Bench, given: Sequence[Case]) -> str:
    """The type on which a step costs least over the cases, in the geometric mean."""
    logs: dict[str, list[float]] = {}
    for each in given:
        step, middle = bench.seconds(each), each.task.settings[0]
        seconds = {kind: step(middle, kind) for kind in each.types}
        for kind, cost in bench.eras[each.era].cheapest(each.start, seconds).items():
            logs.setdefault(kind, []).append(float(np.log(cost)))
    return min(logs, key=lambda kind: float(np.mean(logs[kind])))


def evaluated(
    bench: Bench, chosen: dict[tuple[str, str, str], Case], count: int, jobs: int
) -> list[tuple[Case, Outcome]]:
    """Every contender on every case."""
    cases = []
    for data in SETS:
        for era in ERAS:
            for given in bench.cases(data, era, count, tuning=False):
                for contender in GRIDS:
                    as_tuned = chosen[data, era, contender]
                    cases.append(
                        replace(given, contender=contender, options=as_tuned.options, types=as_tuned.types)
                    )
                asha = chosen[data, era, ASHA]
                told = (_cheapest(bench, [given]),)
                cases.append(replace(given, contender=TOLD, options=asha.options, types=told))
                cases.append(replace(given, contender=CLAIRVOYANT))

    def run(case: Case) -> Outcome:
        return bench.run(replace(case, contender=ASHA) if case.contender == TOLD else case)

    return list(zip(cases, trials(cases, run, jobs=jobs), strict=True))


def shown(outcomes: Sequence[tuple[Case, Outcome]]) -> dict[str, Any]:
    """Print the tables; what they say in ratios."""
    figures: dict[str, Any] = {}
    names = [*GRIDS, TOLD, CLAIRVOYANT]
    parts = [(data, era) for data in SETS for era in ERAS]
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for data, era in parts:
        rows = {
            name: [
                done for case, done in outcomes if (case.data, case.era, case.contender) == (data, era, name)
            ]
            for name in names
        }
        print(f"\n{data}, era {era}: {len(rows[OURS])} cases")
        print(
            f"{'':12}{'USD mean':>10}{'median':>9}{'ours / it':>11}{'95 %':>16}{'own answer':>12}{'hours':>8}"
            f"{'steps':>8}{'lost':>7}{'revoked':>9}"
        )
        ours = np.array([each.dollars for each in rows[OURS]])
        for name in names:
            if stuck := sum(each.stuck for each in rows[name]):
                print(
                    f"{name}: {stuck} cases were not over when the record was; what they owed then is counted"
                )
        for name in names:
            cost = np.array([each.dollars for each in rows[name]])
            low, middle, high = _ratio(ours, cost)
            told = "" if name == OURS else f"{middle:>11.3f}{f'{low:.2f}-{high:.2f}':>16}"
            known = [each.own for each in rows[name] if each.own is not None]
            own = f"{np.mean(known):.2f}" if known else "-"
            print(
                f"{name:12}{cost.mean():>10.3f}{np.median(cost):>9.3f}{told:27}"
                f"{own:>12}{np.mean([each.hours for each in rows[name]]):>8.1f}"
                f"{np.mean([each.steps for each in rows[name]]):>8.0f}"
                f"{np.mean([each.lost for each in rows[name]]):>7.1f}"
                f"{np.mean([each.revocations for each in rows[name]]):>9.1f}"
            )
            # each case in units of what the bound costs there, so that no part outweighs another
            bound = np.array([each.dollars for each in rows[CLAIRVOYANT]])
            ratios[name] += (cost / bound.mean()).tolist()
            figures.setdefault("dollars", {}).setdefault(f"{data} {era}", {})[name] = round(
                float(cost.mean()), 4
            )
    print("\nall parts, dollars in units of the bound's mean in each")
    mine = np.array(ratios[OURS])
    for name in names:
        other = np.array(ratios[name])
        low, middle, high = _ratio(mine, other)
        print(f"{name:12}{other.mean():>8.2f} x the bound; ours / it {middle:.3f} ({low:.3f} to {high:.3f})")
        if name not in (OURS, CLAIRVOYANT):
            figures[f"vs_{name}"] = round(middle, 4)
            figures[f"vs_{name}_interval"] = [round(low, 4), round(high, 4)]
    means = {name: float(np.mean(ratios[name])) for name in names}
    best = min(PEERS, key=lambda name: means[name])
    figures["best_peer"], figures["vs_best_peer"] = best, figures[f"vs_{best}"]
    figures["over_clairvoyant"] = round(means[OURS], 3)
    figures["times_the_bound"] = {name: round(mean, 3) for name, mean in means.items()}
    print(
        f"the cheapest peer is {best}: ours costs {figures['vs_best_peer']:.3f} of it (target: 0.5 at most)"
    )
    return figures


def _ratio(ours: Any, other: Any) -> tuple[float, float, float]:
    """Ours over the other's mean, with its 95 % interval: both drawn together, case by case, 2,000 times."""
    drawn = np.random.default_rng(0).integers(0, len(ours), (2000, len(ours)))
    low, high = np.quantile(ours[drawn].mean(axis=1) / other[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(ours.mean() / other.mean()), float(high)


def _said(options: argparse.Namespace, seeds: int, tuning: int, settings: int) -> str:
    packages = ", ".join(
        f"{each} {version(each)}" for each in ("tradewind", "optuna", "numpy", "onnxruntime")
    )
    return (
        f"{seeds} cases and {tuning} tuning cases a part; {settings} settings; at most {options.at_once} "
        f"machines; a whole trial takes {options.hours:g} h on the middle type; {MODEL}\n"
        f"{platform.machine()}, Python {platform.python_version()}, {packages}"
    )


if __name__ == "__main__":
    main()
