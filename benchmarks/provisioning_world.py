"""What the comparison of provisioning policies runs in: rivals, their settings, markets, stretches.

Its cases, and what is assumed of replicas, are told in `serving/provisioning.py`.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.data.recorded_throughputs import throughputs
from tradewind.data.request_traces import RequestTrace
from tradewind.errors import TradewindError
from tradewind.estimates.load.forecasters import load_forecaster
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.outlook import Forecaster, Outlook
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.billing.eras import spot_without_refunds
from tradewind.market.billing.functions import BY_TENTHS
from tradewind.market.histories import MarketHistory
from tradewind.market.instances import Pool
from tradewind.market.offers import Offer, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.clairvoyant import cheapest_serving
from tradewind.serving.provisioning.controller import Endpoint
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionProfile, Profile, ProvisioningPolicy
from tradewind.serving.provisioning.knative import Knative
from tradewind.serving.provisioning.mark import Mark
from tradewind.serving.provisioning.modelled_service import load_of, rehearse
from tradewind.serving.provisioning.ray_serve import RayServe
from tradewind.serving.provisioning.spothedge import SpotHedge
from tradewind.serving.provisioning.target_tracking import TargetTracking
from tradewind.serving.provisioning.tradewind import Tradewind
from tradewind.serving.provisioning.tributary import Tributary
from tradewind.session.trials import trials

HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
OURS, BOUND = "tradewind", "clairvoyant"
SHARE = 0.99
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
KNOWN = 14.0
"""Days of the trace that forecasters know before the first week."""
TUNING_OF_FIVE = (1, 4)
"""Of every five weeks of the load, those that policies are tuned on."""
TUNING_OF_MARKET = (0.18, 0.63)
"""The part of the market's weeks that policies are tuned on."""
IN_WEEK = (0.0, 1.75, 3.5, 5.25)
"""Days into a week at which its stretches begin: at midnight, 18, 12 and 6 o'clock."""
TUNED_AT = (1.25, 4.5)
"""The same of the weeks for tuning, where stretches are half as long as those of the table."""
OUTLOOKS = (OURS, "tributary", "tributary_correlated")
"""Policies that are given forecasts of the market, made of the history before the moment."""


class Contender(Struct, frozen=True):
    """A policy, its settings from bold to safe, and how often it is asked."""

    make: Callable[..., ProvisioningPolicy]
    """From a setting, the peak rate of the stretch, the profile of the cheapest type, and whether hours are
    billed."""
    settings: tuple[float, ...]
    usual: float
    """The setting where none is chosen."""
    interval: float = 60.0
    spot: bool = True
    """Whether it ever takes spot."""


def _most(peak: float, profile: Profile, _hourly: bool) -> int:
    """Twice what the peak needs."""
    return math.ceil(2 * peak / profile.rate)


UTILISATIONS = (1.3, 1.2, 1.1, 1.05, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3)
HEADROOMS = (0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5)
AIMS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
CONTENDERS: dict[str, Contender] = {
    OURS: Contender(lambda x, *_: Tradewind(aim=x), AIMS, 0.8),
    "fixed": Contender(lambda x, peak, *_: Fixed(peak, x), HEADROOMS, 0.9, spot=False),
    "target_tracking": Contender(lambda x, *_: TargetTracking(x), (0.5,), 0.5, spot=False),
    "target_tracking_tuned": Contender(lambda x, *_: TargetTracking(x), UTILISATIONS, 0.8, spot=False),
    "knative": Contender(
        lambda x, *given: Knative(x, most=_most(*given), down_delay=HOUR if given[2] else 0.0),
        UTILISATIONS,
        0.8,
        10.0,
        False,
    ),
    "ray": Contender(
        lambda x, *given: RayServe(
            x * given[1].concurrency, most=_most(*given), downscale_delay=HOUR if given[2] else 600.0
        ),
        UTILISATIONS,
        0.8,
        10.0,
        False,
    ),
    "mark": Contender(lambda x, *_: Mark(headroom=x), HEADROOMS, 0.8),
    "tributary": Contender(lambda x, *_: Tributary(headroom=x), HEADROOMS, 1.1),
    "tributary_correlated": Contender(lambda x, *_: Tributary(headroom=x, correlated=True), HEADROOMS, 1.1),
    "spothedge": Contender(lambda x, *_: SpotHedge(utilisation=x), UTILISATIONS, 0.8),
}


class Era(Struct, frozen=True):
    """One market, and the part of it in which stretches are put."""

    name: str
    market: RecordedMarket
    profiles: tuple[Profile, ...]
    first: float
    """The moment from which on stretches are put: what is before is learned from."""
    last: float
    prices: str
    """What its prices are called: eras of equal prices differ in spot's bills alone."""


class Place(Struct, frozen=True):
    """A stretch of the load in a market."""

    week: int
    """Of the load, from KNOWN on."""
    day: float
    """Into that week."""
    market_week: int
    hours: float


