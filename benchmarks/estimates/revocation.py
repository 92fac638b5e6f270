"""Forecasts of revocation on every recorded market, one week left out at a time, models and bars alike.

    make bench NAME=estimates/revocation                    every week, every model (about 20 minutes)
    make bench NAME=estimates/revocation ARGS=--quick       every ninth week, without the lstm

What is real: the prices (EC2 2015 and 2019-2020) and the counts of instances (2023), every record of them. No
lease was held: what a lease would have met is read off the record (its price above the bid, its slot's end).
`skill` is 1 - Brier / Brier of the bar: `base` is the frequency by pool, bid and horizon (Proteus's table),
`hour` the same by hour of the day; both learn from the same rows as the models. Each calendar week (UTC) is
asked about by what all the other weeks of its recording teach, but for the hours whose outcomes overlap.
A pool without prices counts once, not once a bid. Intervals are bootstraps over recordings' weeks.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

import tradewind
from tradewind import clock
from tradewind.data.recorded_histories import history
from tradewind.estimates.revocation.evaluation import (
    answers,
    asked_of,
    log_loss,
    reliability,
    rolling_origins,
    skill,
    skill_interval,
    weeks_left_out,
)
from tradewind.estimates.revocation.experience import UNKNOWN, Experience, experience_of
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.estimates.revocation.learning import learn
from tradewind.estimates.revocation.sights import situations
from tradewind.market.histories import MarketHistory
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources

SEED = 0
BARS = ("base_rate", "hour_of_day")
THIN = 3
"""In recordings of prices, one moment of the grid in so many is asked about: every half hour."""


class Recording:
    """Files recorded together, whose pools are learned together; each file is a history of its own."""

    def __init__(self, name: str, market: MarketHistory, files: dict[str, list[int]]) -> None:
        self.name, self.market = name, market
        self.experience = experience_of(market)
        self.files = files
        """The rows of the columns that each file's pools are."""


def recordings(root: Path) -> list[Recording]:
    """Every history under spot/ and availability/; counts of the same day and kind are one recording."""
    found = []
    for path in sorted((root / "spot").glob("*.csv.gz")):
        market = history(path)
        found.append(Recording(path.name, market, {path.name: list(range(len(market.pools)))}))
    groups: dict[str, dict[str, MarketHistory]] = {}
    for path in sorted((root / "availability").glob("*.json.gz")):
        groups.setdefault("_".join(path.name.split("_")[:3]), {})[path.name] = history(path)
    for name, parts in groups.items():
        capacities = {pool: each for part in parts.values() for pool, each in part.capacities.items()}
        market = MarketHistory(name, {}, capacities)
        rows = {
            file: [row for row, pool in enumerate(market.pools) if pool in part.pools]
            for file, part in parts.items()
        }
        found.append(Recording(name, market, rows))
    return found


