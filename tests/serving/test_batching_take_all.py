"""Take all, at once."""

from __future__ import annotations

import math

from batching_queues import queue

from tradewind.serving.batching.interface import Choice
from tradewind.serving.batching.take_all import TakeAll


def test_it_takes_what_fits_however_late_and_nothing_without_a_replica() -> None:
    rule = TakeAll()
    assert rule.decide(queue([9.0, 0.0]), None) == (Choice(2), None)
    assert rule.decide(queue([0.0] * 40), None) == (Choice(32), None)
    assert rule.decide(queue([0.0] * 3, sizes=[20, 12, 1]), None) == (Choice(2), None)
    assert rule.decide(queue([0.0], idle=0), None) == (Choice(wake_at=math.inf), None)
