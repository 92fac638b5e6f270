"""What an instance is going to cost with certain tasks on it: it is paid for until the last of them ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.market.offers import Offer

Times = NDArray[np.float64]
_HOUR = 3600.0


class Load(Struct, frozen=True, eq=False):
    """A task on an instance: what it costs alone, and when it ends."""

    alone: float
    """US dollars an hour of the cheapest type that has room for it."""
    ends: Times
    """(scenarios,) seconds from now."""


def dollars(per_hour: float, seconds: float) -> float:
    """US dollars for so many seconds."""
    return per_hour * seconds / _HOUR


def lifetime_cost(offer: Offer, loads: Sequence[Load]) -> float:
    """US dollars that an instance with these tasks costs from now on, in expectation; 0 with none.

    That those left could move to smaller ones is not reckoned with: tried, it made many moves that did not
    pay, for each looks cheap as long as the next is to mend it.
    """
    if not loads:
        return 0.0
    last = loads[0].ends if len(loads) == 1 else np.max([load.ends for load in loads], axis=0)
    return dollars(offer.price.per_hour, float(last.mean()))
