"""Alarms by their names."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.serving.rollout.alarms import Alarm, Seen, alarm, quantile

BOUNDS = (0.01, 0.1, 1.0)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("errors>5%", Alarm("errors>5%", 0.05)),
        (" errors > 0.01 over 30 s", Alarm(" errors > 0.01 over 30 s", 0.01, None, 30.0)),
        ("p99.9>=1s", Alarm("p99.9>=1s", 1.0, 0.999)),
        ("P50 > 200us over 5s", Alarm("P50 > 200us over 5s", 0.0002, 0.5, 5.0)),
    ],
)
def test_what_a_name_means(name, meant) -> None:
    assert alarm(name) == meant


@pytest.mark.parametrize(
    "name", ["", "HighErrors", "errors>200%", "p99>50", "errors>5%; p99>1s", "errors<5%"]
)
def test_names_that_state_none(name) -> None:
    with pytest.raises(Misuse, match="states no alarm"):
        alarm(name)


def test_when_it_rings() -> None:
    errors, latency = alarm("errors>10%"), alarm("p90>50ms")
    assert not errors.rings(Seen(), BOUNDS) and not latency.rings(Seen(), BOUNDS)
    assert not errors.rings(Seen(0, 4), BOUNDS)  # too few to say
    assert errors.rings(Seen(0, 5), BOUNDS) and not errors.rings(Seen(9, 1, (9, 0, 0, 0)), BOUNDS)
    assert errors.rings(Seen(8, 1, (8, 0, 0, 0)), BOUNDS)
    assert not latency.rings(Seen(10, 0, (9, 1, 0, 0)), BOUNDS)
    assert latency.rings(Seen(10, 0, (8, 2, 0, 0)), BOUNDS)
    assert latency.rings(Seen(10, 0, (5, 0, 0, 5)), BOUNDS)
    window = Seen(20, 3, (10, 10, 0, 0)) - Seen(10, 1, (10, 0, 0, 0))
    assert window == Seen(10, 2, (0, 10, 0, 0)) and Seen() + window == window
    assert window + Seen(1, 0, (1, 0, 0, 0)) == Seen(11, 2, (1, 10, 0, 0))


def test_a_quantile_is_within_its_bucket_of_the_true_one() -> None:
    values = np.random.default_rng(0).exponential(0.05, 2000)
    counts = [int(np.sum((values > low) & (values <= high)))
              for low, high in zip((0, *BOUNDS), (*BOUNDS, math.inf), strict=True)]  # fmt: skip
    for share in (0.1, 0.5, 0.9, 0.99):
        true, found = np.quantile(values, share), quantile(counts, BOUNDS, share)
        assert np.searchsorted(BOUNDS, true) == np.searchsorted(BOUNDS, found)
    assert quantile([0, 0, 0, 1], BOUNDS, 0.5) == math.inf
