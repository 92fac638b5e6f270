"""States: the published table by hand, and our split of its blacklist."""

import pytest

from tradewind.serving.batching.interface import Latency
from tradewind.serving.variants.states import (
    Observed,
    Reaction,
    State,
    Thresholds,
    blacklisted,
    quieter,
    reaction_to,
    state_of,
    thresholds,
)

LINE = Latency(0.002, 0.006)
"""T(2) is 10 ms, so that a replica does 100 batches a second."""


def seen(replicas=2, rate=0.0, latency=0.010, queued=0.0, service=None):
    return Observed(replicas, rate, 2.0, latency, latency if service is None else service, queued)


def test_the_table():
    assert thresholds("cpu", 2, 1.0) == Thresholds(2.5, 0.5, 0.8, 1.5)
    assert thresholds("cpu", 1, 1.0) == Thresholds(4.0, 1.0, 1.1, 1.5)
    assert thresholds("gpu", 3, 0.020) == Thresholds(1.5, 0.3, 0.8, 1.25)
    assert thresholds("gpu", 1, 0.005).late == pytest.approx(3.0)  # 15 ms / 5 ms
    assert thresholds("gpu", 1, 0.001).late == 5.0


@pytest.mark.parametrize(
    ("observed", "before", "expected"),
    [
        # two replicas: late over 25 ms, busy over 50 batches a second each, queue over 0.8 * 2 * 100 = 160
        (seen(rate=102, latency=0.0251), False, True),
        (seen(rate=102, latency=0.0249), False, False),
        (seen(rate=98, latency=0.0251), False, False),
        (seen(queued=161), False, True),
        (seen(queued=159), False, False),
        # one replica: over 40 ms and 100 a second, queue over 110
        (seen(1, rate=101, latency=0.0401), False, True),
        (seen(1, rate=101, latency=0.0399), False, False),
        (seen(1, rate=99, latency=0.0401), False, False),
        (seen(1, queued=109), False, False),
        (seen(1, queued=111), False, True),
        # off it again: below 15 ms, and below 160 waiting
        (seen(latency=0.0149, queued=159), True, False),
        (seen(latency=0.0151), True, True),
        (seen(latency=0.0149, queued=161), True, True),
        (seen(0, rate=1e6), True, False),
    ],
)
def test_the_blacklist_as_published(observed, before, expected):
    assert blacklisted(observed, LINE, "cpu", before) is expected


@pytest.mark.parametrize(
    ("observed", "before", "expected"),
    [
        (seen(0), State.ACTIVE, State.INACTIVE),
        (seen(rate=150), State.ACTIVE, State.ACTIVE),
        (seen(queued=161), State.ACTIVE, State.OVERLOADED),
        (seen(rate=201, latency=0.0251), State.ACTIVE, State.OVERLOADED),
        # late for waiting alone, at less than it can do: neither
        (seen(rate=150, latency=0.0251, service=0.010), State.ACTIVE, State.ACTIVE),
        (seen(rate=150, latency=0.0251), State.ACTIVE, State.INTERFERED),
        (seen(rate=20, latency=0.0251), State.ACTIVE, State.INTERFERED),
        (seen(rate=201, latency=0.05, service=0.010), State.ACTIVE, State.OVERLOADED),
        # what waits behind a slow machine is not the load's fault
        (seen(rate=150, latency=1.0, service=0.030, queued=500), State.ACTIVE, State.INTERFERED),
        (seen(latency=0.0151), State.OVERLOADED, State.OVERLOADED),
        (seen(latency=0.0149), State.OVERLOADED, State.ACTIVE),
        (seen(latency=0.0500, service=0.0151), State.INTERFERED, State.INTERFERED),
        (seen(latency=0.0500, service=0.0149), State.INTERFERED, State.ACTIVE),
    ],
)
def test_the_split(observed, before, expected):
    assert state_of(observed, LINE, "cpu", before) is expected


def test_reactions_differ():
    assert [reaction_to(state) for state in State] == [
        Reaction.START, Reaction.NONE, Reaction.SCALE, Reaction.MOVE,
    ]  # fmt: skip


def test_silence_decays():
    assert quieter(0.15, "cpu") == pytest.approx(0.01)
    assert quieter(0.15, "gpu") == pytest.approx(0.1)