class Case(Struct, frozen=True):
    """One policy in one setting over one stretch."""

    era: str
    policy: str
    setting: float
    place: Place


class Outcome(Struct, frozen=True):
    """What it came to."""

    cost: float
    requests: float
    in_time: float
    leases: int = 0
    revocations: int = 0
    seconds: float = 0.0
    """Of the processor; forecasts that another policy had made on the same stretch are not in it."""
    problem: str = ""


class Remembered:
    """A load forecaster whose forecasts of a stretch are made once, for every policy that asks."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path, self._made = name, path, 0
        self._inner = load_forecaster(name)
        self._known: dict[float, LoadForecast] = pickle.loads(path.read_bytes()) if path.is_file() else {}

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The forecast of that moment."""
        found = self._known.get(at)
        if found is None:
            found = self._known[at] = self._inner.forecast(rates, at, interval, steps)
            self._made += 1
        return found

    def keep(self) -> None:
        """Leave them to the next policy."""
        if self._made:
            mine = self._path.with_suffix(f".{os.getpid()}")
            mine.write_bytes(pickle.dumps(self._known))
            mine.replace(self._path)
            self._made = 0


class Foreseen:
    """A market forecaster whose outlooks are made once, for every policy that asks on one stretch.

    What is held matters to an outlook only where it is not on offer, or fills room; those are made anew.
    """

    def __init__(self, inner: Forecaster) -> None:
        self._inner, self.name, self.refresh = inner, inner.name, inner.refresh
        self._known: dict[float, Outlook] = {}

    def outlook(self, now: float, offers: tuple[Offer, ...], held: tuple[Pool, ...] = ()) -> Outlook:
        """The outlook of that moment."""
        spot = {offer.pool: offer.available for offer in offers if offer.terms is Terms.SPOT}
        if any(each not in spot or spot[each] is not None for each in held):
            return self._inner.outlook(now, offers, held)
        if now not in self._known:
            self._known[now] = self._inner.outlook(now, offers, held)
        return self._known[now]


