"""Simulated runs under Decima's network, several side by side, and what is remembered of them for learning.

Runs advance together, one decision each at a time, so that the network is evaluated on all at once. A job
that did not change between two decisions is embedded once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from tradewind.advice.scheduling.decima.features import (
    JobGraph,
    job_graph,
    joined,
    limit_features,
    limits,
    option_features,
)
from tradewind.advice.scheduling.decima.network import WIDTH, Network, cluster_summary
from tradewind.advice.scheduling.interface import Choice, JobView, Scheduler, SchedulingView
from tradewind.advice.scheduling.simulation import Simulation

Floats = NDArray[np.float32]


class Taken(Struct, frozen=True, eq=False):
    """One decision: what was seen, and what was drawn."""

    moment: float
    jobs: tuple[int, ...]
    """Which of the episode's graphs were at hand."""
    options: Floats
    """(candidates, OPTION) by runnable stage, in the order of the jobs at hand."""
    chosen: int
    """Which candidate."""
    limits: Floats
    """(limits, LIMIT)"""
    limit: int
    """Which limit."""
    log_probability: float
    """Of both together, when it was drawn."""
    crowd: tuple[float, float, float]
    """Jobs, their work per executor, and the sum of their times were they done one after the other by all
    executors, the shortest first: what the time to come depends on most."""


class Episode(Struct, eq=False):
    """One run."""

    simulation: Simulation
    graphs: list[JobGraph] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    decisions: int = 0


class _Seen(Struct, eq=False):
    """A job in a state that was embedded, kept alive so that its identity is its own."""

    view: JobView
    index: int
    rows: Floats
    """(runnable stages, ...) stage and job side by side."""
    share: Floats


def play(
    network: Network, simulations: Sequence[Simulation], rng: np.random.Generator | None,
    teacher: Scheduler | None = None,
) -> list[Episode]:  # fmt: skip
    """Run all simulations to their end; choices are drawn from `rng`, or the likeliest without one.

    With `rng`, decisions are remembered. A `teacher`, which must leave no executor idle, makes the choices
    instead.
    """
    episodes = [Episode(each) for each in simulations]
    seen: list[dict[int, _Seen]] = [{} for _ in episodes]
    active = [at for at, each in enumerate(episodes) if each.simulation.advance()]
    while active:
        views = [episodes[at].simulation.view() for at in active]
        _embed(network, [episodes[at] for at in active], views, [seen[at] for at in active], rng is not None)
        _decide(network, [episodes[at] for at in active], views, [seen[at] for at in active], rng, teacher)
        active = [at for at in active if episodes[at].simulation.advance()]
    return episodes


def _embed(
    network: Network, episodes: Sequence[Episode], views: Sequence[SchedulingView],
    seen: Sequence[dict[int, _Seen]], remember: bool,
) -> None:  # fmt: skip
    """Embed the jobs that changed."""
    new = [
        (at, job)
        for at, view in enumerate(views)
        for job in view.jobs
        if (known := seen[at].get(job.number)) is None or known.view is not job
    ]
    if not new:
        return
    graphs = [job_graph(job, views[at].executors) for at, job in new]
    table = joined(graphs)
    embedded = network.embed(table)
    for number, (at, job) in enumerate(new):
        rows = embedded.stage[table.runnable[number]]
        whose = np.broadcast_to(embedded.job[number], (len(rows), WIDTH))
        index = len(episodes[at].graphs)
        if remember:
            episodes[at].graphs.append(graphs[number])
        seen[at][job.number] = _Seen(
            job, index, np.concatenate((rows, whose), axis=1), embedded.share[number]
        )


def _decide(
    network: Network, episodes: Sequence[Episode], views: Sequence[SchedulingView],
    seen: Sequence[dict[int, _Seen]], rng: np.random.Generator | None, teacher: Scheduler | None,
) -> None:  # fmt: skip
    """One decision of each."""
    shown = [None if teacher is None else teacher.choose(view) for view in views]
    tables, options, summaries = [], [], []
    for view, known in zip(views, seen, strict=True):
        states = [known[job.number] for job in view.jobs]
        z = cluster_summary(np.stack([each.share for each in states]))
        rows = np.concatenate([each.rows for each in states])
        features = np.array(
            [option_features(view, job) for job in view.jobs for _ in job.runnable], np.float32
        )
        tables.append(np.concatenate((rows, np.broadcast_to(z, (len(rows), WIDTH)), features), axis=1))
        options.append(features)
        summaries.append(z)
    scores = network.stage_scores(np.concatenate(tables))
    asked, begin = [], 0
    for number, view in enumerate(views):
        end = begin + len(tables[number])
        candidates = [(job, at) for job in view.jobs for at in job.runnable]
        want = shown[number]
        which = [(job.number, at) for job, at in candidates].index((want.job, want.stage)) if want else None
        stage, log_stage = _draw(scores[begin:end], rng, which)
        begin = end
        job, at = candidates[stage]
        features = limit_features(view, job, at)
        row = tables[number][stage, : -options[number].shape[1]]
        asked.append((stage, log_stage, job, at, features, row))
    lengths = [len(each[4]) for each in asked]
    rows = np.concatenate(
        [
            np.concatenate((np.broadcast_to(row, (len(features), len(row))), features), axis=1)
            for *_, features, row in asked
        ]
    )
    scores, begin = network.limit_scores(rows), 0
    for number, (stage, log_stage, job, at, features, _) in enumerate(asked):
        view, episode = views[number], episodes[number]
        want = shown[number]
        which = min(max(0, want.limit - job.executors - 1), lengths[number] - 1) if want else None
        limit, log_limit = _draw(scores[begin : begin + lengths[number]], rng, which)
        begin += lengths[number]
        episode.simulation.apply(Choice(job.number, at, limits(view, job, at)[limit]))
        episode.decisions += 1
        if rng is not None:
            episode.taken.append(
                Taken(
                    view.moment,
                    tuple(seen[number][each.number].index for each in view.jobs),
                    options[number],
                    stage,
                    features,
                    limit,
                    log_stage + log_limit,
                    _crowd(view),
                )
            )


def _draw(scores: Floats, rng: np.random.Generator | None, wanted: int | None) -> tuple[int, float]:
    """One of the scores by softmax, the highest, or the one wanted, and its logarithm of probability."""
    if len(scores) == 1:
        return 0, 0.0
    powers = np.exp(scores - scores.max())
    if wanted is not None:
        chosen = wanted
    elif rng is None:
        chosen = int(scores.argmax())
    else:
        sums = np.cumsum(powers)
        chosen = min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(scores) - 1)
    return chosen, float(np.log(powers[chosen] / powers.sum()))


def _crowd(view: SchedulingView) -> tuple[float, float, float]:
    works = sorted(job.work / view.executors for job in view.jobs)
    total, one_by_one = 0.0, 0.0
    for work in works:
        total += work
        one_by_one += total
    return float(len(works)), total, one_by_one
