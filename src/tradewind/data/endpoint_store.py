"""The store of what a server was told to serve: models, endpoints, their updates, jobs; in a database.

It keeps documents by kind and name: what they say is for `serving` to know. What a call has returned
from is on the disk: it outlasts a kill -9 and a power cut, and a call that was cut short left nothing. One
server at a time uses a store, from any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import sqlalchemy as sql
from msgspec import Struct

from tradewind.errors import Corrupt, Misuse, Temporary, TradewindError

VERSION = 1
"""Of the tables. A store of another version is not opened."""

_tables = sql.MetaData()
_schema = sql.Table("endpoint_schema", _tables, sql.Column("version", sql.Integer, nullable=False))
_records = sql.Table(
    "endpoint_records",
    _tables,
    sql.Column("kind", sql.String(40), primary_key=True),
    sql.Column("name", sql.String(200), primary_key=True),
    sql.Column("document", sql.LargeBinary, nullable=False),
)


class Record(Struct, frozen=True):
    """A document in the store."""

    kind: str
    name: str
    document: bytes


class EndpointStore:
    """Documents by kind and name, in a SQLite file."""

    def __init__(self, path: str | os.PathLike[str], *, wait: float = 30.0) -> None:
        """Open the file, and make its tables where there are none.

        `wait` is for how many seconds a call waits while others write to the file; then it raises Temporary.
        Misuse for what is no database, cannot be written, or was written by another version of this store.
        """
        self.path = Path(path).absolute()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misuse(
                f"its folder cannot be made ({error})", source=str(path), fix="Name another one."
            ) from None
        self._engine = sql.create_engine(
            sql.URL.create("sqlite", database=str(self.path)),
            poolclass=sql.NullPool,
            connect_args={"timeout": wait},
        )
        sql.event.listen(self._engine, "connect", _set_up)
        with self._transaction() as at:
            if not sql.inspect(at).has_table("endpoint_schema"):
                _tables.create_all(at)
                at.execute(_schema.insert().values(version=VERSION))
            version = at.execute(sql.select(sql.func.max(_schema.c.version))).scalar()
        if version != VERSION:
            raise Misuse(
                f"it is of version {version}, and this is for version {VERSION}", source=str(self.path),
                fix="Open it with the release of Tradewind that wrote it, or name another file.",
            )  # fmt: skip

    def close(self) -> None:
        """Let go of what it holds; between calls that is no connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, kind: str, name: str, document: bytes) -> None:
        """Keep a document, in the place of an older one of that kind and name."""
        with self._transaction() as at:
            here = (_records.c.kind == kind) & (_records.c.name == name)
            changed = at.execute(_records.update().where(here).values(document=document)).rowcount
            if not changed:
                at.execute(_records.insert().values(kind=kind, name=name, document=document))

    def remove(self, kind: str, name: str) -> None:
        """Forget a document; silent if there is none."""
        with self._transaction() as at:
            at.execute(_records.delete().where((_records.c.kind == kind) & (_records.c.name == name)))

    def all(self, kind: str) -> list[Record]:
        """Every document of a kind, by name."""
        query = sql.select(_records).where(_records.c.kind == kind).order_by(_records.c.name)
        with self._transaction(writes=False) as at:
            return [Record(row.kind, row.name, bytes(row.document)) for row in at.execute(query)]

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[sql.Connection]:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield connection
                connection.commit()
        except sql.exc.DBAPIError as error:
            raise self._translated(error) from error

    def _translated(self, error: sql.exc.DBAPIError) -> TradewindError:
        name, source = str(getattr(error.orig, "sqlite_errorname", "")), str(self.path)
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return Misuse(str(error.orig), source=source, fix="Name a file that can be written.")
        if name.startswith("SQLITE_NOTADB"):
            return Misuse("it is no store of endpoints", source=source, fix="Name another file.")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_SCHEMA")):
            return Corrupt(f"{source}: {error.orig}")
        return Temporary(f"{source}: {error.orig}", delay=10.0 if name == "SQLITE_FULL" else 1.0)


def _set_up(connection: object, _: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # transactions begin where we say
    connection.execute("PRAGMA synchronous=FULL")  # type: ignore[attr-defined]
