"""The tables of studies, trials and events, and what is asked of them, in any database of SQLAlchemy's.

One transaction writes at a time to a study (to a SQLite file): it holds the study's row from its beginning,
so an event's place in the order of arrival is one more than the last one's, without gaps, and a reader who
sees an event sees all before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sql

from tradewind.data.trial_records import (
    ENDINGS,
    REDONE,
    REPORTED,
    RUNNING,
    WAITING,
    Event,
    joined,
    split,
)
from tradewind.errors import Misuse, suggestion

VERSION = 1
"""Of the tables. A store of another version is not opened."""

_Whole = sql.BigInteger().with_variant(sql.Integer, "sqlite")
_tables = sql.MetaData()
_schema = sql.Table("tuning_schema", _tables, sql.Column("version", sql.Integer, nullable=False))
_studies = sql.Table(
    "tuning_studies",
    _tables,
    sql.Column("id", _Whole, primary_key=True, autoincrement=True),
    sql.Column("name", sql.String(200), nullable=False, unique=True),
    sql.Column("description", sql.Text, nullable=False),
    sqlite_autoincrement=True,  # a study's key is not given out again after it
)
_trials = sql.Table(
    "tuning_trials",
    _tables,
    sql.Column("study", _Whole, primary_key=True, autoincrement=False),
    sql.Column("number", _Whole, primary_key=True, autoincrement=False),
    sql.Column("state", sql.String(20), nullable=False),
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("driver", sql.String(200), nullable=False),
    sql.Column("until", sql.Double),  # none for ever
    sql.Column("furthest", _Whole, nullable=False),  # the last step of all attempts
    sql.Column("reached", _Whole, nullable=False),  # the last step of this one
    sql.Column("stop_wanted", sql.Text, nullable=False),
    sqlite_with_rowid=False,
)
_events = sql.Table(
    "tuning_events",
    _tables,
    sql.Column("study", _Whole, primary_key=True, autoincrement=False),
    sql.Column("sequence", _Whole, primary_key=True, autoincrement=False),
    sql.Column("kind", sql.String(20), nullable=False),
    sql.Column("number", _Whole),
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("step", _Whole),
    sql.Column("value", sql.Double),
    sql.Column("odd", sql.String(4)),  # nan and the infinities, which not all databases keep
    sql.Column("dollars", sql.Double),
    sql.Column("seconds", sql.Double),
    sql.Column("moment", sql.Double),
    sql.Column("text", sql.Text),
    sql.Column("document", sql.Text),
    sql.Column("driver", sql.String(200)),
    sql.Column("token", sql.String(32)),
    sqlite_with_rowid=False,  # and no other index: a report then writes two pages, not three
)
_read = [column for column in _events.c if column.name not in ("study", "token")]


class _Prepared:
    """A statement in a database's own words, ready to be run with nothing but its values.

    It goes to the driver itself, past what SQLAlchemy does for each statement, which would be most of the
    time of a report; so its errors are the driver's.
    """

    def __init__(self, statement: sql.Executable, dialect: Any) -> None:
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        self._words = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup

    def run(self, connection: sql.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run it for each of the rows, and give how many lines it changed."""
        order = self._order
        values: Any = rows if order is None else [tuple([row[name] for name in order]) for row in rows]
        cursor = connection.connection.cursor()
        if len(rows) == 1:
            cursor.execute(self._words, values[0])
        else:
            cursor.executemany(self._words, values)
        changed = cursor.rowcount
        cursor.close()
        return int(changed)

    def rows(self, connection: sql.Connection, **values: Any) -> list[Any]:
        """What it finds."""
        order = self._order
        cursor = connection.connection.cursor()
        cursor.execute(self._words, values if order is None else tuple([values[name] for name in order]))
        found = list(cursor.fetchall())
        cursor.close()
        return found


def _insertion() -> sql.Insert:
    earlier = _events.alias("earlier")
    last = sql.func.coalesce(sql.func.max(earlier.c.sequence), sql.literal_column("0"))
    place = sql.select((last + sql.literal_column("1")).label("place"))
    # A table of its own, for MySQL reads nothing from the table that it inserts into.
    place = sql.select(place.where(earlier.c.study == sql.bindparam("study")).subquery("places").c.place)
    values: dict[str, Any] = {column.name: sql.bindparam(column.name) for column in _events.c}
    return _events.insert().inline().values({**values, "sequence": place.scalar_subquery()})


def _advancing() -> sql.Update:
    on = _trials.c
    step: Any = sql.bindparam("to_step")
    return (
        _trials.update()
        .values(furthest=step, reached=step)
        .where(
            on.study == sql.bindparam("of_study"),
            on.number == sql.bindparam("of_number"),
            on.attempt == sql.bindparam("of_attempt"),
            on.state == sql.literal_column(f"'{RUNNING}'"),
            on.furthest < step,
        )
    )


