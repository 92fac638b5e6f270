"""Ours: the scheduler is chosen by rehearsing all of them on jobs like those seen, at the load seen.

Which heuristic is best depends on the size of the cluster and on its load: what is best on ten executors may
be the worst on fifty. So nobody is asked to choose one by name. Streams are put together from stretches of
the past (Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics
17(3), 1989: blocks keep what follows on what, here bursts of arrivals); every candidate meets the same
streams with the same luck of each task; those that are worse beyond doubt drop out on the way. The least mean
of the logarithm of a stream's average completion time is chosen: in seconds the one stream that happens to be
overloaded would decide alone. A learned candidate must beat the best heuristic beyond doubt (a bootstrap
interval of the paired difference below zero, over eight rehearsals or more), for its weights were trained on
other jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct

from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.interface import Choice, Scheduler, SchedulingView
from tradewind.advice.scheduling.jobs import Job, checked
from tradewind.advice.scheduling.simulation import Cluster, simulate
from tradewind.errors import Misuse
from tradewind.estimates.bootstrap import MeanInterval, paired_interval

_ROUND = 8
"""Rehearsals after which those that are worse beyond doubt drop out; fewer settle nothing."""
_STRETCHES = 3
"""Of the past, in a rehearsal."""


class Rehearsal(Struct, frozen=True):
    """How the candidates did."""

    interval: float
    """Seconds between jobs, as seen."""
    load: float
    """Work that arrived, first waves left out, as a share of what the executors could do."""
    averages: dict[str, float]
    """Mean job completion time, seconds, by candidate, in as many rehearsals as it met."""
    rehearsals: dict[str, int]
    """By candidate."""
    chosen: str
    why: str


def rehearse(
    heuristics: Sequence[Scheduler], seen: Sequence[Job], cluster: Cluster, *, seed: int,
    learned: Sequence[Scheduler] = (), streams: int = 24, jobs: int = 40,
    errors: RunTimeErrors = RunTimeErrors(),  # noqa: B008
) -> Rehearsal:  # fmt: skip
    """Try the candidates on `streams` streams of `jobs` jobs, made of stretches of those seen.

    Estimates have the `errors` that the cluster's have; nothing learned is chosen on fewer than 8 streams.
    Equal arguments give equal answers. Raises Misuse for fewer than two jobs seen, no heuristic, two
    candidates of one name, or fewer than two streams.
    """
    past = sorted(checked(seen), key=lambda job: job.arrival)
    everyone = [*heuristics, *learned]
    _check(past, [each.name for each in heuristics], [each.name for each in everyone], streams, jobs)
    interval = (past[-1].arrival - past[0].arrival) / (len(past) - 1)
    work = float(np.mean([_work(job, cluster.executors) for job in past]))
    load = work / (interval * cluster.executors) if interval else np.inf
    rng = np.random.default_rng([seed, 0xB1])
    times: dict[str, list[float]] = {each.name: [] for each in everyone}
    running = list(everyone)
    for stream in range(1, streams + 1):
        drawn, luck = _stream(past, jobs, rng), int(rng.integers(2**32))
        for each in running:
            times[each.name].append(simulate(each, drawn, cluster, luck, errors).average)
        if stream % _ROUND == 0 and stream < streams:
            best = _least(times, [each.name for each in heuristics if each in running])
            running = [
                each
                for each in running
                if each.name == best or _against(times[each.name], times[best], seed).low <= 0
            ]
    best = _least(times, [each.name for each in heuristics if each in running])
    chosen, why = best, f"least completion time of {len(heuristics)} heuristics"
    for name in sorted(
        (each.name for each in learned if each in running), key=lambda at: np.mean(np.log(times[at]))
    ):
        saved = _against(times[name], times[best], seed)
        if saved.high < 0 and saved.blocks >= _ROUND:
            less, more = -np.expm1(saved.high), -np.expm1(saved.low)
            chosen, why = name, f"{less:.1%} to {more:.1%} less than {best}, the best heuristic"
            break
    return Rehearsal(
        interval,
        load,
        {name: float(np.mean(each)) for name, each in times.items()},
        {name: len(each) for name, each in times.items()},
        chosen,
        f"{why}, in {streams} rehearsals of {jobs} jobs at a load of {load:.2f} on {cluster.executors} "
        "executors (simulated)",
    )


class ByLoad:
    """The candidate that a rehearsal chose."""

    def __init__(
        self, heuristics: Sequence[Scheduler], seen: Sequence[Job], cluster: Cluster, *, seed: int,
        learned: Sequence[Scheduler] = (), streams: int = 24, jobs: int = 40,
        errors: RunTimeErrors = RunTimeErrors(),  # noqa: B008
    ) -> None:  # fmt: skip
        self.name = "by_load"
        self.rehearsal = rehearse(
            heuristics, seen, cluster, seed=seed, learned=learned, streams=streams, jobs=jobs, errors=errors
        )
        self._chosen = next(each for each in (*heuristics, *learned) if each.name == self.rehearsal.chosen)

    def choose(self, view: SchedulingView) -> Choice | None:
        """As the chosen candidate does."""
        return self._chosen.choose(view)


def _work(job: Job, executors: int) -> float:
    """Seconds of later tasks with all executors at the job."""
    return sum(stage.tasks * float(np.interp(executors, job.levels, stage.rest)) for stage in job.stages)


def _stream(past: Sequence[Job], jobs: int, rng: np.random.Generator) -> list[Job]:
    """Jobs of stretches of the past, each with the gap that was before it; the past is a ring."""
    mean = (past[-1].arrival - past[0].arrival) / (len(past) - 1)
    gaps = [mean, *(later.arrival - sooner.arrival for sooner, later in pairwise(past))]
    stretch = max(1, -(-jobs // _STRETCHES))
    drawn: list[Job] = []
    moment = 0.0
    while len(drawn) < jobs:
        begin = int(rng.integers(len(past)))
        for at in range(begin, begin + min(stretch, jobs - len(drawn))):
            moment += gaps[at % len(past)] if drawn else 0.0
            drawn.append(past[at % len(past)].moved(moment))
    return drawn


def _least(times: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    return min(names, key=lambda name: float(np.mean(np.log(times[name]))))


def _against(times: Sequence[float], others: Sequence[float], seed: int) -> MeanInterval:
    """The paired difference of two candidates' logarithms, over the rehearsals that both met."""
    return paired_interval(np.log(times) - np.log(others[: len(times)]), range(len(times)), seed=seed)


def _check(
    past: Sequence[Job], heuristics: Sequence[str], names: Sequence[str], streams: int, jobs: int
) -> None:
    if len(past) < 2:
        raise Misuse(
            "one job tells no load", field="seen", fix="Give at least two jobs, with the moments they came."
        )
    if not heuristics or len(set(names)) < len(names):
        raise Misuse(
            f"candidates {', '.join(names) or 'none'}", field="heuristics",
            fix="Give at least one heuristic, and each candidate a name of its own.",
        )  # fmt: skip
    if streams < 2 or jobs < 1:
        raise Misuse(
            f"{streams} streams of {jobs} jobs", field="streams", fix="Rehearse two or more, of some jobs."
        )
