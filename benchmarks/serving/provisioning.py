"""Cost at 99 % of requests in time: provisioning policies on a recorded load and recorded prices.

    make bench NAME=serving/provisioning
    make bench NAME=serving/provisioning ARGS=--quick

The load is WorldCup98, requests by the minute, in stretches of six hours, four a week at four times of the
day, each of a day of its own and scaled so that its mean is the work of `--replicas` replicas of the type
that is cheapest on demand. Within a minute arrivals are drawn from a Poisson process, the same for every
policy. Prices are EC2's of 2015 (five types in two zones, bid for and billed by the hour, once with every
hour paid and once with the refund of the hour that the provider cuts short) and of 2019-2020 (p2 and p3,
billed by the second; nothing was revoked there, so that its refunds would change nothing). Replicas are a
queueing model over throughputs of Inception-v3 from MArk's repository (requests a minute: c5.large 284,
c5.xlarge 490, c5.2xlarge 771, c5.4xlarge 1080, p2.xlarge 415 batches of 8), put on the types of the price
records by their vCPUs, and by GPUs: a V100 counts as many K80 as it does in recorded training of ResNet-50.
That mapping is assumed, and so is the function.

Weeks are kept apart: two of five weeks of the load, and the middle of the market's record, are those on which
policies are tuned, ours too; the table is of the others. (In 2019-2020 prices hardly move, and ours met the
weeks of that market while it was made, under other load.) Every policy, ours too, has its own argument for
headroom set to the boldest that met 99 % on the tuning stretches, found by bisection, and made safer until it
met it on those of the table as well; `target_tracking` is there once more with its published safety factor.
The interval with hindsight compares at equal attainment: the boldest setting of either side that met 99 % on
the stretches of the table themselves, which no user could know. A policy that misses 99 % over all stretches
together has its intervals in brackets: it did not do what was asked. `fixed` is given the peak of its stretch
in advance, Knative and Ray Serve twice as many replicas as it needs at most; and where hours are billed these
two keep replicas for an hour before they go in. Knative and Ray Serve are asked every 10 s, the others every
minute. Policies without spot do the same with and without refunds, and are run once. Intervals are of the
mean logarithm of the ratio of a policy's cost to ours by stretch, drawn by weeks of the load, and told as the
percentage by which the policy is dearer; beside them stands the widest of that interval, the one drawn by
weeks of the market, and Student's over the load's weeks, for few blocks make intervals of a bootstrap too
narrow. The bound is what no policy can undercut that answers 99 % in time
(`serving.provisioning.clairvoyant`), taken of each stretch; where the provider refunds hours it is nearly
nothing, for hindsight knows which hours will be cut short, and is not compared with."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import tradewind
from tradewind.clock import stopwatch
from tradewind.data.request_traces import request_trace
from tradewind.estimates.bootstrap import paired_interval
from tradewind.serving.provisioning.modelled_service import MODEL

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from provisioning_world import (
    BOUND,
    CONTENDERS,
    KNOWN,
    OURS,
    SHARE,
    STARTUP,
    Case,
    Era,
    Outcome,
    Place,
    World,
    eras_of,
    there,
)

NOTHING = 0.02
"""The part of a policy's cost below which the bound is nearly nothing, and no ratio is given."""
SETTLED = 0.0015
"""A share by which a policy must exceed what is asked before a bolder setting is tried."""


