"""Triton's batcher: preferred sizes, a delay, and rejection after a timeout."""

from __future__ import annotations

from typing import Any

import pytest
from batching_queues import queue

from tradewind.errors import Misuse
from tradewind.serving.batching.interface import Choice
from tradewind.serving.batching.triton import TritonBatching


def test_without_a_delay_all_go_at_once() -> None:
    assert TritonBatching().decide(queue([0.0, 0.0]), None)[0] == Choice(2)
    assert TritonBatching(size=8).decide(queue([0.0] * 20), None)[0] == Choice(8)


def test_the_largest_preferred_size_that_is_there() -> None:
    rule = TritonBatching((4, 16), delay=0.01)
    assert rule.decide(queue([0.002] * 3), None)[0] == Choice(wake_at=100.0 - 0.002 + 0.01)
    assert rule.decide(queue([0.0] * 4), None)[0] == Choice(4)
    assert rule.decide(queue([0.0] * 15), None)[0] == Choice(4)
    assert rule.decide(queue([0.0] * 17), None)[0] == Choice(16)
    assert rule.decide(queue([0.0] * 40), None)[0] == Choice(32)
    assert rule.decide(queue([0.011] * 3), None)[0] == Choice(3)


def test_who_waited_longer_than_the_timeout_is_rejected() -> None:
    rule = TritonBatching(timeout=0.02)
    assert rule.decide(queue([0.03, 0.021, 0.01]), None)[0] == Choice(drop=2)
    assert rule.decide(queue([0.01]), None)[0] == Choice(1)


@pytest.mark.parametrize(
    "options",
    [{"preferred": (0,)}, {"delay": -1.0}, {"timeout": 0.0}, {"timeout": float("nan")}, {"size": -1}],
)
def test_bad_options_are_said(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(options))):
        TritonBatching(**options)
