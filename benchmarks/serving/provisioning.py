"""Cost at 99 % of requests in time: provisioning policies on a recorded load and recorded prices.

    make bench NAME=serving/provisioning
    make bench NAME=serving/provisioning ARGS=--quick

The load is WorldCup98, requests by the minute, in stretches of two days, one a week from the quiet weeks
before the tournament to the last ones after it, each scaled so that its mean is the work of `--replicas`
replicas of the type that is cheapest on demand. Within a minute arrivals are drawn from a Poisson process,
the same for every policy. Prices are EC2's of 2015 (five types in two zones, bid for and billed by the hour,
once with the refund of the hour that the provider cuts short and once with every hour paid) and of 2019-2020
(p2 and p3, billed by the second). Replicas are a queueing model over throughputs of Inception-v3 from MArk's
repository (requests a minute: c5.large 284, c5.xlarge 490, c5.2xlarge 771, c5.4xlarge 1080, p2.xlarge 415
batches of 8), put on the types of the price records by their vCPUs, and by GPUs: a V100 counts as many K80
as it does in recorded training of ResNet-50. That mapping is assumed, and so is the function.

Every policy has its own argument for headroom set so that it is cheapest among those settings that met 99 %
on two other stretches; if none did, to the safest. `target_tracking` is there once more with its published
safety factor. `fixed` is given the peak of its stretch in advance, Knative and Ray Serve twice as many
replicas as it needs at most; and where hours are billed these two keep replicas for an hour before they go
in. Knative and Ray Serve are asked every 10 s, the others every minute. The bound is what no policy can
undercut that answers 99 % in time (`serving.provisioning.clairvoyant`); where the provider refunds hours it
is nearly nothing, for hindsight knows which hours will be cut short.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

import tradewind
from tradewind.clock import moment, stopwatch
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.data.recorded_throughputs import throughputs
from tradewind.data.request_traces import RequestTrace, request_trace
from tradewind.errors import TradewindError
from tradewind.estimates.bootstrap import paired_interval
from tradewind.estimates.load.forecasters import load_forecaster
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.billing.eras import spot_without_refunds
from tradewind.market.billing.functions import BY_TENTHS
from tradewind.market.histories import MarketHistory
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.serving.provisioning.clairvoyant import cheapest_serving
from tradewind.serving.provisioning.controller import Endpoint
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionProfile, Objective, Profile, ProvisioningPolicy
from tradewind.serving.provisioning.knative import Knative
from tradewind.serving.provisioning.mark import Mark
from tradewind.serving.provisioning.modelled_service import MODEL, load_of, rehearse
from tradewind.serving.provisioning.ray_serve import RayServe
from tradewind.serving.provisioning.spothedge import SpotHedge
from tradewind.serving.provisioning.target_tracking import TargetTracking
from tradewind.serving.provisioning.tradewind import Tradewind
from tradewind.serving.provisioning.tributary import Tributary
from tradewind.session.trials import trials

HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
OURS, BOUND = "tradewind", "clairvoyant"
PER_MINUTE = {1: 142.0, 2: 284.0, 4: 490.0, 8: 771.0, 36: 1080.0}
"""Requests a minute by vCPUs; of one vCPU half of what two do, of 36 what 16 do."""
BATCH, BATCHES = 8, 415.0
"""Of a K80."""
GPUS = {
    "p2.xlarge": 1,
    "p2.8xlarge": 8,
    "p2.16xlarge": 16,
    "p3.2xlarge": 1,
    "p3.8xlarge": 4,
    "p3.16xlarge": 8,
}
STARTUP = 120.0
UNCOUNTED = 600.0
"""Seconds of a stretch in which requests do not count: every policy begins with nothing."""
FUNCTION = FunctionProfile(
    per_request=3.0 * 0.5 * BY_TENTHS.per_gb_second + BY_TENTHS.per_call, warm=0.5, cold=5.0, concurrency=1000
)
"""3 GB for half a second: assumed, no measurement."""
FIRST, EVERY = 16.0, 7.0
"""Days from the trace's first midnight to the first stretch, and between two."""
TUNED_ON = (18.0, 53.0)
"""The same of the stretches that settings are chosen on."""
OUTLOOKS = (OURS, "tributary", "tributary_correlated")
"""Policies that are given forecasts of the market, made of the history before the moment."""


