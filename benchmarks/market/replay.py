"""One training job over six months of ten real spot markets, journal on; and its decisions decided again.

    make bench NAME=market/replay            five rounds
    make bench NAME=market/replay ARGS=--quick

What is real: the prices (EC2, us-east-1a and 1b, five types, 2015-03-11 to 2015-08-31, every recorded
change) and the rules of billing of that time (by the hour, an hour cut short by the provider free).
On-demand prices are those of the price list that the package carries, which states its date and source.
What is simulated: the work, which is a speed model, and start-up, a stated delay. The policy is told to move
to a pool that is a fifth cheaper, which makes it decide thousands of times; left alone it decides less and
costs less (docs/decisions/0033).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

import tradewind
from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.control.replay import replay
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.modelled_work import MODEL, ModelledWork
from tradewind.training.view import Goal, TrainingView

START = clock.moment("2015-03-11T20:00:00Z")
WORKERS = 8
USEFUL_VCPUS = 4.0
RATE = 1000.0
"""Rows per useful vCPU-second: a round figure, which only sets the scale of the work."""
VCPU_SECONDS = 3.3e8
"""The job's size: with this policy it lasts from March to the end of August."""
STARTUP = 120.0
MOVE_WHEN = 0.2


def once(
    market: RecordedMarket, path: Path, move_when: float | None, vcpu_seconds: float
) -> tuple[float, controller.Result, str, int]:
    """One simulated run with its journal; the wall's seconds, the result, the digest and the decisions."""
    policy = CheapestSpot(move_when=move_when)
    goal = Goal(
        workers=Demand(resources=Resources(vcpus=1), count=WORKERS),
        state=Demand(resources=Resources(vcpus=2, memory_gib=8)),
        useful_vcpus=USEFUL_VCPUS,
    )
    work = ModelledWork(
        total=vcpu_seconds * RATE,
        rate=RATE,
        startup=STARTUP,
        useful_vcpus=USEFUL_VCPUS,
        snapshot_every=3600.0,
    )
    header = header_for(
        policy, TrainingView, version=tradewind.__version__, history="prices-2015", start=START, world=MODEL
    )
    elapsed = clock.stopwatch()
    with Journal(path, header, commit_every=512) as journal:
        result = clock.simulate(
            controller.run(goal, policy, SimulatedProvider(market), work, journal), start=START
        )
        digest, rows = journal.digest, journal.rows
    return elapsed(), result, digest, rows


def main() -> None:
    """Run, print the table and the closing line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parents[2]
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    parser.add_argument("--quick", action="store_true", help="five rounds instead of nine")
    parser.add_argument(
        "--move-when",
        type=float,
        default=MOVE_WHEN,
        help="how much cheaper a pool must be to move to it; 0: never",
    )
    parser.add_argument("--vcpu-seconds", type=float, default=VCPU_SECONDS, help="the job's size")
    options = parser.parse_args()
    source = options.data / "spot" / "prices-2015.csv.gz"
    if not source.is_file():
        sys.exit(f"{source}: not there; give --data DIR with spot/prices-2015.csv.gz")
    load = clock.stopwatch()
    recorded = history(source)
    loaded = load()
    rows = []
    # One market and one history a round: nothing is remembered from round to round.
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, 5 if options.quick else 9):
            market = RecordedMarket(recorded, aws_catalog(), boot=0.0)
            path = Path(folder) / f"round-{number}.sqlite"
            seconds, result, digest, decisions = once(
                market, path, options.move_when or None, options.vcpu_seconds
            )
            again = replay(path)
            if number >= 0:  # the first is a warm-up
                rows.append((seconds, again.seconds, digest, again.decisions, path.stat().st_size, result))
            assert again.decisions == decisions
    seconds = statistics.median(row[0] for row in rows)
    replayed = statistics.median(row[1] for row in rows)
    digests = {row[2] for row in rows}
    result, decisions = rows[0][5], rows[0][3]
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, msgspec {msgspec.__version__}, {os.cpu_count()} cores, {platform.machine()}"
    )
    print(f"{source.name}: {len(recorded.pools)} markets, read in {loaded:.2f} s (not counted below)")
    print(f"{len(rows)} rounds after a warm-up, medians; seeds: none is needed; {MODEL}\n")
    print(f"{'':34}{'median':>10}{'least':>10}{'most':>10}")
    for name, column in (("simulated run with journal, s", 0), ("decided again from the journal, s", 1)):
        values = [row[column] for row in rows]
        print(f"{name:34}{statistics.median(values):10.2f}{min(values):10.2f}{max(values):10.2f}")
    print(
        f"\ndecisions {decisions}, leases {result.leases}, revocations {result.revocations}, "
        f"{result.seconds / 86400:.1f} days of market, {'done' if result.done else result.reason}"
    )
    print(
        f"billed {result.cost:.2f} USD; the same work on demand {result.on_demand_cost:.2f} USD by the second"
    )
    print(f"journal {rows[0][4] / 1e6:.2f} MB; digest {rows[0][2]}, {len(digests)} different")
    figures = {
        "seconds": round(seconds, 3),
        "digest_equal": len(digests) == 1,
        "decisions_per_s": round(decisions / seconds, 1),
        "replay_seconds": round(replayed, 3),
        "decisions": decisions,
        "days": round(result.seconds / 86400, 1),
    }
    print(json.dumps({"benchmark": "market/replay", "figures": figures}))


if __name__ == "__main__":
    main()
