"""All that a bidding policy may know of a training job at a moment."""

from __future__ import annotations

from msgspec import Struct

from tradewind.estimates.outlook import Outlook
from tradewind.market.demands import Demand
from tradewind.market.views import View


class Progress(Struct, frozen=True):
    """How far a job is."""

    done: float
    """Units of work done: rows read, over all epochs."""
    total: float
    """Units in all."""
    saved: float
    """Units that a loss of every lease would leave: those in the last snapshot."""
    rate: float
    """Units per vCPU-second that one worker does, as measured or estimated."""
    startup: float
    """Seconds from a lease's start until its worker works."""


class Goal(Struct, frozen=True):
    """What the user asked for."""

    workers: Demand
    """What the workers need; `count` at most at a time."""
    state: Demand
    """What the servers of the state need; they go to leases that cannot be revoked."""
    deadline: float | None = None
    """The moment by which the work must be done."""
    budget: float | None = None
    """US dollars for the whole job."""
    useful_vcpus: float | None = None
    """How many vCPUs of one instance its worker can use; None for all of them."""
    vcpus: float | None = None
    """Useful vCPUs of all workers together at most; None for as many as `workers.count` instances have."""


class TrainingView(Struct, frozen=True):
    """The market, the job's progress and its goal."""

    market: View
    progress: Progress
    goal: Goal
    spent: float = 0.0
    """US dollars owed so far."""
    outlook: Outlook | None = None
    """What is forecast of the market; None where nobody forecasts."""
