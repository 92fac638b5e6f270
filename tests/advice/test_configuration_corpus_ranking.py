"""How good each configuration was for others."""

import math

import numpy as np
import pytest
from configurations import measured, view

from tradewind.advice.configuration.corpus_ranking import corpus_ranking, ranked_prediction
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.runs import Corpus

# At $0.1, $0.2, $0.4 and $0.8 an hour: costs 1:2:4 for `a`, 2:1 and a failure for `b`, in $ times an hour.
A = tuple(measured(n, 3600.0 * each / price) for n, each, price in ((0, 1, 0.1), (1, 2, 0.2), (2, 4, 0.4)))
B = (measured(0, 3600.0 * 2 / 0.1), measured(1, 3600.0 / 0.2), measured(2, 60.0, "failed"))
CORPUS = Corpus({"a": A, "b": B})


def test_means_of_log_ratios_by_hand():
    found = corpus_ranking(CORPUS, Objective(), 4)
    two = math.log(2)
    assert found.logs == pytest.approx([two / 2, two / 2, 2 * two, 2 * two])
    assert found.deviations == pytest.approx([two / 2, two / 2, 0.05, two / 2])
    assert found.whole == pytest.approx([3 / 4, 3 / 4, 2 / 4, 1 / 2])
    assert found.order == (0, 1, 2, 3)


def test_the_objective_counts():
    # In seconds the second is the fastest of both: 10 h and 20 h on the first, 10 h and 5 h on the second.
    found = corpus_ranking(CORPUS, Objective("run_time"), 4)
    assert found.order[0] == 1 and found.logs[0] == pytest.approx(math.log(4) / 2)


def test_repeats_count_once():
    found = corpus_ranking(Corpus({"a": A + A, "b": B}), Objective(), 4)
    assert found.logs == pytest.approx(corpus_ranking(CORPUS, Objective(), 4).logs)


def test_nothing_to_go_by():
    assert corpus_ranking(Corpus(), Objective(), 4) is None
    assert corpus_ranking(Corpus({"a": (measured(0, 9.0, "failed"),)}), Objective(), 4) is None


def test_the_level_is_that_of_the_runs_of_the_workload_itself():
    logs = np.array([math.log(1.0 + n) for n in range(12)])
    run = measured(3, 1800.0)
    found = ranked_prediction(view(run), logs, np.full(12, 0.2), np.full(12, 0.9))
    assert np.exp(found.logs) == pytest.approx(run.dollars * (1.0 + np.arange(12)) / 4)
    assert found.seconds[3] == pytest.approx(1800.0) and found.feasible[[3, 4]].tolist() == [1.0, 0.9]
