"""The journal: every view, decision, reason and outcome of a run, in one SQLite file.

A view is kept as the parts that differ from the one before, and in full every hundred rows; what is read
back is the same canonical JSON byte for byte. Row n's digest is over row n - 1's digest and outcomes and
row n's view, memory and decision, so two runs that decided alike have equal digests and an altered or
missing row shows.

What `record` has committed outlasts a kill -9 of the process: the file is in WAL mode with
`synchronous=NORMAL`, which hands every commit to the operating system but syncs at checkpoints only, so a
power cut may take the last commits (whole ones; the file stays good). `commit_every=1` commits each decision
before it is carried out, and its outcomes after; a simulation commits in batches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tradewind.clock import wall
from tradewind.control.delta import Packer
from tradewind.control.journal_reading import (
    APPLICATION,
    ZERO,
    Reading,
    checked_rows,
    connect,
    require_journal,
)
from tradewind.control.loop import Outcome, moment_of
from tradewind.control.records import FORMAT, Header, Sample, next_digest
from tradewind.errors import Corrupt, Misuse
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Decision
from tradewind.market.news import News

_FULL_EVERY = 100
"""Rows from one full view to the next."""
_NOTHING: Any = object()

_SCHEMA = """
CREATE TABLE segments (first INTEGER NOT NULL, wall REAL NOT NULL, header TEXT NOT NULL);
CREATE TABLE decisions (row INTEGER PRIMARY KEY, moment REAL NOT NULL, complete INTEGER NOT NULL,
    view BLOB NOT NULL, memory TEXT, recalled TEXT, decision TEXT NOT NULL, outcomes TEXT,
    digest BLOB NOT NULL);
CREATE TABLE samples (moment REAL NOT NULL, done REAL NOT NULL, total REAL NOT NULL, loss REAL,
    leases INTEGER NOT NULL, spent REAL NOT NULL, on_demand_spent REAL NOT NULL);
