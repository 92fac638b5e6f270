"""Our rule: single decisions by hand, and runs beside the optimum and under overload."""

from __future__ import annotations

import math

import numpy as np
import pytest
from batching_queues import queue

from tradewind.errors import Misuse
from tradewind.estimates.load.arrivals import bursty, poisson
from tradewind.serving.batching.interface import Latency, Queue
from tradewind.serving.batching.optimum import most_in_time
from tradewind.serving.batching.simulation import simulate_queue
from tradewind.serving.batching.slack import SlackBatching
from tradewind.serving.batching.take_all import TakeAll

WEIGHTS, ROWS = Latency(0.0005, 0.0045), Latency(0.003, 0.002)


def decided(asked: Queue) -> tuple[int, int]:
    choice, memory = SlackBatching().decide(asked, None)
    assert memory is None
    return choice.drop, choice.take


def test_one_that_waits_goes_at_once() -> None:
    assert decided(queue([0.0])) == (0, 1)
    assert decided(queue([0.0], idle=0)) == (0, 0)
    assert decided(queue([0.0], objective=math.inf)) == (0, 1)


def test_all_go_where_the_head_can_bear_it() -> None:
    assert decided(queue([0.030] * 10)) == (0, 10)
    assert decided(queue([0.0] * 40)) == (0, 32)
    assert decided(queue([9.0] * 40, objective=math.inf)) == (0, 32)


def test_a_batch_is_cut_to_what_is_in_time_for_its_first() -> None:
    # 20 ms left: 4.5 ms and 31 rows of 0.5 ms; all are of one age, so nobody is worth refusing.
    assert decided(queue([0.030] * 32)) == (0, 31)


def test_who_cannot_be_in_time_even_alone_is_refused_first() -> None:
    assert decided(queue([0.0455, 0.0455, 0.01, 0.01])) == (2, 2)
    assert decided(queue([0.06, 0.06, 0.06])) == (3, 0)
    assert decided(queue([0.06])) == (1, 0)


def test_where_nobody_can_be_in_time_the_last_is_a_probe() -> None:
    slow = Latency(0.0, 10.0)
    assert decided(queue([0.02, 0.01, 0.0], latency=slow)) == (2, 1)
    assert decided(queue([0.0], latency=slow)) == (0, 1)


def test_an_old_head_is_served_while_little_comes_and_refused_while_much_does() -> None:
    # The head can bear 3 rows; the others, fresh, can wait for that.
    waits = [0.044] + [0.0] * 4
    assert decided(queue(waits, rate=10.0)) == (0, 3)
    crowd = [0.044] + [0.001] * 80
    assert decided(queue(crowd, rate=8000.0, largest=128)) == (1, 80)


def test_of_a_crowd_that_passes_as_few_are_refused_as_the_gap_behind_them_takes() -> None:
    # 5 ms are left to two, which bear one row; 13 ms to six behind them, which bear seventeen; the rest is
    # fresh. In all 37 would be in time in 32 ms if the head went, 36 in 27 ms without the two, 30 in 19.5 ms
    # without the eight. A second is worth 0.7 * sqrt(400 * 38 / 0.045) = 407 requests, and almost
    # nothing where next to nobody comes.
    waits = [0.045] * 2 + [0.037] * 6 + [0.0] * 30
    assert decided(queue(waits, rate=400.0)) == (2, 17)
    assert decided(queue(waits, rate=0.05)) == (0, 1)
    # Where more comes all the time than can be answered, it is worth as many as can be: 30 in 19.5 ms.
    assert decided(queue(waits, rate=8000.0)) == (8, 30)


def test_an_idle_replica_beside_it_serves_the_rest() -> None:
    crowd = [0.040] * 5 + [0.0] * 60
    drop, take = decided(queue(crowd, rate=1500.0, largest=64, idle=8))
    assert (drop, take) == (0, 11)


def test_requests_of_many_rows_count_by_rows_and_one_too_large_goes_alone() -> None:
    assert decided(queue([0.030] * 3, sizes=[20, 10, 10])) == (0, 2)
    assert decided(queue([0.0] * 3, sizes=[64, 1, 1], objective=1.0)) == (0, 1)
    assert decided(queue([0.030] * 2, sizes=[64, 1])) == (1, 1)


def test_the_margin_keeps_away_from_the_deadline() -> None:
    spread = Latency(0.0005, 0.0045, 0.002)
    asked = queue([0.030] * 32, latency=spread)
    assert SlackBatching(0.0).decide(asked, None)[0].take == 31
    assert SlackBatching(2.0).decide(asked, None)[0].take == 23


def test_a_margin_below_0_is_misuse() -> None:
    with pytest.raises(Misuse, match="margin"):
        SlackBatching(-1.0)


@pytest.mark.parametrize("line", [WEIGHTS, ROWS])
@pytest.mark.parametrize("load", [0.9, 1.1, 5.0])
@pytest.mark.parametrize("process", [poisson, bursty])
def test_it_comes_near_the_exact_optimum_from_a_cold_start(
    line: Latency, load: float, process: object
) -> None:
    size = max(b for b in range(1, 65) if line.of(b) <= 0.025)
    rate = load * size / line.of(size)
    arrivals = process(rate, 2500 / rate, 5)  # type: ignore[operator]
    run = simulate_queue(SlackBatching(), arrivals, line, objective=0.05, largest=64)
    seconds = np.array([line.of(b) for b in range(1, 65)])
    best = most_in_time(arrivals, seconds, 0.05, len(arrivals) - run.in_time)
    assert run.in_time >= 0.94 * best


@pytest.mark.parametrize("line", [WEIGHTS, ROWS])
@pytest.mark.parametrize("process", [poisson, bursty])
def test_five_times_the_capacity_costs_no_goodput(line: Latency, process: object) -> None:
    size = max(b for b in range(1, 65) if line.of(b) <= 0.025)
    capacity = size / line.of(size)
    arrivals = process(5.0 * capacity, 2.0, 3)  # type: ignore[operator]
    factors = np.random.default_rng(1).lognormal(0.0, 0.05, 512)
    run = simulate_queue(SlackBatching(), arrivals, line, objective=0.05, largest=64, factors=factors)
    assert run.goodput >= 0.95 * capacity
    drowned = simulate_queue(TakeAll(), arrivals, line, objective=0.05, largest=64, factors=factors)
    assert drowned.in_time < 0.2 * run.in_time


def test_near_deadlines_go_before_far_ones() -> None:
    arrivals = np.sort(np.concatenate((poisson(700, 4.0, 1), poisson(700, 4.0, 2))))
    objectives = np.where(np.random.default_rng(1).random(len(arrivals)) < 0.5, 0.02, 0.2)
    run = simulate_queue(SlackBatching(), arrivals, WEIGHTS, objective=objectives, largest=32)
    first_come = simulate_queue(TakeAll(), arrivals, WEIGHTS, objective=objectives, largest=32)
    assert run.share_in_time > first_come.share_in_time + 0.05
    far = objectives > 0.1
    assert (run.ends[far] <= run.deadlines[far]).mean() > 0.99
