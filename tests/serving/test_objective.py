"""An objective as users write it."""

from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.serving.objective import Objective, objective


@pytest.mark.parametrize(
    ("text", "latency", "share"),
    [
        ("p99<50ms", 0.05, 0.99),
        (" P99.9 <= 1.5s ", 1.5, 0.999),
        ("p50<200us", 0.0002, 0.5),
        ("p5<1ms", 0.001, 0.05),
    ],
)
def test_a_percentile_and_a_time(text, latency, share) -> None:
    assert objective(text) == Objective(latency, share)
    assert objective(str(objective(text))) == objective(text)


@pytest.mark.parametrize("text", ["", "50ms", "p99", "p99<0ms", "p0<5ms", "p100<5ms", "p99<5m", "p99>5ms"])
def test_anything_else_is_refused_with_an_example(text) -> None:
    with pytest.raises(Misuse, match="p99<50ms"):
        objective(text)
