"""`compare`: several policies from the same random moments of a recorded market, in virtual time.

What is paid, billed and revoked is recorded history; the work is a speed model, and the job a price-taker:
what it takes changes neither prices nor capacity. A policy sees nothing later than its moment, and its
forecasts are made from the history before its start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tradewind import __version__
from tradewind.control.loop import Record
from tradewind.errors import Misuse, NoCapacity, Permanent, Unaffordable
from tradewind.estimates.outlook import Forecaster
from tradewind.estimates.revocation.forecasters import forecaster as forecaster_of
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Refund
from tradewind.session import durations
from tradewind.session.assembly import POLICIES, goal_of, modelled_work, policy_of
from tradewind.session.comparison_contest import Contest, contest_of, starts_of
from tradewind.session.comparison_lanes import Bill, Lanes, Overdue
from tradewind.session.comparison_table import blocks_of, lines_of
from tradewind.session.report.comparison_data import (
    BOUNDS,
    CLAIRVOYANT,
    CLAIRVOYANT_PAYING,
    DONE,
    FAILED,
    REFUSED,
    UNFINISHED,
    Comparison,
    Lane,
    Timeline,
    Trial,
)
from tradewind.session.report.comparison_page import write_comparison
from tradewind.session.report.data import PriceLine
from tradewind.session.spec import PolicySpec, TrainSpec, read_spec
from tradewind.session.stretch import SOURCES
from tradewind.session.trials import completed, trial
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.clairvoyant import cheapest_possible
from tradewind.training.elastic.controller import Result
from tradewind.training.elastic.modelled_work import MODEL
from tradewind.training.view import Goal

STARTS = 50
"""Starts, where a caller says nothing."""
_LINES = 6
"""Pools whose prices are drawn."""

Told = Callable[[int, int], None]
"""Hears how many starts are done, and how many there are."""


def compare(
    what: TrainSpec | str | Path,
    policies: Sequence[str] = (),
    *,
    history: str | Path | None = None,
    starts: int = STARTS,
    seed: int | None = None,
    jobs: int = 2,
    work: float | None = None,
    rate: float | None = None,
    startup: float | None = None,
    forecaster: str = "empirical",
    refunds: bool = True,
    to: str | Path | None = None,
    told: Told | None = None,
) -> Comparison:
    """What each of `policies` would have paid for the job of a spec from `starts` random moments.

    `policies` are names; the first is the one that the others are held against (none: the spec's, then every
    other). On demand and the clairvoyant bound are always among them. `history` and `seed` take the place
    of the spec's. The job is the spec's data at the speed that a few batches have on this machine; `rate`
    (units a vCPU-second) gives the speed instead, and `work` (vCPU-hours) the whole job, so that no data is
    read. `startup` is seconds from a lease's start until its worker works. Without `refunds` nothing is
    forgiven when the provider ends a lease, neither to the policies nor to the clairvoyant. `to` is a file
    for the page. `told` hears of every start that is done. An interrupt ends it with the starts that are
    done, if any.

    Raises Misuse for whatever is wrong, and NoCapacity if nothing on record fits the job, before the first
    trial.
    """
    spec = what if isinstance(what, TrainSpec) else read_spec(what)
    names = _names(policies, spec)
    _check(starts=starts, jobs=jobs, work=work, rate=rate, startup=startup)
    provider = spec.provider
    if history is not None:
        provider = msgspec.structs.replace(provider, history=str(history))
    if startup is not None:
        provider = msgspec.structs.replace(provider, boot=startup)
    spec = msgspec.structs.replace(spec, provider=provider, seed=spec.seed if seed is None else seed)
    specs = {name: _under(spec, name) for name in names}
    for each in specs.values():
        policy_of(each)
    contest = contest_of(specs, forecaster=forecaster, work=work, rate=rate, refunds=refunds)
    moments = starts_of(contest, starts)
    # An unknown name is told before the first trial, and what all forecasts share is made before the fork.
    forecaster_of(forecaster, contest.market.history, moments[0])
    trials, interrupted = _tried(contest, moments, jobs, told)
    made = _made(contest, moments, trials, timeline=not interrupted)
    if to is not None:
        write_comparison(made, Path(to))
    return made


def _names(asked: Sequence[str], spec: TrainSpec) -> list[str]:
    """The policies without a doublet, the reference first, on demand among them and the clairvoyant not."""
    names = [name for name in (asked or (spec.policy.name, *sorted(POLICIES))) if name not in BOUNDS]
    return list(dict.fromkeys([*(names or [spec.policy.name]), OnDemand.name]))


def _under(spec: TrainSpec, name: str) -> TrainSpec:
    """The spec under another policy, whose arguments are its own."""
    if name == spec.policy.name:
        return spec
    return msgspec.structs.replace(spec, policy=PolicySpec(name=name))


def _check(**given: float | None) -> None:
    for field, value in given.items():
        least = 0 if field == "startup" else 1 if field in ("starts", "jobs") else None
        if value is None:
            continue
        if not math.isfinite(value) or (value < least if least is not None else value <= 0):
            raise Misuse(
                f"{value!r} will not do",
                source="compare()",
                field=field,
                fix="Give a number above 0." if least is None else f"Give {least} or more.",
            )


def _tried(
    contest: Contest, moments: Sequence[float], jobs: int, told: Told | None
) -> tuple[dict[float, tuple[Trial, ...]], bool]:
    """The trials by start; whether it was interrupted. What is there by then stays, by whole starts."""
    trials: dict[int, tuple[Trial, ...]] = {}
    interrupted = False
    try:
        if told is not None:
            told(0, len(moments))
        for index, found in completed(moments, lambda moment: _from(contest, moment), jobs=jobs):
            trials[index] = found
            if told is not None:
                told(len(trials), len(moments))
    except KeyboardInterrupt:
        if not trials:
            raise
        interrupted = True
    return {moments[index]: trials[index] for index in sorted(trials)}, interrupted


def _from(contest: Contest, start: float) -> tuple[Trial, ...]:
    """Every policy from one start, and the bounds."""
    forecast = forecaster_of(contest.forecaster, contest.market.history, start)
    trials = [_under_policy(contest, name, start, forecast) for name in contest.specs]
    return _bounded(contest, start, trials)


def _under_policy(contest: Contest, name: str, start: float, forecast: Forecaster) -> Trial:
    bill = Bill(contest.market.history.end)
    try:
        result = _run(contest, name, start, forecast, bill)
    except Permanent as problem:
        declined = isinstance(problem, NoCapacity | Unaffordable)
        outcome = UNFINISHED if isinstance(problem, Overdue) else FAILED
        seconds = max(0.0, bill.last - start)
        return Trial(
            policy=name,
            start=start,
            outcome=REFUSED if declined and not bill.taken else outcome,
            reason=str(problem),
            cost=bill.cost,
            seconds=seconds,
            late=_late(contest.specs[name], seconds, done=False),
            leases=bill.taken,
            revocations=bill.revoked,
            vcpus=bill.most,
        )
    return Trial(
        policy=name,
        start=start,
        outcome=DONE if result.done else UNFINISHED,
        reason="" if result.done else result.reason,
        cost=result.cost,
        seconds=result.seconds,
        late=_late(contest.specs[name], result.seconds, result.done),
        work=result.units / contest.measured.rate / 3600,
        leases=result.leases,
        revocations=result.revocations,
        vcpus=bill.most,
    )


def _run(contest: Contest, name: str, start: float, forecast: Forecaster, record: Record) -> Result:
    spec = contest.specs[name]
    policy = policy_of(spec)
    return trial(
        contest.market,
        goal_of(spec, start),
        policy,
        modelled_work(spec, policy, contest.measured),
        start,
        forecaster=forecast,
        record=record,
    )


def _late(spec: TrainSpec, seconds: float, done: bool) -> bool:
    """Whether the deadline was missed; a microsecond is no miss."""
    return spec.deadline is not None and (not done or seconds > spec.deadline + 1e-6)


def _bounded(contest: Contest, start: float, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials with the clairvoyant's bound on each, and the clairvoyant's own for the first policy's goal.

    Without a deadline the bound is over the time that the slowest of them took; without a cap on vCPUs it is
    for as many as the most instances have, or as the policies held while leases under notice still worked.
    """
    slowest = max((each.seconds for each in trials if each.outcome == DONE), default=0.0)
    most = max(each.vcpus for each in trials)
    known: dict[int, Trial | None] = {}
    bounded = []
    for each in trials:
        spec = contest.specs[each.policy]
        goal = goal_of(spec, start)
        # A goal without servers is another job: its bound is lower.
        if goal.state.count not in known:
            known[goal.state.count] = _bound(contest, goal, start, slowest, most)
        bound = known[goal.state.count]
        least = bound.cost if bound is not None and bound.outcome == DONE else None
        bounded.append(msgspec.structs.replace(each, bound=least))
    goal = goal_of(contest.specs[trials[0].policy], start)
    own = [known[goal.state.count]]
    if _forgives(contest.market, start):
        own.append(_bound(contest, goal, start, slowest, most, refunds=False))
    return (*bounded, *(each for each in own if each is not None))


