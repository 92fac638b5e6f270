"""The store of tasks and the variants that answer them, with their measured profiles, in a database.

It keeps documents: what they say is for `serving.variants` to know. What a call has returned from is on the
disk: it outlasts a kill -9 and a power cut, and a call that was cut short left nothing. Any number of
processes and threads may use a store; of two that register one name the second is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
import sqlalchemy as sql
from msgspec import Struct

from tradewind.errors import Corrupt, Misuse, Temporary, TradewindError, suggestion

VERSION = 1
"""Of the tables. A store of another version is not opened."""
_LONGEST = 200
"""Characters of a name."""

_tables = sql.MetaData()
_schema = sql.Table("variant_schema", _tables, sql.Column("version", sql.Integer, nullable=False))
_tasks = sql.Table(
    "serving_tasks",
    _tables,
    sql.Column("name", sql.String(_LONGEST), primary_key=True),
    sql.Column("document", sql.Text, nullable=False),
)
_variants = sql.Table(
    "serving_variants",
    _tables,
    sql.Column("name", sql.String(_LONGEST), primary_key=True),
    sql.Column("task", sql.String(_LONGEST), sql.ForeignKey(_tasks.c.name), nullable=False, index=True),
    sql.Column("document", sql.Text, nullable=False),
    sql.Column("profile", sql.Text),
)


class VariantRow(Struct, frozen=True):
    """A variant in the store."""

    name: str
    task: str
    document: dict[str, Any]
    profile: dict[str, Any] | None = None
    """None where it has not been measured."""


class VariantStore:
    """Tasks and variants, in a SQLite file at a path, or in a database at a URL of SQLAlchemy's."""

    def __init__(self, url: str | os.PathLike[str], *, wait: float = 30.0) -> None:
        """Open the store, and make its tables where there are none.

        `wait` is for how many seconds a call waits while others write to the file; then it raises Temporary.
        Misuse for what is no database, cannot be written, or was written by another version of this store.
        """
        self._url = _parsed(url)
        self.url = self._url.render_as_string(hide_password=True)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": wait}} if self._sqlite else {}
        try:
            self._engine = sql.create_engine(self._url, poolclass=sql.NullPool, **options)
        except (sql.exc.NoSuchModuleError, sql.exc.ArgumentError, ModuleNotFoundError) as error:
            raise Misuse(
                f"no database is known by it ({error})", source=self.url, fix="Give a path."
            ) from None
        if self._sqlite:
            sql.event.listen(self._engine, "connect", _set_up)
        with self._transaction() as at:
            if not sql.inspect(at).has_table("variant_schema"):
                _tables.create_all(at)
                at.execute(_schema.insert().values(version=VERSION))
            version = at.execute(sql.select(sql.func.max(_schema.c.version))).scalar()
        if version != VERSION:
            raise Misuse(
                f"it is of version {version}, and this is for version {VERSION}", source=self.url,
                fix="Open it with the release of Tradewind that wrote it, or name another file.",
            )  # fmt: skip

    def close(self) -> None:
        """Let go of what it holds; between calls that is no connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_task(self, name: str, document: Mapping[str, Any]) -> None:
        """Register a task. Misuse where its name is taken."""
        text = _text(name, document)
        with self._transaction() as at:
            if self._find(at, _tasks, name) is not None:
                raise self._taken("task", name)
            at.execute(_tasks.insert().values(name=name, document=text))

    def add_variant(
        self, name: str, task: str, document: Mapping[str, Any], profile: Mapping[str, Any] | None = None
    ) -> None:
        """Register a variant of a task. Misuse where its name is taken or there is no such task."""
        text = _text(name, document)
        measured = None if profile is None else _text(name, profile)
        with self._transaction() as at:
            self._task(at, task)
            if self._find(at, _variants, name) is not None:
                raise self._taken("variant", name)
            at.execute(_variants.insert().values(name=name, task=task, document=text, profile=measured))

    def put_profile(self, name: str, profile: Mapping[str, Any]) -> None:
        """Keep a variant's profile, in the place of an older one. Misuse where there is no such variant."""
        text = _text(name, profile)
        with self._transaction() as at:
            self._variant(at, name)
            at.execute(_variants.update().where(_variants.c.name == name).values(profile=text))

    def remove_variant(self, name: str) -> None:
        """Forget a variant and its profile. Misuse where there is none."""
        with self._transaction() as at:
            self._variant(at, name)
            at.execute(_variants.delete().where(_variants.c.name == name))

    def remove_task(self, name: str) -> None:
        """Forget a task. Misuse where there is none, or while it has variants."""
        with self._transaction() as at:
            self._task(at, name)
            left = at.execute(sql.select(_variants.c.name).where(_variants.c.task == name)).scalars().all()
            if left:
                raise Misuse(
                    f"it still has {len(left)} variants, such as {min(left)!r}",
                    source=f"task {name!r} in {self.url}", fix="Remove them first.",
                )  # fmt: skip
            at.execute(_tasks.delete().where(_tasks.c.name == name))

    def tasks(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and document of every task, by name."""
        with self._transaction(writes=False) as at:
            rows = at.execute(sql.select(_tasks).order_by(_tasks.c.name)).all()
        return [(row.name, self._read(row.name, row.document)) for row in rows]

    def variants(self, task: str = "") -> list[VariantRow]:
        """Every variant, by name; of one task where it is given, Misuse if there is none of that name."""
        query = sql.select(_variants).order_by(_variants.c.name)
        with self._transaction(writes=False) as at:
            if task:
                self._task(at, task)
                query = query.where(_variants.c.task == task)
            rows = at.execute(query).all()
        return [self._row(row) for row in rows]

    def variant(self, name: str) -> VariantRow:
        """The variant of that name. Misuse, with a suggestion, if there is none."""
        with self._transaction(writes=False) as at:
            return self._row(self._variant(at, name))

    # What the calls above share

    def _row(self, row: Any) -> VariantRow:
        profile = None if row.profile is None else self._read(row.name, row.profile)
        return VariantRow(row.name, row.task, self._read(row.name, row.document), profile)

    def _read(self, name: str, text: str) -> dict[str, Any]:
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Corrupt(f"{self.url}: the document of {name!r} does not read back ({error})") from None

    def _find(self, at: sql.Connection, table: sql.Table, name: str) -> Any:
        return at.execute(sql.select(table).where(table.c.name == name)).first()

    def _task(self, at: sql.Connection, name: str) -> Any:
        return self._find(at, _tasks, name) or self._missing(at, _tasks, "task", name)

    def _variant(self, at: sql.Connection, name: str) -> Any:
        return self._find(at, _variants, name) or self._missing(at, _variants, "variant", name)

    def _missing(self, at: sql.Connection, table: sql.Table, what: str, name: str) -> Any:
        known = at.execute(sql.select(table.c.name)).scalars().all()
        fix = suggestion(name, known) if known else "Register it first."
        raise Misuse(f"there is no {what} {name!r}", source=self.url, field=what, fix=fix)

    def _taken(self, what: str, name: str) -> Misuse:
        return Misuse(
            f"there is a {what} {name!r} already", source=self.url, field="name",
            fix="Remove that one first, or give another name.",
        )  # fmt: skip

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[sql.Connection]:
        try:
            with self._engine.connect() as connection:
                if self._sqlite:
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield connection
                connection.commit()
        except sql.exc.IntegrityError as error:  # another database: somebody registered it at the same time
            raise Temporary(f"{self.url}: {error.orig}") from error
        except sql.exc.DBAPIError as error:
            raise self._translated(error) from error

    def _translated(self, error: sql.exc.DBAPIError) -> TradewindError:
        name = str(getattr(error.orig, "sqlite_errorname", ""))
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return Misuse(str(error.orig), source=self.url, fix="Name a file that can be written.")
        if name.startswith("SQLITE_NOTADB"):
            return Misuse("it is no store of variants", source=self.url, fix="Name another file.")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_SCHEMA")):
            return Corrupt(f"{self.url}: {error.orig}")
        return Temporary(f"{self.url}: {error.orig}", delay=10.0 if name == "SQLITE_FULL" else 1.0)


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver thinks
    connection.execute("PRAGMA foreign_keys=ON")
    # The rollback journal, not a log beside the file: registering is rare, and a store is then one file.
    connection.execute("PRAGMA synchronous=FULL")


def _text(name: str, document: Mapping[str, Any]) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not name.isprintable():
        raise Misuse(
            f"{name!r} is no name", field="name", fix=f"Give 1 to {_LONGEST} characters that can be printed."
        )
    try:
        text = msgspec.json.encode(dict(document)).decode()
    except (TypeError, ValueError, OverflowError) as error:
        raise Misuse(f"it cannot be kept ({error})", source=name, fix="Give what JSON can say.") from None
    if msgspec.json.decode(text) != document:
        raise Misuse("its values have no form in JSON", source=name, fix="Give finite numbers, texts, lists.")
    return text


def _parsed(url: str | os.PathLike[str]) -> sql.URL:
    text = os.fspath(url)
    if "://" in text:
        try:
            return sql.make_url(text)
        except sql.exc.ArgumentError:
            raise Misuse("it is no URL", source=text, fix="Give a path, or such as sqlite:///file.") from None
    path = Path(text).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misuse(f"its folder cannot be made ({error})", source=text, fix="Name another one.") from None
    return sql.URL.create("sqlite", database=str(path))
