"""Clipper's probing of the batch size."""

from __future__ import annotations

from typing import Any

import pytest
from batching_queues import queue

from tradewind.errors import Misuse
from tradewind.serving.batching.clipper import BatchLimit, ClipperBatching
from tradewind.serving.batching.interface import Choice, Latency
from tradewind.serving.batching.simulation import simulate_queue


def test_the_limit_grows_by_steps_and_falls_by_a_tenth() -> None:
    rule = ClipperBatching(0.02, increase=2.0)
    choice, memory = rule.decide(queue([0.0] * 40), rule.recall())
    assert (choice, memory) == (Choice(1), BatchLimit(1.0, 0))
    choice, memory = rule.decide(queue([0.0] * 40, finished=1, last_rows=1, last_seconds=0.005), memory)
    assert (choice, memory) == (Choice(3), BatchLimit(3.0, 1))
    # A batch below the limit says nothing of a larger one.
    _, memory = rule.decide(queue([0.0], finished=2, last_rows=2, last_seconds=0.005), memory)
    assert memory == BatchLimit(3.0, 2)
    _, memory = rule.decide(queue([0.0], finished=3, last_rows=3, last_seconds=0.03), memory)
    assert memory == BatchLimit(2.7, 3)
    _, same = rule.decide(queue([0.0], finished=3, last_rows=3, last_seconds=0.03), memory)
    assert same == memory


def test_the_expired_are_removed_and_a_delay_waits_for_more() -> None:
    rule = ClipperBatching(0.02, delay=0.005)
    assert rule.decide(queue([0.06, 0.051, 0.01]), BatchLimit(8.0))[0] == Choice(drop=2)
    assert rule.decide(queue([0.002, 0.001]), BatchLimit(8.0))[0] == Choice(wake_at=pytest.approx(100.003))
    assert rule.decide(queue([0.006, 0.001]), BatchLimit(8.0))[0] == Choice(2)
    assert rule.decide(queue([0.001] * 9), BatchLimit(8.0))[0] == Choice(8)


def test_under_a_steady_crowd_it_settles_about_the_objective() -> None:
    run = simulate_queue(ClipperBatching(0.02), [0.0] * 4000, Latency(0.0005, 0.0045), largest=64)
    late = run.batch_rows[-50:-1]
    assert 27 <= late.min() <= late.max() <= 32


@pytest.mark.parametrize(
    "options", [{"objective": 0.0}, {"increase": 0.0}, {"decrease": 1.0}, {"delay": float("inf")}]
)
def test_bad_options_are_said(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(options))):
        ClipperBatching(**options)
