"""Demands in parameters and in attributes."""

import pytest

from tradewind.errors import Misuse
from tradewind.serving.variants.demands import NOTHING, Required, attributes_of, demand_of


@pytest.mark.parametrize(
    ("given", "demand"),
    [
        ({}, NOTHING),
        ({"temperature": 1}, NOTHING),
        ({"min_accuracy": 0.95}, Required(0.95)),
        ({"max_latency_ms": 20, "min_accuracy": "0.5"}, Required(0.5, 0.02)),
        ({"max_latency_ms": 1, "confidence": 0.9}, Required(0.0, 0.001, 0.9)),
        ({"max_latency_ms": float("inf")}, NOTHING),
    ],
)
def test_what_is_demanded(given, demand):
    assert demand_of(given) == demand


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_accuracy": 95}, "min_accuracy.*0.97 for 97 %"),
        ({"min_accuracy": "much"}, "min_accuracy.*'much' is no number"),
        ({"min_accuracy": True}, "min_accuracy.*no number"),
        ({"min_accuracy": [0.9]}, "min_accuracy.*no number"),
        ({"min_accuracy": float("nan")}, "min_accuracy.*no number"),
        ({"max_latency_ms": 0}, "max_latency_ms.*above 0"),
        ({"max_latency_ms": -1}, "max_latency_ms"),
        ({"confidence": 1}, "confidence.*below 1"),
        ({"confidence": 0.2}, "confidence"),
    ],
)
def test_what_is_no_demand_is_told(given, said):
    with pytest.raises(Misuse, match=said):
        demand_of(given)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("trace=42", {}),
        ("min_accuracy=0.9", {"min_accuracy": "0.9"}),
        (" min_accuracy : 0.9 ;x; max_latency_ms=20,", {"min_accuracy": "0.9", "max_latency_ms": "20"}),
        ("not_min_accuracy=0.9, min_accuracy=0.9 0.8", {}),
    ],
)
def test_attributes(text, found):
    assert attributes_of(text) == found
