"""Until when an answer is wanted, as callers say it over HTTP.

Callers have no one way of saying how long they wait, so those that are in use are all read: a plain
`X-Request-Timeout-Ms`, Ray Serve's `X-Request-Timeout-Seconds`, Envoy's `X-Envoy-Expected-Rq-Timeout-Ms`,
gRPC's `Grpc-Timeout` as gateways pass it on, SageMaker's `X-Amzn-SageMaker-InvocationTimeoutSeconds`; and the
parameter `timeout` of an inference request, in microseconds, as Triton has it. Where more than one is given,
the shortest holds. Time runs from the arrival of the request's last byte, and zero means no deadline.
"""

from __future__ import annotations

import math
from typing import Any

from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.messages import Request

_HEADERS = {
    "x-request-timeout-ms": 1e-3,
    "x-request-timeout-seconds": 1.0,
    "x-envoy-expected-rq-timeout-ms": 1e-3,
    "x-amzn-sagemaker-invocationtimeoutseconds": 1.0,
}
"""Seconds in one of the header's units."""
_NAMES = frozenset(_HEADERS) | {"grpc-timeout"}
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_DIGITS = 8


def deadline_of(request: Request, microseconds: Any = None) -> float | None:
    """The moment after which the answer is worth nothing (`clock.now()`'s); None where nobody said.

    `microseconds` is the inference request's own `timeout`. Raises Refusal for what is no length of time.
    """
    left = math.inf
    if microseconds:
        if type(microseconds) is not int or microseconds < 0:
            raise Refusal(RefusalKind.MALFORMED, "parameters: timeout: give microseconds, as a whole number")
        left = microseconds * 1e-6
    headers = request.headers
    if not _NAMES.isdisjoint(headers):
        for name in _NAMES & headers.keys():
            seconds = _seconds(name, headers[name].strip())
            if seconds:
                left = min(left, seconds)
    return None if left == math.inf else request.arrived + left


def _seconds(name: str, text: str) -> float:
    try:
        if name == "grpc-timeout":
            digits, unit = text[:-1], text[-1:]
            if not (digits.isascii() and digits.isdigit() and len(digits) <= _GRPC_DIGITS):
                raise ValueError(text)
            return int(digits) * _GRPC_UNITS[unit]
        seconds = float(text) * _HEADERS[name]
    except (ValueError, KeyError):
        seconds = -1.0
    if not (seconds >= 0 and math.isfinite(seconds)):
        raise Refusal(RefusalKind.MALFORMED, f"header {name}: {text[:40]!r} is no length of time")
    return seconds
