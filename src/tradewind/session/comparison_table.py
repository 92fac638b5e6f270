"""From trials to the lines of a comparison: means with their intervals, medians, counts and reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from tradewind.estimates.bootstrap import MeanInterval, calendar_week, paired_interval
from tradewind.session.report.comparison_data import DONE, REFUSED, Line, Trial

ENOUGH_WEEKS = 8
"""Calendar weeks from which on the intervals draw weeks; with fewer they would be far too narrow."""


def blocks_of(starts: Sequence[float]) -> tuple[str, int]:
    """What the intervals of trials from `starts` draw, `week` or `start`, and how many weeks there are."""
    weeks = len({calendar_week(start) for start in starts})
    return ("week" if weeks >= ENOUGH_WEEKS else "start"), weeks


def lines_of(
    trials: Sequence[Trial], policies: Sequence[str], deadline: float | None, seed: int = 0
) -> tuple[Line, ...]:
    """A line for each of `policies`, in their order, the first being the one to compare with.

    `deadline` is in seconds from each start, or None; equal arguments give equal lines.
    """
    kind, _ = blocks_of([trial.start for trial in trials])
    by_policy = {name: [each for each in trials if each.policy == name] for name in policies}
    first = {each.start: each for each in by_policy[policies[0]] if each.outcome == DONE}
    return tuple(_line(name, by_policy[name], first, kind, deadline, seed) for name in policies)


def _line(
    name: str,
    tried: Sequence[Trial],
    first: dict[float, Trial],
    kind: str,
    deadline: float | None,
    seed: int,
) -> Line:
    done = [each for each in tried if each.outcome == DONE]
    refused = sum(each.outcome == REFUSED for each in tried)
    reasons = Counter(each.reason for each in tried if each.outcome != DONE)
    line = Line(
        policy=name,
        starts=len(tried),
        done=len(done),
        missed=0 if deadline is None else sum(each.late and each.outcome != REFUSED for each in tried),
        refused=refused,
        unfinished=len(tried) - len(done) - refused,
        reasons=tuple(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
    )
    if not done:
        return line
    both = [each for each in done if each.start in first]
    ours = both and first[both[0].start].policy == name
    work, cost = sum(each.work for each in done), sum(each.cost for each in done)
    timely = [(each.cost, each.bound) for each in done if each.bound is not None and not each.late]
    bound = sum(least for _, least in timely)
    seconds = [each.seconds for each in done]
    return Line(
        **{field: getattr(line, field) for field in ("policy", "starts", "done", "missed", "refused")},
        unfinished=line.unfinished,
        reasons=line.reasons,
        cost=_mean(done, [each.cost for each in done], kind, seed),
        difference=None
        if ours or not both
        else _mean(both, [each.cost - first[each.start].cost for each in both], kind, seed),
        per_vcpu_hour=cost / work if work > 0 else None,
        seconds=float(np.median(seconds)),
        seconds_p95=float(np.quantile(seconds, 0.95)),
        revocations=sum(each.revocations for each in done) / len(done),
        leases=sum(each.leases for each in done) / len(done),
        of_bound=sum(paid for paid, _ in timely) / bound if bound > 0 else None,
    )


def _mean(trials: Sequence[Trial], values: Sequence[float], kind: str, seed: int) -> MeanInterval:
    blocks: list[Hashable] = [calendar_week(each.start) if kind == "week" else each.start for each in trials]
    return paired_interval(values, blocks, seed=seed)
