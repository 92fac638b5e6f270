"""The controller's way to the servers of a state: status, snapshots, lost workers, the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Temporary
from tradewind.state import messages as says
from tradewind.state.codec import RAW
from tradewind.state.link import Link, Patience
from tradewind.state.snapshot import Snapshot, merged, snapshot_of
from tradewind.state.transport.interface import Channel


class WorkerStatus(Struct, frozen=True):
    """A logical worker as the first server sees it."""

    clock: int
    """Batches of its part that are done."""
    sequence: int
    tenure: int
    """How many hosts it has had."""
    hosted: bool
    arrived: bool
    """Whether it waits for the round to end."""
    left: bool
    forsaken: bool


class StateStatus(Struct, frozen=True):
    """How a state stands."""

    epoch: int
    rounds: int
    """Bulk-synchronous rounds that are over."""
    workers: tuple[WorkerStatus, ...]
    progress: tuple[float, float]
    """The table `progress`: sum of losses, and weight. Zeros if there is none."""
    counts: dict[str, int]
    """Receipts by name, summed over the servers."""
    waiting: int
    """Requests that wait for others."""
    bytes_in: int
    bytes_out: int
    finished: bool
    """Whether every worker has left or was given up."""

    @property
    def batches(self) -> int:
        """Batches done, over all workers."""
        return sum(worker.clock for worker in self.workers)


class StateControl:
    """Asks and tells all servers of a state. Every call may be repeated.

    Unreachable after `patience.give_up` seconds of silence, so that a dead server is noticed within it.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        patience: Patience = Patience(0.5, 2.0),  # noqa: B008
    ) -> None:
        self._links = [Link(channel, patience) for channel in channels]

    def status(self) -> StateStatus:
        """How things stand now."""
        answers = [values for values, _ in self._ask(says.Status())]
        first = answers[0]
        counts: dict[str, int] = {}
        for answer in answers:
            for name, count in answer["counts"].items():
                counts[name] = counts.get(name, 0) + count
        return StateStatus(
            epoch=first["epoch"],
            rounds=min(answer["rounds"] for answer in answers),
            workers=tuple(WorkerStatus(**worker) for worker in first["workers"]),
            progress=(sum(a["progress"][0] for a in answers), sum(a["progress"][1] for a in answers)),
            counts=counts,
            waiting=sum(answer["waiting"] for answer in answers),
            bytes_in=sum(answer["bytes_in"] for answer in answers),
            bytes_out=sum(answer["bytes_out"] for answer in answers),
            finished=all(answer["finished"] for answer in answers),
        )

    def snapshot(self) -> Snapshot:
        """All of the state, merged over the servers.

        Several bulk-synchronous servers are cut at the end of the round after the present one; so a worker
        that waits for a host holds the snapshot up. Several others must be at rest, else Misuse.
        """
        if len(self._links) == 1:
            return _snapshot(*self._ask(says.Take())[0])
        for ahead in range(1, 33):
            rounds = [values["rounds"] for values, _ in self._ask(says.Status())]
            bulk = (
                self._ask(says.Hello(says.PROTOCOL, RAW))[0][0]["consistency"]["type"] == "bulk_synchronous"
            )
            answers = self._ask(says.Take(max(rounds) + ahead if bulk else None))
            if not any("passed" in values for values, _ in answers):
                return merged([_snapshot(*answer) for answer in answers])
        raise Temporary("the rounds are over faster than the servers can be asked", 1.0)

    def lose(self, workers: Iterable[int]) -> None:
        """The hosts that these workers have now are dead; they wait for others."""
        standing = self.status().workers
        self._ask(says.Lose({worker: standing[worker].tenure for worker in workers}))

    def forsake(self, worker: int) -> None:
        """Give a worker up for good, with the rest of its data, at one clock on every server."""
        tenure = int(self._links_ask(self._links[:1], says.Claim(worker))[0][0]["tenure"])
        reached = [values["clock"] for values, _ in self._ask(says.Host(worker, tenure))]
        self._ask(says.Settle(worker, tenure, max(reached)))
        self._ask(says.Forsake(worker))

    def advance_epoch(self) -> int:
        """Have all hosts take their workers over again, from the last finished clocks; the new epoch."""
        epoch = self.status().epoch + 1
        return int(self._ask(says.NewEpoch(epoch))[0][0]["epoch"])

    def stop(self) -> None:
        """Have the servers serve no more."""
        self._ask(says.Stop())

    def close(self) -> None:
        """Let go of the channels; may be called twice."""
        for link in self._links:
            link.channel.close()

    def _ask(self, operation: says.Operation) -> list[tuple[dict[str, Any], list[NDArray[Any]]]]:
        return self._links_ask(self._links, operation)

    def _links_ask(
        self, links: Sequence[Link], operation: says.Operation
    ) -> list[tuple[dict[str, Any], list[NDArray[Any]]]]:
        for link in links:
            link.abandon()
            link.post([operation])
        return [link.answer() for link in links]


def _snapshot(values: dict[str, Any], arrays: list[NDArray[Any]]) -> Snapshot:
    # they may lie in the transport's memory; a snapshot is kept for long
    named = {name: np.array(array) for name, array in zip(values["names"], arrays, strict=True)}
    return snapshot_of(named, values["header"])
