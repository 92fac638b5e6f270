"""What is compared: the job, the market, the policies' specs, and the moments to start from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse, NoCapacity
from tradewind.market.billing.eras import spot_without_refunds
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.views import View
from tradewind.session import durations
from tradewind.session.assembly import goal_of, job_of, market_of, material_of
from tradewind.session.estimation import measure, rows_of, speed_of
from tradewind.session.spec import TrainSpec
from tradewind.training.elastic.bidding.candidates import fits, useful_vcpus
from tradewind.training.elastic.feasibility import plans
from tradewind.training.view import Goal, Progress, TrainingView

LEAD = 14 * 86_400.0
"""Seconds of history that forecasts have before the first start; a quarter of the history if less."""
_LOOKS = 32
"""Moments of the history at which we look whether the job can be done at all, and how fast."""


class Contest(Struct, frozen=True, kw_only=True):
    """All that a trial needs but its start."""

    specs: dict[str, TrainSpec]
    """The spec by the policy that it names, the first to compare with first."""
    market: RecordedMarket
    measured: Progress
    forecaster: str
    largest: float
    """Useful vCPUs of the largest instance that fits the workers."""
    first: float
    """The moment at which the market begins, or at which the spec does."""
    how: str
    """Where the job's size and speed come from, a sentence."""

    @property
    def spec(self) -> TrainSpec:
        """The first policy's."""
        return next(iter(self.specs.values()))


def contest_of(
    specs: dict[str, TrainSpec], *, forecaster: str, work: float | None, rate: float | None, refunds: bool
) -> Contest:
    """The contest of these specs by policy, which differ in nothing else; see `comparison.compare`.

    Raises Misuse for a market or data that cannot be read, NoCapacity if nothing on record fits the workers.
    """
    spec = next(iter(specs.values()))
    market, first = market_of(spec.provider)
    if not refunds:
        market = _without_refunds(market, first)
    measured, how = _job(spec, market, first, work, rate)
    return Contest(
        specs=specs,
        market=market,
        measured=measured,
        forecaster=forecaster,
        largest=_largest(market, first, goal_of(spec, first)),
        first=first,
        how=how,
    )


def starts_of(contest: Contest, count: int) -> tuple[float, ...]:
    """`count` moments by chance, ascending and whole seconds.

    From `provider.start` on if the spec names one, else after the lead that forecasts learn from; so that the
    deadline, or twice the time that the job would take, is on record after each. Fewer are some of the same.
    Raises Misuse where the history is too short, NoCapacity where nothing in it fits the job.
    """
    spec, first = contest.spec, contest.first
    history = contest.market.history
    last = min([history.end, *(prices.end for prices in history.prices.values())])
    last = history.end if last <= first else last
    given = spec.provider.start is not None
    begin = first if given else first + min(LEAD, (last - first) / 4)
    span = max(spec.deadline or 0.0, 2 * _shortest(contest, begin))
    if begin + span > last:
        raise Misuse(
            f"{durations.text(max(last - begin, 0.0))} are on record from {clock.iso(begin)} on, and a trial "
            f"may take {durations.text(span)}",
            source=spec.provider.history,
            field="provider.history" if not given else "provider.start",
            fix="Give a longer history, an earlier start, or a smaller job.",
        )
    chance = np.random.default_rng(spec.seed)
    return tuple(float(each) for each in np.sort(np.floor(chance.uniform(begin, last - span, count))))


def _without_refunds(market: RecordedMarket, start: float) -> RecordedMarket:
    """The same market, were every hour or second charged for."""
    steady = [offer.pool for offer in market.offers(start) if offer.terms is Terms.ON_DEMAND]
    return RecordedMarket(
        market.history,
        market.catalog,
        boot=market.boot,
        notice=market.notice,
        on_demand=steady,
        spot_rule=spot_without_refunds(start),
    )


def _job(
    spec: TrainSpec, market: RecordedMarket, start: float, work: float | None, rate: float | None
) -> tuple[Progress, str]:
    """The job before it has begun, and where its size and its speed come from."""
    if work is not None:
        speed = 1.0 if rate is None else rate
        told = f"the job's size, {work:g} vCPU-hours of work, was given"
        return Progress(0.0, work * 3600 * speed, 0.0, speed, market.boot), told
    with tempfile.TemporaryDirectory(prefix="tw-") as cache:
        job, material = job_of(spec), material_of(spec, Path(cache))
        rows = rows_of(job, material.train)
        if rate is not None:
            told = f"the speed, {rate:g} rows a vCPU-second, was given, and the rows are those of the data"
            return Progress(0.0, rows, 0.0, rate, market.boot), told
        speed_here = speed_of(spec, measure(job, material.algorithm, material.train, spec.workers.count))
    goal = goal_of(spec, start)
    offers = [offer for moment in _looks(market, start) for offer in market.offers(moment)]
    rates = sorted(speed_here.rate(offer) for offer in offers if fits(offer, goal.workers))
    if not rates:
        raise NoCapacity("no offer on record fits the workers: ask for less, or for other zones or types")
    told = "the speed was measured over a few batches on this machine"
    return Progress(0.0, rows, 0.0, rates[len(rates) // 2], market.boot), told


def _looks(market: RecordedMarket, start: float) -> list[float]:
    return [float(each) for each in np.linspace(start, market.history.end, _LOOKS + 1)[:-1]]


def _largest(market: RecordedMarket, start: float, goal: Goal) -> float:
    offers = {offer.type: offer for moment in _looks(market, start) for offer in market.offers(moment)}
    return max(
        (
            useful_vcpus(kind.resources.vcpus, goal)
            for kind, offer in offers.items()
            if fits(offer, goal.workers)
        ),
        default=0.0,
    )


def _shortest(contest: Contest, begin: float) -> float:
    """The seconds that the job takes where nothing is revoked, at the most that standing offers allow."""
    for moment in _looks(contest.market, begin):
        goal = msgspec.structs.replace(goal_of(contest.spec, moment), deadline=None, budget=None)
        view = TrainingView(View(moment, contest.market.offers(moment), ()), contest.measured, goal)
        if made := plans(view):
            return min(plan.seconds for plan in made)
    raise NoCapacity("no offer on record fits the job: ask for less, or for other zones or types")