class Contender(Struct, frozen=True):
    """A policy, its settings from bold to safe, and how often it is asked."""

    make: Callable[..., ProvisioningPolicy]
    """From a setting, the peak rate of the stretch, the profile of the cheapest type, and whether hours are
    billed."""
    settings: tuple[float, ...]
    interval: float = 60.0


def _most(peak: float, profile: Profile, _hourly: bool) -> int:
    """Twice what the peak needs."""
    return math.ceil(2 * peak / profile.rate)


CONTENDERS: dict[str, Contender] = {
    OURS: Contender(lambda _x, *_: Tradewind(), (math.nan,)),
    "fixed": Contender(lambda x, peak, *_: Fixed(peak, x), (0.8, 0.9, 1.0, 1.1, 1.2, 1.4)),
    "target_tracking": Contender(lambda x, *_: TargetTracking(x), (0.5,)),
    "target_tracking_tuned": Contender(lambda x, *_: TargetTracking(x), (0.9, 0.8, 0.7, 0.6, 0.4, 0.3)),
    "knative": Contender(
        lambda x, *given: Knative(x, most=_most(*given), down_delay=HOUR if given[2] else 0.0),
        (0.9, 0.8, 0.7, 0.6, 0.5, 0.35),
        10.0,
    ),
    "ray": Contender(
        lambda x, *given: RayServe(
            x * given[1].concurrency, most=_most(*given), downscale_delay=HOUR if given[2] else 600.0
        ),
        (1.0, 0.8, 0.7, 0.6, 0.5, 0.35),
        10.0,
    ),
    "mark": Contender(lambda x, *_: Mark(headroom=x), (1.0, 1.2, 1.5, 2.0)),
    "tributary": Contender(lambda x, *_: Tributary(headroom=x), (0.9, 1.0, 1.1, 1.3)),
    "tributary_correlated": Contender(
        lambda x, *_: Tributary(headroom=x, correlated=True), (0.9, 1.0, 1.1, 1.3)
    ),
    "spothedge": Contender(lambda x, *_: SpotHedge(utilisation=x), (0.9, 0.8, 0.7, 0.6, 0.5, 0.35)),
}


class Era(Struct, frozen=True):
    """One market, and where in it the first stretch is put."""

    name: str
    market: RecordedMarket
    profiles: tuple[Profile, ...]
    first: float
    """The moment from which on stretches are put, a week apart, and from the beginning again at the end."""
    last: float


class Case(Struct, frozen=True):
    """One policy in one setting over one stretch."""

    era: str
    policy: str
    setting: float
    day: float


class Outcome(Struct, frozen=True):
    """What it came to."""

    cost: float
    requests: float
    in_time: float
    leases: int = 0
    revocations: int = 0
    seconds: float = 0.0
    """Of the processor, all in."""
    problem: str = ""


