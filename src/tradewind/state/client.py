"""The state as an algorithm sees it: one logical worker's client of one or more servers.

Pushes are kept and sent with the next pull or barrier, as one message to each server, so that a batch costs
one round trip. A message that is lost is sent again; the servers drop what they have had. When the state
went back to a snapshot, or this process was replaced, the next call says so: see `RolledBack`, `Ousted`.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.clock import stopwatch
from tradewind.errors import Misuse, TradewindError, Unreachable, suggestion
from tradewind.state import messages as says
from tradewind.state.codec import RAW, Buffer, Codec
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency
from tradewind.state.link import Link, Ousted, Patience, RolledBack
from tradewind.state.partition import Routing, routing_of
from tradewind.state.spread import Mask, Spread
from tradewind.state.stamp import Position
from tradewind.state.table import Layout, Rows, delta_of, layout_of, rows_of
from tradewind.state.transport.interface import Channel
from tradewind.state.ways import FoundWays, GivenWays, Ways

__all__ = ["Ousted", "Patience", "RolledBack", "StateClient"]

T = TypeVar("T")

_LARGEST_WHOLE = 2**28
_MOST_KEPT = 8 << 20
"""Bytes of pushes that are kept before they are sent without waiting for a pull."""


class _Ahead(Struct, frozen=True, eq=False):
    """A pull under way."""

    key: str
    rows: Rows
    masks: list[Mask | None]
    """Which of the rows each server was asked for; None for all."""
    posted: list[bool]
    """Which servers were asked anything."""


class StateClient:
    """Implements `algorithms.interface.State` for one logical worker, or for a reader that hosts none.

    `channels` lead to the servers, the first of which draws tenures. One thread uses a client at a time;
    the logical workers of one process have a client each. A worker calls `host` before anything else, and
    again after `RolledBack`; a reader may initialize tables and pull, and never waits for a clock.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        worker: int | None = None,
        *,
        codec: Codec = RAW,
        patience: Patience = Patience(),  # noqa: B008 -- a frozen value
    ) -> None:
        self._begin(GivenWays(channels, patience), worker, codec, patience)

    @classmethod
    def at(
        cls,
        address: str,
        connect: Callable[[str], Channel],
        worker: int | None = None,
        *,
        codec: Codec = RAW,
        patience: Patience = Patience(),  # noqa: B008 -- a frozen value
    ) -> StateClient:
        """A client that finds the shards through the routing kept at `address`.

        `connect` makes a channel to an address. When shards move, or are silent and the routing has changed,
        a worker's next call raises RolledBack, and `host` finds them again; a reader does so by itself.
        """
        client = cls.__new__(cls)
        client._begin(FoundWays(address, connect, patience), worker, codec, patience)
        return client

    def _begin(self, ways: Ways, worker: int | None, codec: Codec, patience: Patience) -> None:
        self.worker = worker
        self.epoch = 0
        self.position = Position(worker or 0, 0, 0, 0)
        self._ways, self._links = ways, list[Link]()
        self._name = uuid.uuid4().hex
        self._workers = 1
        self._codec, self._patience = codec, patience
        self._layouts: dict[str, Layout] = {}
        self._consistency: Consistency = Asynchronous()
        self._spread = Spread(Routing(0, (0,)), 1)
        self._tenure = 0
        self._hosting = False
        self._drawn = False
        self._ahead: deque[_Ahead] = deque()
        self._operations: list[list[says.Operation]] = []
        self._frames: list[list[Buffer]] = []
        self._kept = self._created = 0
        self._clock = self._sequence = 0
        self._connect()

    # hosting a worker

    def host(self) -> Position:
        """Take the worker over; where it goes on. Its stream begins at batch `Position.clock`.

        Ousted if the worker was given up.
        """
        worker = self._own()
        while True:
            self._drop()
            self._ahead.clear()
            self._connect()
            try:
                self._links[0].post([says.Claim(worker, self.epoch)])
                self._tenure = int(self._links[0].answer()[0]["tenure"])
                reached = self._hosted([says.Host(worker, self._tenure, self.epoch)])
                clocks = [position.clock for position in reached]
                settle = says.Settle(worker, self._tenure, max(clocks), min(clocks), self.epoch)
                settled = self._hosted([settle])
            except RolledBack:
                continue
            if any(position.epoch != self.epoch for position in settled):
                continue
            self.position = min(settled, key=lambda position: (position.clock, position.sequence))
            self._clock, self._sequence = self.position.clock, 0
            self._hosting, self._drawn = True, False
            return self.position

    def draw(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches themselves, a clock each: asking for the next one ends the last one's clock."""
        for batch in batches:
            self.next_batch()
            yield batch

    def next_batch(self) -> None:
        """A new batch begins; the clock of the one before ends, unless `barrier` has ended it."""
        if self._drawn:
            self._end(wait=self.bulk)
        self._drawn = True

    def leave(self) -> None:
        """The worker has finished its part: nobody waits for it from now on."""
        self._own_hosted()
        if self._drawn or self._sequence:
            self._end(wait=False)
        self._flush()
        self._everywhere(says.Leave())
        self._flush()
        self._hosting = False

    def release(self) -> None:
        """Give the worker back between two batches, so that another process can host it at once.

        To be called only between two batches; a host that stops in the middle of one just closes.
        """
        self._own_hosted()
        if self._drawn or self._sequence:
            self._end(wait=False)
        self._flush()
        self._everywhere(says.Release())
        self._flush()
        self._hosting = False

    def close(self) -> None:
        """Let go of the channels; the worker stays where it is. May be called twice."""
        self._ways.close()

    # the state

    @property
    def consistency(self) -> Consistency:
        """The consistency in force."""
        return self._consistency

    @property
    def bulk(self) -> bool:
        """Whether it is bulk-synchronous."""
        return isinstance(self._consistency, BulkSynchronous)

    @property
    def workers(self) -> int:
        """How many logical workers the job has."""
        return self._workers

    @property
    def clock(self) -> int:
        """Batches that this worker has finished."""
        return self._clock

    @property
    def tables(self) -> dict[str, Layout]:
        """The tables that there are."""
        self._again(self._settle)
        self._connect()
        return dict(self._layouts)

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table with its first value; Misuse if `key` exists.

        An option may be one number or one a column. `sparse=n` makes a table of n rows, each `value` until
        it is pushed to, that takes memory only for those.
        """
        layout, rows = layout_of(key, value, aggregate, **options)
        self._created += 1
        token = f"{self._name}/{self._created}"

        def create() -> None:
            self._settle()
            for server, link in enumerate(self._links):
                share = rows if layout.sparse else self._spread.share(rows, server)
                frames: list[Buffer] = []
                link.post([says.Create(layout, token, link.pack(share, frames))], frames)
            self._answers()

        self._again(create)
        self._layouts[key] = layout

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """A copy of the table, or of those rows in the order asked; waits as the consistency demands."""
        return self._pull(key, rows) if self._hosting else self._again(lambda: self._pull(key, rows))

    def _pull(self, key: str, rows: NDArray[np.int64] | None) -> NDArray[Any]:
        layout = self._layout(key)
        if rows is not None:
            rows = rows_of(layout, rows)
        if self._ahead and rows is not None:
            first = self._ahead[0]
            if first.key == key and np.array_equal(first.rows, rows):
                self._ahead.popleft()
                return self._gathered(layout, rows, first.masks, self._answers(first.posted))
        if layout.sparse and rows is None:
            return self._whole(layout)
        self._settle()
        masks = self._ask(layout, rows)
        self._post()
        return self._gathered(layout, rows, masks, self._answers())

    def prefetch(self, key: str, rows: NDArray[np.int64]) -> None:
        """Send what was pushed and ask for rows that a later pull of this table will want, without waiting.

        Several may be under way; pulls take them in the order in which they were asked for, and a pull of
        something else throws all of them away.
        Asynchronous mode only; in the others, where it would show what may not be seen yet, it does nothing.
        """
        if not isinstance(self._consistency, Asynchronous):
            return
        layout = self._layout(key)
        rows = rows_of(layout, rows)
        masks = self._ask(layout, rows)
        self._ahead.append(_Ahead(key, rows, masks, self._post()))

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        """Give `delta` to the table's aggregation. Rows must be distinct."""
        self._own_hosted()
        layout = self._layout(key)
        if rows is not None:
            rows = rows_of(layout, rows)
        elif layout.sparse:
            raise Misuse("a sparse table needs rows", source=key, field="rows", fix="Name the rows.")
        array = delta_of(layout, delta, rows)
        stamp = (self._clock, self._sequence)
        self._sequence += 1
        self._kept += array.nbytes
        masks = self._spread.masks(layout, rows)
        for server, (link, mask) in enumerate(zip(self._links, masks, strict=True)):
            frames = self._frames[server]
            mine, places = array, rows
            if rows is None:
                mine = self._spread.share(array, server)
            elif mask is not None:
                mine, places = array[mask], rows[mask]
            if not len(mine):
                self._operations[server].append(says.Push(*stamp, key, None))
                continue
            delta_packed = link.pack(mine, frames)
            rows_packed = None if places is None else link.pack(places, frames)
            self._operations[server].append(says.Push(*stamp, key, delta_packed, rows_packed))
        if self._kept > _MOST_KEPT:
            self._flush()

    def barrier(self) -> None:
        """End this worker's clock; returns when the consistency in force lets it go on."""
        self._end(wait=True)

    def entries(self, key: str) -> tuple[Rows, NDArray[Any]]:
        """The rows of a sparse table that were ever pushed to, ascending, and their values."""
        layout = self._layout(key)

        def present() -> Rows:
            self._everywhere(says.Present(key))
            return np.sort(np.concatenate([arrays[0] for arrays in self._flush()]))

        rows = self._again(present)
        return rows, self.pull(key, rows) if len(rows) else np.empty((0, *layout.shape[1:]), layout.dtype)

    # how

    def _own(self) -> int:
        if self.worker is None:
            raise Misuse("a reader hosts no worker", field="worker", fix="Give the client a worker's number.")
        return self.worker

    def _own_hosted(self) -> int:
        worker = self._own()
        if not self._hosting:
            raise Misuse("the worker is not hosted", field="worker", fix="Call host() first.")
        return worker

    def _connect(self) -> None:
        """Find the servers, learn what they hold and which epoch they are in; asked until they agree."""
        passed = stopwatch()
        while (greetings := self._greeted()) is None:
            if passed() > self._patience.give_up:
                raise Unreachable("the state's servers stay in different epochs")
            self._ways.pause()
        first = greetings[0]
        self.epoch = int(first["epoch"])
        owned = [greeting["owned"] for greeting in greetings]
        routing = routing_of(owned, int(first["partitions"]), self.epoch)
        self._spread = Spread(routing, len(self._links))
        self._workers = int(first["workers"])
        self._consistency = msgspec.convert(first["consistency"], Consistency)
        layouts = (msgspec.convert(each, Layout) for each in first["tables"])
        self._layouts = {layout.key: layout for layout in layouts}
        for link, greeting in zip(self._links, greetings, strict=True):
            link.codec = msgspec.convert(greeting["codec"], Codec)

    def _greeted(self) -> list[dict[str, Any]] | None:
        """What every server says of itself; None if they are of different epochs, or on the move."""
        self._links = self._ways.find()
        self._drop()
        for link in self._links:
            link.codec = RAW
            link.abandon()
            link.post([says.Hello(says.PROTOCOL, self._codec)])
        try:
            greetings = [values for values, _ in self._answers()]
        except RolledBack:
            return None
        return greetings if len({greeting["epoch"] for greeting in greetings}) == 1 else None

    def _again(self, do: Callable[[], T]) -> T:
        """Do it, and for a reader do it again when the shards were on the move."""
        while True:
            try:
                return do()
            except RolledBack:
                if self._hosting or self._ways.lasting:
                    raise
                self._connect()

    def _hosted(self, operations: list[says.Operation]) -> list[Position]:
        for link in self._links:
            link.post(operations)
        return [msgspec.convert(values, Position) for values, _ in self._answers()]

    def _end(self, wait: bool) -> None:
        self._own_hosted()
        self._everywhere(says.Arrive(self._clock, self._sequence))
        self._clock, self._sequence, self._drawn = self._clock + 1, 0, False
        if len(self._links) > 1 and self.bulk:
            # no server may end the clock before all have its pushes: what `Engine.settle` builds on
            arrivals = [operations.pop() for operations in self._operations]
            self._flush()
            for operations, arrival in zip(self._operations, arrivals, strict=True):
                operations.append(arrival)
        if wait and not isinstance(self._consistency, Asynchronous):
            self._everywhere(says.Wait())
            self._flush()

    def _everywhere(self, operation: says.Operation) -> None:
        for operations in self._operations:
            operations.append(operation)

    def _settle(self) -> None:
        """Take the answer to a prefetch that nobody came for."""
        while self._ahead:
            self._answers(self._ahead.popleft().posted)

    def _flush(self) -> list[list[NDArray[Any]]]:
        self._settle()
        self._post()
        return [arrays for _, arrays in self._answers()]

    def _answers(
        self, posted: Sequence[bool] | None = None
    ) -> list[tuple[dict[str, Any], list[NDArray[Any]]]]:
        """Every server's answer, empty where none was asked; the first refusal, once all have come."""
        answers: list[tuple[dict[str, Any], list[NDArray[Any]]]] = []
        refusal: TradewindError | None = None
        for server, link in enumerate(self._links):
            try:
                asked = link.outstanding > 0 if posted is None else posted[server]
                answers.append(link.answer() if asked else ({}, []))
            except TradewindError as problem:
                refusal = refusal or problem
                answers.append(({}, []))
                if isinstance(problem, RolledBack):
                    # a worker that must start again anyway has nothing to fear from the other servers
                    break
        if refusal is not None:
            self._drop()
            self._ahead.clear()
            for link in self._links:
                link.abandon()
            raise refusal
        return answers

    def _ask(self, layout: Layout, rows: Rows | None) -> list[Mask | None]:
        masks = self._spread.masks(layout, rows)
        for server, (link, mask) in enumerate(zip(self._links, masks, strict=True)):
            if rows is None:
                self._operations[server].append(says.Pull(layout.key))
            elif mask is None or mask.any():
                packed = link.pack(rows if mask is None else rows[mask], self._frames[server])
                self._operations[server].append(says.Pull(layout.key, packed))
        return masks

    def _gathered(
        self,
        layout: Layout,
        rows: Rows | None,
        masks: list[Mask | None],
        answers: list[tuple[dict[str, Any], list[NDArray[Any]]]],
    ) -> NDArray[Any]:
        # the pull is the last operation of its message; who was asked nothing has no arrays
        last = [arrays[-1] if arrays else np.empty(0) for _, arrays in answers]
        return self._spread.gathered(layout, rows, masks, last)

    def _whole(self, layout: Layout) -> NDArray[Any]:
        if layout.rows * layout.width > _LARGEST_WHOLE:
            raise Misuse(
                f"a sparse table of {layout.rows} rows does not fit",
                source=layout.key,
                field="rows",
                fix="Pull the rows that you need, or entries().",
            )
        return self.pull(layout.key, np.arange(layout.rows, dtype=np.int64))

    def _layout(self, key: str) -> Layout:
        if key not in self._layouts:
            self._settle()
            held, frames, kept = self._operations, self._frames, self._kept
            self._drop()
            epoch = self.epoch
            self._connect()
            self._operations, self._frames, self._kept = held, frames, kept
            if self._hosting and self.epoch != epoch:
                raise RolledBack("the servers are in another epoch")
        if key not in self._layouts:
            fix = suggestion(key, self._layouts) if self._layouts else "Initialize it first."
            raise Misuse(f"there is no table {key!r}", field="key", fix=fix)
        return self._layouts[key]

    def _post(self) -> list[bool]:
        kept = zip(self._links, self._operations, self._frames, strict=True)
        for link, operations, frames in kept:
            if operations:
                worker = self.worker if self._hosting else None
                link.post(operations, frames, worker=worker, epoch=self.epoch, tenure=self._tenure)
        posted = [bool(operations) for operations in self._operations]
        self._drop()
        return posted

    def _drop(self) -> None:
        self._operations = [[] for _ in self._links]
        self._frames = [[] for _ in self._links]
        self._kept = 0
