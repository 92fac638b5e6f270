"""The state engine: tables, workers' positions and rounds. No I/O, no clock, no threads.

A job has a fixed number of logical workers. Each is hosted by one process at a time; a process that takes
one over is told the worker's `Position` and goes on from there, whoever hosted it before. A push carries the
`Stamp` of its worker, epoch, clock and sequence, and is taken in only if it is the very next of that worker:
an earlier one is a duplicate, a later one shows a gap. That is what makes every push count once.

Bulk-synchronous, pushes are staged until every expected worker has ended its clock. Then all are taken in,
in the order (worker, sequence), and the next round begins. So a pull sees exactly the rounds that are over,
and a worker whose host was lost computes its unfinished batch again from the same numbers: the result is the
same, bit for bit, whatever was lost in between.

With several servers each runs an engine over its own partitions. A worker's tenure (how many hosts it has
had, counted by the first server) fences what earlier hosts sent, and `settle` brings the servers to one
clock: a clock that ended on one of them has all its pushes on every other, so it is ended there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from tradewind.errors import Misuse, Permanent, suggestion
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency, StaleSynchronous
from tradewind.state.partition import PARTITIONS, share_of
from tradewind.state.snapshot import FORMAT, Header, Snapshot, WorkerRecord
from tradewind.state.stamp import Position, Receipt, Stamp
from tradewind.state.table import Layout, Rows, Table
from tradewind.state.workers import Update, Worker


class Engine:
    """One server's share of a state.

    `workers` is the number of logical workers, fixed for the job; all are expected from the start.
    `partitions` is the number that every table is cut into, `owned` those that lie here (all, if None).
    """

    def __init__(
        self,
        workers: int,
        consistency: Consistency,
        *,
        partitions: int = PARTITIONS,
        owned: Sequence[int] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if workers < 1:
            raise Misuse(f"{workers} workers", field="workers", fix="Give 1 or more.")
        self.consistency = consistency
        self.partitions = partitions
        self.owned = tuple(range(partitions)) if owned is None else tuple(owned)
        self.config = dict(config or {})
        self.epoch = 0
        self.frozen = False
        """Whether the epoch has not been opened yet: nobody can host, nothing changes."""
        self.rounds = 0
        self.limit: int | None = None
        """The most rounds that may be over, bulk-synchronous; None: any number."""
        self.backed: Sequence[int] | None = None
        """The workers' clocks in the backup, which stale-synchronous workers may not leave far behind."""
        self.turn = 0
        """Raised whenever somebody who waits may be able to go on."""
        self.changes = 0
        """Raised by every change of what a snapshot holds."""
        self.counts = dict.fromkeys(Receipt, 0)
        self.tables: dict[str, Table] = {}
        self.tokens: dict[str, str] = {}
        """By table, the request that made it."""
        self._workers = [Worker() for _ in range(workers)]
        self._bulk = isinstance(consistency, BulkSynchronous)

    # tables

    def create(self, layout: Layout, value: NDArray[Any], token: str = "") -> None:
        """Register a table. `value` holds the rows that lie here, or a sparse table's default row.

        Misuse if the key exists, unless `token` says that it is the same request once more.
        """
        if layout.key in self.tables:
            if token and self.tokens.get(layout.key) == token:
                return
            raise Misuse(
                "the table exists", source=layout.key, fix="Choose another key; a resume keeps tables."
            )
        self.tables[layout.key] = Table(layout, value, self.partitions, self.owned)
        self.tokens[layout.key] = token
        self.changes += 1

    def share_of(self, layout: Layout, value: NDArray[Any]) -> NDArray[Any]:
        """Of all rows (n, width) of a dense table, those that lie here; of a sparse one, `value` itself."""
        if layout.sparse or len(self.owned) == self.partitions:
            return value
        return share_of(value, self.partitions, self.owned)

    def table(self, key: str) -> Table:
        """The table of that key; Misuse if there is none."""
        if key not in self.tables:
            fix = suggestion(key, self.tables) if self.tables else "Initialize it first."
            raise Misuse(f"there is no table {key!r}", field="key", fix=fix)
        return self.tables[key]

    # workers

    def claim(self, worker: int) -> int | None:
        """Draw a tenure for a new host, which fences the last one; None if the worker was given up."""
        record = self._worker(worker)
        if record.forsaken:
            return None
        record.tenure += 1
        record.hosted = False
        self.turn += 1
        return record.tenure

    def host(self, worker: int, tenure: int | None = None) -> Position | None:
        """A process takes a worker over; everything that earlier hosts send from now on is fenced.

        With a single server this is all. With several, the first server draws the tenure, the others are
        given it (None is returned if a later one is in force), and `settle` follows on each.
        """
        record = self._worker(worker)
        alone = tenure is None
        tenure = record.tenure + 1 if tenure is None else tenure
        if tenure < record.tenure or record.forsaken:
            return None
        record.tenure, record.hosted = tenure, True
        self.turn += 1
        if alone:
            return self.settle(worker, tenure)
        return self.position(worker)

    def settle(
        self, worker: int, tenure: int, clock: int | None = None, begin: int | None = None
    ) -> Position | None:
        """The new host goes on where the servers stand; None if it was replaced.

        `clock` is the latest that any of them had reached, `begin` the earliest. If the worker's clock is
        unfinished here and not elsewhere, bulk-synchronous, all its pushes are here, and it is ended. If it
        is unfinished everywhere, what was staged is dropped, so that the batch can be computed again. The
        other modes keep what is in, and drop it when it comes again: the host begins at `begin`.
        """
        record = self._worker(worker)
        if tenure != record.tenure or not record.hosted:
            return None
        if record.settled < tenure:
            record.settled = tenure
            self.changes += record.left
            record.left = False
            record.at = record.clock if begin is None else min(begin, record.clock)
            if self._bulk and not record.arrived:
                if clock is not None and record.clock < clock:
                    self._end(record)
                else:
                    record.staged.clear()
                    record.sequence = 0
            self.turn += 1
        return self.position(worker)

    def position(self, worker: int) -> Position:
        """The clock that the worker is in and how many of its pushes are; an ended clock counts as over."""
        record = self._worker(worker)
        if record.arrived:
            return Position(worker, self.epoch, record.clock + 1, 0)
        return Position(worker, self.epoch, record.clock, record.sequence)

    def current(self, worker: int, epoch: int, tenure: int | None) -> bool:
        """Whether a message of that epoch and tenure still counts; None stands for the present tenure."""
        record = self._worker(worker)
        return epoch == self.epoch and record.hosted and (tenure is None or tenure == record.tenure)

    def push(self, stamp: Stamp, updates: Sequence[Update], tenure: int | None = None) -> Receipt:
        """Take in a push, if it is its worker's next. Misuse, with nothing touched, if an update is wrong."""
        record = self._worker(stamp.worker)
        receipt = self._judge(record, stamp, tenure)
        if receipt is None:
            for update in updates:
                self.table(update.key).check(update.rows, update.delta)
            record.sequence += 1
            if self._bulk:
                record.staged.append(tuple(updates))
                receipt = Receipt.STAGED
            else:
                for update in updates:
                    self.tables[update.key].take_in(update.rows, update.delta)
                self.changes += 1
                receipt = Receipt.APPLIED
        self.counts[receipt] += 1
        return receipt

    def arrive(
        self, worker: int, clock: int, pushes: int | None = None, *, epoch: int | None = None,
        tenure: int | None = None,
    ) -> Receipt:  # fmt: skip
        """The worker ends `clock`, in which it pushed `pushes` times. Ask `may_go` whether it may go on."""
        record = self._worker(worker)
        stamp = Stamp(worker, self.epoch if epoch is None else epoch, clock, record.sequence)
        receipt = self._judge(record, stamp, tenure)
        if receipt is not None:
            if receipt is Receipt.DUPLICATE and clock >= record.at:
                record.at = clock + 1
                self.turn += 1
            return receipt
        if pushes is not None and pushes != record.sequence:
            return Receipt.GAP if pushes > record.sequence else Receipt.DUPLICATE
        self._end(record)
        return Receipt.STAGED if record.arrived else Receipt.APPLIED

    def leave(self, worker: int, *, tenure: int | None = None, epoch: int | None = None) -> Receipt:
        """The worker has finished its part: nobody waits for it. What it staged goes with this round."""
        record = self._worker(worker)
        if not self.current(worker, self.epoch if epoch is None else epoch, tenure):
            return Receipt.FENCED
        if record.left:
            return Receipt.DUPLICATE
        record.left, record.hosted = True, False
        self.changes += 1
        self._advance()
        return Receipt.APPLIED

    def release(self, worker: int, *, tenure: int | None = None, epoch: int | None = None) -> Receipt:
        """The host gives the worker back of its own will, at the end of a clock; it stays expected."""
        if not self.current(worker, self.epoch if epoch is None else epoch, tenure):
            return Receipt.FENCED
        self._worker(worker).hosted = False
        return Receipt.APPLIED

    def lose(self, tenures: Mapping[int, int] | Iterable[int]) -> None:
        """The hosts of these workers are dead. The workers stay expected until others host them.

        With a mapping to tenures, only hosts of at most those are meant: a late message unseats no successor.
        """
        for worker in tenures:
            record = self._worker(worker)
            if not isinstance(tenures, Mapping) or record.tenure <= tenures[worker]:
                record.hosted = False
        self.turn += 1

    def forsake(self, worker: int) -> None:
        """Give the worker up for good, with the rest of its data; what it staged is dropped."""
        record = self._worker(worker)
        if not record.arrived:
            record.staged.clear()
            record.sequence = 0
        record.forsaken, record.hosted = True, False
        self.changes += 1
        self._advance()

    def may_go(self, worker: int) -> bool:
        """Whether the consistency in force lets the worker read now."""
        record = self._worker(worker)
        match self.consistency:
            case BulkSynchronous():
                return not record.arrived
            case StaleSynchronous(staleness):
                at = min(record.at, record.clock)
                slowest = min((each.clock for each in self._workers if each.expected), default=at)
                # a clock that the backup lacks could be lost; so no more of them than others may wait for
                kept = at if self.backed is None else self.backed[worker]
                return slowest >= at - staleness and kept >= at - staleness - 1
            case Asynchronous():
                return True

    def pull(self, worker: int | None, key: str, rows: Rows | None = None) -> NDArray[Any] | None:
        """A copy of rows (n, width), or of all that lie here; None if the worker must wait first.

        None as the worker is a reader outside of the job's clocks: it sees what there is.
        """
        table = self.table(key)
        if not (rows is None and table.layout.sparse):
            table.check(rows)
        if worker is not None and not self.may_go(worker):
            return None
        return table.read(table.present() if rows is None and table.layout.sparse else rows)

    # recovery

    def advance_epoch(self) -> int:
        """Begin a new epoch: all hosts are fenced and must host again. Staged pushes are dropped."""
        self.epoch += 1
        self._drop_unfinished()
        self.turn += 1
        return self.epoch

    def fence(self, epoch: int) -> None:
        """Begin `epoch`, if it is a later one, and let nobody in before `reopen`.

        What was staged stays, until `close_out` says whether the round was over elsewhere.
        """
        if epoch > self.epoch:
            self.epoch, self.frozen = epoch, True
            for record in self._workers:
                record.hosted = False
            self.turn += 1

    def close_out(self, rounds: int, clocks: Sequence[int]) -> None:
        """Go to the end of `rounds`, the latest that is over on any server, and drop what is unfinished.

        `clocks` are the workers' there. A server is at most a round behind, and has all that was pushed in
        it: see `StateClient`. To be called on a fenced engine; a second time changes nothing.
        """
        if self._bulk and self.rounds + 1 == rounds:
            for record, clock in zip(self._workers, clocks, strict=True):
                record.arrived = clock > record.clock
                if not record.arrived:
                    record.staged.clear()
            self._take_round()
        if self._bulk and self.rounds != rounds:
            raise Permanent(f"{rounds} rounds are over elsewhere and {self.rounds} here")
        self._drop_unfinished()

    def reopen(self, workers: Sequence[WorkerRecord]) -> None:
        """Let hosts in again; tenures and who has gone are those of `workers`, the same on every server."""
        if not self.frozen:
            return
        self.frozen = False
        for record, stood in zip(self._workers, workers, strict=True):
            self.changes += (record.left, record.forsaken) != (stood.left, stood.forsaken)
            record.tenure = max(record.tenure, stood.tenure)
            record.left, record.forsaken = stood.left, stood.forsaken
        self.turn += 1

    def allow(self, rounds: int | None) -> None:
        """Let so many rounds be over, and not more; None lifts the limit."""
        self.limit = rounds
        self._advance()

    def records(self) -> tuple[WorkerRecord, ...]:
        """Where every worker stands by what is in the tables."""
        return tuple(each.record(self._bulk) for each in self._workers)

    def stand(self, records: Sequence[WorkerRecord], rounds: int, pushes: int) -> None:
        """Have every worker stand where `records` say; what was unfinished is dropped."""
        self._drop_unfinished()
        for record, stood in zip(self._workers, records, strict=True):
            record.stand(stood)
        self.rounds, self.counts[Receipt.APPLIED] = rounds, pushes
        self.changes += 1
        self.turn += 1

    def snapshot(self) -> Snapshot:
        """All that lies here, at this moment; in bulk-synchronous mode, at the end of the last round."""
        arrays = {
            f"{key}/{name}": array
            for key, table in self.tables.items()
            for name, array in table.arrays().items()
        }
        header = Header(
            FORMAT,
            self.epoch,
            self.rounds,
            self.consistency,
            self.partitions,
            self.owned,
            tuple(table.layout for table in self.tables.values()),
            self.records(),
            self.counts[Receipt.APPLIED],
            self.config,
        )
        return Snapshot(header, arrays)

    @classmethod
    def restore(cls, snapshot: Snapshot, *, fresh: bool = False, epoch: int | None = None) -> Engine:
        """An engine that goes on from `snapshot` in a new epoch; `fresh` puts every worker at clock 0.

        Fresh positions are for learning on from a finished state with new data. An `epoch` that is given
        is not open yet: see `reopen`.
        """
        head = snapshot.header
        engine = cls(
            len(head.workers),
            head.consistency,
            partitions=head.partitions,
            owned=head.owned,
            config=head.config,
        )
        if head.parts and not fresh:
            raise Misuse(
                "the servers of this state stood at different clocks",
                field="shards",
                fix="Resume it with as many shards as it had.",
            )
        engine.epoch = head.epoch + 1 if epoch is None else epoch
        engine.frozen = epoch is not None
        for layout in head.tables:
            prefix = f"{layout.key}/"
            arrays = {
                name.removeprefix(prefix): array
                for name, array in snapshot.arrays.items()
                if name.rpartition("/")[0] == layout.key
            }
            first = arrays["default"] if layout.sparse else arrays["values"]
            table = Table(layout, first, head.partitions, head.owned)
            table.load(arrays)
            engine.tables[layout.key] = table
        stood = tuple(WorkerRecord(0, 0) for _ in head.workers) if fresh else head.workers
        engine.stand(stood, head.rounds, head.pushes)
        return engine

    # what the controller sees

    def workers(self) -> tuple[dict[str, Any], ...]:
        """Every worker's record as plain values: clock, sequence, tenure, hosted, arrived, left, forsaken."""
        return tuple(each.plain() for each in self._workers)

    @property
    def finished(self) -> bool:
        """Whether every worker has left or was given up."""
        return not any(each.expected for each in self._workers)

    # the round

    def _worker(self, worker: int) -> Worker:
        if not 0 <= worker < len(self._workers):
            raise Misuse(
                f"no worker {worker} of {len(self._workers)}",
                field="worker",
                fix=f"Give 0 to {len(self._workers) - 1}.",
            )
        return self._workers[worker]

    def _judge(self, record: Worker, stamp: Stamp, tenure: int | None) -> Receipt | None:
        """Why the stamped message is not the next, or None if it is."""
        if not self.current(stamp.worker, stamp.epoch, tenure):
            return Receipt.FENCED
        if record.forsaken:
            return Receipt.FENCED
        if record.left:
            return Receipt.DUPLICATE
        here = (record.clock + 1, 0) if record.arrived else (record.clock, record.sequence)
        there = (stamp.clock, stamp.sequence)
        if there < here:
            return Receipt.DUPLICATE
        # bulk-synchronous, a worker may not push for a clock while its last one is still being collected
        if there > here or record.arrived:
            return Receipt.GAP
        return None

    def _drop_unfinished(self) -> None:
        for record in self._workers:
            record.drop(self._bulk)

    def _end(self, record: Worker) -> None:
        if self._bulk:
            record.arrived = True
        else:
            record.clock, record.sequence = record.clock + 1, 0
            record.at = record.clock
            self.changes += 1
        self._advance()

    def _advance(self) -> None:
        self.turn += 1
        if not self._bulk or (self.limit is not None and self.rounds >= self.limit):
            return
        expected = [each for each in self._workers if each.expected]
        if not all(each.arrived for each in expected):
            return
        if not expected and not any(each.staged or each.arrived for each in self._workers):
            return
        self._take_round()

    def _take_round(self) -> None:
        """Take in what is staged, in the workers' order; the round is over."""
        pushes: dict[str, list[tuple[Rows | None, NDArray[Any]]]] = {}
        count = 0
        for each in self._workers:
            count += len(each.staged)
            for updates in each.staged:
                for update in updates:
                    pushes.setdefault(update.key, []).append((update.rows, update.delta))
        for key, together in pushes.items():
            self.tables[key].take_in_together(together)
        self.counts[Receipt.APPLIED] += count
        for each in self._workers:
            if each.arrived or each.staged:
                each.clock, each.sequence = each.clock + 1, 0
                each.arrived = False
                each.staged.clear()
                each.at = each.clock
        self.rounds += 1
        self.changes += 1
