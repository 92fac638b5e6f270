"""How good forecasts of load are: a minute to an hour ahead, on recorded requests.

    make bench NAME=estimates/load
    make bench NAME=estimates/load ARGS=--quick

Every forecaster is asked at the same origins, evenly spread over the record, and is handed the two weeks
before each (all there is, where the record is shorter) and nothing else. WorldCup98 is by the minute; the
traces of Azure's LLM inference are an hour long, too short for any season, and are counted and asked in
intervals of ten seconds. Errors are in requests a second. Nothing is simulated. `lstm` is MArk's network,
learned anew every week of the record from the six days before; on a record of less than a day it is
persistence. Its milliseconds hold its learning.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
from msgspec import Struct

import tradewind
from tradewind.data.request_traces import RequestTrace, request_trace
from tradewind.estimates.load.evaluation import Score, origins_of, scores
from tradewind.estimates.load.forecasters import NAMES, load_forecaster
from tradewind.estimates.load.past_errors import LEVELS

OURS = "seasonal_regression"
WINDOW = 14 * 86_400.0


class Record(Struct, frozen=True):
    """A trace, what is asked of it, and what of it must be known first."""

    name: str
    path: str
    interval: float
    horizons: tuple[int, ...]
    first: int
    """Intervals before the first origin."""


RECORDS = (
    Record(
        "worldcup98", "worldcup98-per-minute.csv.gz", 60.0, (1, 2, 3, 5, 10, 15, 20, 30, 45, 60), 14 * 1440
    ),
    Record("azure-llm-code", "azure-llm-2023-code.csv.gz", 10.0, (1, 6, 30), 120),
    Record("azure-llm-conv", "azure-llm-2023-conv.csv.gz", 10.0, (1, 6, 30), 120),
)


def main() -> None:
    """Score every forecaster on every record, print the tables and the closing line."""
    options = _options()
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; nothing is drawn at random"
    )
    figures: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for record in RECORDS:
        path = options.data / "requests" / record.path
        if not path.is_file():
            sys.exit(f"{path}: not there; give --data DIR with requests/{record.path}")
        trace = request_trace(path, interval=record.interval)
        figures[record.name] = _scored(record, trace, 150 if options.quick else options.origins)
    print(json.dumps({"benchmark": "estimates/load", "figures": figures}))


def _scored(record: Record, trace: RequestTrace, many: int) -> dict[str, dict[str, dict[str, float]]]:
    rates, furthest = trace.rates, max(record.horizons)
    # A step that is no divisor of a day meets every hour of it.
    every = max(1, (len(rates) - record.first - furthest) // many) | 1
    origins = origins_of(len(rates), first=record.first, furthest=furthest, every=every)
    window = int(WINDOW / record.interval)
    found: dict[str, tuple[Score, ...]] = {}
    spent: dict[str, float] = {}
    for name in NAMES:
        forecaster = load_forecaster(name)
        forecaster.forecast(rates[: record.first], trace.start, record.interval, furthest)
        began = time.process_time()
        found[name] = scores(
            forecaster, rates, trace.start, record.interval, horizons=record.horizons, origins=origins,
            window=window,
        )  # fmt: skip
        spent[name] = (time.process_time() - began) / len(origins) * 1e3
    _show(record, found, spent, len(origins), float(rates.mean()))
    return {
        name: {
            f"{ahead * record.interval:g}": {
                "rmse": round(score.rmse, 6),
                "vs_persistence": round(score.rmse / found["persistence"][at].rmse, 4),
                "vs_seasonal_naive": round(score.rmse / found["seasonal_naive"][at].rmse, 4),
                "pinball": round(score.pinball, 6),
                "coverage_99": round(score.coverage[LEVELS.index(0.99)], 4),
                "ms": round(spent[name], 3),
            }
            for at, (ahead, score) in enumerate(zip(record.horizons, each, strict=True))
        }
        for name, each in found.items()
    }


def _show(
    record: Record, found: dict[str, tuple[Score, ...]], spent: dict[str, float], many: int, mean: float
) -> None:
    ahead = [f"{each * record.interval:g}" for each in record.horizons]
    print(f"\n{record.name}: {many} origins, mean {mean:.3g} requests a second; RMSE by seconds ahead")
    print(f"{'':22}" + "".join(f"{each:>9}" for each in ahead) + f"{'ms':>8}")
    for name, each in found.items():
        print(f"{name:22}" + "".join(f"{score.rmse:9.3f}" for score in each) + f"{spent[name]:8.2f}")
    for title, level in (("pinball, ours", None), ("within 0.9, ours", 0.9), ("within 0.99, ours", 0.99)):
        cells = [
            score.pinball if level is None else score.coverage[LEVELS.index(level)] for score in found[OURS]
        ]
        print(f"{title:22}" + "".join(f"{cell:9.3f}" for cell in cells))
    lost = [
        f"{when} s against {peer}"
        for at, when in enumerate(ahead)
        for peer in ("persistence", "seasonal_naive", "lstm")
        if found[OURS][at].rmse >= found[peer][at].rmse
    ]
    print("ours is better than persistence, the season and lstm " + (f"but at {lost}" if lost else "at each"))


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    made.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made.add_argument("--quick", action="store_true", help="few origins, under 45 s")
    made.add_argument("--origins", type=int, default=1500, help="origins a record, about")
    return made.parse_args()


if __name__ == "__main__":
    main()
