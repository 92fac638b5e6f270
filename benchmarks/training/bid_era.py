"""The cost of a job of 512 vCPUs on the spot market of 2015, when leases were bid for and billed by the hour.

    make bench NAME=training/bid_era
    make bench NAME=training/bid_era ARGS=--quick

Jobs of 2 and 20 hours of 512 vCPUs, start-ups of 60 and 180 seconds, random starts; each with the refund of
the hour that the provider cut short, as AWS gave it, and once more paying for every hour. Every policy sees
the history before its start alone, and the prices of the moment. All are told the same deadline, 1.5 times
the job's length and a start-up after the start (`--deadline`): the bound knows it too, and nobody is asked to
hurry. Policies that keep the state on servers pay for them on demand; checkpoint_restart needs none, and
takes a checkpoint of a minute at its interval instead.
The bound is what no policy can undercut, knowing the future (`training.elastic.clairvoyant`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from eras import Conditions, figures, parser, run_all, show, versions
from tradewind.clock import stopwatch
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.catalog import region_of
from tradewind.market.demands import Demand
from tradewind.market.histories import MarketHistory
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.training.view import Goal

VCPUS = 512.0
LEARN = 28 * 86_400.0
"""Seconds of history that every start has before it at least."""
POLICIES = ("tradewind", "bidbrain", "uniform_progress", "cheapest_spot", "checkpoint_restart", "on_demand")


def main() -> None:
    """Run, print the tables and the closing line."""
    options = _options()
    source = options.data / "spot" / "prices-2015.csv.gz"
    if not source.is_file():
        sys.exit(f"{source}: not there; give --data DIR with spot/prices-2015.csv.gz")
    recorded = history(source)
    number = options.starts or (8 if options.quick else 200)
    lengths = (2.0,) if options.quick else (2.0, 20.0)
    startups = (60.0,) if options.quick else (60.0, 180.0)
    conditions: dict[str, Conditions] = {}
    starts: dict[str, list[float]] = {}
    markets = {refunds: _market(recorded, refunds) for refunds in (True, False)}
    for hours in lengths:
        chosen = _starts(recorded, hours * options.deadline + 1, number, options.seed)
        for startup in startups:
            for refunds in (True, False):
                name = f"{hours:g} h, start-up {startup:g} s, {'refunds' if refunds else 'every hour paid'}"
                conditions[name] = Conditions(
                    name,
                    markets[refunds],
                    _goal_of(recorded, hours, startup, options.deadline, options.servers),
                    VCPUS * hours,
                    startup,
                    refunds=refunds,
                )
                starts[name] = chosen
    elapsed = stopwatch()
    outcomes = run_all(conditions, starts, POLICIES, options.jobs)
    print(versions())
    print(
        f"{source.name}: {len(recorded.pools)} markets; {number} starts a table, seed {options.seed}; "
        f"deadline {options.deadline:g} x the length; {options.servers} server(s) of 4 vCPUs; "
        f"{elapsed():.0f} s in all"
    )
    found = {}
    for name, each in conditions.items():
        found[name] = figures(each, outcomes, POLICIES, options.seed)
        show(name, found[name])
    rounded = {
        name: {policy: {key: round(value, 6) for key, value in row.items()} for policy, row in rows.items()}
        for name, rows in found.items()
    }
    print(json.dumps({"benchmark": "training/bid_era", "figures": rounded}))


def _options():  # type: ignore[no-untyped-def]
    made = parser(__doc__ or "")
    made.add_argument("--starts", type=int, default=0, help="random starts a table; 200, or 8 if quick")
    made.add_argument("--deadline", type=float, default=1.5, help="times the job's length")
    made.add_argument("--servers", type=int, default=1, help="servers of the state, on demand")
    return made.parse_args()


def _market(recorded: MarketHistory, refunds: bool) -> RecordedMarket:
    regions = sorted({region_of(pool.zone) for pool in recorded.pools})
    return RecordedMarket(
        recorded,
        aws_catalog(),
        boot=0.0,
        on_demand=regions,
        spot_rule=None if refunds else HourlyWithRefund(refunds=False),
    )


def _starts(recorded: MarketHistory, hours: float, number: int, seed: int) -> list[float]:
    first = max(recorded.price(pool).start for pool in recorded.pools) + LEARN
    last = min(recorded.price(pool).end for pool in recorded.pools) - (hours + 1) * 3600
    if last <= first:
        sys.exit(f"the record is too short for {LEARN / 86_400:g} days before a start and {hours:g} h after")
    return [float(each) for each in np.sort(np.random.default_rng(seed).uniform(first, last, number))]


def _goal_of(recorded: MarketHistory, hours: float, startup: float, factor: float, servers: int):  # type: ignore[no-untyped-def]
    types = tuple(sorted({pool.instance_type for pool in recorded.pools}))
    catalog = aws_catalog()
    hosts = tuple(each for each in types if catalog.type(each).resources.covers(_HOST))

    def goal(start: float) -> Goal:
        deadline = start + factor * hours * 3600 + startup
        return Goal(
            workers=Demand(
                resources=Resources(vcpus=1), count=int(VCPUS), deadline=deadline, instance_types=types
            ),
            state=Demand(resources=_HOST, count=servers, deadline=deadline, instance_types=hosts),
            deadline=deadline,
            vcpus=VCPUS,
        )

    return goal


_HOST = Resources(vcpus=4, memory_gib=7.5)


if __name__ == "__main__":
    main()
