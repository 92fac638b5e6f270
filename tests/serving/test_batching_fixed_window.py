"""A full batch or the end of a window, counted as Ray and MLServer do and as LitServe does."""

from __future__ import annotations

from typing import Any

import pytest
from batching_queues import queue

from tradewind.errors import Misuse
from tradewind.serving.batching.fixed_window import FixedWindow, Turned
from tradewind.serving.batching.interface import Choice


def test_from_the_first_request() -> None:
    rule = FixedWindow(0.01, 4)
    memory = rule.recall()
    choice, memory = rule.decide(queue([0.004, 0.001]), memory)
    assert choice == Choice(wake_at=100.0 - 0.004 + 0.01)
    assert rule.decide(queue([0.0] * 4), memory)[0] == Choice(4)
    assert rule.decide(queue([0.0] * 9), memory)[0] == Choice(4)
    assert rule.decide(queue([0.0101, 0.0]), memory)[0] == Choice(2)


def test_from_when_the_worker_turned_to_the_queue() -> None:
    rule = FixedWindow(0.01, since="worker")
    # Both have waited a long time, behind a batch; the window begins only now.
    choice, memory = rule.decide(queue([0.03, 0.02], finished=7), rule.recall())
    assert (choice, memory) == (Choice(wake_at=100.01), Turned(7, 100.0))
    choice, memory = rule.decide(queue([0.035, 0.025], now=100.005, finished=7), memory)
    assert choice == Choice(wake_at=100.01)
    choice, memory = rule.decide(queue([0.04, 0.03], now=100.01, finished=7), memory)
    assert (choice, memory) == (Choice(2), Turned())


def test_a_window_of_0_takes_at_once_and_a_size_above_the_largest_is_the_largest() -> None:
    assert FixedWindow(0.0).decide(queue([0.0]), Turned())[0] == Choice(1)
    assert FixedWindow(9.0, 64).decide(queue([0.0] * 40), Turned())[0] == Choice(32)


@pytest.mark.parametrize(
    "options", [{"window": -1.0}, {"window": float("nan")}, {"size": -1}, {"since": "x"}]
)
def test_bad_options_are_said(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(options))):
        FixedWindow(**options)
