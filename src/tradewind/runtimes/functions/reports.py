"""The REPORT line that ends a call's log: what the call took, and what it is billed.

AWS Lambda developer guide, "Viewing logs for Lambda functions". Since August 2025 the time of an on-demand
environment's start is billed with the call that waited for it.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct

_FIELD = re.compile(r"([A-Z][A-Za-z ]+): ([^\t\n]+)")


class Report(Struct, frozen=True):
    """One call. Durations are milliseconds, memory in MB of 2**20 bytes."""

    request: str
    duration: float
    """Of the handler, from the event's sending to its answer."""
    billed: int
    memory: int
    """What the function is configured for."""
    used: int
    """The most that its process took so far."""
    init: float | None = None
    """From the order to start the environment until its code was loaded; None for one that was warm."""
    start: str = ""
    """How a cold one was started: `plain` or `forked`; empty for a warm one, and on AWS."""

    @property
    def cold(self) -> bool:
        """Whether the call waited for an environment."""
        return self.init is not None

    @property
    def gb_seconds(self) -> float:
        """What is billed by memory and time."""
        return self.billed / 1000.0 * self.memory / 1024.0


def billed_ms(duration: float, init: float | None) -> int:
    """Whole milliseconds that a call is billed.

    >>> billed_ms(1.2, None), billed_ms(1.2, 100.0), billed_ms(0.0, None)
    (2, 102, 1)
    """
    return max(1, math.ceil(round(duration + (init or 0.0), 3)))


def line(report: Report) -> str:
    """The report as its line of the log."""
    cold = "" if report.init is None else f"Init Duration: {report.init:.2f} ms\t"
    start = f"Start: {report.start}\t" if report.start else ""
    return (
        f"REPORT RequestId: {report.request}\tDuration: {report.duration:.2f} ms\t"
        f"Billed Duration: {report.billed} ms\tMemory Size: {report.memory} MB\t"
        f"Max Memory Used: {report.used} MB\t{cold}{start}\n"
    )


def report_in(log: str) -> Report | None:
    """The last report of a log's end; None where it has none, or one that is cut off."""
    _, mark, last = log.rpartition("REPORT RequestId: ")
    if not mark:
        return None
    told = dict(_FIELD.findall("RequestId: " + last))
    try:
        return Report(
            request=told["RequestId"].strip(),
            duration=_number(told["Duration"]),
            billed=int(_number(told["Billed Duration"])),
            memory=int(_number(told["Memory Size"])),
            used=int(_number(told["Max Memory Used"])),
            init=_number(told["Init Duration"]) if "Init Duration" in told else None,
            start=told.get("Start", "").strip(),
        )
    except (KeyError, ValueError):
        return None


def _number(text: str) -> float:
    return float(text.split(maxsplit=1)[0])
