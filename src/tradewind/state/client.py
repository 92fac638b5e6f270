"""The state as an algorithm sees it: one logical worker's client of one or more servers.

Pushes are kept and sent with the next pull or barrier, as one message to each server, so that a batch costs
one round trip. A message that is lost is sent again; the servers drop what they have had. When the state
went back to a snapshot, or this process was replaced, the next call says so: see `RolledBack`, `Ousted`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse, TradewindError, Unreachable, suggestion
from tradewind.state import messages as says
from tradewind.state.codec import RAW, Buffer, Codec
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency
from tradewind.state.engine import layout_of
from tradewind.state.link import Link, Ousted, Patience, RolledBack
from tradewind.state.partition import Routing, check_rows, partitions_of, range_bounds
from tradewind.state.stamp import Position
from tradewind.state.table import Layout, Rows
from tradewind.state.transport.interface import Channel

__all__ = ["Ousted", "Patience", "RolledBack", "StateClient"]

T = TypeVar("T")

_LARGEST_WHOLE = 2**28
_MOST_KEPT = 8 << 20
"""Bytes of pushes that are kept before they are sent without waiting for a pull."""


class _Ahead(Struct, frozen=True, eq=False):
    """A pull under way."""

    key: str
    rows: Rows
    asked: list[NDArray[np.bool_] | None]
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
        if not channels:
            raise Misuse("no channels", field="channels", fix="Give one to each server.")
        self.worker = worker
        self.epoch = 0
        self.position = Position(worker or 0, 0, 0, 0)
        self._links = [Link(channel, patience) for channel in channels]
        self._codec, self._patience = codec, patience
        self._layouts: dict[str, Layout] = {}
        self._consistency: Consistency = Asynchronous()
        self._routing = Routing(0, (0,))
        self._tenure = 0
        self._hosting = False
        self._drawn = False
        self._ahead: deque[_Ahead] = deque()
        self._operations: list[list[says.Operation]] = [[] for _ in channels]
        self._frames: list[list[Buffer]] = [[] for _ in channels]
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
            for link in self._links:
                link.abandon()
            self._connect()
            try:
                self._links[0].post([says.Claim(worker)])
                self._tenure = int(self._links[0].answer()[0]["tenure"])
                reached = self._hosted([says.Host(worker, self._tenure)])
                latest = max(position.clock for position in reached)
                settled = self._hosted([says.Settle(worker, self._tenure, latest)])
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
        for link in self._links:
            link.channel.close()

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
    def clock(self) -> int:
        """Batches that this worker has finished."""
        return self._clock

    @property
    def tables(self) -> dict[str, Layout]:
        """The tables that there are."""
        self._settle()
        self._connect()
        return dict(self._layouts)

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table with its first value; Misuse if `key` exists.

        An option may be one number or one a column. `sparse=n` makes a table of n rows, each `value` until
        it is pushed to, that takes memory only for those.
        """
        layout, rows = layout_of(key, value, aggregate, **options)
        self._settle()
        self._created += 1
        token = f"{self._links[0].client}/{self._created}"
        for server, link in enumerate(self._links):
            share = rows if layout.sparse else self._share(layout, rows, server)
            frames: list[Buffer] = []
            link.post([says.Create(layout, token, link.pack(share, frames))], frames)
        self._answers()
        self._layouts[key] = layout

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """A copy of the table, or of those rows in the order asked; waits as the consistency demands."""
        layout = self._layout(key)
        if rows is not None:
            rows = self._rows(layout, rows)
        if self._ahead and rows is not None:
            first = self._ahead[0]
            if first.key == key and np.array_equal(first.rows, rows):
                self._ahead.popleft()
                return self._gathered(layout, rows, first.asked, self._answers(first.posted))
        if layout.sparse and rows is None:
            return self._whole(layout)
        self._settle()
        asked = self._ask(layout, rows)
        self._post()
        return self._gathered(layout, rows, asked, self._answers())

    def prefetch(self, key: str, rows: NDArray[np.int64]) -> None:
        """Send what was pushed and ask for rows that a later pull of this table will want, without waiting.

        Several may be under way; pulls take them in the order in which they were asked for, and a pull of
        something else throws all of them away.
        Asynchronous mode only; in the others, where it would show what may not be seen yet, it does nothing.
        """
        if not isinstance(self._consistency, Asynchronous):
            return
        layout = self._layout(key)
        rows = self._rows(layout, rows)
        asked = self._ask(layout, rows)
        self._ahead.append(_Ahead(key, rows, asked, self._post()))

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        """Give `delta` to the table's aggregation. Rows must be distinct."""
        self._own_hosted()
        layout = self._layout(key)
        if rows is not None:
            rows = self._rows(layout, rows)
        elif layout.sparse:
            raise Misuse("a sparse table needs rows", source=key, field="rows", fix="Name the rows.")
        array = self._delta(layout, delta, rows)
        stamp = (self._clock, self._sequence)
        self._sequence += 1
        self._kept += array.nbytes
        for server, link in enumerate(self._links):
            frames = self._frames[server]
            mine, places = array, rows
            if rows is None:
                mine = self._share(layout, array, server)
            elif len(self._links) > 1:
                where = self._owners(layout, rows) == server
                mine, places = array[where], rows[where]
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
        self._everywhere(says.Present(key))
        rows = np.sort(np.concatenate([arrays[0] for arrays in self._flush()]))
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
        """Learn what the servers hold and which epoch they are in; asked until they agree."""
        pause = threading.Event()
        for attempt in range(1000):
            greetings = []
            for link in self._links:
                link.codec = RAW
                link.post([says.Hello(says.PROTOCOL, self._codec)])
            for values, _ in self._answers():
                greetings.append(values)
            if len({greeting["epoch"] for greeting in greetings}) == 1:
                break
            if attempt * 0.05 > self._patience.give_up:
                raise Unreachable("the state's servers stay in different epochs")
            pause.wait(0.05)
        first = greetings[0]
        owners = [-1] * int(first["partitions"])
        for server, greeting in enumerate(greetings):
            for partition in greeting["owned"]:
                owners[partition] = server
        if -1 in owners:
            raise Misuse(
                "no server holds some partitions", field="channels", fix="Give channels to all servers."
            )
        self.epoch = int(first["epoch"])
        self._routing = Routing(self.epoch, tuple(owners))
        self._consistency = msgspec.convert(first["consistency"], Consistency)
        layouts = (msgspec.convert(each, Layout) for each in first["tables"])
        self._layouts = {layout.key: layout for layout in layouts}
        for link, greeting in zip(self._links, greetings, strict=True):
            link.codec = msgspec.convert(greeting["codec"], Codec)

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
                # a worker that must start again anyway has nothing to fear from the other servers' answers
                refusal = refusal or problem
                answers.append(({}, []))
        if refusal is not None:
            self._drop()
            self._ahead.clear()
            for link in self._links:
                link.abandon()
            raise refusal
        return answers

    def _ask(self, layout: Layout, rows: Rows | None) -> list[NDArray[np.bool_] | None]:
        asked: list[NDArray[np.bool_] | None] = []
        owners = None if rows is None or len(self._links) == 1 else self._owners(layout, rows)
        for server, link in enumerate(self._links):
            where = None if owners is None else owners == server
            asked.append(where)
            if rows is None:
                self._operations[server].append(says.Pull(layout.key))
                continue
            if where is None or where.any():
                packed = link.pack(rows if where is None else rows[where], self._frames[server])
                self._operations[server].append(says.Pull(layout.key, packed))
        return asked

    def _gathered(
        self,
        layout: Layout,
        rows: Rows | None,
        asked: list[NDArray[np.bool_] | None],
        answers: list[tuple[dict[str, Any], list[NDArray[Any]]]],
    ) -> NDArray[Any]:
        if len(self._links) == 1:
            whole = answers[0][1][-1]
            if not whole.flags.writeable:
                whole = whole.copy()
        elif rows is None:
            whole = np.empty((layout.rows, layout.width), layout.dtype)
            bounds = range_bounds(layout.rows, len(self._routing.owners))
            taken = [0] * len(self._links)
            for partition, server in enumerate(self._routing.owners):
                first, last = int(bounds[partition]), int(bounds[partition + 1])
                at, taken[server] = taken[server], taken[server] + last - first
                whole[first:last] = answers[server][1][-1][at : taken[server]]
        else:
            whole = np.empty((len(rows), layout.width), layout.dtype)
            for where, (_, arrays) in zip(asked, answers, strict=True):
                if where is not None and where.any():
                    whole[where] = arrays[-1]
        return whole.reshape(layout.shape if rows is None else (len(rows), *layout.shape[1:]))

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

    def _rows(self, layout: Layout, rows: ArrayLike) -> Rows:
        """The rows, checked: a copy, since they may be sent later, and again."""
        given = np.asarray(rows)
        if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
            raise Misuse(
                f"rows of {given.dtype} {given.shape}",
                source=layout.key,
                field="rows",
                fix="Give whole numbers, shape (n,).",
            )
        whole = np.array(given, np.int64)
        check_rows(whole, layout.rows, layout.key)
        return whole

    def _delta(self, layout: Layout, delta: ArrayLike, rows: Rows | None) -> NDArray[Any]:
        """The delta as rows (n, width) of the table's dtype: a copy, since it is sent later."""
        given = np.asarray(delta)
        shape = layout.shape if rows is None else (len(rows), *layout.shape[1:])
        if given.shape != shape:
            raise Misuse(
                f"a delta of shape {given.shape}, not {shape}",
                source=layout.key,
                field="delta",
                fix="Push what the table holds, for the rows named.",
            )
        if given.size and not np.can_cast(given.dtype, np.dtype(layout.dtype), "same_kind"):
            raise Misuse(
                f"{given.dtype} into a table of {layout.dtype}",
                source=layout.key,
                field="delta",
                fix="Convert it yourself if that is meant.",
            )
        count = layout.rows if rows is None else len(rows)
        return np.array(given, layout.dtype, order="C").reshape(count, layout.width)

    def _owners(self, layout: Layout, rows: Rows) -> NDArray[np.int64]:
        owners = np.asarray(self._routing.owners)
        return owners[partitions_of(rows, layout.rows, len(owners), layout.sparse)]

    def _share(self, layout: Layout, whole: NDArray[Any], server: int) -> NDArray[Any]:
        """Of all rows of a dense table, those that lie at the server, partition after partition."""
        if len(self._links) == 1:
            return whole
        bounds = range_bounds(layout.rows, len(self._routing.owners))
        runs = [whole[bounds[p] : bounds[p + 1]] for p in self._routing.owned(server)]
        return np.concatenate(runs) if runs else whole[:0]

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