def _forgives(market: RecordedMarket, start: float) -> bool:
    tariff = market.tariffs(start).get(Terms.SPOT)
    return tariff is not None and tariff.refund is not Refund.NOTHING


def _bound(
    contest: Contest, goal: Goal, start: float, slowest: float, most: float, *, refunds: bool = True
) -> Trial | None:
    name = CLAIRVOYANT if refunds else CLAIRVOYANT_PAYING
    if goal.deadline is None and not slowest:
        return None
    if goal.vcpus is None:
        cap = max(most, goal.workers.count * contest.largest)
        workers = msgspec.structs.replace(goal.workers, count=math.ceil(cap))  # the cap alone is to bind
        goal = msgspec.structs.replace(goal, vcpus=cap, workers=workers)
    horizon = slowest if goal.deadline is None else None
    found = cheapest_possible(contest.market, goal, contest.measured, start, refunds=refunds, horizon=horizon)
    if not math.isfinite(found.cost):
        return Trial(policy=name, start=start, outcome=REFUSED, reason="nobody could be done in time")
    return Trial(
        policy=name,
        start=start,
        outcome=DONE,
        cost=found.cost,
        seconds=found.until - start if found.seconds is None else found.seconds,
        work=contest.measured.total / contest.measured.rate / 3600,
        bound=found.cost if refunds else None,
        attained=found.attained,
    )


