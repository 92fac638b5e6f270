"""CORK: its training, its line, and when it cancels, waits and takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batching_queues import queue
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.estimates.load.arrivals import poisson
from tradewind.serving.batching.cork import CorkBatching, Corked, _line
from tradewind.serving.batching.interface import Choice, Latency
from tradewind.serving.batching.simulation import simulate_queue

TRAINED = Corked(0.0005, 0.0045, mean_wait=0.01, seen=6)


def test_it_trains_on_batches_of_1_2_and_3() -> None:
    run = simulate_queue(CorkBatching(0.5), [0.0] * 40, Latency(0.001, 0.004), largest=100)
    assert run.batch_rows[:6].tolist() == [1, 1, 1, 1, 2, 3]
    assert run.batch_rows[6:].tolist() == [31]


def test_the_line_is_least_squares_of_least_norm() -> None:
    batches = ((1, 0.005, 0.0), (4, 0.0071, 0.0), (9, 0.009, 0.0))
    expected = np.linalg.lstsq([[1, 1], [4, 1], [9, 1]], [0.005, 0.0071, 0.009], rcond=None)[0]
    assert _line(batches) == pytest.approx(tuple(expected))
    same = ((3, 0.005, 0.0), (3, 0.007, 0.0))
    assert _line(same) == pytest.approx(
        tuple(np.linalg.lstsq([[3, 1], [3, 1]], [0.005, 0.007], rcond=None)[0])
    )
    assert _line(((1, 0.009, 0.0), (9, 0.001, 0.0)))[0] == 1e-6


def test_it_cancels_the_first_that_the_whole_queue_makes_late() -> None:
    rule = CorkBatching(0.05, tick=0.0)
    # 36 ms waited, 20 rows take 14.5: late. 35 ms would not be.
    assert rule.decide(queue([0.036] * 20, finished=6), TRAINED)[0] == Choice(drop=1)
    assert rule.decide(queue([0.035] * 20, finished=6), TRAINED)[0] == Choice(20)
    # Alone it is never cancelled.
    assert rule.decide(queue([0.09], finished=6), TRAINED)[0] == Choice(1)


def test_it_waits_while_few_have_just_come() -> None:
    rule = CorkBatching(0.05, tick=0.0)
    # 2 (1 + 1 + 0.5 ms) = 5 ms is within 9.5; 4 (1 + 1 + 0.5) = 10 is not.
    assert rule.decide(queue([0.001] * 2, finished=6), TRAINED)[0] == Choice(wake_at=100.001)
    assert rule.decide(queue([0.001] * 4, finished=6), TRAINED)[0] == Choice(4)
    assert rule.decide(queue([0.0] * 3, largest=2, finished=6), TRAINED)[0] == Choice(2)


def test_it_looks_at_its_queue_once_a_tick() -> None:
    rule = CorkBatching(0.05)
    memory = replace(TRAINED, taken_at=99.9905)
    choice, memory = rule.decide(queue([0.03] * 4, finished=6), memory)
    assert choice == Choice(wake_at=pytest.approx(100.0005))
    choice, _ = rule.decide(queue([0.0305] * 4, now=100.0005, finished=6), memory)
    assert choice == Choice(4)


def test_one_batch_is_in_flight() -> None:
    rule = CorkBatching(0.05)
    assert rule.decide(queue([0.03] * 4, running=1, finished=6), TRAINED)[0].take == 0


def test_it_learns_the_line_and_the_waits_of_its_batches() -> None:
    rule, memory = (
        CorkBatching(0.05, tick=0.0),
        Corked(0.0033, 0.0017, seen=6, refreshed=90.0, last_wait=0.003),
    )
    _, memory = rule.decide(queue([0.03], finished=7, last_rows=5, last_seconds=0.007), memory)
    assert memory.batches == ((5, 0.007, 0.003),)
    assert (memory.mean_wait, memory.refreshed) == (0.003, 100.0)
    run = simulate_queue(rule, poisson(900, 6.0, 1), Latency(0.0005, 0.0045), objective=0.05)
    assert run.share_in_time > 0.99


@pytest.mark.parametrize("options", [{"max_latency": 0.0}, {"size": -1}, {"tick": -0.001}])
def test_bad_options_are_said(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(options))):
        CorkBatching(**options)
