"""What Decima's network sees."""

import numpy as np
import pytest

from tradewind.advice.scheduling.decima.features import (
    DEEPEST,
    job_graph,
    joined,
    limit_features,
    limits,
    option_features,
)
from tradewind.advice.scheduling.interface import JobView, SchedulingView

# A diamond behind a stage that is over: 0 is over, 1 and 2 wait for it, 3 for both, 4 for 3.
DIAMOND = JobView(
    3, 0.0, 2, (0, 5, 0, 7, 1), (1,), (False, True, True, True, True), (9.0, 2.0, 4.0, 1.0, 3.0),
    ((), (0,), (0,), (1, 2), (3,)),
)  # fmt: skip


def test_a_diamond_by_hand():
    graph = job_graph(DIAMOND, 10)
    # In order of height: 4, 3, then 1 and 2.
    assert graph.height.tolist() == [0, 1, 2, 2]
    assert sorted(map(tuple, graph.edges.tolist())) == [(0, 1), (1, 2), (1, 3)]
    assert graph.runnable.tolist() == [2]
    work = 5 * 2 + 7 * 1 + 1 * 3
    expected = [
        [np.log1p(0.3), np.log1p(0.1), np.log1p(3.0), 0, np.log1p(work / 10), 0.2],
        [np.log1p(0.7), np.log1p(0.7), np.log1p(1.0), 0, np.log1p(work / 10), 0.2],
        [np.log1p(1.0), np.log1p(0.5), np.log1p(2.0), 1, np.log1p(work / 10), 0.2],
        [0.0, 0.0, np.log1p(4.0), 0, np.log1p(work / 10), 0.2],
    ]
    assert graph.x == pytest.approx(np.array(expected), rel=1e-6)


def test_what_lies_too_deep_is_not_heard_of():
    count = DEEPEST + 3
    chain = JobView(
        0, 0.0, 0, (1,) * count, (0,), (True,) * count, (1.0,) * count,
        ((), *((at,) for at in range(count - 1))),
    )  # fmt: skip
    graph = job_graph(chain, 4)
    assert graph.height.tolist() == [*range(DEEPEST + 1), DEEPEST, DEEPEST]
    assert len(graph.edges) == DEEPEST


def test_graphs_joined_keep_their_stages_apart():
    lone = JobView(1, 0.0, 0, (4,), (0,), (True,), (1.0,), ((),))
    one, two = job_graph(DIAMOND, 10), job_graph(lone, 10)
    both = joined([one, two, one])
    assert both.levels == (0, 3, 5, 9)
    for number, graph in enumerate((one, two, one)):
        own = np.flatnonzero(both.job == number)
        assert (both.x[own] == graph.x).all()
        assert [own.tolist().index(at) for at in both.runnable[number]] == graph.runnable.tolist()
    for height, edges in enumerate(both.edges, 1):
        for child, parent in edges:
            assert both.job[child] == both.job[parent]
            assert both.levels[height] <= parent < both.levels[height + 1] and child < both.levels[height]
    assert sum(map(len, both.edges)) == 6


def test_limits_go_from_one_more_to_all_that_are_of_use():
    view = SchedulingView(0.0, 10, 4, 3, (DIAMOND,))
    assert limits(view, DIAMOND, 1) == range(3, 7)
    assert limits(view, DIAMOND, 4) == range(3, 4)
    assert option_features(view, DIAMOND) == (1.0, 1.0, 0.4)
    rows = limit_features(view, DIAMOND, 1)
    assert rows.shape == (4, 6)
    assert rows[1] == pytest.approx([1, 1, 0.4, 0.4, 0.5, np.log1p(5 / 4)])
