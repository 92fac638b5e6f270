"""Runs that somebody measured: of which workload, on what, how long, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

DONE, FAILED, TIMED_OUT, STOPPED = "done", "failed", "timed_out", "stopped"
"""How a run ended: whole; by itself, without a result, as when memory is short; at the time limit of the
user's; at the limit of a probe that could not win any more."""
ENDS = (DONE, FAILED, TIMED_OUT, STOPPED)


class MeasuredRun(Struct, frozen=True):
    """One run of a workload on a configuration."""

    workload: str
    program: str
    """What ran, whatever its input: workloads of one program are the same at another size."""
    configuration: str
    per_hour: float
    """US dollars an hour of the whole configuration."""
    seconds: float
    dollars: float
    status: str
    features: Mapping[str, float | str]
    """Of the configuration."""
    inputs: Mapping[str, float] = msgspec.field(default_factory=dict)
    """Of the run's input, such as `data_mb`."""
    seen: Mapping[str, float] = msgspec.field(default_factory=dict)
    """Metrics of the machines meanwhile."""
