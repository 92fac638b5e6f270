"""What a caller demands of whatever answers: read from a request's parameters, or from a text of attributes.

Parameters of the Open Inference Protocol are such as {"min_accuracy": 0.95, "max_latency_ms": 20}, the custom
attributes of SageMaker such as `min_accuracy=0.95; max_latency_ms=20`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tradewind.errors import Misuse

MIN_ACCURACY, MAX_LATENCY, CONFIDENCE = "min_accuracy", "max_latency_ms", "confidence"
NAMES = (MIN_ACCURACY, MAX_LATENCY, CONFIDENCE)
"""Of the parameters that are demands; others are the model's."""
_ATTRIBUTE = re.compile(rf"\s*({'|'.join(NAMES)})\s*[=:]\s*([^,;\s]+)\s*")


class Required(Struct, frozen=True):
    """What must hold of an answer."""

    accuracy: float = 0.0
    """At least so much of the task's metric."""
    latency: float | None = None
    """Seconds within which it should be there; None where nobody said."""
    confidence: float = 0.5
    """How sure both must be; 0.5 takes them as measured."""


NOTHING = Required()


def demand_of(parameters: Mapping[str, Any]) -> Required:
    """The demand in a request's parameters. Misuse, naming the parameter, for what is no such number."""
    if not any(name in parameters for name in NAMES):
        return NOTHING
    accuracy = _number(parameters, MIN_ACCURACY, 0.0)
    if not 0.0 <= accuracy <= 1.0:
        raise Misuse(
            f"{accuracy:g} is not between 0 and 1", source="parameters", field=MIN_ACCURACY,
            fix="Give a share, such as 0.97 for 97 %.",
        )  # fmt: skip
    latency = _number(parameters, MAX_LATENCY, math.inf)
    if not latency > 0:
        raise Misuse(
            f"{latency:g} is no time", source="parameters", field=MAX_LATENCY,
            fix="Give milliseconds above 0.",
        )  # fmt: skip
    confidence = _number(parameters, CONFIDENCE, 0.5)
    if not 0.5 <= confidence < 1.0:
        raise Misuse(
            f"{confidence:g} is none", source="parameters", field=CONFIDENCE,
            fix="Give 0.5 (as measured) or more, below 1.",
        )  # fmt: skip
    return Required(accuracy, latency / 1e3 if latency < math.inf else None, confidence)


def attributes_of(text: str) -> dict[str, str]:
    """The demands in a text of attributes, by name; whatever else stands there is passed over.

    >>> attributes_of("caller=me; min_accuracy=0.9, max_latency_ms=20")
    {'min_accuracy': '0.9', 'max_latency_ms': '20'}
    """
    found = (_ATTRIBUTE.fullmatch(part) for part in re.split("[;,]", text))
    return {each[1]: each[2] for each in found if each}


def _number(parameters: Mapping[str, Any], name: str, unsaid: float) -> float:
    value = parameters.get(name, unsaid)
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if math.isnan(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise Misuse(
            f"{str(value)[:40]!r} is no number", source="parameters", field=name, fix="Give a number."
        ) from None
    return number
