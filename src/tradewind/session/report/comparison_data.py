"""All that a comparison of policies tells, as values."""

from __future__ import annotations

from msgspec import Struct

from tradewind.estimates.bootstrap import MeanInterval
from tradewind.session.report.data import PriceLine, Source

CLAIRVOYANT = "clairvoyant"
"""The name of the row of bounds: what nobody can do for less."""
CLAIRVOYANT_PAYING = "clairvoyant_paying"
"""The same, were nothing forgiven when the provider ends a lease; told where something is."""
BOUNDS = {CLAIRVOYANT: "clairvoyant (bound)", CLAIRVOYANT_PAYING: "the same, nothing free"}
"""How the rows of bounds are called in tables and pictures."""
DONE, UNFINISHED, REFUSED, FAILED = "done", "unfinished", "refused", "failed"


class Trial(Struct, frozen=True, kw_only=True):
    """What one policy came to from one start, in virtual time."""

    policy: str
    start: float
    outcome: str
    """`done`; `unfinished` (the budget or the recorded market ended first); `refused` before money was
    spent; `failed`."""
    reason: str = ""
    """Why it was not done."""
    cost: float = 0.0
    """US dollars, whatever the outcome."""
    seconds: float = 0.0
    """Of market time, to the end of the work or to when it stopped."""
    late: bool = False
    """Whether the deadline passed before the work was done."""
    work: float = 0.0
    """vCPU-hours of work that were done."""
    leases: int = 0
    revocations: int = 0
    vcpus: float = 0.0
    """The most useful vCPUs that workers were held with at a time, those under notice too."""
    bound: float | None = None
    """US dollars that no policy can stay below from this start; None where no bound is known."""
    attained: float | None = None
    """The clairvoyant's only: US dollars of a schedule made with hindsight, where one was found. Its
    `seconds` are that schedule's."""


class Line(Struct, frozen=True, kw_only=True):
    """A policy over all starts. Means are over the starts that it did the work from, late or not."""

    policy: str
    starts: int
    done: int
    missed: int
    """Starts from which it went on and did not do the work by the deadline."""
    refused: int = 0
    unfinished: int = 0
    """Neither done nor refused: unfinished or failed."""
    cost: MeanInterval | None = None
    """US dollars."""
    difference: MeanInterval | None = None
    """US dollars more than the first policy costs, over the starts from which both did the work."""
    per_vcpu_hour: float | None = None
    """US dollars for a vCPU-hour of work."""
    seconds: float | None = None
    """Of market time: the median."""
    seconds_p95: float | None = None
    revocations: float | None = None
    leases: float | None = None
    of_bound: float | None = None
    """Cost over the clairvoyant bound, sum over sum, where it was in time and a bound is known."""
    reasons: tuple[tuple[str, int], ...] = ()
    """Why it was not done, and from how many starts."""


class Held(Struct, frozen=True, kw_only=True):
    """Leases alike: of one pool, from one moment to another."""

    pool: str
    terms: str
    purpose: str
    vcpus: float
    """Of one instance."""
    count: int
    started: float
    ended: float
    ending: str


class Lane(Struct, frozen=True, kw_only=True):
    """What one policy held from one start."""

    policy: str
    outcome: str
    cost: float
    ended: float
    held: tuple[Held, ...]


class Timeline(Struct, frozen=True, kw_only=True):
    """One start, told lease by lease."""

    start: float
    end: float
    deadline: float | None
    """The moment."""
    chosen: str
    """Why this start and no other, a sentence."""
    lanes: tuple[Lane, ...]
    prices: tuple[PriceLine, ...] = ()
    """Spot prices of the pools that were used, US dollars an hour of an instance."""


class Comparison(Struct, frozen=True, kw_only=True):
    """Policies from the same starts in a recorded market."""

    title: str
    policies: tuple[str, ...]
    """In the order of the table; the others are held against the first."""
    history: str
    asked: int
    """Starts that were asked for; fewer were tried where it was interrupted."""
    seed: int
    starts: tuple[float, ...]
    trials: tuple[Trial, ...]
    """By start, then in the order of `policies`, then the clairvoyant's."""
    lines: tuple[Line, ...]
    blocks: str
    """What the intervals draw: `week` or `start`."""
    weeks: int
    """Calendar weeks that the starts are in."""
    attained: float | None
    """What schedules made with hindsight cost over the bound, sum over sum: how idle the bound may be."""
    deadline: float | None
    """Seconds from the start."""
    budget: float | None
    """US dollars."""
    work: float
    """vCPU-hours of the job."""
    rate: float
    """Units of work a vCPU-second."""
    startup: float
    """Seconds from a lease's start until its worker works."""
    timeline: Timeline | None = None
    real: tuple[str, ...] = ()
    """What was recorded or measured, a sentence each."""
    simulated: tuple[str, ...] = ()
    """What was modelled or assumed, a sentence each."""
    sources: tuple[Source, ...] = ()
    version: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before every start was tried."""
        return len(self.starts) < self.asked
