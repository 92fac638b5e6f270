"""How a journal is read back: row by row, each checked against its digest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tradewind.control.delta import Unpacker
from tradewind.control.loop import Outcome
from tradewind.control.records import FORMAT, Entry, Header, Sample, Summary, next_digest, resolve
from tradewind.errors import Corrupt, Misuse
from tradewind.market.charges import Charge, Invoice
from tradewind.market.decisions import Decision
from tradewind.market.news import News

APPLICATION = 0x7477_6A31
"""SQLite's application_id of a journal."""
ZERO = bytes(16)
"""The digest before the first row."""

_outcomes = msgspec.json.Decoder(tuple[Outcome, ...])
_decision = msgspec.json.Decoder(Decision)
_news: msgspec.json.Decoder[News] = msgspec.json.Decoder(News)
_charge = msgspec.json.Decoder(Charge)

_Row = tuple[int, bytes, bytes, bytes, str, str | None, bytes, float]
"""Row, view, memory before, memory after, decision, outcomes, digest, moment."""


class Reading:
    """A journal that is read. Its rows are as they were when each method was called."""

    def __init__(self, path: Path, known: Mapping[str, type]) -> None:
        if not path.is_file():
            raise Misuse("there is no such file", source=str(path), fix="Give the path of a journal.sqlite.")
        self.path = path
        self._known = known
        self._database = connect(path)
        self._database.execute("PRAGMA query_only = ON")
        try:
            require_journal(self._database, path)
            found = self._database.execute("SELECT first, header FROM segments ORDER BY rowid").fetchall()
            self.segments: tuple[tuple[int, Header], ...] = tuple(
                (first, msgspec.json.decode(text, type=Header)) for first, text in found
            )
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as problem:
            self._database.close()
            raise Corrupt(f"{path}: {problem}") from problem
        except BaseException:
            self._database.close()
            raise
        if not self.segments:
            self._database.close()
            raise Corrupt(f"{path}: it has no header; the run ended before it began")

    @property
    def header(self) -> Header:
        """The first stretch's."""
        return self.segments[0][1]

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._database.close()

    def entries(self) -> Iterator[Entry]:
        """Every decision, in order, checked against its digest.

        Raises Corrupt at a row that does not check, naming it. Misuse for views of an unknown class.
        """
        starts = dict(self.segments)
        header = self.header
        views: msgspec.json.Decoder[Any] | None = None
        memories: msgspec.json.Decoder[Any] | None = None
        for row, whole, before, after, answer, outcomes, digest, moment in checked_rows(
            self._database, self.path
        ):
            if views is None or memories is None or row in starts:
                header = starts.get(row, header)
                views = msgspec.json.Decoder(resolve(header.view, self._known))
                memories = msgspec.json.Decoder(
                    resolve(header.memory, self._known) if header.memory else type(None)
                )
            try:
                memory = memories.decode(before)
                yield Entry(
                    row=row,
                    moment=moment,
                    view=views.decode(whole),
                    memory=memory,
                    decision=_decision.decode(answer),
                    recalled=memory if after == before else memories.decode(after),
                    outcomes=None if outcomes is None else _outcomes.decode(outcomes),
                    digest=digest,
                )
            except msgspec.MsgspecError as problem:
                raise Corrupt(
                    f"{self.path}: row {row}, written by Tradewind {header.version or 'of another version'}, "
                    f"is not as this version expects: {problem}"
                ) from problem

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Every decision as (row, the view's canonical JSON, the decision's), checked."""
        for row, whole, _, _, answer, *_ in checked_rows(self._database, self.path):
            yield row, whole, answer.encode()

    def samples(self) -> tuple[Sample, ...]:
        """Every sample, in order."""
        return tuple(Sample(*values) for values in self._select("SELECT * FROM samples ORDER BY rowid"))

    def measurements(self, kind: str, type_: Any = Any) -> tuple[tuple[float, Any], ...]:
        """Everything measured of that kind, in order, with its moment; each decoded as `type_`."""
        if not self._select("SELECT 1 FROM sqlite_master WHERE name = 'measurements'"):
            return ()  # of a version that measured nothing
        found = self._select("SELECT moment, measured FROM measurements WHERE kind = ? ORDER BY rowid", kind)
        decoder = msgspec.json.Decoder(type_)
        try:
            return tuple((moment, decoder.decode(text)) for moment, text in found)
        except msgspec.MsgspecError as problem:
            raise Corrupt(f"{self.path}: a measurement of {kind} is not as expected: {problem}") from problem

    def news(self) -> tuple[tuple[float, News], ...]:
        """Everything that the provider told, with the moment it was heard."""
        found = self._select("SELECT moment, news FROM news ORDER BY rowid")
        return tuple((moment, _news.decode(text)) for moment, text in found)

    def invoice(self) -> Invoice:
        """The charges recorded last."""
        found = self._select("SELECT charge FROM charges ORDER BY rowid")
        return Invoice(tuple(_charge.decode(text) for (text,) in found))

    def result(self, kind: str, type_: Any = Any) -> Any:
        """What was recorded as `kind`, decoded as `type_`; None if nothing was."""
        found = self._select("SELECT result FROM results WHERE kind = ?", kind)
        return msgspec.json.decode(found[0][0], type=type_) if found else None

    def notes(self) -> tuple[str, ...]:
        """What a reader of the run should know."""
        return tuple(text for (text,) in self._select("SELECT note FROM notes ORDER BY rowid"))

    def summary(self) -> Summary:
        """The run at a glance, without decoding its rows."""
        count, first, last = self._select("SELECT count(*), min(moment), max(moment) FROM decisions")[0]
        tail = self._select("SELECT digest FROM decisions ORDER BY row DESC LIMIT 1")
        latest = self._select("SELECT * FROM samples ORDER BY rowid DESC LIMIT 1")
        sample = Sample(*latest[0]) if latest else None
        start = self.header.start if first is None else first
        end = start if last is None else last
        return Summary(
            header=self.header,
            decisions=count,
            first=start,
            last=end if sample is None else max(end, sample.moment),
            sample=sample,
            digest=tail[0][0].hex() if tail else "",
            notes=self.notes(),
        )

    def _select(self, statement: str, *values: Any) -> Sequence[Any]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as problem:
            raise Corrupt(f"{self.path}: {problem}") from problem


def connect(path: Path) -> sqlite3.Connection:
    """Open the file at `path`. Raises Misuse if its directory is not there."""
    try:
        return sqlite3.connect(path, timeout=10.0)
    except sqlite3.OperationalError as problem:
        raise Misuse(str(problem), source=str(path), fix="Give a path in a directory that exists.") from None


def require_journal(database: sqlite3.Connection, path: Path) -> None:
    """Raise Misuse unless the file is a journal of this layout."""
    try:
        mark = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as problem:
        if "not a database" not in str(problem):
            raise
        mark = version = None
    if mark != APPLICATION:
        raise Misuse("it is no journal", source=str(path), fix="Give the path of a journal.sqlite.")
    if version != FORMAT:
        raise Misuse(
            f"its layout is {version}, and this version reads {FORMAT}",
            source=str(path),
            fix="Read it with the version of Tradewind that wrote it.",
        )


def checked_rows(database: sqlite3.Connection, path: Path) -> Iterator[_Row]:
    """Rows with their views put together again, checked."""
    unpacker = Unpacker()
    digest, tail = ZERO, b""
    expected = 0
    statement = (
        "SELECT row, moment, complete, view, memory, recalled, decision, outcomes, digest "
        "FROM decisions ORDER BY row"
    )
    try:
        for row, moment, complete, view, memory, recalled, answer, outcomes, recorded in database.execute(
            statement
        ):
            try:
                whole = unpacker.unpack(view, bool(complete))
            except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as problem:
                raise Corrupt(f"{path}: row {row}: its view does not read back") from problem
            before = memory.encode()
            after = before if recalled is None else recalled.encode()
            digest = next_digest(digest, tail, whole, before, after, answer.encode())
            if row != expected or digest != recorded:
                raise Corrupt(f"{path}: row {expected}: its digest does not check; it was altered or torn")
            tail = b"" if outcomes is None else outcomes.encode()
            expected += 1
            yield row, whole, before, after, answer, outcomes, digest, moment
    except sqlite3.DatabaseError as problem:
        raise Corrupt(f"{path}: after row {expected - 1}: {problem}") from problem