class Hot:
    """The statements that go with each step, in a database's own words."""

    def __init__(self, dialect: Any) -> None:
        self.insertion = _Prepared(_insertion(), dialect)
        self.advancing = _Prepared(_advancing(), dialect)
        self.naming = _Prepared(_studies.select().where(_studies.c.name == sql.bindparam("name")), dialect)
        later = sql.and_(
            _events.c.study == sql.bindparam("study"), _events.c.sequence > sql.bindparam("after")
        )
        self.reading = _Prepared(sql.select(*_read).where(later).order_by(_events.c.sequence), dialect)
        self.sqlite = dialect.name == "sqlite"


class Transaction:
    """What may be asked and changed between a beginning and a commit."""

    def __init__(
        self, connection: sql.Connection, hot: Hot, url: str, writes: bool, token: str, again: bool
    ) -> None:
        self._connection, self._hot, self._url, self._writes = connection, hot, url, writes
        self.token = token
        """Of this work, also when it is tried again; `record` may keep it with an event."""
        self.again = again
        """Whether this is tried again after an error, and may have been done."""

    # The whole

    def versioned(self) -> bool:
        """Whether the tables are there."""
        return bool(sql.inspect(self._connection).has_table("tuning_schema"))

    def make_tables(self) -> None:
        """Make the tables, unless another process did so first."""
        if not self.versioned():
            _tables.create_all(self._connection)
            self._connection.execute(_schema.insert().values(version=VERSION))

    def version(self) -> int | None:
        """Of the tables."""
        found = self._connection.execute(sql.select(sql.func.max(_schema.c.version))).scalar()
        return None if found is None else int(found)

    # Studies

    def find_study(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """Its key and its description."""
        rows = self._hot.naming.rows(self._connection, name=name)
        return (int(rows[0][0]), msgspec.json.decode(rows[0][2])) if rows else None

    def new_study(self, name: str, description: str) -> int:
        """Its key."""
        result = self._connection.execute(_studies.insert().values(name=name, description=description))
        assert result.inserted_primary_key is not None
        return int(result.inserted_primary_key[0])

    def key(self, name: str) -> int:
        """The key of a study, Misuse if there is none; to a writer it is held from here."""
        rows = self._hot.naming.rows(self._connection, name=name)
        if not rows or (self._writes and not self.hold(rows[0][0])):
            known = [each[0] for each in self._connection.execute(sql.select(_studies.c.name))]
            fix = suggestion(name, known) if known else "Create it first."
            raise Misuse(f"there is no study {name!r}", source=self._url, fix=fix)
        return int(rows[0][0])

    def hold(self, key: int) -> bool:
        """Hold a study, if it is there; a SQLite file is held by whoever began to write."""
        if self._hot.sqlite:
            return True
        query = sql.select(_studies.c.id).where(_studies.c.id == key).with_for_update()
        return self._connection.execute(query).first() is not None

    def studies(self) -> list[tuple[str, dict[str, Any], int, int]]:
        """Name, description, number of trials and last sequence of each, the oldest first."""
        trials = sql.select(sql.func.count()).where(_trials.c.study == _studies.c.id).scalar_subquery()
        last = sql.select(sql.func.max(_events.c.sequence)).where(_events.c.study == _studies.c.id)
        query = sql.select(_studies.c.name, _studies.c.description, trials, last.scalar_subquery())
        rows = self._connection.execute(query.order_by(_studies.c.id)).all()
        return [(name, msgspec.json.decode(text), count, last or 0) for name, text, count, last in rows]

    def delete_study(self, key: int) -> None:
        """And all that belongs to it."""
        for column in (_events.c.study, _trials.c.study, _studies.c.id):
            self._connection.execute(column.table.delete().where(column == key))

    # Trials

    def new_trial(self, key: int, state: str, furthest: int = -1) -> int:
        """Its number, the next one."""
        number = self.next_number(key)
        values = {"study": key, "number": number, "state": state, "furthest": furthest, "until": None}
        rest = {"attempt": 0, "driver": "", "reached": -1, "stop_wanted": ""}
        self._connection.execute(_trials.insert().values(**values, **rest))
        return number

    def next_number(self, key: int) -> int:
        """Which the next trial has."""
        query = sql.select(sql.func.max(_trials.c.number)).where(_trials.c.study == key)
        last = self._connection.execute(query).scalar()
        return 0 if last is None else int(last) + 1

    def trial(self, key: int, number: int) -> Any:
        """A trial's line; None if there is none."""
        query = sql.select(_trials).where(_trials.c.study == key, _trials.c.number == number)
        return self._connection.execute(query).first()

    def held(self, key: int, driver: str) -> Sequence[Any]:
        """The lines of the trials that a driver runs."""
        on = _trials.c
        query = sql.select(_trials).where(on.study == key, on.driver == driver, on.state == RUNNING)
        return self._connection.execute(query.order_by(on.number)).all()

    def first_free(self, key: int, moment: float, number: int | None) -> Any:
        """The line of the first trial that waits or whose lease was over by `moment`, or None."""
        on = _trials.c
        free = (on.state == WAITING) | ((on.state == RUNNING) & (on.until < moment))
        query = sql.select(_trials).where(on.study == key, free).order_by(on.number).limit(1)
        if number is not None:
            query = query.where(on.number == number)
        return self._connection.execute(query).first()

    def change(self, key: int, number: int, **values: Any) -> None:
        """Change a trial's line."""
        where = (_trials.c.study == key, _trials.c.number == number)
        self._connection.execute(_trials.update().where(*where).values(**values))

    def prolong(self, key: int, driver: str, until: float | None) -> None:
        """Put off the end of a driver's leases."""
        on = _trials.c
        where = (on.study == key, on.driver == driver, on.state == RUNNING)
        self._connection.execute(_trials.update().where(*where).values(until=until))

    def advance(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many of the trials run, in that attempt, and have not got to that step yet: they get there."""
        return self._hot.advancing.run(self._connection, rows)

    # Events

    def record(self, key: int, kind: str, number: int | None = None, attempt: int = 0, **about: Any) -> None:
        """Put an event at the end of a study's history; `token` goes with it where it is given."""
        self.record_many([line(key, kind, number, attempt, **about)])

    def record_many(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Put events at the end, in their order; see `line`."""
        if lines:
            self._hot.insertion.run(self._connection, lines)

    def recalled(self, key: int) -> list[Event]:
        """The events that this work recorded with its token when it was tried before; none if it did not."""
        if not self.again:
            return []
        query = sql.select(*_read).where(_events.c.study == key, _events.c.token == self.token)
        return [_event(row) for row in self._connection.execute(query.order_by(_events.c.sequence)).all()]

    def last_sequence(self, key: int) -> int:
        """Of a study's history."""
        query = sql.select(sql.func.max(_events.c.sequence)).where(_events.c.study == key)
        return int(self._connection.execute(query).scalar() or 0)

    def reported(self, key: int, number: int) -> list[tuple[int, float]]:
        """Step and value of all that was reported of a trial, in order of arrival."""
        on = _events.c
        query = sql.select(on.step, on.value, on.odd).where(
            on.study == key, on.number == number, on.kind.in_((REPORTED, REDONE))
        )
        rows = self._connection.execute(query.order_by(on.sequence)).all()
        return [(step, joined(value, odd) or 0.0) for step, value, odd in rows]

    def endings(self, key: int, number: int, attempt: int) -> list[Event]:
        """With what an attempt ended; nothing if it did not."""
        on = _events.c
        query = sql.select(*_read).where(
            on.study == key, on.number == number, on.attempt == attempt, on.kind.in_(ENDINGS)
        )
        return [_event(row) for row in self._connection.execute(query).all()]

    def events(self, key: int, after: int, limit: int | None) -> list[Event]:
        """Those with a greater sequence, in order."""
        if limit is None:
            rows = self._hot.reading.rows(self._connection, study=key, after=after)
        else:
            query = sql.select(*_read).where(_events.c.study == key, _events.c.sequence > after)
            rows = list(self._connection.execute(query.order_by(_events.c.sequence).limit(limit)).all())
        return [_event(row) for row in rows]


def line(
    key: int, kind: str, number: int | None = None, attempt: int = 0, *, step: int | None = None,
    value: float | None = None, dollars: float | None = None, seconds: float | None = None,
    moment: float | None = None, text: str = "", document: Mapping[str, Any] | None = None,
    driver: str = "", token: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """An event as the table has it."""
    value, odd = split(value)
    return {
        "study": key, "kind": kind, "number": number, "attempt": attempt, "step": step, "value": value,
        "odd": odd, "dollars": dollars, "seconds": seconds, "moment": moment, "text": text or None,
        "document": msgspec.json.encode(document).decode() if document else None,
        "driver": driver or None, "token": token,
    }  # fmt: skip


def _event(row: Any) -> Event:
    sequence, kind, number, attempt, step, value, odd, dollars, seconds, moment, text, document, driver = row
    return Event(
        sequence, kind, number, attempt, step, joined(value, odd), dollars, seconds, moment, text or "",
        msgspec.json.decode(document) if document else {}, driver or "",
    )  # fmt: skip
