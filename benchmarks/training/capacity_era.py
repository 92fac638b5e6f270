"""The cost of a job with a deadline where spot has one price and comes and goes: who waits, and how long.

    make bench NAME=training/capacity_era
    make bench NAME=training/capacity_era ARGS=--quick

Every recorded trace of availability and of preemptions under `availability/` is a market of its own, and all
zones of one recording together are another. The job is one instance for `--hours` (24) of work; its deadline
is 1.1, 1.25, 1.5 and 2 times that after the start. Prices do not move: on-demand is the list price, spot is
what AWS's Spot Instance Advisor says is saved (`catalog/spot-advisor.json.gz`). Billing is by the second, and
every second is paid, as in the paper; with `--refunds` what the provider ends in its first hour is free, as
AWS bills, to all policies and to the bound, which knows beforehand which leases those are. A start-up of 180
seconds stands for the changeover delay of Can't Be Late (NSDI 2024). Every policy sees the trace before its
start alone. The bound is the cheapest schedule of one who knows the trace.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from eras import CLAIRVOYANT, Case, Conditions, Outcome, parser, run_all, versions
from tradewind.clock import stopwatch
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.estimates.bootstrap import calendar_week, paired_interval
from tradewind.market.billing.per_second import PerSecond
from tradewind.market.catalog import region_of
from tradewind.market.demands import Demand
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.training.view import Goal

FACTORS = (1.1, 1.25, 1.5, 2.0)
STARTUP = 180.0
LEARN = 86_400.0
"""Seconds of a trace that every start has before it at least."""
POLICIES = ("tradewind", "uniform_progress", "cheapest_spot", "checkpoint_restart", "on_demand")


def main() -> None:
    """Run, print the tables and the closing line."""
    made = parser(__doc__ or "")
    made.add_argument(
        "--starts", type=int, default=0, help="random starts a trace and deadline; 20, 2 if quick"
    )
    made.add_argument("--hours", type=float, default=24.0, help="of work for one instance")
    made.add_argument("--startup", type=float, default=STARTUP)
    made.add_argument("--refunds", action="store_true", help="the first hour is free if the provider ends it")
    options = made.parse_args()
    number = options.starts or (2 if options.quick else 20)
    markets = _markets(options.data)
    if not markets:
        sys.exit(f"{options.data}: no traces under availability/; give --data DIR")
    if options.quick:
        markets = {name: markets[name] for name in list(markets)[:: max(1, len(markets) // 6)]}
    conditions: dict[str, Conditions] = {}
    starts: dict[str, list[float]] = {}
    factors = FACTORS[::2] if options.quick else FACTORS
    for name, recorded in markets.items():
        market = RecordedMarket(
            recorded,
            aws_catalog(),
            boot=0.0,
            on_demand=sorted({region_of(pool.zone) for pool in recorded.pools}),
            spot_rule=PerSecond(refunds=options.refunds),
        )
        vcpus = aws_catalog().type(recorded.pools[0].instance_type).resources.vcpus
        for factor in factors:
            first = recorded.start + LEARN
            last = recorded.end - factor * options.hours * 3600 - 3600
            if last <= first:
                continue
            key = f"{name} x{factor:g}"
            conditions[key] = Conditions(
                key,
                market,
                _goal_of(recorded, options.hours, factor),
                vcpus * options.hours,
                options.startup,
                clock_seconds=5.0,
                refunds=options.refunds,
            )
            drawn = np.random.default_rng(options.seed).uniform(first, last, number)
            starts[key] = [float(each) for each in np.sort(drawn)]
    elapsed = stopwatch()
    outcomes = run_all(conditions, starts, POLICIES, options.jobs)
    print(versions())
    print(
        f"{len(markets)} markets, {number} starts a market and deadline, seed {options.seed}; "
        f"{options.hours:g} h of one instance, start-up {options.startup:g} s; {elapsed():.0f} s in all"
    )
    found = {}
    for factor in factors:
        found[f"x{factor:g}"] = _table(f"x{factor:g}", conditions, outcomes, options.seed)
    found["all"] = _table("", conditions, outcomes, options.seed)
    print(json.dumps({"benchmark": "training/capacity_era", "figures": found}))


def _table(
    suffix: str, conditions: Mapping[str, Conditions], outcomes: Mapping[Case, Outcome], seed: int
) -> dict[str, dict[str, float]]:
    """Print and return the means over all markets whose names end so; costs in shares of on-demand's."""
    cases = [case for case in outcomes if case.conditions.endswith(suffix)]
    of = {(case.policy, case.conditions, case.start): outcomes[case] for case in cases}
    keys = sorted({(case.conditions, case.start) for case in cases})
    print(f"\n{'deadline ' + suffix + ' the work' if suffix else 'all deadlines'}: {len(keys)} runs a policy")
    print(
        f"{'':20}{'USD/instance-h':>15}{'vs bound':>10}{'dearer than ours, 95 %':>26}{'missed':>8}"
        f"{'missed where u.p. met':>23}"
    )
    found: dict[str, dict[str, float]] = {}
    base = np.array([of[CLAIRVOYANT, *key].cost for key in keys])
    vcpus = np.array([conditions[key[0]].work for key in keys])
    ours = np.array([of["tradewind", *key].cost for key in keys])
    hours = vcpus / np.array([_vcpus(conditions[key[0]]) for key in keys])
    for policy in (*POLICIES, CLAIRVOYANT):
        cost = np.array([of[policy, *key].cost for key in keys])
        row = {
            "cost_per_work": round(float(np.nanmean(cost / hours)), 5),
            "vs_clairvoyant": round(float(np.nansum(cost) / np.sum(base[np.isfinite(cost)])), 4),
        }
        told = f"{policy:20}{row['cost_per_work']:15.4f}{row['vs_clairvoyant']:10.3f}"
        if policy not in ("tradewind", CLAIRVOYANT):
            weeks = [f"{calendar_week(start)} {_family(name)}" for name, start in keys]
            both = np.isfinite(cost) & np.isfinite(ours)
            kept = [week for week, there in zip(weeks, both, strict=True) if there]
            interval = paired_interval(((cost - ours) / hours)[both], kept, seed=seed)
            row |= {"ci_low": round(interval.low, 5), "ci_high": round(interval.high, 5)}
            told += f"{interval.low:+13.4f} to {interval.high:+.4f}".rjust(26)
        else:
            told += " " * 26
        if policy != CLAIRVOYANT:
            missed = [of[policy, *key].missed for key in keys]
            met = [not of["uniform_progress", *key].missed for key in keys]
            row["missed_deadlines"] = float(sum(missed))
            row["missed_where_uniform_progress_met"] = float(
                sum(a and b for a, b in zip(missed, met, strict=True))
            )
            told += f"{sum(missed):8d}{row['missed_where_uniform_progress_met']:23.0f}"
        print(told)
        found[policy] = row
    return found