def main() -> None:
    """Run, print the tables and the closing line."""
    options = _options()
    load = request_trace(there(options.data / "requests" / "worldcup98-per-minute.csv.gz"))
    eras = eras_of(options)
    policies = [each for each in CONTENDERS if not options.policies or each in options.policies.split(",")]
    watch = stopwatch()
    with tempfile.TemporaryDirectory() as remembered:
        world = World(load, eras, options, Path(remembered))
        places = {
            name: world.places(era, options.hours, tuning=False)[: options.stretches]
            for name, era in eras.items()
        }
        table = _Table(world, eras, policies, places, options)
        if not options.quick:
            table.tune()
        table.run()
        if not options.quick:
            table.settle()
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; seed {options.seed}; {watch():.0f} s in all"
    )
    print(
        f"simulated: {MODEL}; prices, bills and revocations are recorded; the endpoint is a price-taker.\n"
        f"{load.name}: {len(next(iter(places.values())))} stretches of {options.hours:g} h, mean load of "
        f"{options.replicas:g} replicas; 99 % within 1 s; start-up {STARTUP:g} s"
    )
    if options.quick:
        print("settings are usual ones, for --quick tunes none")
    figures: dict[str, dict[str, dict[str, float | None]]] = {}
    for era in eras:
        figures[era] = table.figures(era)
        print(f"\n{era}; load weeks and days {_told(places[era])}")
        if not options.quick:
            print(f"tuned on {_told(world.places(eras[era], options.hours / 2, tuning=True))}")
        _show(figures[era])
    for case, each in table.done.items():
        if each.problem:
            print(f"{case.era}, {case.policy}, {case.place}: {each.problem}")
    print(json.dumps({"benchmark": "serving/provisioning", "figures": figures}))


def _told(places: Sequence[Place]) -> str:
    """Where the stretches are: days into the trace, and weeks of the market."""
    return ", ".join(
        f"{KNOWN + 7 * each.week + each.day:g} (market week {each.market_week})" for each in places
    )