class Tally:
    """Squared errors by model, recording's week and file, and a sample of what was stated."""

    def __init__(self, models: list[str]) -> None:
        self.models = models
        self.errors: dict[tuple[str, int, str], dict[str, float]] = {}
        self.asked: dict[tuple[str, int, str], int] = {}
        self.stated: dict[str, list[np.ndarray]] = {model: [] for model in models}
        self.came: list[np.ndarray] = []
        self.seconds = dict.fromkeys(models, 0.0)

    def ask(self, recording: Recording, split, thin: int) -> None:
        """Learn every model from one split, and ask each the same."""
        experience = recording.experience
        asked = asked_of(experience, split.asked[::thin])
        if not len(asked.cases):
            return
        owner = np.empty(len(experience.columns.pools), np.int64)
        names = list(recording.files)
        for number, file in enumerate(names):
            owner[recording.files[file]] = number
        by_file = owner[asked.cases.pools]
        counted = np.broadcast_to(asked.counted[..., None], asked.came.shape)
        some = np.random.Generator(np.random.PCG64(SEED)).random(asked.came.shape) < 0.05
        self.came.append(asked.came[counted & some])
        for model in self.models:
            elapsed = clock.stopwatch()
            chances = answers(learn(model, experience, split.learned, seed=SEED), experience, asked.cases)
            self.seconds[model] += elapsed()
            self.stated[model].append(chances[counted & some])
            squares = np.where(counted, (chances - asked.came) ** 2, 0.0).sum(axis=(1, 2))
            sums = np.bincount(by_file, squares, minlength=len(names))
            many = np.bincount(by_file, counted.sum(axis=(1, 2)), minlength=len(names))
            for number, file in enumerate(names):
                if many[number]:
                    unit = recording.name, split.week, file
                    self.errors.setdefault(unit, {})[model] = float(sums[number])
                    self.asked[unit] = int(many[number])

    def pooled(self, model: str, units: list[tuple[str, int, str]]) -> float:
        """The Brier score over those units."""
        return sum(self.errors[unit][model] for unit in units) / sum(self.asked[unit] for unit in units)

    def interval(self, model: str, bar: str) -> tuple[float, float]:
        """The bootstrap interval of the pooled skill over recordings' weeks."""
        weeks: dict[tuple[str, int], list[float]] = {}
        for (recording, week, _), errors in self.errors.items():
            sums = weeks.setdefault((recording, week), [0.0, 0.0])
            sums[0] += errors[model]
            sums[1] += errors[bar]
        both = np.array(list(weeks.values()))
        return skill_interval(both[:, 0], both[:, 1], seed=SEED)


def joint(experience: Experience, delta: int, horizon: int) -> list[tuple[str, str, float, float]]:
    """Pairs of pools of one type: how often both are revoked within the horizon, and if independent."""
    outcomes = experience.outcomes[:, :, delta]
    pools = experience.columns.pools
    rows = []
    for one in range(len(pools)):
        for other in range(one + 1, len(pools)):
            if pools[one].instance_type != pools[other].instance_type:
                continue
            both = (outcomes[:, one] != UNKNOWN) & (outcomes[:, other] != UNKNOWN)
            if both.sum() < 1000:
                continue
            first, second = outcomes[both, one] <= horizon, outcomes[both, other] <= horizon
            alone = float(first.mean() * second.mean())
            if alone > 0.001:
                rows.append((str(pools[one]), pools[other].zone, float((first & second).mean()), alone))
    return rows


def both_forecast(recording: Recording, moments: int) -> tuple[list[tuple[float, float, float]], list[float]]:
    """Whether both of two pools of a type were revoked within an hour, its chance by the scenarios and as if
    their frequencies were independent; and the seconds of each outlook.

    Each outlook knows the record up to its own moment; the moments are spread over the last seven tenths.
    """
    experience, market = recording.experience, recording.market
    foresight = forecaster("empirical", market, math.inf)
    grid = experience.moments
    told, seconds = [], []
    hour = int(experience.horizons.searchsorted(3600.0))
    delta = int(experience.deltas.searchsorted(0.01))
    for now in grid[np.linspace(0.3 * len(grid), len(grid) - 30, moments).astype(int)].tolist():
        row = int(grid.searchsorted(now))
        cases = situations(experience.columns, np.array([now]))
        up = [pool for pool in range(len(cases)) if experience.outcomes[row, pool, 0] != UNKNOWN]
        offers = tuple(
            Offer(
                InstanceType(experience.columns.pools[pool].instance_type, Resources(vcpus=1)),
                experience.columns.pools[pool].zone,
                Price(1.0 if math.isnan(cases.prices[pool]) else float(cases.prices[pool]), Terms.SPOT),
                None if math.isnan(cases.counts[pool]) else int(cases.counts[pool]),
            )
            for pool in up
        )
        if len(up) < 2:
            continue
        elapsed = clock.stopwatch()
        outlook = foresight.outlook(now, offers)
        seconds.append(elapsed())
        weights = np.array([scenario.weight for scenario in outlook.scenarios])
        ends = np.array([scenario.revoked for scenario in outlook.scenarios])[:, :, delta] <= 3600.0
        at = {pool: outlook.pools.index(experience.columns.pools[pool]) for pool in up}
        for place, one in enumerate(up):
            for other in up[place + 1 :]:
                if (
                    experience.columns.pools[one].instance_type
                    != experience.columns.pools[other].instance_type
                ):
                    continue
                came = bool((experience.outcomes[row, [one, other], delta] <= hour).all())
                together = float(weights @ (ends[:, at[one]] & ends[:, at[other]]))
                apart = float((weights @ ends[:, at[one]]) * (weights @ ends[:, at[other]]))
                told.append((float(came), together, apart))
    return told, seconds