def _vcpus(given: Conditions) -> float:
    return aws_catalog().type(given.market.history.pools[0].instance_type).resources.vcpus


def _family(name: str) -> str:
    """The recording that a market comes from: its zones saw one cloud."""
    return name.split("/", maxsplit=1)[0]


def _markets(data: Path) -> dict[str, MarketHistory]:
    """Each trace by itself, and all zones of a recording together."""
    saved = json.loads(gzip.decompress((data / "catalog" / "spot-advisor.json.gz").read_bytes()))
    catalog = aws_catalog()
    families: dict[str, list[CapacityHistory]] = defaultdict(list)
    for path in sorted((data / "availability").glob("*.json.gz")):
        stem = path.name.removesuffix(".json.gz")
        zone = next(part for part in stem.split("_") if part.count("-") == 2 and part[-1].isalpha())
        families[stem.split(f"_{zone}")[0]] += history(path).capacities.values()
    markets = {}
    for family, capacities in families.items():
        prices = {}
        for each in capacities:
            region, kind = region_of(each.pool.zone), each.pool.instance_type
            share = 1 - saved["spot_advisor"][region]["Linux"][kind]["s"] / 100
            start, end = float(each.changes[0]), each.end
            prices[each.pool] = PriceHistory(
                each.pool, [start], [round(catalog.on_demand(kind, region) * share, 4)], end=end
            )
        for each in capacities:
            markets[f"{family}/{each.pool.zone}"] = MarketHistory(
                each.pool.zone, {each.pool: prices[each.pool]}, {each.pool: each}, notice=0.0
            )
        if len(capacities) > 1:
            together = {each.pool: each for each in capacities}
            markets[f"{family}/all zones"] = MarketHistory(family, prices, together, notice=0.0)
    return markets


def _goal_of(recorded: MarketHistory, hours: float, factor: float) -> Callable[[float], Goal]:
    kind = recorded.pools[0].instance_type

    def goal(start: float) -> Goal:
        deadline = start + factor * hours * 3600
        return Goal(
            workers=Demand(resources=Resources(vcpus=1), count=1, deadline=deadline, instance_types=(kind,)),
            state=Demand(resources=Resources(vcpus=2, memory_gib=4), deadline=deadline),
            deadline=deadline,
        )

    return goal


if __name__ == "__main__":
    main()
