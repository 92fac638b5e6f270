"""All that a provisioning policy may know of an endpoint at a moment.

A policy is a `control.policy.Policy` over a `ServingView`: its decisions take and release leases, and every
lease carries one replica. Its attribute `overflow` says whether requests that the replicas cannot answer in
time go to functions; the router then sends them there, request by request.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from tradewind.control.policy import Policy
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.outlook import Outlook
from tradewind.market.leases import LeaseId
from tradewind.market.views import View
from tradewind.serving.objective import Objective


class Profile(Struct, frozen=True):
    """What one replica does on a type of instance: as measured, or where it is said, as foretold."""

    instance_type: str
    rate: float
    """Requests a second that it sustains within the objective's latency."""
    service: float
    """Seconds that a request takes where nothing waits."""
    concurrency: float
    """Requests in hand at that rate (Little's law: rate times their mean stay)."""
    foretold: tuple[float, float] | None = None
    """Bounds of `rate` that hold nine in ten, where it is by what replicas did on the type in earlier runs,
    and was not measured in this one; else None."""


class FunctionProfile(Struct, frozen=True):
    """What the same model does as a function."""

    per_request: float
    """US dollars."""
    warm: float
    """Seconds of a call that finds a warm environment."""
    cold: float
    """Seconds of a call that does not."""
    concurrency: int
    """Calls at a time at most; more are refused."""
    gb_seconds: float = 0.0
    """Memory and time that a call is billed; 0 where nobody says."""


class FunctionUse(Struct, frozen=True):
    """What functions did in a stretch of time, and what they are owed for it."""

    began: float
    until: float
    requests: float = 0.0
    """Answered there."""
    calls: float = 0.0
    """All calls, those that keep environments warm among them."""
    gb_seconds: float = 0.0
    dollars: Decimal = Decimal(0)
    """US dollars by the functions' tariff, for the calls that ended in the stretch."""


class Replica(Struct, frozen=True):
    """A replica on a lease that is held."""

    lease: LeaseId
    instance_type: str
    ready: float
    """The moment from which it answers; later than now while it starts."""
    due: float | None = None
    """The moment at which its instance is gone, where notice was given."""


class Traffic(Struct, frozen=True):
    """The load so far, in intervals of equal length, the oldest first; the last one ends at `until`."""

    interval: float
    """Seconds."""
    until: float
    rates: tuple[float, ...]
    """Requests a second, mean over each interval."""
    peaks: tuple[float, ...]
    """Requests a second in the busiest five seconds of each interval."""
    ongoing: tuple[float, ...]
    """Requests in hand or waiting, mean over each interval."""
    waiting: float
    """Requests that wait now."""


class ServingView(Struct, frozen=True):
    """The market, the endpoint's load, its replicas and its promise."""

    market: View
    objective: Objective
    profiles: tuple[Profile, ...]
    """By instance type, those that the model runs on; offers of others are of no use."""
    replicas: tuple[Replica, ...]
    """In the order of their leases."""
    traffic: Traffic
    startup: float
    """Seconds from a lease's start until its replica answers."""
    forecast: LoadForecast | None = None
    """The load to come; None where nobody forecasts."""
    outlook: Outlook | None = None
    """What is forecast of the market; None where nobody forecasts."""
    function: FunctionProfile | None = None
    """What the model does as a function, as known now; None where functions may not be used."""
    spent: float = 0.0
    """US dollars owed so far."""
    requests: float = 0.0
    """Requests answered or refused so far."""
    missed: float = 0.0
    """Of these, the ones that were not answered in time."""
    overflowed: FunctionUse | None = None
    """What functions did in the last interval of the traffic; None where nothing overflows to them."""

    @property
    def now(self) -> float:
        """The moment."""
        return self.market.now

    def profile(self, instance_type: str) -> Profile | None:
        """That of a type; None where the model does not run on it."""
        return next((each for each in self.profiles if each.instance_type == instance_type), None)


class ProvisioningPolicy(Policy[ServingView, Any], Protocol):
    """Decides how many replicas, on which machines, under which terms."""

    overflow: bool
    """Whether what the replicas cannot answer in time goes to functions."""
    forecaster: str
    """The load forecaster that it wants its view filled by; empty for none."""
