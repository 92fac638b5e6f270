"""All that a report tells, as values."""

from __future__ import annotations

from msgspec import Struct

from tradewind.control.records import Sample


class PriceLine(Struct, frozen=True):
    """A pool's spot price over the run: `prices[i]` holds from `times[i]` until the next."""

    pool: str
    times: tuple[float, ...]
    prices: tuple[float, ...]
    """US dollars an hour."""
    on_demand: float | None = None
    """What the same type asks on demand, US dollars an hour."""


class LeaseBar(Struct, frozen=True, kw_only=True):
    """A lease's life."""

    id: str
    pool: str
    terms: str
    purpose: str
    started: float
    ended: float | None = None
    ending: str | None = None
    """`released`, `revoked` or `failed`; None while it is held."""
    warned: float | None = None
    """The moment of the notice, where it got one."""
    cost: float | None = None
    """US dollars."""


class DecisionRow(Struct, frozen=True):
    """What a policy decided."""

    at: float
    reason: str
    actions: tuple[str, ...] = ()
    outcome: str = ""


class EstimateRow(Struct, frozen=True):
    """What was expected before the start, and what came of it."""

    what: str
    unit: str
    """`seconds`, `dollars`, or empty for a plain number."""
    low: float
    expected: float
    high: float
    actual: float | None


class ComparisonRow(Struct, frozen=True, kw_only=True):
    """One way of doing the job beside others."""

    name: str
    cost: float | None
    """US dollars."""
    seconds: float | None
    """Of market time."""
    quality: float | None = None
    revocations: int | None = None
    how: str = "simulated"
    """`ran for real` or `simulated`."""


class Source(Struct, frozen=True):
    """Where data that the run stands on comes from."""

    what: str
    origin: str
    licence: str


class ReportData(Struct, frozen=True, kw_only=True):
    """A run, told."""

    title: str
    outcome: str
    """`done`, `paused`, `failed`, or `running`."""
    reason: str = ""
    policy: str = ""
    started: float
    """Market time."""
    ended: float
    """Market time: the end, or the last thing recorded."""
    wall_seconds: float | None = None
    cost: float
    """US dollars."""
    cost_on_demand: float | None = None
    """US dollars that on-demand machines would have cost for the same work; None if not known."""
    revocations: int = 0
    quality: float | None = None
    quality_name: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    """Further lines of the summary."""
    prices: tuple[PriceLine, ...] = ()
    leases: tuple[LeaseBar, ...] = ()
    samples: tuple[Sample, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()
    estimates: tuple[EstimateRow, ...] = ()
    comparison: tuple[ComparisonRow, ...] = ()
    real: tuple[str, ...] = ()
    """What was real, a sentence each."""
    simulated: tuple[str, ...] = ()
    """What was simulated or modelled, a sentence each."""
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader of the run should know, in the order in which it was noted."""
    version: str = ""
