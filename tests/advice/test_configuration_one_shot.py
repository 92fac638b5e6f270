import math

import numpy as np
import pytest
from configurations import SPACE, measured, view, world

from tradewind.advice.configuration.interface import Probe, Stop
from tradewind.advice.configuration.objective import RUN_TIME, Objective
from tradewind.advice.configuration.one_shot import (
    believed,
    by_chance,
    end_probability,
    measured_logs,
    next_reference,
    spread_by_price,
)
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.advice.configuration.runs import Corpus

N = len(SPACE)
CORPUS = Corpus({f"w{number}": tuple(world(work=9000.0 * number).values()) for number in (1, 2, 3)})


def test_references_are_the_cheapest_the_dearest_and_between() -> None:
    order = spread_by_price(view())
    prices = SPACE.per_hour
    assert sorted(order) == list(range(N))
    assert prices[order[0]] == prices.min() and prices[order[1]] == prices.max()
    assert prices.min() < prices[order[2]] < prices.max()


def test_where_others_failed_comes_last() -> None:
    failing = {number for number, run in world().items() if not run.whole}
    order = spread_by_price(view(corpus=CORPUS))
    assert failing and set(order[-len(failing) :]) == failing


def test_chance_is_that_of_the_seed() -> None:
    assert by_chance(view(seed=4)) == by_chance(view(seed=4)) != by_chance(view(seed=5))
    assert sorted(by_chance(view(corpus=CORPUS))) == list(range(N))


def test_a_reference_that_fails_is_replaced_and_then_it_ends() -> None:
    order = [3, 1, 4, 5, 9]
    said = next_reference(view(), order, 2, outlook)
    assert isinstance(said, Probe) and said.configuration == 3
    failed = measured(3, 60.0, "failed")
    said = next_reference(view(failed), order, 2, outlook)
    assert isinstance(said, Probe) and said.configuration == 1
    assert isinstance(
        next_reference(view(failed, measured(1, 9.0), measured(4, 9.0)), order, 2, outlook), Stop
    )
    hopeless = view(*(measured(number, 60.0, "failed") for number in order[:4]))
    said = next_reference(hopeless, order, 2, outlook)
    assert isinstance(said, Stop) and "only 0" in said.reason


def test_a_budget_is_kept() -> None:
    first = measured(11, 3600.0)
    assert isinstance(next_reference(view(first, budget=first.dollars), [0, 1], 2, outlook), Stop)


def test_less_than_was_seen_to_do_is_believed_no_more_than_it_did_for_others() -> None:
    # Of three others the smallest cluster failed for two.
    fails = tuple(measured(0, 50.0, "timed_out") for _ in range(1))
    corpus = Corpus({"a": fails, "b": fails, "c": (measured(0, 900.0),)})
    ends = end_probability(view(measured(7, 100.0), corpus=corpus))
    assert ends[0] <= 0.5
    own = end_probability(view(measured(0, 100.0), corpus=corpus))
    assert own[0] > 0.5


def test_a_belief_has_prices_deadlines_and_what_was_measured() -> None:
    run, bad = measured(2, 50.0), measured(5, 70.0, "failed")
    known = view(run, bad)
    told = believed(known, np.full(N, math.log(100.0)), np.full(N, 0.2), np.full(N, 0.9))
    assert told.logs[0] == pytest.approx(math.log(100 * SPACE.per_hour[0] / 3600))
    assert told.seconds[2] == 50.0 and told.logs[2] == pytest.approx(math.log(run.dollars))
    assert told.feasible[2] == 1.0 and told.feasible[5] == 0.0 and told.feasible[0] == 0.9
    late = view()
    late = type(late)(SPACE, Objective(RUN_TIME, deadline=100.0))
    told = believed(late, np.full(N, math.log(100.0)), np.full(N, 0.2), np.ones(N))
    assert told.feasible[0] == pytest.approx(0.5) and told.logs[0] == pytest.approx(math.log(100))


def test_measured_logs_are_those_of_whole_runs() -> None:
    found = measured_logs(view(measured(1, math.e), measured(4, 9.0, "failed")))
    assert found[1] == pytest.approx(1.0) and np.isfinite(found).sum() == 1
