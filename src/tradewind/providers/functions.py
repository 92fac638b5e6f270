"""Functions as something that is sold: an offer for each size, by memory and time, with what Lambda allows.

AWS Lambda pricing and developer guide, "Lambda quotas" and "Configure Lambda function memory". A function's
price runs only while a call does: `per_hour` is that of a call that lasts an hour.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.billing.functions import BY_MILLISECONDS, Functions
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources

FULL_CORE = 1769
"""MB with which a function gets one hardware thread."""


class FunctionLimits(Struct, frozen=True):
    """What one function may be."""

    least: int = 128
    """MB of memory (2**20 bytes)."""
    most: int = 10240
    longest: float = 900.0
    """Seconds of a call."""
    concurrency: int = 1000
    """Calls at a time, of all functions of an account together, until more is asked for."""


LAMBDA = FunctionLimits()


def function_type(memory: int, limits: FunctionLimits = LAMBDA) -> InstanceType:
    """The shape of a function with `memory` MB; Misuse where there is none so small or large."""
    if not limits.least <= memory <= limits.most:
        raise Misuse(
            f"{memory} MB is no size of a function", source="functions", field="memory",
            fix=f"Give {limits.least} to {limits.most}.",
        )  # fmt: skip
    return InstanceType(f"function-{memory}", Resources(vcpus=memory / FULL_CORE, memory_gib=memory / 1024.0))


def function_offer(
    memory: int, zone: str, *, cold: float, rule: Functions = BY_MILLISECONDS, limits: FunctionLimits = LAMBDA
) -> Offer:
    """What may be had now: environments of `memory` MB in `zone`, each up after `cold` seconds."""
    kind = function_type(memory, limits)
    per_hour = rule.per_gb_second * kind.resources.memory_gib * 3600.0
    return Offer(kind, zone, Price(per_hour, Terms.FUNCTION), limits.concurrency, cold)


def cost_of_call(seconds: float, memory: int, rule: Functions = BY_MILLISECONDS) -> float:
    """US dollars for one call, its time rounded up to the unit of the rule.

    >>> round(1e6 * cost_of_call(0.0101, 1024), 4)
    0.3833
    """
    units = max(1, math.ceil(round(seconds / rule.unit, 6)))
    return units * rule.unit * (memory / 1024.0) * rule.per_gb_second + rule.per_call


def break_even(per_hour: float, rate: float, per_call: float) -> float:
    """The share of its time that a machine must be busy, for it to cost what functions would.

    The machine costs `per_hour` US dollars and answers `rate` requests a second when it is busy all the time;
    a function's call costs `per_call`. Above 1, functions are always cheaper.
    """
    if not (per_hour > 0 and rate > 0 and per_call > 0):
        raise Misuse("prices and rates are positive", source="functions", field="break_even")
    return per_hour / 3600.0 / (rate * per_call)