CREATE TABLE news (moment REAL NOT NULL, news TEXT NOT NULL);
CREATE TABLE charges (charge TEXT NOT NULL);
CREATE TABLE results (kind TEXT PRIMARY KEY, result TEXT NOT NULL);
CREATE TABLE notes (wall REAL NOT NULL, note TEXT NOT NULL);
"""
_MEASUREMENTS = """
CREATE TABLE IF NOT EXISTS measurements (moment REAL NOT NULL, kind TEXT NOT NULL, measured TEXT NOT NULL)
"""
"""A table of its own, which journals of earlier versions lack."""

_INSERT = "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_json = msgspec.json.Encoder(order="deterministic").encode


class Journal:
    """Writes a run down. Not for use by two processes or threads at a time."""

    def __init__(self, path: str | Path, header: Header, *, commit_every: int = 1) -> None:
        """A new journal at `path`, or a new stretch of the one that is there.

        Rows at the end that do not read back (a torn tail) are cut, and a note says so. Raises Misuse if
        the file is something else, Corrupt if SQLite cannot read it.
        """
        if commit_every < 1:
            raise Misuse(f"{commit_every} is less than one", field="commit_every", fix="Give 1 or more.")
        self.path = Path(path)
        self.header = header
        self._commit_every = commit_every
        self._database = connect(self.path)
        try:
            self._row, self._digest, self._tail = _adopt(self._database, self.path)
            self._database.execute(
                "INSERT INTO segments VALUES (?, ?, ?)", (self._row, wall(), _json(header).decode())
            )
            self._database.commit()
        except sqlite3.DatabaseError as problem:
            self._database.close()
            raise Corrupt(f"{self.path}: {problem}") from problem
        except BaseException:
            self._database.close()
            raise
        self._packer = Packer()
        self._since_full = 0
        self._memory: Any = _NOTHING
        self._recalled = b""
        self._waiting: list[tuple[Any, ...]] = []
        self._open: tuple[Any, ...] | None = None
        self._others: list[tuple[str, tuple[Any, ...]]] = []
        self._closed = False

    @property
    def digest(self) -> str:
        """Of all that was recorded so far, in hexadecimal: equal where all decisions and outcomes are."""
        return next_digest(self._digest, self._tail).hex()

    @property
    def rows(self) -> int:
        """How many decisions the file holds."""
        return self._row

    def record(self, view: Any, memory: Any, decision: Decision, recalled: Any) -> None:
        """A decision, before it is carried out."""
        self._settle()
        complete = self._since_full == 0
        packed, whole, complete = self._packer.pack(view, complete)
        before = self._recalled if memory is self._memory else _json(memory)
        after = before if recalled is memory else _json(recalled)
        self._memory, self._recalled = recalled, after
        answer = _json(decision)
        if complete:
            self._check(view, whole, memory, before)
            self._since_full = 0
        self._since_full = (self._since_full + 1) % _FULL_EVERY
        self._digest = next_digest(self._digest, self._tail, whole, before, after, answer)
        self._tail = b""
        row = (
            self._row,
            moment_of(view),
            complete,
            packed,
            before.decode(),
            None if after == before else after.decode(),
            answer.decode(),
            self._digest,
        )
        self._row += 1
        if self._commit_every == 1:
            self._write_others()
            self._database.execute(_INSERT, (*row[:7], None, row[7]))
            self._database.commit()
        self._open = row

    def record_outcomes(self, outcomes: tuple[Outcome, ...]) -> None:
        """What came of the last decision's actions."""
        if self._open is None:
            raise Misuse("no decision waits for its outcomes", field="outcomes", fix="Call record first.")
        self._tail = _json(outcomes)
        row, self._open = self._open, None
        if self._commit_every == 1:
            self._database.execute(
                "UPDATE decisions SET outcomes = ? WHERE row = ?", (self._tail.decode(), row[0])
            )
            self._database.commit()
            return
        self._waiting.append((*row[:7], self._tail.decode(), row[7]))
        if len(self._waiting) >= self._commit_every:
            self.flush()

    def record_sample(self, sample: Sample) -> None:
        """How far the run is."""
        values = (
            sample.moment,
            sample.done,
            sample.total,
            sample.loss,
            sample.leases,
            sample.spent,
            sample.on_demand_spent,
        )
        self._add("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def record_measurement(self, moment: float, kind: str, measured: Any) -> None:
        """What was measured at a moment, as a value that JSON can hold; `kind` names it."""
        self._add("INSERT INTO measurements VALUES (?, ?, ?)", (moment, kind, _json(measured).decode()))

    def record_news(self, moment: float, news: News) -> None:
        """What a provider told."""
        self._add("INSERT INTO news VALUES (?, ?)", (moment, _json(news).decode()))

    def record_invoice(self, invoice: Invoice) -> None:
        """Every charge so far, in place of those recorded before."""
        self._add("DELETE FROM charges", ())
        for charge in invoice.charges:
            self._add("INSERT INTO charges VALUES (?)", (_json(charge).decode(),))
        self.flush()

    def record_result(self, kind: str, result: Any) -> None:
        """What the run came to, as a value that JSON can hold; `kind` names it, such as `run`."""
        self._add("INSERT OR REPLACE INTO results VALUES (?, ?)", (kind, _json(result).decode()))
        self.flush()

    def note(self, text: str) -> None:
        """Something that a reader of the run should know."""
        self._add("INSERT INTO notes VALUES (?, ?)", (wall(), text))
        self.flush()

    def flush(self) -> None:
        """Commit whatever waits."""
        if self._waiting:
            self._database.executemany(_INSERT, self._waiting)
            self._waiting.clear()
        self._write_others()
        self._database.commit()

    def close(self) -> None:
        """Commit everything and leave one file; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self._settle()
            self.flush()
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            pass  # someone reads it; the last connection to close folds the log in
        finally:
            self._database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, statement: str, values: tuple[Any, ...]) -> None:
        self._others.append((statement, values))
        if len(self._others) >= self._commit_every:
            self.flush()

    def _write_others(self) -> None:
        start = 0
        while start < len(self._others):
            statement = self._others[start][0]
            end = start + 1
            while end < len(self._others) and self._others[end][0] is statement:
                end += 1
            self._database.executemany(statement, [values for _, values in self._others[start:end]])
            start = end
        self._others.clear()

    def _settle(self) -> None:
        # A decision whose outcomes never came (its carrying out raised) is kept without them.
        if self._open is not None and self._commit_every > 1:
            self._waiting.append((*self._open[:7], None, self._open[7]))
        self._open = None

    def _check(self, view: Any, whole: bytes, memory: Any, before: bytes) -> None:
        # JSON has no infinity and no NaN: better to hear of it now than when the journal is read.
        for value, text in ((view, whole), (memory, before)):
            try:
                same = value is None or msgspec.json.decode(text, type=type(value)) == value
            except (msgspec.MsgspecError, TypeError, ValueError) as problem:
                raise Misuse(
                    f"a journal cannot hold this {type(value).__name__}: {problem}",
                    source=f"policy {self.header.policy}",
                    fix="Give its fields JSON's types, and no infinity or NaN.",
                ) from None
            if not same:
                raise Misuse(
                    f"a {type(value).__name__} does not read back from JSON as it was",
                    source=f"policy {self.header.policy}",
                    fix="Give its fields JSON's types, and no infinity or NaN.",
                )

    @staticmethod
    def read(path: str | Path, known: Mapping[str, type] | None = None) -> Reading:
        """Open the journal at `path` to read; `known` are classes of others by their `module:Class`."""
        return Reading(Path(path), known or {})


def _adopt(database: sqlite3.Connection, path: Path) -> tuple[int, bytes, bytes]:
    """Make the file a journal if it is new; else cut its torn tail. Next row, digest, outcomes."""
    try:
        fresh = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    except sqlite3.DatabaseError as problem:
        if "not a database" not in str(problem):
            raise
        fresh = False
    if fresh:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.executescript(f"BEGIN; {_SCHEMA}{_MEASUREMENTS}; COMMIT;")
        return 0, ZERO, b""
    require_journal(database, path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(_MEASUREMENTS)
    row, digest, tail = -1, ZERO, b""
    outcomes: str | None = ""
    try:
        for row, _, _, _, _, outcomes, digest, _ in checked_rows(database, path):  # noqa: B007 (the last ones)
            tail = b"" if outcomes is None else outcomes.encode()
    except Corrupt as problem:
        cut = database.execute("SELECT count(*) FROM decisions WHERE row > ?", (row,)).fetchone()[0]
        database.execute("DELETE FROM decisions WHERE row > ?", (row,))
        _add_note(database, f"a torn tail of {cut} rows was cut: {problem}")
    if row >= 0 and outcomes is None:
        _add_note(database, f"the run before ended while row {row} was being carried out")
    return row + 1, digest, tail


def _add_note(database: sqlite3.Connection, text: str) -> None:
    database.execute("INSERT INTO notes VALUES (?, ?)", (wall(), text))
