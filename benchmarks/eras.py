"""What the comparisons of policies in the two eras of spot share: cases, their runs, and the table."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

import tradewind
from tradewind.control.policy import AnyPolicy
from tradewind.errors import TradewindError
from tradewind.estimates.bootstrap import calendar_week, paired_interval
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.recorded import RecordedMarket
from tradewind.session.assembly import POLICIES
from tradewind.session.trials import trial, trials
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.clairvoyant import cheapest_possible
from tradewind.training.elastic.modelled_work import MODEL, ModelledWork
from tradewind.training.view import Goal, Progress

CLAIRVOYANT = "clairvoyant"


class Case(Struct, frozen=True):
    """One policy (or the clairvoyant bound) from one start, under one set of conditions."""

    conditions: str
    """A key of the markets and goals."""
    policy: str
    start: float


class Outcome(Struct, frozen=True):
    """What it came to."""

    cost: float
    """US dollars; NaN where it refused."""
    hours: float
    missed: bool
    revocations: int
    refusal: str = ""


class Conditions(Struct, frozen=True):
    """One market, job and tariff; `goal` makes the goal of a start."""

    name: str
    market: RecordedMarket
    goal: Callable[[float], Goal]
    work: float
    """vCPU-hours."""
    startup: float
    clock_seconds: float = 30.0
    refunds: bool = True

    def modelled(self, goal: Goal, policy: AnyPolicy) -> ModelledWork:
        """The speed model of the job: one unit is a vCPU-second; servers, or checkpoints where the policy
        has none."""
        if isinstance(policy, CheckpointRestart):
            return ModelledWork(
                self.work * 3600,
                1.0,
                startup=self.startup,
                mode="checkpoints",
                snapshot_every=policy.interval,
                snapshot_seconds=policy.checkpoint,
                workers=goal.workers.count,
                vcpus=goal.vcpus,
            )
        return ModelledWork(
            self.work * 3600,
            1.0,
            startup=self.startup,
            clock_seconds=self.clock_seconds,
            workers=goal.workers.count,
            vcpus=goal.vcpus,
        )


def run_all(
    conditions: Mapping[str, Conditions],
    starts: Mapping[str, Sequence[float]],
    policies: Sequence[str],
    jobs: int,
    told: Callable[[int], None] | None = None,
) -> dict[Case, Outcome]:
    """Every policy from every start, and the bound; the same starts for all of them."""
    cases = [
        Case(key, policy, start)
        for key in conditions
        for start in starts[key]
        for policy in (*policies, CLAIRVOYANT)
    ]

    def run(case: Case) -> Outcome:
        return one(conditions[case.conditions], case)

    return dict(zip(cases, trials(cases, run, jobs=jobs, told=told), strict=True))


def one(given: Conditions, case: Case) -> Outcome:
    """Run a case."""
    goal = given.goal(case.start)
    if case.policy == CLAIRVOYANT:
        progress = Progress(0.0, given.work * 3600, 0.0, 1.0, given.startup)
        bound = cheapest_possible(given.market, goal, progress, case.start, refunds=given.refunds)
        return Outcome(bound.cost, 0.0, False, 0)
    policy = POLICIES[case.policy]()
    if isinstance(policy, CheckpointRestart):
        goal = msgspec.structs.replace(goal, state=msgspec.structs.replace(goal.state, count=0))
    foresight = forecaster("empirical", given.market.history, case.start)
    try:
        result = trial(
            given.market, goal, policy, given.modelled(goal, policy), case.start, forecaster=foresight
        )
    except TradewindError as problem:
        return Outcome(float("nan"), 0.0, True, 0, str(problem))
    missed = not result.done or (
        goal.deadline is not None and case.start + result.seconds > goal.deadline + 1.0
    )
    return Outcome(result.cost, result.seconds / 3600, missed, result.revocations)


def figures(
    conditions: Conditions, outcomes: Mapping[Case, Outcome], policies: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """By policy: the means over the starts, and the interval of the paired difference to ours by week."""
    mine = {case: done for case, done in outcomes.items() if case.conditions == conditions.name}
    starts = sorted({case.start for case in mine})
    cost = {
        policy: np.array([mine[Case(conditions.name, policy, start)].cost for start in starts])
        for policy in (*policies, CLAIRVOYANT)
    }
    found: dict[str, dict[str, float]] = {}
    for policy in (*policies, CLAIRVOYANT):
        done = [mine[Case(conditions.name, policy, start)] for start in starts]
        there = np.isfinite(cost[policy])
        row = {
            "cost_per_work": float(np.mean(cost[policy][there])) / conditions.work,
            "vs_clairvoyant": float(np.sum(cost[policy][there]) / np.sum(cost[CLAIRVOYANT][there])),
        }
        if policy != CLAIRVOYANT:
            row |= {
                "missed_deadlines": float(sum(each.missed for each in done)),
                "refusals": float(sum(bool(each.refusal) for each in done)),
                "hours": float(np.mean([each.hours for each in done])),
                "revocations": float(np.mean([each.revocations for each in done])),
            }
        if policy not in ("tradewind", CLAIRVOYANT):
            both = there & np.isfinite(cost["tradewind"])
            differences = (cost[policy] - cost["tradewind"])[both] / conditions.work
            weeks = [calendar_week(start) for start, kept in zip(starts, both, strict=True) if kept]
            interval = paired_interval(differences, weeks, seed=seed)
            row |= {"ci_low": interval.low, "ci_high": interval.high}
        found[policy] = row
    return found


def show(title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table of one set of conditions."""
    print(f"\n{title}")
    print(
        f"{'':20}{'USD/vCPU-h':>12}{'vs bound':>10}{'dearer than ours, 95 %':>28}{'missed':>8}{'refused':>9}"
        f"{'hours':>8}{'revoked':>9}"
    )
    for policy, row in found.items():
        interval = f"{row['ci_low']:+.5f} to {row['ci_high']:+.5f}" if "ci_low" in row else ""
        rest = (
            f"{row['missed_deadlines']:8.0f}{row['refusals']:9.0f}{row['hours']:8.2f}{row['revocations']:9.1f}"
            if "hours" in row
            else ""
        )
        print(f"{policy:20}{row['cost_per_work']:12.5f}{row['vs_clairvoyant']:10.3f}{interval:>28}{rest}")


def versions() -> str:
    """The line that says what ran where."""
    return (
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; {MODEL}; prices and capacity are recorded; the job "
        "is a price-taker: what it takes changes neither for itself"
    )


def parser(description: str) -> argparse.ArgumentParser:
    """The options that both comparisons take."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parents[1]
    made.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    made.add_argument("--quick", action="store_true", help="few starts, under 45 s")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=2)
    return made
