"""The simulated queue: by hand, against closed forms of queueing theory, and again with the same seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.load.arrivals import poisson
from tradewind.serving.batching.fixed_window import FixedWindow
from tradewind.serving.batching.interface import WAIT, Choice, Latency, Queue
from tradewind.serving.batching.simulation import simulate_queue
from tradewind.serving.batching.slack import SlackBatching
from tradewind.serving.batching.take_all import TakeAll


def test_a_short_run_by_hand() -> None:
    run = simulate_queue(TakeAll(), [0.0, 1.0, 2.0, 10.0], Latency(1.0, 3.0), objective=9.5, largest=2)
    assert run.starts.tolist() == [0.0, 4.0, 4.0, 10.0]
    assert run.ends.tolist() == [4.0, 9.0, 9.0, 14.0]
    assert run.batch_rows.tolist() == [1, 2, 1]
    assert run.batch_seconds.tolist() == [4.0, 5.0, 4.0]
    assert (run.in_time, run.dropped, run.goodput) == (4, 0, 4 / 14.0)
    assert run.mean_wait == pytest.approx((3.0 + 2.0) / 4)
    late = simulate_queue(TakeAll(), [0.0, 1.0, 2.0, 10.0], Latency(1.0, 3.0), objective=7.5, largest=2)
    assert late.in_time == 3
    assert late.share_in_time == 0.75


def test_factors_sizes_and_two_replicas_by_hand() -> None:
    run = simulate_queue(
        TakeAll(), [0.0, 0.0, 0.0], Latency(1.0, 0.0), sizes=[2, 3, 4], replicas=2, factors=[1.0, 0.5]
    )
    assert run.ends.tolist() == [2.0, 1.5, 5.5]
    assert run.batch_seconds.tolist() == [2.0, 1.5, 4.0]


def test_a_wake_up_comes_at_its_moment() -> None:
    run = simulate_queue(FixedWindow(0.25), [1.0, 1.125], Latency(0.0, 1.0))
    assert run.starts.tolist() == [1.25, 1.25]


def test_different_objectives_are_served_by_deadline() -> None:
    run = simulate_queue(
        SlackBatching(), [0.0, 0.1, 0.2], Latency(0.0, 1.0), objective=[9.0, 9.0, 3.0], largest=1
    )
    assert run.starts.tolist() == [0.0, 2.0, 1.0]


def test_a_refusal_is_not_in_time() -> None:
    run = simulate_queue(SlackBatching(), [0.0, 0.1], Latency(0.0, 1.0), objective=[5.0, 0.5], largest=1)
    assert run.dropped == 1
    assert run.in_time == 1
    assert math.isnan(run.ends[1])


def test_no_requests_is_a_run_too() -> None:
    run = simulate_queue(TakeAll(), [], Latency(0.0, 1.0))
    assert (run.in_time, run.share_in_time, run.goodput) == (0, 1.0, 0.0)


def waits(load: float, requests: int, servers: int, exponential: bool) -> float:
    """Mean wait, in mean services, of a simulated run in which every batch is one request."""
    arrivals = poisson(load * servers, requests / (load * servers), 11)
    factors = np.random.default_rng(5).exponential(1.0, len(arrivals)) if exponential else None
    run = simulate_queue(TakeAll(), arrivals, Latency(0.0, 1.0), replicas=servers, largest=1, factors=factors)
    return run.mean_wait


def test_m_m_1() -> None:
    assert waits(0.5, 100_000, 1, exponential=True) == pytest.approx(0.5 / (1 - 0.5), rel=0.02)


def test_m_d_1() -> None:
    assert waits(0.7, 150_000, 1, exponential=False) == pytest.approx(0.7 / (2 * (1 - 0.7)), rel=0.02)


def test_m_m_3() -> None:
    servers, offered = 3, 1.8
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1 - offered / servers)
    erlang_c = last / (sum(terms) + last)
    expected = erlang_c / (servers - offered)
    assert waits(offered / servers, 120_000, servers, exponential=True) == pytest.approx(expected, rel=0.02)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    runs = [
        simulate_queue(SlackBatching(), poisson(900, 2.0, seed), Latency(0.0005, 0.0045), objective=0.05)
        for seed in (1, 1, 2)
    ]
    assert runs[0].ends.tobytes() == runs[1].ends.tobytes() != runs[2].ends.tobytes()


class Sleeper:
    """Waits for ever, against the seam's third promise."""

    name, order = "sleeper", "arrival"

    def recall(self) -> None:
        return None

    def decide(self, queue: Queue, memory: Any) -> tuple[Choice, Any]:
        return WAIT, None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arrivals": [2.0, 1.0]}, "ascending"),
        ({"arrivals": [math.nan]}, "ascending"),
        ({"replicas": 0}, "replicas"),
        ({"largest": 0}, "largest"),
        ({"sizes": [1]}, "one size for each"),
        ({"factors": []}, "factors"),
        ({"rule": Sleeper()}, "for ever"),
    ],
)
def test_bad_input_is_said(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"rule": TakeAll(), "arrivals": [0.0, 1.0], "latency": Latency(0.0, 1.0)}
    with pytest.raises(Misuse, match=said):
        simulate_queue(**(given | change))
