from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.estimates.scale_out.ernest import columns
from tradewind.estimates.scale_out.experiment_design import designed, variance

COUNTS = np.arange(1.0, 13)


def test_it_is_near_the_best_of_all_designs_of_its_size() -> None:
    rows = columns(COUNTS)
    chosen = designed(rows, np.ones(12), 5)
    best = min(variance(rows, each) for each in combinations(range(12), 5))
    typical = np.median([variance(rows, each) for each in combinations(range(12), 5)])
    assert len(set(chosen)) == 5
    assert variance(rows, chosen) < 1.3 * best < typical


def test_a_line_is_measured_at_its_ends() -> None:
    rows = np.column_stack([np.ones(9), np.linspace(-1, 1, 9)])
    assert set(designed(rows, np.ones(9), 2)) == {0, 8}


@given(st.lists(st.floats(0.5, 5), min_size=12, max_size=12), st.floats(5, 30))
@settings(max_examples=25, deadline=None)
def test_the_budget_holds_and_nothing_is_chosen_twice(costs, budget) -> None:
    chosen = designed(columns(COUNTS), costs, budget)
    assert len(set(chosen)) == len(chosen) > 0
    assert sum(costs[each] for each in chosen) <= budget + 1e-9


def test_cheap_runs_are_preferred_where_they_tell_as_much() -> None:
    rows = np.vstack([columns(COUNTS), columns(COUNTS)])
    chosen = designed(rows, [5.0] * 12 + [1.0] * 12, 4)
    assert all(each >= 12 for each in chosen)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Misuse, match="budget"):
        designed(columns(COUNTS), np.full(12, 3.0), 2)
    with pytest.raises(Misuse, match="costs"):
        designed(columns(COUNTS), np.zeros(12), 2)
