"""What was predicted and what came of it, in the metadata store: a table beside the record of runs.

What a call has returned from is on the disk: it outlasts a kill -9 and a power cut, and a call that was cut
short left nothing. A prediction whose outcome never came, as when its driver was killed, stays open and is
left out of what is tracked. Any number of processes and threads may use a log.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sql
from msgspec import Struct

from tradewind.clock import wall
from tradewind.errors import Corrupt, Misuse, Temporary
from tradewind.estimates.run_time import Interval
from tradewind.estimates.tracked_error import LATEST, TrackedError, probability_error, ratio_error

RUN_TIME, FEASIBILITY = "run_time", "feasibility"
"""Kinds of predictions: seconds of a run; the probability that it ends whole, of which 1 or 0 comes."""
_UNFORETOLD = {RUN_TIME: "unforetold_run_time", FEASIBILITY: "unforetold_end"}
"""As what the log keeps that which came without having been predicted: it is known, and judges nobody."""
_LONGEST = 200

_tables = sql.MetaData()
_predictions = sql.Table(
    "predictions",
    _tables,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("kind", sql.String(_LONGEST), nullable=False),
    sql.Column("workload", sql.String(_LONGEST), nullable=False),
    sql.Column("low", sql.Float, nullable=False),
    sql.Column("expected", sql.Float, nullable=False),
    sql.Column("high", sql.Float, nullable=False),
    sql.Column("details", sql.Text, nullable=False),
    sql.Column("predicted", sql.Float, nullable=False),
    sql.Column("came", sql.Float),
    sql.Column("ended", sql.Float),
    sql.Index("predictions_by_workload", "kind", "workload"),
    sqlite_autoincrement=True,
)


class PredictionRow(Struct, frozen=True):
    """A prediction, and what came of it."""

    id: int
    kind: str
    workload: str
    expected: Interval
    details: Mapping[str, Any]
    """What it was predicted for, such as machine_type, machines and rows."""
    predicted: float
    """The wall's moment."""
    came: float | None = None
    """None as long as it is not known."""
    ended: float | None = None