class _Table:
    """The settings of every policy in every era, and what was run with them."""

    def __init__(
        self, world: World, eras: Mapping[str, Era], policies: Sequence[str],
        places: Mapping[str, Sequence[Place]], options: argparse.Namespace,
    ) -> None:  # fmt: skip
        self.world, self.eras, self.policies, self.places, self.options = (
            world, eras, policies, places, options,
        )  # fmt: skip
        self.at = {
            (era, name): CONTENDERS[name].settings.index(CONTENDERS[name].usual)
            for era in eras
            for name in policies
        }
        """By era and policy, the number of its setting."""
        self.boldest = dict(self.at)
        """The same with hindsight."""
        self.done: dict[Case, Outcome] = {}

    def _setting(self, name: str, at: int) -> float:
        return CONTENDERS[name].settings[at]

    def tune(self) -> None:
        """By bisection the boldest setting that met the share on the tuning stretches, else the safest."""
        low = dict.fromkeys(self.at, 0)
        high = {key: len(CONTENDERS[key[1]].settings) - 1 for key in self.at}
        hours = self.options.hours / 2
        places = {name: self.world.places(era, hours, tuning=True) for name, era in self.eras.items()}
        while left := [key for key in self.at if low[key] < high[key]]:
            middle = {key: (low[key] + high[key]) // 2 for key in left}
            self._run({key: (middle[key], places[key[0]]) for key in left})
            for key in left:
                if self._share(key, middle[key], places[key[0]]) >= SHARE:
                    high[key] = middle[key]
                else:
                    low[key] = middle[key] + 1
        self.at = low

    def run(self) -> None:
        """The table with the settings chosen."""
        self._run({key: (at, self.places[key[0]]) for key, at in self.at.items()})
        self.done |= self.world.run_all(
            (Case(era, BOUND, math.nan, place) for era, places in self.places.items() for place in places),
            self.options.jobs,
        )

    def settle(self) -> None:
        """Make settings that missed the share on the stretches of the table safer until they meet it; and
        find the boldest that would have met it there, which nobody could know beforehand."""
        while going := {
            key: at + 1
            for key, at in self.at.items()
            if at + 1 < len(CONTENDERS[key[1]].settings) and self._missed(key, at)
        }:
            self.at |= going
            self._run({key: (at, self.places[key[0]]) for key, at in going.items()})
        self.boldest = dict(self.at)
        moving = list(self.at)
        while going := {
            key: self.boldest[key] - 1
            for key in moving
            if self.boldest[key] > 0
            and self._share(key, self.boldest[key], self.places[key[0]]) > SHARE + SETTLED
        }:
            self._run({key: (at, self.places[key[0]]) for key, at in going.items()})
            moving = [key for key, at in going.items() if not self._missed(key, at)]
            self.boldest |= {key: going[key] for key in moving}

    def _missed(self, key: tuple[str, str], at: int) -> bool:
        return self._share(key, at, self.places[key[0]]) < SHARE

    def _run(self, what: Mapping[tuple[str, str], tuple[int, Sequence[Place]]]) -> None:
        cases = [
            Case(era, name, self._setting(name, at), place)
            for (era, name), (at, places) in what.items()
            for place in places
        ]
        self.done |= self.world.run_all(cases, self.options.jobs)

    def outcomes(self, era: str, name: str, at: int, places: Sequence[Place]) -> list[Outcome]:
        """What a policy in a setting came to, by stretch."""
        setting = math.nan if name == BOUND else self._setting(name, at)
        return [self.done[Case(era, name, setting, place)] for place in places]

    def _share(self, key: tuple[str, str], at: int, places: Sequence[Place]) -> float:
        return _share(self.outcomes(*key, at, places))

    def figures(self, era: str) -> dict[str, dict[str, float | None]]:
        """By policy: US dollars a day, the share in time, and the part by which it is dearer than ours."""
        places = self.places[era]
        mine = {name: self.outcomes(era, name, self.at[era, name], places) for name in self.policies}
        mine[BOUND] = self.outcomes(era, BOUND, 0, places)
        costs = {
            name: np.array([each.cost for each in outcomes]) * 24 / self.options.hours
            for name, outcomes in mine.items()
        }
        found: dict[str, dict[str, float | None]] = {}
        for name, outcomes in mine.items():
            there = np.isfinite(costs[name])
            bound = float(costs[BOUND][there].sum())
            row: dict[str, float | None] = {
                "cost": _rounded(float(costs[name][there].mean()) if there.any() else math.nan),
                "slo": _rounded(_share(outcomes)),
                "vs_clairvoyant": None,
            }
            if bound > NOTHING * float(costs[name][there].sum()):
                row["vs_clairvoyant"] = _rounded(float(costs[name][there].sum()) / bound)
            if name != BOUND:
                row["least_slo"] = _rounded(min(each.in_time / max(1.0, each.requests) for each in outcomes))
                row["setting"] = _rounded(self._setting(name, self.at[era, name]))
                row["leases"] = _rounded(float(np.mean([each.leases for each in outcomes])))
                row["revocations"] = _rounded(float(np.mean([each.revocations for each in outcomes])))
                row["seconds"] = _rounded(float(np.mean([each.seconds for each in outcomes])))
                theirs = self._bold(era, name, places)
                row["hindsight_setting"] = _rounded(self._setting(name, self.boldest[era, name]))
                row["hindsight_cost"] = _rounded(float(theirs[np.isfinite(theirs)].mean()))
            if name not in (OURS, BOUND) and OURS in mine:
                row |= self._against(costs[name], costs[OURS], places, "")
                row |= self._against(theirs, self._bold(era, OURS, places), places, "hindsight_")
            found[name] = row
        return found

    def _bold(self, era: str, name: str, places: Sequence[Place]) -> NDArray[np.float64]:
        """US dollars a day by stretch with hindsight."""
        found = self.outcomes(era, name, self.boldest[era, name], places)
        return np.array([each.cost for each in found]) * 24 / self.options.hours

    def _against(
        self, theirs: NDArray[np.float64], ours: NDArray[np.float64], places: Sequence[Place], prefix: str
    ) -> dict[str, float | None]:
        """By how much dearer they are than ours, as a part of ours, with intervals."""
        kept = np.isfinite(theirs) & np.isfinite(ours)
        if not kept.any():
            return {}
        logs = np.log(theirs[kept] / ours[kept])
        weeks = [place.week for place, good in zip(places, kept, strict=True) if good]
        markets = [place.market_week for place, good in zip(places, kept, strict=True) if good]
        drawn = [paired_interval(logs, blocks, seed=self.options.seed) for blocks in (weeks, markets)]
        bounds = [(each.low, each.high) for each in drawn] + [_student(logs, weeks)]
        named = {
            "dearer": drawn[0].mean,
            "ci_low": drawn[0].low,
            "ci_high": drawn[0].high,
            "widest_low": min(low for low, _ in bounds),
            "widest_high": max(high for _, high in bounds),
        }
        return {f"{prefix}{key}": _rounded(math.expm1(value)) for key, value in named.items()}


def _student(values: NDArray[np.float64], blocks: Sequence[int]) -> tuple[float, float]:
    """Student's interval of the mean at 95 %, over the means of the blocks."""
    means = [values[np.array(blocks) == block].mean() for block in sorted(set(blocks))]
    if len(means) < 2:
        return -math.inf, math.inf
    half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means))
    return float(np.mean(means) - half), float(np.mean(means) + half)


