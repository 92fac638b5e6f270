"""What work needs."""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.instances import InstanceType
from tradewind.market.resources import Resources


class Demand(Struct, frozen=True, kw_only=True):
    """What work needs: resources, count, deadline, conditions."""

    resources: Resources
    """What each instance must have."""
    count: int = 1
    """How many instances the work can use at most."""
    deadline: float | None = None
    """The moment by which the work must be done; None for whenever."""
    zones: tuple[str, ...] = ()
    """Zones to choose from; empty for any."""
    instance_types: tuple[str, ...] = ()
    """Types to choose from; empty for any that has the resources."""

    def accepts(self, kind: InstanceType, zone: str) -> bool:
        """Whether an instance of this type, in this zone, has what is needed."""
        return (
            (not self.instance_types or kind.name in self.instance_types)
            and (not self.zones or zone in self.zones)
            and kind.resources.covers(self.resources)
        )
