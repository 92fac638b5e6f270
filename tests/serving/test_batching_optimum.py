"""The offline optimum against a search through every schedule."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.load.arrivals import bursty
from tradewind.serving.batching.interface import Latency
from tradewind.serving.batching.optimum import most_in_time
from tradewind.serving.batching.rules import RULES, rule
from tradewind.serving.batching.simulation import simulate_queue


def by_search(arrivals: list[float], seconds: list[float], objective: float) -> int:
    """Every subset that is there, at every moment at which it may be worth while to begin."""

    @cache
    def best(free: float, left: frozenset[int]) -> int:
        found = 0
        for start in sorted({max(free, arrivals[each]) for each in left}):
            there = [each for each in left if arrivals[each] <= start]
            for size in range(1, min(len(there), len(seconds)) + 1):
                end = start + seconds[size - 1]
                able = [each for each in there if end <= arrivals[each] + objective]
                for batch in combinations(able, size):
                    found = max(found, size + best(end, left - frozenset(batch)))
        return found

    return best(-np.inf, frozenset(range(len(arrivals))))


@pytest.mark.parametrize("seed", range(25))
def test_no_schedule_is_better_and_one_is_as_good(seed: int) -> None:
    random = np.random.default_rng(seed)
    arrivals = np.sort(random.integers(0, 14, 6)).astype(float).tolist()
    seconds = np.cumsum(random.integers(1, 4, int(random.integers(1, 4)))).astype(float).tolist()
    objective = float(random.integers(2, 9))
    expected = by_search(arrivals, seconds, objective)
    assert most_in_time(np.array(arrivals), np.array(seconds), objective) == expected


def test_by_hand() -> None:
    # A batch of two takes 4, of one 3. Three at once with 5 to spare: two of them.
    assert most_in_time(np.zeros(3), np.array([3.0, 4.0]), 5.0) == 2
    # Two and then one, 7 in all.
    assert most_in_time(np.zeros(3), np.array([3.0, 4.0]), 7.0) == 3
    assert most_in_time(np.array([0.0, 1.0]), np.array([3.0]), 2.0) == 0
    assert most_in_time(np.empty(0), np.array([3.0]), 2.0) == 0


@pytest.mark.parametrize("name", RULES)
def test_no_rule_is_better(name: str) -> None:
    line = Latency(0.001, 0.004)
    arrivals = bursty(600, 3.0, 2)
    run = simulate_queue(rule(name), arrivals, line, objective=0.05, largest=16)
    seconds = np.array([line.of(b) for b in range(1, 17)])
    assert run.in_time <= most_in_time(arrivals, seconds, 0.05)


def test_the_bound_on_the_search_does_not_change_the_answer_and_too_low_a_one_is_said() -> None:
    arrivals = bursty(900, 1.0, 4)
    seconds = np.array([0.004 + 0.001 * b for b in range(1, 17)])
    best = most_in_time(arrivals, seconds, 0.05)
    refused = len(arrivals) - best
    assert refused > 0
    assert most_in_time(arrivals, seconds, 0.05, refused) == best
    with pytest.raises(Misuse, match="refused_at_most"):
        most_in_time(arrivals, seconds, 0.05, refused - 1)
    with pytest.raises(Misuse, match="ascending"):
        most_in_time(np.array([2.0, 1.0]), seconds, 0.05)
