"""MArk's plan by hand, and the batches that follow from it."""

from __future__ import annotations

import pytest
from batching_queues import queue

from tradewind.errors import Misuse
from tradewind.serving.batching.interface import Choice, Latency
from tradewind.serving.batching.mark import MarkBatching, plan

PROFILE = {1: 0.005, 2: 0.0055, 4: 0.0065, 8: 0.0085, 16: 0.0125, 32: 0.0205}


def test_the_plan_by_hand() -> None:
    # Throughputs 200, 364, 615, 941, 1280, 1561: each gains more than 5 %, and 32 rows wait 50 - 20.5 ms.
    assert plan(0.05, PROFILE) == (32, pytest.approx(0.0295))
    # Of 18 ms, 16 rows take 12.5; 32 rows are not feasible.
    assert plan(0.018, PROFILE) == (16, pytest.approx(0.0055))
    # The second line binds for 2 rows, 10 ms one by one, of which the batch takes 5.5.
    assert plan(0.05, {1: 0.005, 2: 0.0055}) == (2, pytest.approx(0.0045))
    # 4 rows gain 2.4 % over 2: not worth their wait.
    assert plan(0.05, {1: 0.005, 2: 0.008, 4: 0.015625}) == (2, pytest.approx(0.002))
    # A batch that is no quicker than one by one is never worth while.
    assert plan(0.05, {1: 0.005, 2: 0.010, 4: 0.020}) == (1, 0.0)
    assert plan(0.001, PROFILE) == (1, 0.0)


def test_it_flushes_at_its_size_or_its_wait() -> None:
    rule = MarkBatching(0.05, {1: 0.005, 2: 0.0055, 4: 0.0065})
    assert rule.planned == (4, pytest.approx(0.0135))
    assert rule.decide(queue([0.0] * 3), None)[0] == Choice(wake_at=pytest.approx(100.0135))
    assert rule.decide(queue([0.0] * 9), None)[0] == Choice(4)
    assert rule.decide(queue([0.0136, 0.0]), None)[0] == Choice(2)


def test_without_a_profile_it_plans_from_what_is_learned() -> None:
    rule = MarkBatching(0.05)
    assert rule.decide(queue([0.0] * 31), None)[0] == Choice(wake_at=pytest.approx(100.0295))
    assert rule.decide(queue([0.0] * 32), None)[0] == Choice(32)
    assert rule.decide(queue([0.0], latency=Latency(0.0, 0.0)), None)[0] == Choice(1)


def test_bad_options_are_said() -> None:
    with pytest.raises(Misuse, match="profile"):
        MarkBatching(0.05, {2: 0.01})
    with pytest.raises(Misuse, match="objective"):
        MarkBatching(0.0)