def _share(outcomes: Sequence[Outcome]) -> float:
    """The share of requests in time over several stretches."""
    return sum(each.in_time for each in outcomes) / max(1.0, sum(each.requests for each in outcomes))


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def _show(found: Mapping[str, Mapping[str, Any]]) -> None:
    print(
        f"{'':22}{'USD/day':>9}{'in time':>9}{'worst':>9}{'vs bound':>10}"
        f"{'% dearer than ours':>20}{'95 %':>18}{'widest':>18}{'with hindsight':>28}{'widest':>18}"
        f"{'setting':>9}{'leases':>8}{'revoked':>9}{'s':>7}"
    )
    for name, row in found.items():
        cells = [
            ("cost", "9.2f"), ("slo", "9.4f"), ("least_slo", "9.4f"), ("vs_clairvoyant", "10.3f"),
        ]  # fmt: skip
        line = f"{name:22}" + "".join(_cell(row.get(key), form) for key, form in cells)
        line += _told_dearer(row, "", 20) + _told_dearer(row, "hindsight_", 10)
        for key, form in (
            ("setting", "9g"),
            ("leases", "8.0f"),
            ("revocations", "9.1f"),
            ("seconds", "7.1f"),
        ):
            line += _cell(row.get(key), form)
        print(line)


def _told_dearer(row: Mapping[str, Any], prefix: str, width: int) -> str:
    """The percentage by which a policy is dearer, and its two intervals."""
    mean = row.get(f"{prefix}dearer")
    line = " " * width if mean is None else f"{100 * mean:>{width}.1f}"
    for low, high in (("ci_low", "ci_high"), ("widest_low", "widest_high")):
        bounds = row.get(prefix + low), row.get(prefix + high)
        told = f"{100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f}" if None not in bounds else ""
        line += f"{f'({told})' if told and row['slo'] < SHARE else told:>18}"
    return line


def _cell(value: float | None, form: str) -> str:
    width = int(form.rstrip("gf").split(".")[0])
    return " " * width if value is None else f"{value:{form}}"


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    made.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made.add_argument("--quick", action="store_true", help="two short stretches, no tuning; < 45 s")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=2)
    made.add_argument("--hours", type=float, default=0.0, help="of a stretch; 6, or 4 if quick")
    made.add_argument("--stretches", type=int, default=0, help="all, or 2 if quick")
    made.add_argument("--replicas", type=float, default=12.0, help="mean load in replicas")
    made.add_argument("--policies", default="", help="only these, with commas between")
    made.add_argument("--era", default="", help="only eras whose name holds this")
    found = made.parse_args()
    found.stretches = found.stretches or (2 if found.quick else 1000)
    found.hours = found.hours or (4.0 if found.quick else 6.0)
    return found


if __name__ == "__main__":
    main()
