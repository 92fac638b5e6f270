"""All that the report of an endpoint tells, as values."""

from __future__ import annotations

import math
from decimal import Decimal

from msgspec import Struct

from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.course import FunctionTariff
from tradewind.session.report.data import ReportData


class Slice(Struct, frozen=True):
    """What happened in a stretch of the market's time."""

    began: float
    ended: float
    rate: float
    """Requests that came in, a second of the wall."""
    missed: float
    """Answered late, or refused."""
    median: float | None
    """Seconds in which half of those answered were; None where none was."""
    tail: float | None
    """Seconds in which the promised share of them was; infinite beyond what is told apart."""


class Fleet(Struct, frozen=True):
    """How many replicas there were from a moment on until the next."""

    at: float
    up: tuple[int, ...]
    """Those that answer, by `EndpointData.kinds`."""
    rented: int
    """All, with those that start or leave."""
    capacity: float
    """Requests a second that those up are counted on for."""


class Peak(Struct, frozen=True):
    """Machines on demand for the busiest stretch, held all along: computed, not run."""

    instance_type: str
    """The one that costs the least for a request."""
    count: int
    price: float
    """US dollars an hour, of one."""
    rate: float
    """Requests a second in the busiest stretch."""
    cost: float
    """US dollars."""


class Functions(Struct, frozen=True):
    """What functions did beside the machines, by their charges."""

    requests: float = 0.0
    """Answered there."""
    calls: float = 0.0
    """Those that keep environments warm among them."""
    gb_seconds: float = 0.0
    dollars: Decimal = Decimal(0)
    tariff: FunctionTariff | None = None
    """None where nobody said."""


class EndpointData(Struct, frozen=True, kw_only=True):
    """An endpoint, told."""

    run: ReportData
    """What every run's report tells: leases, prices, decisions, what was real."""
    objective: Objective
    speed: float = 1.0
    """The market's seconds in one of the wall's."""
    requests: float = 0.0
    """Answered or refused for no fault of the caller's."""
    in_time: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    overflowed: float = 0.0
    retried: float = 0.0
    median: float | None = None
    """Seconds, of all that were answered."""
    tail: float | None = None
    """Seconds in which the promised share of them was answered."""
    slices: tuple[Slice, ...] = ()
    kinds: tuple[str, ...] = ()
    """Kinds of machines, by type and terms."""
    fleets: tuple[Fleet, ...] = ()
    spent: tuple[tuple[float, float], ...] = ()
    """(moment, US dollars so far)."""
    functions: Functions | None = None
    """None where nothing was charged for functions."""
    spent_on_functions: tuple[tuple[float, float], ...] = ()
    """(moment, US dollars so far) of what is spent."""
    peak: Peak | None = None
    """None where no machine on demand was seen, or nobody asked."""
    lines: int = 0
    """On record of how it stood."""

    @property
    def share(self) -> float:
        """The share of requests answered in time; 1 where there were none."""
        return self.in_time / self.requests if self.requests else 1.0

    @property
    def kept(self) -> bool:
        """Whether the promise was kept on the whole."""
        return self.share >= self.objective.share

    @property
    def most_up(self) -> int:
        """The most replicas that answered at a time."""
        return max((sum(each.up) for each in self.fleets), default=0)


def shown(seconds: float | None) -> str:
    """A latency as people read it."""
    if seconds is None:
        return "–"
    if math.isinf(seconds):
        return "over 10 s"
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