class World:
    """The load, the eras, and how a case is run."""

    def __init__(self, load: RequestTrace, eras: Mapping[str, Era], options: argparse.Namespace) -> None:
        self.load, self.eras, self.seed = load, eras, options.seed
        self.length, self.replicas = options.hours * 3600.0, options.replicas
        self._midnight = math.ceil(load.start / DAY) * DAY

    def stretch(self, era: Era, day: float) -> tuple[RequestTrace, float, float, float]:
        """The load at its place in the market, scaled; the stretch's start and end; its peak rate."""
        start = self._midnight + day * DAY
        weeks = math.ceil((era.first - start) / WEEK)
        room = max(1, math.floor((era.last - self.length - era.first) / WEEK))
        moved = self.load.moved(self.load.start + (weeks + round(day / EVERY) % room) * WEEK)
        start += moved.start - self.load.start
        rates = moved.window(start, start + self.length).rates
        scale = self.replicas * cheapest(era).rate / float(rates.mean())
        return moved.scaled(scale), start, start + self.length, float(rates.max()) * scale

    def run(self, case: Case) -> Outcome:
        """Run a case; the bound is one."""
        era = self.eras[case.era]
        load, start, until, peak = self.stretch(era, case.day)
        endpoint = Endpoint(
            objective=Objective(1.0, 0.99), profiles=era.profiles, startup=STARTUP, function=FUNCTION
        )
        if case.policy == BOUND:
            drawn = load_of(endpoint, load, start=start, until=until, seed=self.seed, uncounted=UNCOUNTED)
            bound = cheapest_serving(
                era.market, endpoint.objective, endpoint.profiles, drawn, startup=STARTUP, function=FUNCTION
            )
            return Outcome(bound.cost, float(drawn.counts.sum()), bound.served)
        contender = CONTENDERS[case.policy]
        hourly = era.market.tariffs(start)[Terms.ON_DEMAND].unit >= HOUR
        policy = contender.make(case.setting, peak, cheapest(era), hourly)
        outlooks = forecaster("empirical", era.market.history, start) if case.policy in OUTLOOKS else None
        loads = load_forecaster(policy.forecaster) if policy.forecaster else None
        began = time.process_time()
        try:
            found = rehearse(
                era.market, load, policy, endpoint, start=start, until=until, interval=contender.interval,
                seed=self.seed, uncounted=UNCOUNTED, forecaster=outlooks, load_forecaster=loads,
            )  # fmt: skip
        except TradewindError as problem:
            return Outcome(math.nan, 0.0, 0.0, problem=str(problem))
        return Outcome(
            found.cost,
            found.requests,
            found.in_time,
            found.leases,
            found.revocations,
            time.process_time() - began,
        )


def cheapest(era: Era) -> Profile:
    """The type that serves a request for least money on demand."""
    prices = {
        offer.type.name: offer.price.per_hour
        for offer in era.market.offers(era.first)
        if offer.terms is Terms.ON_DEMAND
    }
    known = [each for each in era.profiles if each.instance_type in prices]
    return min(known, key=lambda each: (round(prices[each.instance_type] / each.rate, 12), each.rate))


def main() -> None:
    """Run, print the tables and the closing line."""
    options = _options()
    load = request_trace(_there(options.data / "requests" / "worldcup98-per-minute.csv.gz"))
    eras = _eras(options)
    world = World(load, eras, options)
    apart = EVERY * max(1, 10 // options.stretches)
    days = [FIRST + apart * at for at in range(options.stretches)]
    policies = [each for each in CONTENDERS if not options.policies or each in options.policies.split(",")]
    watch = stopwatch()
    settings = _chosen(world, eras, policies, options)
    cases = [
        Case(era, policy, settings.get((era, policy), math.nan), day)
        for era in eras
        for day in days
        for policy in (*policies, BOUND)
    ]
    done = dict(zip(cases, trials(cases, world.run, jobs=options.jobs), strict=True))
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; seed {options.seed}; {watch():.0f} s in all"
    )
    print(
        f"simulated: {MODEL}; prices, bills and revocations are recorded; the endpoint is a price-taker.\n"
        f"{load.name}: {len(days)} stretches of {options.hours:g} h, mean load of {options.replicas:g} "
        f"replicas; 99 % within 1 s; start-up {STARTUP:g} s"
        + ("; settings are the middle ones, for --quick chooses none" if options.quick else "")
    )
    figures: dict[str, dict[str, dict[str, float | None]]] = {}
    for era in eras:
        figures[era] = _figures(era, days, policies, settings, done, options.seed, options.hours)
        _show(era, figures[era])
    for case, each in done.items():
        if each.problem:
            print(f"{case.era}, {case.policy}, day {case.day:g}: {each.problem}")
    print(json.dumps({"benchmark": "serving/provisioning", "figures": figures}))