class PredictionLog:
    """The predictions in a SQLite file, which may hold other tables too."""

    def __init__(self, path: str | os.PathLike[str], *, wait: float = 30.0) -> None:
        """Open it, and make the table where there is none.

        `wait` is for how many seconds a call waits while others write; then it raises Temporary. Misuse for
        what cannot be written, Corrupt for what is no database.
        """
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misuse(
                f"its folder cannot be made ({error})", source=str(path), fix="Name another one."
            ) from None
        self._engine = sql.create_engine(
            f"sqlite:///{self.path.absolute()}", connect_args={"timeout": wait}, poolclass=sql.NullPool
        )
        sql.event.listen(self._engine, "connect", _set_up)
        with self._transaction() as at:
            _tables.create_all(at)

    def close(self) -> None:
        """Let go of what it holds; between calls that is no connection."""
        self._engine.dispose()

    def predict(self, kind: str, workload: str, expected: Interval, details: Mapping[str, Any]) -> int:
        """Keep a prediction before its outcome is known; its number. Misuse on what cannot be kept."""
        return self._insert(kind, workload, expected, details, {})

    def came(self, prediction: int, value: float) -> None:
        """Keep what came of a prediction; the first that is said stands. Misuse if there is no such."""
        if not math.isfinite(value):
            raise Misuse(f"{value!r} is not finite", source="prediction", field="came", fix="Mend it.")
        with self._transaction() as at:
            found = at.execute(sql.select(_predictions).where(_predictions.c.id == prediction)).first()
            if found is None:
                raise Misuse(
                    f"there is no prediction {prediction}", source=str(self.path), fix="Predict first."
                )
            if found.came is None:
                changed = _predictions.update().where(_predictions.c.id == prediction)
                at.execute(changed.values(came=float(value), ended=wall()))

    def outcome(
        self, kind: str, workload: str, value: float, details: Mapping[str, Any], expected: Interval | None
    ) -> None:
        """Keep what came together with what had been expected; None where nothing was.

        What nobody expected is read by `outcomes`, and is no part of what is `tracked`. Misuse on what cannot
        be kept; then nothing is.
        """
        if not math.isfinite(value):
            raise Misuse(f"{value!r} is not finite", source="prediction", field="came", fix="Mend it.")
        told = Interval(value, value, value) if expected is None else expected
        kept_as = _UNFORETOLD[kind] if expected is None else kind
        self._insert(kept_as, workload, told, details, {"came": float(value), "ended": wall()})

    def outcomes(self, kind: str, workload: str = "", *, latest: int | None = None) -> list[PredictionRow]:
        """What came of a kind, predicted or not, in the order in which it was kept; the latest so many.

        Of one workload if it is given. Of what nobody predicted, `expected` is what came.
        """
        query = sql.select(_predictions).where(_predictions.c.kind.in_((kind, _UNFORETOLD[kind])))
        if workload:
            query = query.where(_predictions.c.workload == workload)
        query = query.where(_predictions.c.came.is_not(None)).order_by(_predictions.c.id.desc())
        with self._transaction(writes=False) as at:
            found = at.execute(query if latest is None else query.limit(latest)).all()
        return [self._row(row) for row in reversed(found)]

    def rows(self, kind: str, workload: str = "", *, latest: int | None = None) -> list[PredictionRow]:
        """Predictions of a kind, of one workload if it is given, in their order; the latest so many of them.

        With `latest` only those are counted whose outcome is known.
        """
        query = sql.select(_predictions).where(_predictions.c.kind == kind)
        if workload:
            query = query.where(_predictions.c.workload == workload)
        if latest is not None:
            query = query.where(_predictions.c.came.is_not(None)).limit(latest)
        with self._transaction(writes=False) as at:
            found = at.execute(query.order_by(_predictions.c.id.desc())).all()
        return [self._row(row) for row in reversed(found)]

    def workloads(self, kind: str) -> list[str]:
        """The workloads of which something was predicted, or came without, by name."""
        kinds = (kind, _UNFORETOLD.get(kind, kind))
        query = sql.select(_predictions.c.workload).where(_predictions.c.kind.in_(kinds)).distinct()
        with self._transaction(writes=False) as at:
            return sorted(at.execute(query).scalars().all())

    def tracked(self, kind: str, workload: str = "", *, latest: int = LATEST) -> TrackedError | None:
        """How well the latest predictions agreed with what came; None where no outcome is known."""
        rows = self.rows(kind, workload, latest=latest)
        judge = probability_error if kind == FEASIBILITY else ratio_error
        return judge([row.expected for row in rows], [row.came for row in rows if row.came is not None])

    def _insert(
        self, kind: str, workload: str, expected: Interval, details: Mapping[str, Any], came: dict[str, float]
    ) -> int:
        numbers = (expected.low, expected.expected, expected.high)
        if not all(map(math.isfinite, numbers)):
            raise Misuse(
                f"{numbers!r} are not finite", source="prediction", field="expected", fix="Mend them."
            )
        for field, text in (("kind", kind), ("workload", workload)):
            if not 0 < len(text) <= _LONGEST:
                raise Misuse(
                    f"{text!r} is no name", source="prediction", field=field,
                    fix=f"Give 1 to {_LONGEST} characters.",
                )  # fmt: skip
        values: dict[str, Any] = {
            "kind": kind, "workload": workload, "low": numbers[0], "expected": numbers[1], "high": numbers[2],
            "details": msgspec.json.encode(dict(details)).decode(), "predicted": wall(), **came,
        }  # fmt: skip
        with self._transaction() as at:
            key = at.execute(_predictions.insert().values(**values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def _row(self, row: Any) -> PredictionRow:
        try:
            details = msgspec.json.decode(row.details, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Corrupt(f"{self.path}: prediction {row.id} does not read back ({error})") from None
        return PredictionRow(
            row.id, row.kind, row.workload, Interval(row.low, row.expected, row.high), details,
            row.predicted, row.came, row.ended,
        )  # fmt: skip

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[sql.Connection]:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield connection
                connection.commit()
        except sql.exc.DBAPIError as error:
            name = str(getattr(error.orig, "sqlite_errorname", ""))
            if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
                raise Misuse(str(error.orig), source=str(self.path), fix="Name another file.") from error
            if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_SCHEMA")):
                raise Corrupt(f"{self.path}: {error.orig}") from error
            raise Temporary(f"{self.path}: {error.orig}") from error


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver thinks
    connection.execute("PRAGMA synchronous=FULL")
