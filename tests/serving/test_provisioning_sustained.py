"""What a replica sustains, against the closed forms of its queue."""

from __future__ import annotations

import math

import pytest

from tradewind.errors import Misuse
from tradewind.serving.batching.interface import Latency
from tradewind.serving.batching.rules import rule
from tradewind.serving.batching.take_all import TakeAll
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.sustained import sustained


def test_one_at_a_time_it_is_an_m_d_1_queue() -> None:
    # Erlang (1909): P(wait <= t) of M/D/1 is (1 - a) sum_k (a (k - t))^k / k! e^(-a (k - t)), service 1.
    found = sustained("any", Latency(0.0, 0.01), TakeAll, Objective(0.04, 0.9), largest=1)
    load = found.rate * 0.01
    in_time = (1 - load) * sum(
        (load * (k - 3.0)) ** k / math.factorial(k) * math.exp(-load * (k - 3.0)) for k in range(4)
    )
    assert in_time == pytest.approx(0.9, abs=0.02)
    wait = load / (2 * (1 - load)) * 0.01  # Pollaczek and Khinchine
    assert found.concurrency == pytest.approx(found.rate * (wait + 0.01), rel=0.1)
    assert (found.instance_type, found.service) == ("any", 0.01)


def test_batches_and_time_make_it_more_and_spread_makes_it_less() -> None:
    line = Latency(0.001, 0.004)

    def rate(objective=0.05, largest=32, latency=line):
        return sustained("any", latency, rule, Objective(objective), largest=largest).rate

    assert rate(largest=1) < rate(largest=8) < rate() < 32 / line.of(32)
    assert rate(0.02) < rate()
    assert rate(latency=Latency(0.001, 0.004, 0.003)) < rate()


def test_what_cannot_be_promised() -> None:
    with pytest.raises(Misuse, match="20 ms by itself"):
        sustained("any", Latency(0.0, 0.02), rule, Objective(0.01), largest=8)
    with pytest.raises(Misuse, match="nothing is known"):
        sustained("any", Latency(0.0, 0.0), rule, Objective(0.01), largest=8)