def _chosen(
    world: World, eras: Mapping[str, Era], policies: Sequence[str], options: argparse.Namespace
) -> dict[tuple[str, str], float]:
    """By era and policy, the cheapest setting that met the share where settings are chosen, else the
    safest."""
    if options.quick:
        return {
            (era, name): CONTENDERS[name].settings[(len(CONTENDERS[name].settings) - 1) // 2]
            for era in eras
            for name in policies
        }
    cases = [
        Case(era, name, setting, day)
        for era in eras
        for name in policies
        if len(CONTENDERS[name].settings) > 1
        for setting in CONTENDERS[name].settings
        for day in TUNED_ON
    ]
    done = dict(zip(cases, trials(cases, world.run, jobs=options.jobs), strict=True))
    found = {(era, name): CONTENDERS[name].settings[-1] for era in eras for name in policies}
    for era in eras:
        for name in policies:
            best = math.inf
            for setting in CONTENDERS[name].settings:
                mine = [done[key] for day in TUNED_ON if (key := Case(era, name, setting, day)) in done]
                cost = sum(each.cost for each in mine)
                met = sum(each.in_time for each in mine) >= 0.99 * sum(each.requests for each in mine)
                if mine and met and cost < best:
                    best, found[era, name] = cost, setting
    return found


def _figures(
    era: str, days: Sequence[float], policies: Sequence[str], settings: Mapping[tuple[str, str], float],
    done: Mapping[Case, Outcome], seed: int, hours: float,
) -> dict[str, dict[str, float | None]]:  # fmt: skip
    """By policy: US dollars a day, the share in time, and the interval of the difference to ours by
    stretch."""
    mine = {
        name: [done[Case(era, name, settings.get((era, name), math.nan), day)] for day in days]
        for name in (*policies, BOUND)
        if all(Case(era, name, settings.get((era, name), math.nan), day) in done for day in days)
    }
    costs = {name: np.array([each.cost for each in outcomes]) * 24 / hours for name, outcomes in mine.items()}
    found: dict[str, dict[str, float | None]] = {}
    for name, outcomes in mine.items():
        there = np.isfinite(costs[name])
        bound = float(costs[BOUND][there].sum())
        row: dict[str, float | None] = {
            "cost": _rounded(float(costs[name][there].mean()) if there.any() else math.nan),
            "slo": _rounded(
                sum(each.in_time for each in outcomes) / max(1.0, sum(each.requests for each in outcomes))
            ),
            "vs_clairvoyant": _rounded(float(costs[name][there].sum()) / bound) if bound > 0 else None,
        }
        if name != BOUND:
            row["least_slo"] = _rounded(min(each.in_time / max(1.0, each.requests) for each in outcomes))
            row["setting"] = _rounded(settings.get((era, name), math.nan))
            row["leases"] = _rounded(float(np.mean([each.leases for each in outcomes])))
            row["revocations"] = _rounded(float(np.mean([each.revocations for each in outcomes])))
            row["seconds"] = _rounded(float(np.mean([each.seconds for each in outcomes])))
        if name not in (OURS, BOUND) and OURS in mine:
            both = there & np.isfinite(costs[OURS])
            interval = paired_interval(
                (costs[name] - costs[OURS])[both], [day for day, kept in zip(days, both, strict=True) if
                kept], seed=seed,
            )  # fmt: skip
            row |= {"ci_low": _rounded(interval.low), "ci_high": _rounded(interval.high)}
        found[name] = row
    return found


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def _show(era: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"\n{era}")
    print(
        f"{'':22}{'USD/day':>9}{'in time':>9}{'worst':>9}{'vs bound':>10}{'dearer than ours, 95 %':>26}"
        f"{'setting':>9}{'leases':>8}{'revoked':>9}{'s':>7}"
    )
    for name, row in found.items():
        cells = [
            ("cost", "9.2f"), ("slo", "9.4f"), ("least_slo", "9.4f"), ("vs_clairvoyant", "10.3f"),
        ]  # fmt: skip
        line = f"{name:22}" + "".join(_cell(row.get(key), form) for key, form in cells)
        low, high = row.get("ci_low"), row.get("ci_high")
        line += f"{f'{low:+.2f} to {high:+.2f}' if low is not None and high is not None else '':>26}"
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


def _eras(options: argparse.Namespace) -> dict[str, Era]:
    bids = history(_there(options.data / "spot" / "prices-2015.csv.gz"))
    seconds = history(_there(options.data / "spot" / "prices-2019-2020.csv.gz"))
    cpus = _by_vcpus(bids)
    gpus = _by_gpus(_there(options.data / "spot" / "gpu-throughputs.json"))
    began = {"2015": moment("2015-05-04T00:00:00Z"), "2020": moment("2020-01-20T00:00:00Z")}
    made = [
        Era("2015, every hour paid", _market(bids, False), cpus, began["2015"], _end(bids)),
        Era("2019-2020, every second paid", _market(seconds, False), gpus, began["2020"], _end(seconds)),
    ]
    if not options.quick:
        made += [
            Era("2015, refunds", _market(bids, True), cpus, began["2015"], _end(bids)),
            Era("2019-2020, refunds", _market(seconds, True), gpus, began["2020"], _end(seconds)),
        ]
    return {each.name: each for each in made if not options.era or options.era in each.name}


def _market(recorded: MarketHistory, refunds: bool) -> RecordedMarket:
    rule = None if refunds else spot_without_refunds(recorded.start)
    return RecordedMarket(recorded, aws_catalog(), boot=0.0, spot_rule=rule)


def _end(recorded: MarketHistory) -> float:
    """The last moment at which most pools are still recorded."""
    return float(np.quantile([prices.end for prices in recorded.prices.values()], 0.1)) - DAY


def _by_vcpus(recorded: MarketHistory) -> tuple[Profile, ...]:
    catalog = aws_catalog()
    made = []
    for name in sorted({pool.instance_type for pool in recorded.pools}):
        rate = PER_MINUTE[int(catalog.type(name).resources.vcpus)] / 60
        made.append(Profile(name, rate, 1 / rate, 1.0))
    return tuple(made)


def _by_gpus(path: Path) -> tuple[Profile, ...]:
    recorded = throughputs(path)
    job = "ResNet-50 (batch size 16)"
    times = recorded.alone("v100", job) / recorded.alone("k80", job)
    made = []
    for name, gpus in GPUS.items():
        seconds = 60 / BATCHES / (times if name.startswith("p3") else 1.0)
        made.append(Profile(name, gpus * BATCH / seconds, seconds, float(gpus * BATCH)))
    return tuple(made)


def _there(path: Path) -> Path:
    if not path.is_file():
        sys.exit(f"{path}: not there; give --data DIR with the recorded data's layout")
    return path


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    made.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made.add_argument(
        "--quick", action="store_true", help="two short stretches, no choice of settings; < 45 s"
    )
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=2)
    made.add_argument("--hours", type=float, default=0.0, help="of a stretch; 48, or 3 if quick")
    made.add_argument("--stretches", type=int, default=0, help="10, or 2 if quick")
    made.add_argument("--replicas", type=float, default=12.0, help="mean load in replicas")
    made.add_argument("--policies", default="", help="only these, with commas between")
    made.add_argument("--era", default="", help="only eras whose name holds this")
    found = made.parse_args()
    found.stretches = found.stretches or (2 if found.quick else 10)
    found.hours = found.hours or (3.0 if found.quick else 48.0)
    return found


if __name__ == "__main__":
    main()
