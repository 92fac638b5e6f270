"""The controller's way to the servers of a state: status, snapshots, places, lost workers, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.clock import stopwatch
from tradewind.errors import Misuse, Temporary, Unreachable
from tradewind.state import messages as says
from tradewind.state.codec import RAW
from tradewind.state.lines import Answer, Lines, ask
from tradewind.state.link import Link, Patience, RolledBack
from tradewind.state.placing import Known, change, clocks_lost, recover
from tradewind.state.routing import StateRouting
from tradewind.state.snapshot import Snapshot, merged, snapshot_of
from tradewind.state.transport.interface import Channel

__all__ = ["Recovery", "StateControl", "StateRouting", "StateStatus", "WorkerStatus"]


_LONGEST = 10.0
"""Seconds of the wall for which a snapshot waits for the shards to end one round."""


class WorkerStatus(Struct, frozen=True):
    """A logical worker; where servers differ, as the one sees it that knows least."""

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
    """Whether every worker has left or was given up, and the backups know."""
    committed: int = 0
    """The clock that the backups can go on from: rounds in bulk-synchronous mode, otherwise the least of any
    worker that is expected."""
    latest: int = 0
    """The furthest clock that is over: rounds, otherwise the most of any worker."""
    lag: int = 0
    """Clocks that the worker who loses most would lose, were all active hosts lost now; 0 without any."""
    moving: bool = False
    """Whether nobody can host now: a change of places is under way, or whoever made it died; then call
    `change` or `recover` again."""

    @property
    def batches(self) -> int:
        """Batches done, over all workers."""
        return sum(worker.clock for worker in self.workers)


class Recovery(Struct, frozen=True):
    """What a recovery came to."""

    routing: StateRouting
    clocks_lost: int
    """Of the furthest clock that is known to have been over; of the worker that lost most, if they differ."""


class StateControl:
    """Asks and tells all servers of a state. Every call may be repeated, also by another control.

    Unreachable, which names the address, after `patience.give_up` seconds of silence, so that a dead server
    is noticed within it. Temporary while another control changes places.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        patience: Patience = Patience(0.5, 2.0),  # noqa: B008
    ) -> None:
        self._given = [Link(channel, patience) for channel in channels]
        self._lines: Lines | None = None
        self._known = Known()

    @classmethod
    def at(
        cls,
        address: str,
        connect: Callable[[str], Channel],
        *,
        patience: Patience = Patience(0.5, 2.0),  # noqa: B008
    ) -> StateControl:
        """A control that finds the shards through the routing kept at `address`, and can have them moved."""
        control = cls((), patience=patience)
        control._lines = Lines(address, connect, patience)
        return control

    def routing(self) -> StateRouting:
        """Which address serves which shard now."""
        return self._found().routing()

    def change(self, serving: Sequence[str]) -> StateRouting:
        """Have these addresses serve the shards, by shard; all of them the reliable host's, or none.

        Nothing that was taken in is lost; workers are told to host again. Unreachable names the address that
        is silent, Temporary says that another control changes places; either way it may be called again.
        """
        return change(self._found(), serving).routing

    def recover(self, serving: Sequence[str]) -> Recovery:
        """As `change`, after active hosts were lost without a warning: none of them may be in `serving`.

        Bulk-synchronous, all shards go back to the last clock that the backups have; otherwise those that
        were lost do.
        """
        placement = recover(self._found(), serving)
        lost = clocks_lost(placement, self._known)
        self._known = Known()
        return Recovery(placement.routing, lost)

    def status(self) -> StateStatus:
        """How things stand now."""
        if self._lines is None:
            return self._status([values for values, _ in self._ask(says.Status())], None)
        try:
            routing = self._lines.routing()
            places = [*enumerate(routing.serving)]
            if routing.serving != routing.backups:
                places += enumerate(routing.backups)
            links = [self._lines.to(address, shard) for shard, address in places]
            answers = [values for values, _ in ask(links, [says.Status()] * len(links))]
        except RolledBack as refusal:
            raise Temporary("the shards are on the move") from refusal
        shards = len(routing.serving)
        return self._status(answers[:shards], answers[shards:] or None)

    def _status(
        self, answers: Sequence[dict[str, Any]], backups: Sequence[dict[str, Any]] | None
    ) -> StateStatus:
        first = answers[0]
        counts: dict[str, int] = {}
        for answer in answers:
            for name, count in answer["counts"].items():
                counts[name] = counts.get(name, 0) + count
        workers = [_together(each) for each in zip(*(answer["workers"] for answer in answers), strict=True)]
        rounds = [answer["rounds"] for answer in answers]
        kept = answers if backups is None else backups
        if first["bulk"]:
            committed, latest = min(answer["rounds"] for answer in kept), max(rounds)
            lag = 0 if backups is None else latest - committed
        else:
            records = [worker for answer in kept for worker in answer["workers"]]
            expected = [each["clock"] for each in records if not (each["left"] or each["forsaken"])]
            latest = max(worker["clock"] for answer in answers for worker in answer["workers"])
            committed = min(expected, default=latest)
            lag = max(
                now["clock"] - then["clock"]
                for answer, backup in zip(answers, kept, strict=True)
                for now, then in zip(answer["workers"], backup["workers"], strict=True)
            )
        self._known = Known(
            latest if first["bulk"] else 0,
            tuple(
                max(each["clock"] for each in at)
                for at in zip(*(answer["workers"] for answer in answers), strict=True)
            ),
        )
        return StateStatus(
            epoch=first["epoch"],
            rounds=min(rounds),
            workers=tuple(workers),
            progress=(sum(a["progress"][0] for a in answers), sum(a["progress"][1] for a in answers)),
            counts=counts,
            waiting=sum(answer["waiting"] for answer in answers),
            bytes_in=sum(answer["bytes_in"] for answer in answers),
            bytes_out=sum(answer["bytes_out"] for answer in answers),
            finished=all(answer["finished"] for answer in [*answers, *kept]),
            committed=committed,
            latest=latest,
            lag=lag,
            moving=any(answer["frozen"] for answer in answers),
        )

    def snapshot(self) -> Snapshot:
        """All of the state, merged over the servers.

        Several bulk-synchronous servers are cut at the end of the round after the present one; so a worker
        that waits for a host holds the snapshot up. Shards that are found through a routing are cut at one
        moment: on the reliable host, or at the committed clock of the backups, which disturbs nobody else.
        """
        if self._lines is not None:
            return self._whole(self._lines)
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
        status = self.status()
        tenures = {worker: status.workers[worker].tenure for worker in workers}
        self._ask(says.Lose(tenures, status.epoch))

    def forsake(self, worker: int) -> None:
        """Give a worker up for good, with the rest of its data, at one clock on every server."""
        epoch = self.status().epoch
        tenure = int(ask(self._links[:1], [says.Claim(worker, epoch)])[0][0]["tenure"])
        clocks = [values["clock"] for values, _ in self._ask(says.Host(worker, tenure, epoch))]
        self._ask(says.Settle(worker, tenure, max(clocks), min(clocks), epoch))
        self._ask(says.Forsake(worker))

    def advance_epoch(self) -> int:
        """Have all hosts take their workers over again, from the last finished clocks; the new epoch."""
        if self._lines is not None:
            return self.change(self._lines.routing().serving).epoch
        epoch = self.status().epoch + 1
        return int(self._ask(says.NewEpoch(epoch))[0][0]["epoch"])

    def stop(self) -> None:
        """Have the servers serve no more: the active ones, then the reliable one."""
        if self._lines is None:
            self._ask(says.Stop())
            return
        routing = self._lines.routing()
        for address in [*dict.fromkeys(routing.serving), self._lines.address]:
            if address != self._lines.address:
                try:
                    ask([self._lines.to(address, 0)], [says.Stop()])
                except Unreachable:
                    continue
        self._lines.register(says.Stop())

    def close(self) -> None:
        """Let go of the channels; may be called twice."""
        for link in self._given:
            link.channel.close()
        if self._lines is not None:
            self._lines.close()

    def _found(self) -> Lines:
        if self._lines is None:
            raise Misuse("these servers stay where they are", field="channels", fix="Use StateControl.at.")
        return self._lines

    @property
    def _links(self) -> list[Link]:
        """One to each shard, wherever it is now."""
        if self._lines is None:
            return self._given
        return [self._lines.to(address, k) for k, address in enumerate(self._lines.routing().serving)]

    def _ask(self, operation: says.Operation) -> list[Answer]:
        links = self._links
        try:
            return ask(links, [operation] * len(links))
        except RolledBack as refusal:
            raise Temporary("the shards are on the move") from refusal

    def _whole(self, lines: Lines) -> Snapshot:
        passed = stopwatch()
        while passed() < _LONGEST:
            values, arrays = lines.register(says.TakeAll())
            if "parts" in values:
                rest = iter(arrays)
                return merged(
                    [_snapshot(part, [next(rest) for _ in part["names"]]) for part in values["parts"]]
                )
            lines.pause()
        raise Temporary("the shards are a round apart: a worker of that round waits for a host")


def _together(seen: Sequence[dict[str, Any]]) -> WorkerStatus:
    """A worker as the server sees it that knows least of it."""
    behind = min(seen, key=lambda each: (each["clock"], each["sequence"]))
    return WorkerStatus(
        clock=behind["clock"],
        sequence=behind["sequence"],
        tenure=max(each["tenure"] for each in seen),
        hosted=all(each["hosted"] for each in seen),
        arrived=behind["arrived"],
        left=all(each["left"] for each in seen),
        forsaken=any(each["forsaken"] for each in seen),
    )


def _snapshot(values: dict[str, Any], arrays: list[NDArray[Any]]) -> Snapshot:
    # they may lie in the transport's memory; a snapshot is kept for long
    named = {name: np.array(array) for name, array in zip(values["names"], arrays, strict=True)}
    return snapshot_of(named, values["header"])
