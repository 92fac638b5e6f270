"""How far apart workers may be, as values.

Stale-synchronous: Ho et al., NIPS 2013, section 3; bulk-synchronous is its exact form with staged pushes.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.errors import Misuse, suggestion


class BulkSynchronous(Struct, frozen=True, tag="bulk_synchronous"):
    """A clock's pushes are taken in together, in the workers' order, when the last worker has ended it."""


class StaleSynchronous(Struct, frozen=True, tag="stale_synchronous"):
    """Pushes are taken in as they come; who is more than `staleness` clocks ahead of another waits."""

    staleness: int = 0

    def __post_init__(self) -> None:
        if self.staleness < 0:
            raise Misuse(f"{self.staleness} is negative", field="staleness", fix="Give 0 or more.")


class Asynchronous(Struct, frozen=True, tag="asynchronous"):
    """Pushes are taken in as they come; nobody waits."""


Consistency = BulkSynchronous | StaleSynchronous | Asynchronous


def consistency_called(name: str, staleness: int = 0) -> Consistency:
    """The consistency of that name; Misuse for an unknown one, or a staleness where there is none."""
    if name == "stale_synchronous":
        return StaleSynchronous(staleness)
    if staleness:
        raise Misuse(
            f"{name} knows no staleness", field="staleness", fix="Leave it out, or use stale_synchronous."
        )
    if name == "bulk_synchronous":
        return BulkSynchronous()
    if name == "asynchronous":
        return Asynchronous()
    known = ("bulk_synchronous", "stale_synchronous", "asynchronous")
    raise Misuse(f"{name!r} is no consistency", field="consistency", fix=suggestion(name, known))
