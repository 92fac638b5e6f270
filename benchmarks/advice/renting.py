"""What renting instances for recorded pods costs: Stratus, ours, and rules that know no run times.

    make bench NAME=advice/renting
    make bench NAME=advice/renting ARGS="--quick --data DIR"

Pods are those of Alibaba's GPU trace of 2023, a day of arrivals a window, each day a simulation of its own
that starts with nothing rented and ends when all its pods have. Recorded: what a pod asked for (cores,
memory, a share of one GPU or whole ones), when it was made, how long it ran. Left out, and counted below:
pods that never started, those that ran longer than `--longest` hours (services that stay; a few of them hold
most of the record's resource-time and would be nearly the whole bill of every policy), and those that no type
has room for. Simulated: instances, AWS types with their on-demand prices of us-east-1 from the package's
catalogue, families m5, c5, r5, g4dn, p3 and p3dn, launched within 60 to 120 s, billed by the second with a
minute at least from the moment of renting; a GPU of any kind counts as the GPU that a pod asked for (the
record names none here) and runs it in the recorded time, and a share of one is a share of one device. A pod
that is moved keeps its work and pauses for a minute.

Estimates of run times: the truth with an error (`0`, `30`, `100` per cent: times (1 + error)**z, z normal),
`history` (JVuPredict's way, from what the pods asked for, taught by those that ended before the day), and
`shuffled` (the day's run times dealt out anew: alignment without knowledge). Policies that do not look at
them are run once. The bound is a linear programme (`advice.renting.lower_bound`). Intervals, 95 %, are of the
mean over days of the logarithm of a policy's cost over Stratus's, and of ours over every other's: bootstrap
by days.

A second table is of platforms that differ: each kind of task (eight, by its cores) has a speed of its own on
each family of types. These speeds are synthetic (lognormal, deviation 0.3, drawn by `--seed`); `quasar`
learns them within the day from tasks that ended, the others do not look at them; estimates are the recorded
times.

Nothing is fitted to this record: Stratus's use below which it migrates, and Cluster Autoscaler's numbers, are
those of their modules, and ours has no number that was chosen by its outcome. But which of its moves ours
makes was decided while looking at every fourth day from the second; these are in the table, and
`--skip-seen` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

import tradewind
from tradewind.advice.renting.cheapest_fitting import CheapestFitting
from tradewind.advice.renting.first_fit import FirstFit
from tradewind.advice.renting.interface import Renter, RunTimeEstimator
from tradewind.advice.renting.lower_bound import lower_bound
from tradewind.advice.renting.one_each import OneEach
from tradewind.advice.renting.quasar import Quasar, family_of
from tradewind.advice.renting.run_time_estimates import History, Injected, Shuffled
from tradewind.advice.renting.simulation import rented_for, without_home
from tradewind.advice.renting.stratus import Stratus
from tradewind.advice.renting.tasks import Task
from tradewind.advice.renting.tradewind import Tradewind
from tradewind.clock import stopwatch
from tradewind.data.catalogs import aws_catalog
from tradewind.data.pod_traces import Pod, pod_trace
from tradewind.errors import Misuse
from tradewind.estimates.bootstrap import paired_interval
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer, Price, Terms

DAY = 86_400.0
REGION = "us-east-1"
FAMILIES = ("m5", "c5", "r5", "g4dn", "p3", "p3dn")
WAIT = 90.0
"""Expected seconds of a launch."""
LEAST = 20
"""Pods that a day must have to be a window."""
POLICIES: dict[str, Callable[[], Renter]] = {
    "one_each": OneEach,
    "first_fit": FirstFit,
    "cheapest_fitting": CheapestFitting,
    "stratus": Stratus,
    "tradewind": Tradewind,
    "tradewind, no moves": lambda: Tradewind(moves=False),
}
LOOKING = ("stratus", "tradewind", "tradewind, no moves")
"""Policies that look at run times."""
ESTIMATES = ("0", "30", "100", "history", "shuffled")


PLATFORM_POLICIES: dict[str, Callable[[], Renter]] = {
    "one_each": OneEach, "stratus": Stratus, "tradewind": Tradewind, "quasar": Quasar,
}  # fmt: skip


class Figures(msgspec.Struct, frozen=True):
    """What a policy came to on one day."""

    cost: float
    pending: tuple[float, ...]
    moves: int
    instances: int
    seconds: float


class Day(msgspec.Struct, frozen=True):
    """A window and what is known before it."""

    number: int
    tasks: tuple[Task, ...]
    before: tuple[Task, ...]
    """Those that ended before it, in the order of their ends."""


def offers() -> tuple[Offer, ...]:
    """The types that may be rented."""
    catalog = aws_catalog()
    return tuple(
        Offer(kind, f"{REGION}a", Price(catalog.on_demand(kind.name, REGION), Terms.ON_DEMAND), wait=WAIT)
        for kind in catalog.types
        if kind.name.split(".")[0] in FAMILIES and catalog.sells(kind.name, REGION)
    )


def task_of(pod: Pod, seconds: float) -> Task:
    """A pod as a task; its features are what it asked for, and its class."""
    asked = pod.resources
    features = (
        ("qos", pod.qos), ("cores", f"{asked.vcpus:g}"), ("memory", f"{asked.memory_gib:g}"),
        ("gpus", f"{asked.gpus:g}"),
    )  # fmt: skip
    return Task(id=pod.name, arrival=pod.created, resources=asked, run_time=seconds, features=features)


def estimator(name: str, day: Day, seed: int) -> RunTimeEstimator:
    """That of the name, before the day."""
    if name == "shuffled":
        return Shuffled(day.tasks, seed=seed)
    if name == "history":
        history = History()
        for task in day.before:
            history.observe(task.id, task.features, task.run_time)
        return history
    return Injected(day.tasks, float(name) / 100, seed=seed)


def one_day(job: tuple[Day, str, str, int]) -> Figures:
    """A policy with estimates through a day."""
    day, policy, estimates, seed = job
    watch = stopwatch()
    made = rented_for(
        day.tasks, offers(), POLICIES[policy](), estimator(estimates, day, seed), seed=seed + day.number
    )
    return Figures(made.cost, tuple(made.pending.tolist()), made.moves, len(made.leases), watch())


def synthetic_speed(task: Task, kind: InstanceType, seed: int) -> float:
    """The made-up speed of a kind of task on a family of types."""
    drawn = np.random.default_rng(
        [seed, zlib.crc32(_kind(task).encode()), zlib.crc32(family_of(kind.name).encode())]
    )
    return float(np.exp(0.3 * drawn.standard_normal()))


def _kind(task: Task) -> str:
    return f"kind {zlib.crc32(dict(task.features)['cores'].encode()) % 8}"


def one_day_of_platforms(job: tuple[Day, str, int]) -> tuple[float, float]:
    """US dollars of a policy through a day of platforms that differ, and the bound."""
    day, policy, seed = job

    @cache
    def by_names(name: str, kind: str) -> float:
        return synthetic_speed(known[name], types[kind], seed)

    def speed(task: Task, kind: InstanceType) -> float:
        return by_names(task.id, kind.name)

    tasks = [
        msgspec.structs.replace(task, features=(*task.features, ("kind", _kind(task)))) for task in day.tasks
    ]
    known = {task.id: task for task in tasks}
    types = {offer.type.name: offer.type for offer in offers()}
    renter = PLATFORM_POLICIES[policy]()
    made = rented_for(tasks, offers(), renter, Injected(tasks, 0.0), seed=seed + day.number, speed=speed)
    return made.cost, lower_bound(tasks, offers(), speed=speed) if policy == "one_each" else math.nan


def main() -> None:
    """Run, print the tables and the closing line."""
    options = _options()
    watch = stopwatch()
    path = options.data / "gpu" / "openb" / options.pods
    pods = pod_trace(path)
    ran = [task_of(pod, pod.seconds) for pod in pods if pod.seconds]
    short = [task for task in ran if task.run_time <= 3600 * options.longest]
    homeless = set(without_home(short, offers()))
    tasks = [task for task in short if task.id not in homeless]
    days = _days(tasks)
    if options.skip_seen:
        days = [day for at, day in enumerate(days) if at % 4 != 1]
    if options.quick:
        days = days[2::8][:3]
    if not days:
        raise Misuse("no day has enough pods", source=str(path), fix=f"{LEAST} are needed.")
    estimates = ("0", "history") if options.quick else ESTIMATES
    cases = [(name, each) for name in POLICIES for each in (estimates if name in LOOKING else estimates[:1])]
    jobs = [(day, name, each, options.seed) for name, each in cases for day in days]
    with ProcessPoolExecutor(options.jobs) as pool:
        found = list(pool.map(one_day, jobs, chunksize=1))
        chosen = days[:: 1 if options.quick else 4]
        jobs_apart = [(day, name, options.seed) for name in PLATFORM_POLICIES for day in chosen]
        apart = list(pool.map(one_day_of_platforms, jobs_apart, chunksize=1))
    table = {case: found[at * len(days) : (at + 1) * len(days)] for at, case in enumerate(cases)}
    bounds = [lower_bound(day.tasks, offers()) for day in days]
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; seed {options.seed}; {watch():.0f} s in all"
    )
    print(
        f"{path.name}: {len(pods)} pods; {len(pods) - len(ran)} never ran, {len(ran) - len(short)} ran more "
        f"than {options.longest:g} h ({_share(ran, short):.0%} of the core-time), {len(homeless)} fit no "
        f"type; {len(days)} days, {sum(len(day.tasks) for day in days)} pods; {len(offers())} types; "
        "instances simulated"
    )
    figures = _report(table, bounds, days, estimates, options.seed)
    figures["platforms"] = _report_platforms(apart, chosen, options.seed)
    print(json.dumps({"benchmark": "advice/renting", "pods": options.pods, "figures": figures}))


def _days(tasks: Sequence[Task]) -> list[Day]:
    by_day: dict[int, list[Task]] = {}
    for task in tasks:
        by_day.setdefault(math.floor(task.arrival / DAY), []).append(task)
    ended = sorted(tasks, key=lambda task: task.arrival + task.run_time)
    return [
        Day(number, tuple(own), tuple(task for task in ended if task.arrival + task.run_time < number * DAY))
        for number, own in sorted(by_day.items())
        if len(own) >= LEAST
    ]


def _share(ran: Sequence[Task], short: Sequence[Task]) -> float:
    """The part of the resource-time (cores) that is not of short tasks."""
    kept = sum(task.run_time * task.resources.vcpus for task in short)
    return 1 - kept / sum(task.run_time * task.resources.vcpus for task in ran)


def _report(
    table: dict[tuple[str, str], list[Figures]],
    bounds: list[float],
    days: list[Day],
    estimates: Sequence[str],
    seed: int,
) -> dict[str, dict[str, object]]:
    figures: dict[str, dict[str, object]] = {}
    blocks = [day.number for day in days]
    for each in estimates:
        print(f"\nestimates: {each}" + (" % error" if each.isdigit() else ""))
        print(
            f"{'':22}{'USD':>10}{'vs bound':>10}{'median day':>12}{'over stratus, 95 %':>26}"
            f"{'ours over it, 95 %':>26}{'pending p50':>13}{'p95':>7}{'mean':>7}{'moves':>7}{'rented':>8}"
            f"{'s':>7}"
        )
        rows: dict[str, object] = {}
        for name in POLICIES:
            own = table[name, each if name in LOOKING else estimates[0]]
            costs = np.array([day.cost for day in own])
            pending = np.concatenate([day.pending for day in own])
            row: dict[str, object] = {
                "cost": round(float(costs.sum()), 2),
                "over_bound": round(float(costs.sum() / sum(bounds)), 4),
                "over_bound_median": round(float(np.median(costs / bounds)), 4),
                "pending_median": round(float(np.median(pending)), 1),
                "pending_p95": round(float(np.percentile(pending, 95)), 1),
                "pending_mean": round(float(pending.mean()), 1),
                "moves": sum(day.moves for day in own),
                "instances": sum(day.instances for day in own),
                "seconds": round(sum(day.seconds for day in own), 1),
            }
            for key, other, sign in (("over_stratus", "stratus", 1), ("ours_over_it", "tradewind", -1)):
                theirs = np.array([day.cost for day in table[other, each]])
                if name != other:
                    interval = paired_interval(sign * np.log(costs / theirs), blocks, seed=seed)
                    row[key] = [
                        round(math.exp(bound), 4) for bound in (interval.low, interval.mean, interval.high)
                    ]
            rows[name] = row
            print(
                f"{name:22}{row['cost']:>10}{row['over_bound']:>10}{row['over_bound_median']:>12}"
                f"{_told(row.get('over_stratus')):>26}{_told(row.get('ours_over_it')):>26}{row['pending_median']:>13}"
                f"{row['pending_p95']:>7}{row['pending_mean']:>7}{row['moves']:>7}{row['instances']:>8}{row['seconds']:>7}"
            )
        rows["lower_bound"] = {"cost": round(sum(bounds), 2)}
        print(f"{'lower bound':22}{sum(bounds):>10.2f}")
        figures[each] = rows
    return figures


def _report_platforms(apart: list[tuple[float, float]], days: list[Day], seed: int) -> dict[str, object]:
    costs = np.array([cost for cost, _ in apart]).reshape(len(PLATFORM_POLICIES), len(days))
    bound = sum(bound for _, bound in apart[: len(days)])
    print(f"\nplatforms that differ (synthetic speeds), {len(days)} days; bound {bound:.2f} USD")
    rows: dict[str, object] = {}
    names = list(PLATFORM_POLICIES)
    for name, own in zip(names, costs, strict=True):
        interval = paired_interval(np.log(own / costs[names.index("stratus")]), range(len(days)), seed=seed)
        ratio = [round(math.exp(each), 4) for each in (interval.low, interval.mean, interval.high)]
        rows[name] = {
            "cost": round(float(own.sum()), 2), "over_bound": round(float(own.sum() / bound), 4),
            "over_stratus": ratio,
        }  # fmt: skip
        print(f"{name:22}{own.sum():>10.2f}{own.sum() / bound:>10.4f}{_told(ratio):>38}")
    return rows


def _told(interval: object) -> str:
    return f"{interval[0]:.3f} {interval[1]:.3f} {interval[2]:.3f}" if isinstance(interval, list) else ""


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    made.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made.add_argument(
        "--pods", default="openb_pod_list_default.csv.gz", help="a file under gpu/openb of DATA"
    )
    made.add_argument("--quick", action="store_true", help="three days, two kinds of estimates; < 45 s")
    made.add_argument("--skip-seen", action="store_true", help="leave out the days met while ours was made")
    made.add_argument("--longest", type=float, default=24.0, help="hours that a pod may have run")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=2)
    return made.parse_args()


if __name__ == "__main__":
    main()
