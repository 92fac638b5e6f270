"""All that a policy may know of the market at a moment."""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.leases import Lease, Revocation
from tradewind.market.offers import Offer, Terms
from tradewind.market.tariffs import BY_THE_SECOND, Tariff


class View(Struct, frozen=True):
    """All that a policy may know at a moment. An area's own view holds one of these as `market`."""

    now: float
    offers: tuple[Offer, ...]
    """In a fixed order: by type, zone, terms."""
    leases: tuple[Lease, ...]
    """Those held, in the order in which they were granted."""
    revocations: tuple[Revocation, ...] = ()
    """Notices for held leases that are not due yet."""
    forecasts: dict[str, float] = {}
    """Numbers that the controller computed for the policy, by name."""
    tariffs: dict[Terms, Tariff] = {}
    """How leases taken now are billed, by terms."""

    def tariff(self, terms: Terms) -> Tariff:
        """How a lease under `terms` is billed; by the second where nothing is said."""
        return self.tariffs.get(terms, BY_THE_SECOND)
