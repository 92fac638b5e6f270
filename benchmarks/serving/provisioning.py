"""Cost at 99 % of requests in time: provisioning policies on a recorded load and recorded prices.

    make bench NAME=serving/provisioning
    make bench NAME=serving/provisioning ARGS=--quick

The load is WorldCup98, requests by the minute, in stretches of a day, one a week, each scaled so that its
mean is the work of `--replicas` replicas of the type that is cheapest on demand. Within a minute arrivals
are drawn from a Poisson process, the same for every policy. Prices are EC2's of 2015 (five types in two
zones, bid for and billed by the hour, once with every hour paid and once with the refund of the hour that
the provider cuts short) and of 2019-2020 (p2 and p3, billed by the second; nothing was revoked there, so
that its refunds would change nothing). Replicas are a queueing model over throughputs of Inception-v3 from
MArk's repository (requests a minute: c5.large 284, c5.xlarge 490, c5.2xlarge 771, c5.4xlarge 1080,
p2.xlarge 415 batches of 8), put on the types of the price records by their vCPUs, and by GPUs: a V100
counts as many K80 as it does in recorded training of ResNet-50. That mapping is assumed, and so is the
function.

Weeks are kept apart: two of five weeks of the load, and the middle of the market's record, are those on
which policies are tuned, ours too; the table is of the others. (In 2019-2020 prices hardly move, and ours
met the weeks of that market while it was made, under other load.) Every rival has its own argument for
headroom set to the boldest that met 99 % on the tuning stretches, found by bisection, and made safer until
it met it on those of the table as well; `target_tracking` is there once more with its published safety
factor. Ours stays as it is. The interval with hindsight compares with the boldest setting that met 99 % on
the stretches of the table themselves, which no user could know. A policy that misses 99 % over all
stretches together has its intervals in brackets: it did not do what was asked. `fixed` is given the peak of
its stretch in advance, Knative and Ray Serve twice as many replicas as it needs at most; and where hours
are billed these two keep replicas for an hour before they go in. Knative and Ray Serve are asked every 10
s, the others every minute. Policies without spot do the same with and without refunds, and are run once.
Intervals are of the difference of cost by stretch, drawn by weeks. The bound is what no policy can undercut
that answers 99 % in time (`serving.provisioning.clairvoyant`), taken of each stretch; where the provider
refunds hours it is nearly nothing, for hindsight knows which hours will be cut short, and is not compared
with."""

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
            print(f"tuned on {_told(world.places(eras[era], options.hours / 4, tuning=True))}")
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
        hours = self.options.hours / 4
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
        """By policy: US dollars a day, the share in time, and the interval of the difference to ours by
        stretch."""
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
            if name not in (OURS, BOUND) and OURS in mine:
                row |= self._against(costs[name], costs[OURS], places, "")
                bold = self.outcomes(era, name, self.boldest[era, name], places)
                theirs = np.array([each.cost for each in bold]) * 24 / self.options.hours
                row["hindsight_setting"] = _rounded(self._setting(name, self.boldest[era, name]))
                row["hindsight_cost"] = _rounded(float(theirs[np.isfinite(theirs)].mean()))
                row |= self._against(theirs, costs[OURS], places, "hindsight_")
            found[name] = row
        return found

    def _against(
        self, theirs: NDArray[np.float64], ours: NDArray[np.float64], places: Sequence[Place], prefix: str
    ) -> dict[str, float | None]:
        """The interval of what they cost more than ours, by stretch, drawn by weeks."""
        both = np.isfinite(theirs) & np.isfinite(ours)
        weeks = [place.week for place, kept in zip(places, both, strict=True) if kept]
        interval = paired_interval((theirs - ours)[both], weeks, seed=self.options.seed)
        return {f"{prefix}ci_low": _rounded(interval.low), f"{prefix}ci_high": _rounded(interval.high)}


def _share(outcomes: Sequence[Outcome]) -> float:
    """The share of requests in time over several stretches."""
    return sum(each.in_time for each in outcomes) / max(1.0, sum(each.requests for each in outcomes))


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def _show(found: Mapping[str, Mapping[str, Any]]) -> None:
    print(
        f"{'':22}{'USD/day':>9}{'in time':>9}{'worst':>9}{'vs bound':>10}{'dearer than ours, 95 %':>26}"
        f"{'the same with hindsight':>26}"
        f"{'setting':>9}{'leases':>8}{'revoked':>9}{'s':>7}"
    )
    for name, row in found.items():
        cells = [
            ("cost", "9.2f"), ("slo", "9.4f"), ("least_slo", "9.4f"), ("vs_clairvoyant", "10.3f"),
        ]  # fmt: skip
        line = f"{name:22}" + "".join(_cell(row.get(key), form) for key, form in cells)
        for prefix in ("", "hindsight_"):
            low, high = row.get(f"{prefix}ci_low"), row.get(f"{prefix}ci_high")
            told = f"{low:+.2f} to {high:+.2f}" if low is not None and high is not None else ""
            line += f"{f'({told})' if told and row['slo'] < SHARE else told:>26}"
        for key, form in (
            ("setting", "9g"),
            ("leases", "8.0f"),
            ("revocations", "9.1f"),
            ("seconds", "7.1f"),
        ):
            line += _cell(row.get(key), form)
        print(line)


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
    made.add_argument("--hours", type=float, default=0.0, help="of a stretch; 24, or 6 if quick")
    made.add_argument("--stretches", type=int, default=0, help="all, or 2 if quick")
    made.add_argument("--replicas", type=float, default=12.0, help="mean load in replicas")
    made.add_argument("--policies", default="", help="only these, with commas between")
    made.add_argument("--era", default="", help="only eras whose name holds this")
    found = made.parse_args()
    found.stretches = found.stretches or (2 if found.quick else 1000)
    found.hours = found.hours or (6.0 if found.quick else 24.0)
    return found


if __name__ == "__main__":
    main()