def signed(value: float) -> str:
    """A skill as it is printed."""
    return f"{value:+.3f}"


def main() -> None:
    """Run, print the tables and the closing line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parents[2]
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    parser.add_argument("--quick", action="store_true", help="every ninth week, and no lstm")
    options = parser.parse_args()
    found = recordings(options.data)
    if not found:
        sys.exit(f"{options.data}: no spot/*.csv.gz or availability/*.json.gz; give --data DIR")
    torch = find_spec("torch") is not None
    models = [*BARS, "empirical", "boosted", *(["lstm"] if torch and not options.quick else [])]
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scikit-learn {sklearn.__version__}, {os.cpu_count()} cores, {platform.machine()}; seed {SEED}"
    )
    tally = Tally(models)
    alone, weeks = [], 0
    origins = Tally(models[:4])
    with threadpool_limits(1):
        for recording in found:
            experience = recording.experience
            priced = bool(experience.columns.has_prices.any())
            splits = list(weeks_left_out(experience))
            if not splits:
                alone.append(recording.name)
            step = 9 if options.quick and len(splits) > 4 else 1
            thin = THIN * (8 if options.quick else 1) if priced else 1
            for split in splits[::step]:
                tally.ask(recording, split, thin)
                weeks += 1
            if not options.quick:
                for split in list(rolling_origins(experience))[::4]:
                    origins.ask(recording, split, thin)
    if not torch:
        print("lstm: left out, since torch is not installed (pip install 'tradewind[deep]')")
    units = sorted(tally.errors)
    files = sorted({file for _, _, file in units})
    base, hour = (tally.pooled(bar, units) for bar in BARS)
    print(
        f"{len(found)} recordings, {len(files)} histories, {weeks} weeks left out in turn, "
        f"{sum(tally.asked.values()):,} answers a model; no lease was held, its end is read off the record"
    )
    for name in alone:
        print(f"{name}: within one calendar week, nothing is left to learn from")
    print("bamboo-p3.csv: 11 hours within one day, nothing is left to learn from; not counted\n")
    print(f"{'model':12}{'brier':>8}{'vs base':>9}{'95 % interval':>18}{'vs hour':>9}{'95 % interval':>18}"
          f"{'log loss':>10}{'worst':>8}  {'seconds':>8}")  # fmt: skip
    figures: dict[str, Any] = {"brier_base": round(base, 5), "brier_hour": round(hour, 5)}
    came = np.concatenate(tally.came)
    for model in models:
        brier = tally.pooled(model, units)
        worst = min(
            (
                skill(tally.pooled(model, own), tally.pooled("base_rate", own)),
                file,
            )
            for file in files
            for own in [[unit for unit in units if unit[2] == file]]
        )
        intervals = [tally.interval(model, bar) for bar in BARS]
        print(
            f"{model:12}{brier:8.4f}{signed(skill(brier, base)):>9}"
            f"{signed(intervals[0][0]):>9}{signed(intervals[0][1]):>9}{signed(skill(brier, hour)):>9}"
            f"{signed(intervals[1][0]):>9}{signed(intervals[1][1]):>9}"
            f"{log_loss(np.concatenate(tally.stated[model]), came):10.4f}{signed(worst[0]):>8}"
            f"{tally.seconds[model]:10.1f}"
        )
        figures[model] = {
            "brier": round(brier, 5),
            "brier_base": round(base, 5),
            "brier_hour": round(hour, 5),
            "skill_base": round(skill(brier, base), 4),
            "skill_base_interval": [round(each, 4) for each in intervals[0]],
            "skill_hour": round(skill(brier, hour), 4),
            "skill_hour_interval": [round(each, 4) for each in intervals[1]],
            "worst_history": round(worst[0], 4),
            "worst_history_name": worst[1],
        }
    print("\nskill over the base rate by history")
    print(f"{'':62}{'answers':>9}" + "".join(f"{model:>12}" for model in models[1:]))
    for file in files:
        own = [unit for unit in units if unit[2] == file]
        bar = tally.pooled("base_rate", own)
        print(
            f"{file:62}{sum(tally.asked[unit] for unit in own):9,}"
            + "".join(f"{signed(skill(tally.pooled(model, own), bar)):>12}" for model in models[1:])
        )
    if origins.errors:
        known = sorted(origins.errors)
        bar = origins.pooled("base_rate", known)
        print(f"\nrolling origins, every fourth week from the fifth on: skill over the base rate, {bar:.4f}")
        for model in origins.models[1:]:
            low, high = origins.interval(model, "base_rate")
            print(
                f"{model:12}{signed(skill(origins.pooled(model, known), bar)):>9}"
                f"{signed(low):>9}{signed(high):>9}"
            )
            figures[model]["rolling_skill_base"] = round(skill(origins.pooled(model, known), bar), 4)
    print("\nreliability: stated -> came (share of answers), a twentieth of the answers, all recordings")
    for model in models[2:]:
        stated = np.concatenate(tally.stated[model])
        curve = reliability(stated, came)
        print(
            f"{model:12}"
            + "  ".join(f"{b.stated:.2f}->{b.came:.2f} ({b.many / len(came):.0%})" for b in curve)
        )
    ratios = []
    print("\nboth of two zones revoked within an hour (bid 0.01 above the price, where there are prices)")
    print(f"{'pool':26}{'and':14}{'came':>8}{'if alone':>10}{'times':>8}")
    for recording in found:
        if "2019" in recording.name:
            continue  # smoothed prices: a revocation is rarer than one pair in a thousand hours
        for one, other, together, apart in joint(recording.experience, 3, 2):
            ratios.append(together / apart)
            print(f"{one:26}{other:14}{together:8.4f}{apart:10.4f}{together / apart:8.2f}")
    if ratios:
        print(f"{len(ratios)} pairs, median {np.median(ratios):.2f} times as often as independence has it")
        figures["joint_vs_independent"] = round(float(np.median(ratios)), 3)
    print(
        "\nthe chance of both, forecast by scenarios and as if they were independent: mean, and squared error"
    )
    print(f"{'':36}{'pairs':>8}{'came':>8}{'both':>8}{'if alone':>9}{'error':>8}{'if alone':>9}")
    several: list[tuple[float, float, float]] = []
    for recording in found:
        if "2019" in recording.name or len(recording.experience.columns.pools) < 2:
            continue
        told, seconds = both_forecast(recording, 60 if options.quick else 400)
        several += told
        came, both, apart = np.array(told).T
        pace = 1e3 * float(np.median(seconds))
        print(
            f"{recording.name:36}{len(told):8,}{came.mean():8.4f}{both.mean():8.4f}{apart.mean():9.4f}"
            f"{((both - came) ** 2).mean():8.4f}{((apart - came) ** 2).mean():9.4f}"
            f"{len(recording.experience.columns.pools):4} pools {pace:6.2f} ms"
        )
        figures["outlook_ms"] = max(figures.get("outlook_ms", 0.0), round(pace, 3))
    came, both, apart = np.array(several).T
    figures["joint_came"] = round(float(came.mean()), 5)
    figures["joint_scenarios"] = round(float(both.mean()), 5)
    figures["joint_independent"] = round(float(apart.mean()), 5)
    figures["joint_brier_scenarios"] = round(float(((both - came) ** 2).mean()), 5)
    figures["joint_brier_independent"] = round(float(((apart - came) ** 2).mean()), 5)
    print(json.dumps({"benchmark": "estimates/revocation", "figures": figures}))


if __name__ == "__main__":
    main()