def _made(
    contest: Contest, asked: Sequence[float], found: dict[float, tuple[Trial, ...]], *, timeline: bool
) -> Comparison:
    spec = contest.spec
    trials = tuple(each for several in found.values() for each in several)
    names = (*contest.specs, *(name for name in BOUNDS if any(each.policy == name for each in trials)))
    kind, weeks = blocks_of(tuple(found))
    return Comparison(
        title=f"{spec.name}: policies compared",
        policies=names,
        history=contest.market.history.name,
        asked=len(asked),
        seed=spec.seed,
        starts=tuple(found),
        trials=trials,
        lines=lines_of(trials, names, spec.deadline, spec.seed),
        attained=_attained(trials),
        blocks=kind,
        weeks=weeks,
        deadline=spec.deadline,
        budget=spec.budget,
        work=contest.measured.total / contest.measured.rate / 3600,
        rate=contest.measured.rate,
        startup=contest.measured.startup,
        timeline=_timeline(contest, *_shown(trials, names[0])) if timeline else None,
        real=("the prices, the capacity and their moments are recorded ones", contest.how),
        simulated=(
            MODEL,
            "a price-taker is assumed: what the job takes changes neither prices nor capacity for others",
            f"forecasts ({contest.forecaster}) are made from the history before each start only",
            f"a worker works {durations.text(contest.measured.startup)} after its lease begins",
            "the clairvoyant is a lower bound for whoever knows the whole history in advance; nobody does",
        ),
        sources=SOURCES.get(spec.provider.history, ()),
        version=__version__,
    )


def _attained(trials: Sequence[Trial]) -> float | None:
    """What schedules made with hindsight cost over the bound, sum over sum; None where there is none."""
    made = [each for each in trials if each.policy == CLAIRVOYANT and each.attained is not None]
    bound = sum(each.cost for each in made)
    return sum(each.attained or 0.0 for each in made) / bound if bound > 0 else None


def _shown(trials: Sequence[Trial], name: str) -> tuple[float, str]:
    """The start that is told lease by lease, and why: one with revocations, if there is one."""
    rough = {each.start for each in trials if each.revocations}
    done = [each for each in trials if each.policy == name and each.outcome == DONE]
    among = [each for each in done if each.start in rough] or done
    if not among:
        return trials[0].start, f"{name} did the work from no start; this is the first."
    median = sorted(among, key=lambda each: (each.cost, each.start))[(len(among) - 1) // 2]
    those = "the starts where a lease was revoked" if among is not done else "all starts"
    return median.start, f"Of {those} this is the one at which {name} paid its median."


def _timeline(contest: Contest, start: float, chosen: str) -> Timeline:
    """What every policy held from `start`: the same trials once more, with their leases remembered."""
    forecast = forecaster_of(contest.forecaster, contest.market.history, start)
    lanes = []
    for name in contest.specs:
        record = Lanes(contest.market.history.end)
        try:
            result = _run(contest, name, start, forecast, record)
            outcome, ended = (DONE if result.done else UNFINISHED), start + result.seconds
        except Permanent:
            outcome, ended = (FAILED, record.last) if record.taken else (REFUSED, start)
        lanes.append(
            Lane(policy=name, outcome=outcome, cost=record.cost, ended=ended, held=record.held(ended))
        )
    end = max([start + 60.0, *(lane.ended for lane in lanes)])
    return Timeline(
        start=start,
        end=end,
        deadline=goal_of(contest.spec, start).deadline,
        chosen=chosen,
        lanes=tuple(lanes),
        prices=_prices(contest.market, lanes, start, end),
    )


def _prices(market: RecordedMarket, lanes: Sequence[Lane], start: float, end: float) -> tuple[PriceLine, ...]:
    """The spot prices of the pools that were held most."""
    used: dict[str, float] = {}
    for lane in lanes:
        for held in lane.held:
            if held.terms == "spot":
                used[held.pool] = used.get(held.pool, 0.0) + held.count * (held.ended - held.started)
    chosen = sorted(used, key=lambda pool: (-used[pool], pool))[:_LINES]
    lines = []
    for pool, prices in market.history.prices.items():
        if str(pool) in chosen:
            window = prices.window(max(start, prices.start), min(end, prices.end))
            times = tuple(max(float(each), start) for each in window.times)
            lines.append(PriceLine(str(pool), times, tuple(map(float, window.prices))))
    return tuple(sorted(lines, key=lambda line: line.pool))
