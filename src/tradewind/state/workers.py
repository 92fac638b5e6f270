"""What one server knows of a logical worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from numpy.typing import NDArray

from tradewind.state.snapshot import WorkerRecord
from tradewind.state.table import Rows


class Update(Struct, frozen=True, eq=False):
    """One table's share of a push: `delta` (n, width) for `rows` (n,), or for every row that lies here."""

    key: str
    delta: NDArray[Any]
    rows: Rows | None = None


@dataclass(slots=True)
class Worker:
    """Where it is, who hosts it, and what it has staged."""

    clock: int = 0
    sequence: int = 0
    at: int = 0
    """The clock that its host is in: below `clock` while it does again what is in here but not elsewhere."""
    tenure: int = 0
    settled: int = 0
    hosted: bool = False
    arrived: bool = False
    left: bool = False
    forsaken: bool = False
    staged: list[tuple[Update, ...]] = field(default_factory=list)

    @property
    def expected(self) -> bool:
        """Whether others wait for it."""
        return not (self.left or self.forsaken)

    def record(self, bulk: bool) -> WorkerRecord:
        """Where it stands by what is in the tables."""
        # one that left in a round that is not over will have to do its last batch again
        left = self.left and not self.staged
        return WorkerRecord(self.clock, 0 if bulk else self.sequence, left, self.forsaken, self.tenure)

    def stand(self, record: WorkerRecord) -> None:
        """Stand where `record` says."""
        self.clock = self.at = record.clock
        self.sequence, self.tenure = record.sequence, max(self.tenure, record.tenure)
        self.left, self.forsaken = record.left, record.forsaken

    def drop(self, bulk: bool) -> None:
        """Forget its host, and what is not in the tables."""
        self.hosted = self.arrived = False
        if bulk:
            self.left = self.left and not self.staged
            self.sequence = 0
        self.staged.clear()

    def plain(self) -> dict[str, Any]:
        """Plain values: clock, sequence, tenure, hosted, arrived, left, forsaken."""
        return {
            "clock": self.clock,
            "sequence": self.sequence,
            "tenure": self.tenure,
            "hosted": self.hosted,
            "arrived": self.arrived,
            "left": self.left,
            "forsaken": self.forsaken,
        }
