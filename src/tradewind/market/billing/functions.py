"""Functions: by the memory held while a call runs, and by the call."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from tradewind.market.billing.interface import PriceAt
from tradewind.market.billing.stretches import charged_until, plus, started_units, times
from tradewind.market.charges import Charge
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.tariffs import Tariff


class Call(Struct, frozen=True):
    """One invocation."""

    start: float
    end: float


class Functions(Struct, frozen=True):
    """GB-seconds, each call's time rounded up to `unit`, plus a price a call.

    A lease is one environment of the function, its memory that of its type. A lease that no calls are
    given for is one call from its start to its end. Calls still running are charged up to the moment.
    """

    unit: float
    """Seconds that a call's time is rounded up to."""
    calls: Mapping[LeaseId, tuple[Call, ...]] = {}
    per_gb_second: float = 0.0000166667
    """US dollars: AWS Lambda on x86, us-east-1."""
    per_call: float = 0.0000002
    """US dollars: 0.20 a million."""
    valid_from: float = -math.inf
    valid_to: float = math.inf

    @property
    def tariff(self) -> Tariff:
        """By the unit of a call."""
        return Tariff(self.unit)

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the calls that started by `until`, or by its end if that is earlier."""
        stop = charged_until(lease, until)
        whole = Call(lease.started, math.inf if lease.ended is None else lease.ended)
        charges = []
        for call in self.calls.get(lease.id, (whole,)):
            if call.start > stop:
                continue
            end = min(call.end, stop)
            units = started_units(end - call.start, self.unit)
            gb_seconds = times(lease.instance.type.resources.memory_gib, times(self.unit, units))
            amount = plus(times(self.per_gb_second, gb_seconds), times(self.per_call, 1))
            charges.append(Charge(lease.id, lease.pool, lease.terms, call.start, end, amount))
        return tuple(charges)


BY_TENTHS = Functions(unit=0.1, valid_to=1606780800.0)
"""AWS Lambda up to 2020-12-01."""
BY_MILLISECONDS = Functions(unit=0.001, valid_from=1606780800.0)
"""AWS Lambda since 2020-12-01."""
