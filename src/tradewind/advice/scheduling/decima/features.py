"""What Decima's network sees of a job, and of the choices at a decision.

Mao et al., SIGCOMM 2019, section 5.1. Beyond the paper: amounts are logarithms relative to the size of the
cluster, so that weights trained on one size say something on another; the work left in the job is given, not
only that in the stage; and what depends on the decision (where the free executors come from, how many they
are) is shown to the heads alone, so that a job that did not change need not be embedded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.scheduling.interface import JobView, SchedulingView

NODE, OPTION, LIMIT = 6, 3, 6
"""Features of a stage; of a choice beside the embeddings; of a limit likewise."""
DEEPEST = 8
"""Rounds of messages; what lies further down is not heard of."""
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class JobGraph(Struct, frozen=True, eq=False):
    """The unfinished stages of one job, those without children first."""

    x: Floats
    """(stages, NODE)"""
    height: Ints
    """(stages,) ascending: 0 without children, else one more than the highest child's, DEEPEST at most."""
    edges: Ints
    """(edges, 2) rows of child and parent, for each child of a lower height."""
    runnable: Ints
    """Rows of the runnable stages, in the order of the view."""


class Graphs(Struct, frozen=True, eq=False):
    """Several jobs' stages in one table, by height, whatever job they are of."""

    x: Floats
    job: Ints
    """(stages,) which of the graphs it belongs to."""
    levels: tuple[int, ...]
    """Where the stages of each height begin, and the number of all."""
    edges: tuple[Ints, ...]
    """By height from 1, (edges, 2) rows of child and parent."""
    runnable: tuple[Ints, ...]
    """By graph, rows of the runnable stages."""


class _Structure(Struct, frozen=True, eq=False):
    """What of a job's graph follows from which of its stages are over."""

    order: Ints
    """The unfinished stages by height."""
    row: dict[int, int]
    height: Ints
    edges: Ints


@lru_cache(maxsize=4096)
def _structure(parents: tuple[tuple[int, ...], ...], unfinished: tuple[bool, ...]) -> _Structure:
    alive = [at for at, here in enumerate(unfinished) if here]
    heights = [0] * len(parents)
    for at in reversed(alive):
        for parent in parents[at]:
            heights[parent] = max(heights[parent], min(heights[at] + 1, DEEPEST))
    order = sorted(alive, key=heights.__getitem__)
    row = {at: number for number, at in enumerate(order)}
    edges = [
        (row[at], row[parent])
        for at in order
        for parent in parents[at]
        if parent in row and heights[at] < heights[parent]
    ]
    return _Structure(
        np.array(order, np.int64),
        row,
        np.array([heights[at] for at in order], np.int64),
        np.array(edges, np.int64).reshape(-1, 2),
    )


def job_graph(job: JobView, executors: int) -> JobGraph:
    """The job as the network sees it in a cluster of so many executors."""
    known = _structure(job.parents, job.unfinished)
    waiting = np.array(job.waiting, np.float32)[known.order]
    seconds = np.array(job.seconds, np.float32)[known.order]
    runnable = np.array([known.row[at] for at in job.runnable], np.int64)
    x = np.zeros((len(waiting), NODE), np.float32)
    x[:, 0] = waiting * seconds / executors
    x[:, 1] = waiting / executors
    x[:, 2] = seconds
    x[:, 4] = job.work / executors
    np.log1p(x, out=x)
    x[runnable, 3] = 1.0
    x[:, 5] = job.executors / executors
    return JobGraph(x, known.height, known.edges, runnable)


def joined(graphs: Sequence[JobGraph]) -> Graphs:
    """The graphs in one table."""
    sizes = np.array([len(each.x) for each in graphs])
    begins = np.cumsum(sizes) - sizes
    height = np.concatenate([each.height for each in graphs])
    order = np.argsort(height, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    edges = place[np.concatenate([each.edges + begin for each, begin in zip(graphs, begins, strict=True)])]
    height = height[order]
    highest = int(height[-1])
    of_edge = height[edges[:, 1]]
    return Graphs(
        np.concatenate([each.x for each in graphs])[order],
        np.repeat(np.arange(len(graphs)), sizes)[order],
        tuple(np.searchsorted(height, np.arange(highest + 2)).tolist()),
        tuple(edges[of_edge == each] for each in range(1, highest + 1)),
        tuple(place[each.runnable + begin] for each, begin in zip(graphs, begins, strict=True)),
    )


def option_features(view: SchedulingView, job: JobView) -> tuple[float, float, float]:
    """What the heads see beside the embeddings: whether the free executors are the job's own, whether they
    are anybody's, and their share of the cluster."""
    return float(job.number == view.source), float(view.source >= 0), view.free / view.executors


def limits(view: SchedulingView, job: JobView, stage: int) -> range:
    """The limits of parallelism that differ in what they do: from one executor more to all that are free."""
    return range(job.executors + 1, job.executors + 1 + min(view.free, job.waiting[stage]))


def limit_features(view: SchedulingView, job: JobView, stage: int) -> Floats:
    """(limits, LIMIT) what the limit's head sees of each."""
    allowed = np.arange(1, len(limits(view, job, stage)) + 1, dtype=np.float32)
    own, anyone, free = option_features(view, job)
    rows = np.empty((len(allowed), LIMIT), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 2] = own, anyone, free
    rows[:, 3] = (job.executors + allowed) / view.executors
    rows[:, 4] = allowed / view.free
    rows[:, 5] = np.log1p(job.waiting[stage] / (job.executors + allowed))
    return rows
