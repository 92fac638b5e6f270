"""What an endpoint promises: how quickly, and to how many of its requests."""

from __future__ import annotations

import re

from msgspec import Struct

from tradewind.errors import Misuse

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_FORM = re.compile(r"p(\d{1,2}(?:\.\d+)?)\s*<=?\s*(\d+(?:\.\d+)?)\s*(us|ms|s)", re.IGNORECASE)


class Objective(Struct, frozen=True):
    """What the endpoint promises."""

    latency: float
    """Seconds within which a request should be answered."""
    share: float = 0.99
    """The share of requests that should be."""

    def __str__(self) -> str:
        return f"p{100 * self.share:g}<{1000 * self.latency:g}ms"


def objective(text: str) -> Objective:
    """The objective that a text such as `p99<50ms` states; Misuse where it states none.

    >>> objective("p99.5 < 0.2s")
    Objective(latency=0.2, share=0.995)
    """
    stated = _FORM.fullmatch(text.strip())
    if stated is None or not float(stated[2]) > 0 or not float(stated[1]) > 0:
        raise Misuse(
            f"{text!r} is no objective",
            field="slo",
            fix="Write a percentile and a time, such as p99<50ms.",
        )
    percentile, amount, unit = stated.groups()
    return Objective(round(float(amount) * _UNITS[unit.lower()], 9), round(float(percentile) / 100, 6))
