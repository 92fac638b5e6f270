"""Posted prices that rise exponentially with what is booked: accept, schedule and charge at arrival.

Our reconstruction, from its title alone, of Zheng et al., "Online purchasing and scheduling" (ICDCS 2019,
pages 35 to 45), whose text we had not; the form of price is that of online packing by the primal-dual way
(Buchbinder and Naor, "The design of competitive online algorithms via a primal-dual approach", Foundations
and Trends in Theoretical Computer Science 3(2-3), 2009). With z of K instances of a slot booked, the next
costs

    price(z) = max(cost, L (U / L) ** (z / K)),

L and U being the least and the greatest value of a unit task that is expected. A job takes the cheapest
(slot, unit) choices in its window; it is accepted if its value is no less than their sum, which it pays. The
price does not depend on the value that the job reports, so that reporting another never helps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.advice.purchasing.interface import Bought, Job, Supply
from tradewind.advice.purchasing.slots import cheapest_units
from tradewind.errors import Misuse


class OnlinePurchase:
    """Exponential posted prices; see the module.

    `least`, `greatest`: US dollars that a unit task is worth, the bounds L and U; 0 < L <= U.
    """

    name = "online_purchase"

    def __init__(self, least: float, greatest: float) -> None:
        if not 0 < least <= greatest < math.inf:
            raise Misuse(
                f"{least!r} to {greatest!r} are no bounds of value",
                field="least",
                fix="Give 0 < least <= greatest.",
            )
        self.least, self.greatest = least, greatest

    def price(self, booked: int, supply: Supply) -> float:
        """US dollars of the next instance of a slot in which so many are booked."""
        share = booked / supply.capacity
        return max(supply.cost, self.least * math.pow(self.greatest / self.least, share))

    def answer(self, job: Job, booked: Sequence[int], supply: Supply) -> Bought:
        """Accept it if it is worth its cheapest units."""
        found = cheapest_units(job, booked, supply, lambda _, count: self.price(count, supply))
        if found is None or found[1] > job.value:
            return Bought(job.id)
        return Bought(job.id, *found)