class World:
    """The load, the eras, and how a case is run."""

    def __init__(
        self, load: RequestTrace, eras: Mapping[str, Era], options: argparse.Namespace, remembered: Path
    ) -> None:
        self.load, self.eras, self.seed, self.replicas = load, eras, options.seed, options.replicas
        self._begin = math.ceil(load.start / DAY) * DAY + KNOWN * DAY
        self._remembered = remembered
        self._foreseen: tuple[tuple[str, Place], Foreseen] | None = None
        self.weeks = math.floor((load.end - self._begin) / WEEK)
        if self.weeks < 2:
            sys.exit(f"{load.name} holds no two weeks after the first {KNOWN:g} days")

    def places(self, era: Era, hours: float, *, tuning: bool) -> list[Place]:
        """Where an era's stretches are, for tuning or for the table; no week of either is the other's."""
        room = max(3, math.floor((era.last - era.first) / WEEK))
        low, high = (round(part * room) for part in TUNING_OF_MARKET)
        markets = [week for week in range(room) if (low <= week < high) == tuning]
        weeks = [week for week in range(self.weeks) if (week % 5 in TUNING_OF_FIVE) == tuning]
        days = TUNED_AT if tuning else IN_WEEK
        # Spread over the market, in the order of the load; the days of a week in a market's week each.
        apart = max(1.0, len(markets) / len(weeks))
        return [
            Place(week, day, markets[(int(at * apart) + number) % len(markets)], hours)
            for at, week in enumerate(weeks)
            for number, day in enumerate(days)
        ]

    def stretch(self, era: Era, place: Place) -> tuple[RequestTrace, float, float, float]:
        """The load at its place in the market, scaled; the stretch's start and end; its peak rate."""
        week = self._begin + place.week * WEEK
        # By whole weeks, so that days of the week stay what they are.
        shift = math.ceil((era.first - week) / WEEK) + place.market_week
        moved = self.load.moved(self.load.start + shift * WEEK)
        start = week + shift * WEEK + place.day * DAY
        until = start + place.hours * HOUR
        rates = moved.window(start, until).rates
        scale = self.replicas * cheapest(era).rate / float(rates.mean())
        return moved.scaled(scale), start, until, float(rates.max()) * scale

    def run_all(self, cases: Iterable[Case], jobs: int) -> dict[Case, Outcome]:
        """Run cases, those of one stretch one after another; none twice that would come to the same."""
        by_place: dict[tuple[str, Place], list[Case]] = {}
        wanted = list(dict.fromkeys(cases))
        for case in dict.fromkeys(self._same(each) for each in wanted):
            by_place.setdefault((self.eras[case.era].prices, case.place), []).append(case)
        groups = sorted(by_place.values(), key=len, reverse=True)
        found: dict[Case, Outcome] = {}
        for group, done in zip(
            groups, trials(groups, lambda group: [self.run(each) for each in group], jobs=jobs), strict=True
        ):
            found |= dict(zip(group, done, strict=True))
        return {case: found[self._same(case)] for case in wanted}

    def _same(self, case: Case) -> Case:
        """The case that stands for this one: without spot, the first era of those prices."""
        if case.policy == BOUND or CONTENDERS[case.policy].spot:
            return case
        first = next(each for each in self.eras.values() if each.prices == self.eras[case.era].prices)
        return msgspec.structs.replace(case, era=first.name)

    def run(self, case: Case) -> Outcome:
        """Run a case; the bound is one."""
        era = self.eras[case.era]
        load, start, until, peak = self.stretch(era, case.place)
        endpoint = Endpoint(
            objective=Objective(1.0, SHARE), profiles=era.profiles, startup=STARTUP, function=FUNCTION
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
        outlooks = self._outlooks(era, case.place, start) if case.policy in OUTLOOKS else None
        loads = self._loads(policy.forecaster, era, case.place) if policy.forecaster else None
        began = time.process_time()
        try:
            found = rehearse(
                era.market, load, policy, endpoint, start=start, until=until, interval=contender.interval,
                seed=self.seed, uncounted=UNCOUNTED, forecaster=outlooks, load_forecaster=loads,
            )  # fmt: skip
        except TradewindError as problem:
            return Outcome(math.nan, 0.0, 0.0, problem=str(problem))
        seconds = time.process_time() - began
        if loads is not None:
            loads.keep()
        return Outcome(
            found.cost, found.requests, found.in_time, found.leases, found.revocations, seconds
        )  # fmt: skip

    def _outlooks(self, era: Era, place: Place, start: float) -> Foreseen:
        """Those of the stretch that was asked for last are kept."""
        if self._foreseen is None or self._foreseen[0] != (era.prices, place):
            made = Foreseen(forecaster("empirical", era.market.history, start))
            self._foreseen = (era.prices, place), made
        return self._foreseen[1]

    def _loads(self, name: str, era: Era, place: Place) -> Remembered:
        known = f"{era.prices} {name} {place.week} {place.day:g} {place.market_week} {place.hours:g}.known"
        return Remembered(name, self._remembered / known)


def cheapest(era: Era) -> Profile:
    """The type that serves a request for least money on demand."""
    prices = {
        offer.type.name: offer.price.per_hour
        for offer in era.market.offers(era.first)
        if offer.terms is Terms.ON_DEMAND
    }
    known = [each for each in era.profiles if each.instance_type in prices]
    return min(known, key=lambda each: (round(prices[each.instance_type] / each.rate, 12), each.rate))


def eras_of(options: argparse.Namespace) -> dict[str, Era]:
    """The markets by name, from the recorded prices in `options.data`."""
    bids = history(there(options.data / "spot" / "prices-2015.csv.gz"))
    seconds = history(there(options.data / "spot" / "prices-2019-2020.csv.gz"))
    cpus = _by_vcpus(bids)
    gpus = _by_gpus(there(options.data / "spot" / "gpu-throughputs.json"))
    made = [
        Era("2015, every hour paid", _market(bids, False), cpus, _begin(bids), _end(bids), "2015"),
        Era(
            "2019-2020, every second paid", _market(seconds, False), gpus, _begin(seconds), _end(seconds),
            "2019-2020",
        ),
    ]  # fmt: skip
    if not options.quick:
        made.append(Era("2015, refunds", _market(bids, True), cpus, _begin(bids), _end(bids), "2015"))
    return {each.name: each for each in made if not options.era or options.era in each.name}


def _market(recorded: MarketHistory, refunds: bool) -> RecordedMarket:
    rule = None if refunds else spot_without_refunds(recorded.start)
    return RecordedMarket(recorded, aws_catalog(), boot=0.0, spot_rule=rule)


def _begin(recorded: MarketHistory) -> float:
    """The first midnight after a third of the record, which is learned from."""
    return math.ceil((recorded.start + (_end(recorded) - recorded.start) / 3) / DAY) * DAY


def _end(recorded: MarketHistory) -> float:
    """The last moment at which most pools are still recorded."""
    return float(np.quantile([prices.end for prices in recorded.prices.values()], 0.1)) - DAY


def _by_vcpus(recorded: MarketHistory) -> tuple[Profile, ...]:
    catalog = aws_catalog()
    made = []
    for name in sorted({pool.instance_type for pool in recorded.pools}):
        vcpus = math.log(catalog.type(name).resources.vcpus)
        known = np.log(list(PER_MINUTE)), list(PER_MINUTE.values())
        rate = float(np.interp(vcpus, *known)) / 60
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


def there(path: Path) -> Path:
    """The path; ends the benchmark where nothing is there."""
    if not path.is_file():
        sys.exit(f"{path}: not there; give --data DIR with the recorded data's layout")
    return path
