"""Burstable instances in unlimited mode: the base price, and surplus work above the earned credits."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from tradewind.market.billing.interface import PriceAt
from tradewind.market.billing.on_demand import BY_THE_SECOND, OnDemand
from tradewind.market.billing.stretches import HOUR, charged_until, times
from tradewind.market.charges import Charge
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.tariffs import Tariff


class Busy(Struct, frozen=True):
    """How busy an instance was for a stretch."""

    start: float
    end: float
    vcpus: float
    """Hardware threads at work, on average."""


class BurstCredits(Struct, frozen=True):
    """The base rule's charges, and `surplus` dollars for each vCPU-hour beyond the credits.

    A credit is a vCPU-minute. Credits are earned at the type's `burst_credits_per_hour` and kept up to a
    day's worth; work draws on them. Work beyond is a debt that later earnings pay back; what of the debt
    exceeds a day's worth is charged when it is made, the rest when the lease ends. A stretch not named in
    `busy` is idle.
    """

    busy: Mapping[LeaseId, tuple[Busy, ...]] = {}
    """By lease: stretches in time order that do not overlap."""
    surplus: float = 0.05
    """US dollars a vCPU-hour: AWS T3 with Linux."""
    base: OnDemand = BY_THE_SECOND
    valid_from: float = -math.inf
    valid_to: float = math.inf

    @property
    def tariff(self) -> Tariff:
        """The base rule's."""
        return self.base.tariff

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the time up to `until`, or up to its end if that is earlier."""
        charges = self.base.charges(lease, price_at, until)
        stop = charged_until(lease, until)
        credits = self._surplus_credits(lease, stop, ended=lease.ended is not None and lease.ended <= until)
        if credits <= 0:
            return charges
        amount = times(self.surplus, credits / 60)
        note = f"{credits / 60:.3f} vCPU-hours above the earned credits"
        return (*charges, Charge(lease.id, lease.pool, lease.terms, lease.started, stop, amount, note))

    def _surplus_credits(self, lease: Lease, stop: float, *, ended: bool) -> float:
        earned = lease.instance.type.resources.burst_credits_per_hour
        most = 24 * earned
        balance, charged, at = 0.0, 0.0, lease.started
        for stretch in (*self.busy.get(lease.id, ()), Busy(stop, stop, 0.0)):
            start, end = max(at, min(stretch.start, stop)), min(stretch.end, stop)
            balance = min(most, balance + earned * (start - at) / HOUR)
            if end > start:
                balance += (earned - 60 * stretch.vcpus) * (end - start) / HOUR
                balance = min(most, balance)
                if balance < -most:
                    charged += -most - balance
                    balance = -most
            at = max(start, end)
        return charged + max(0.0, -balance) if ended else charged
