"""The connection to the store of trials: opened by a thread when it needs one, lost and opened again.

SQLite is in WAL mode with `synchronous=NORMAL`: a commit is with the operating system, and a kill -9 takes
nothing; a power cut may take the last commits, whole ones, and leaves the file good. With `synced` each
commit waits for the disk (`synchronous=FULL`).
"""

from __future__ import annotations

import itertools
import os
import threading
import uuid
import weakref
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sql

from tradewind.clock import stopwatch
from tradewind.data.trial_tables import VERSION, Hot, Transaction
from tradewind.errors import Corrupt, Misuse, Temporary, TradewindError, Unreachable

T = TypeVar("T")

_TRIES = 3
_PAUSE = 0.2
"""Seconds of the wall between two tries that are made of patience."""
_WAL_PAGES = 4000
"""How much SQLite writes to its log before it syncs and clears it: 16 MB, a few thousand reports."""


class Database:
    """The connection to the tables; any number of threads may use it, each by a connection of its own."""

    def __init__(
        self, url: str | os.PathLike[str], *, synced: bool = False, wait: float = 30.0, patience: float = 0.0
    ) -> None:
        """Open the tables at a path or URL, and make them where there are none; see `TrialStore`."""
        self._synced, self._wait, self._patience = synced, wait, patience
        self._url = _parsed(url)
        self.url = self._url.render_as_string(hide_password=True)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self._memory = self._sqlite and self._url.database in (None, "", ":memory:")
        self._gate: Any = threading.RLock() if self._memory else nullcontext()
        self._lock = threading.Lock()
        self._inherited: list[Any] = []
        self._connections: list[tuple[weakref.ref[threading.Thread], sql.Connection]] = []
        self._local = threading.local()
        self._pid = os.getpid()
        self._engine = self._made_engine()
        self._driver: Any = self._engine.dialect.loaded_dbapi
        self._hot = Hot(self._engine.dialect)
        try:
            if not self.read(lambda found: found.versioned()):
                self.write(lambda found: found.make_tables())
            version = self.read(lambda found: found.version())
            if version != VERSION:
                raise Misuse(
                    f"it is of version {version}, and this is for version {VERSION}", source=self.url,
                    fix="Open it with the release of Tradewind that wrote it, or name another file.",
                )  # fmt: skip
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for _, connection in self._connections:
                _closed(connection)
            self._connections.clear()
            self._local = threading.local()
        self._engine.dispose()

    def read(self, work: Callable[[Transaction], T]) -> T:
        """What `work` reads."""
        return self._run(work, False)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """What `work` gives, its changes committed. It may be called again, and then finds its token."""
        return self._run(work, True)

    def _run(self, work: Callable[[Transaction], T], writes: bool) -> T:
        token = uuid.uuid4().hex
        failing: Callable[[], float] | None = None
        for turn in itertools.count(1):
            try:
                with self._gate:
                    connection = self._connection()
                    connection.info["begin"] = "BEGIN IMMEDIATE" if writes else "BEGIN"
                    with connection.begin():
                        return work(Transaction(connection, self._hot, self.url, writes, token, turn > 1))
            except (sql.exc.DBAPIError, self._driver.Error) as error:
                self._drop()
                problem, again = self._translated(error)
                if again and turn < _TRIES:
                    continue
                failing = failing or stopwatch()
                if not isinstance(problem, Temporary) or failing() >= self._patience:
                    raise problem from error
                threading.Event().wait(_PAUSE)
        raise AssertionError

    def _connection(self) -> sql.Connection:
        if self._pid != os.getpid():
            # A connection does not outlive a fork, and to close it here would harm the parent's.
            self._inherited.append((self._engine, self._connections, self._local))
            self._connections, self._local, self._lock = [], threading.local(), threading.Lock()
            self._pid, self._engine = os.getpid(), self._made_engine()
        held: sql.Connection | None = getattr(self._local, "connection", None)
        if held is not None:
            return held
        found = self._engine.connect()
        self._local.connection = found
        with self._lock:
            for each in [each for each in self._connections if each[0]() is None]:
                self._connections.remove(each)
                _closed(each[1])
            self._connections.append((weakref.ref(threading.current_thread()), found))
        return found

    def _drop(self) -> None:
        """Give up this thread's connection after an error; an in-memory store is its connection."""
        held: sql.Connection | None = getattr(self._local, "connection", None)
        if held is None or self._memory:
            return
        self._local.connection = None
        with self._lock:
            self._connections[:] = [each for each in self._connections if each[1] is not held]
        with suppress(sql.exc.SQLAlchemyError):
            held.invalidate()
        _closed(held)

    def _made_engine(self) -> sql.Engine:
        try:
            if not self._sqlite:
                return sql.create_engine(self._url, poolclass=sql.NullPool, isolation_level="READ COMMITTED")
            engine = sql.create_engine(
                self._url,
                poolclass=sql.StaticPool if self._memory else sql.NullPool,
                connect_args={"timeout": self._wait, "check_same_thread": False},
            )
        except (sql.exc.NoSuchModuleError, sql.exc.ArgumentError) as error:
            raise Misuse(
                f"no database is known by it ({error})",
                source=self.url,
                fix="Give a path, or postgresql://...",
            ) from None
        except ModuleNotFoundError as error:
            raise Misuse(
                f"it needs the package {error.name}", source=self.url, fix=f"Install {error.name}."
            ) from None
        sql.event.listen(engine, "connect", self._set_up)
        sql.event.listen(engine, "begin", _begin)
        return engine

    def _set_up(self, connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver thinks
        if self._memory:
            return
        for turn in itertools.count(1):
            try:
                if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    connection.execute("PRAGMA journal_mode=WAL")
                break
            except connection.OperationalError as error:
                # Two who turn it on at a time do not wait for each other as writers do; so be a writer.
                if turn == 100 or "locked" not in str(error):
                    raise
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("COMMIT")
        connection.execute(f"PRAGMA synchronous={'FULL' if self._synced else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")

    def _translated(self, error: Exception) -> tuple[TradewindError, bool]:
        """An error of the driver's as one of ours, and whether to try again at once."""
        problem = getattr(error, "orig", error)
        said = f"{self.url}: {problem}"
        if isinstance(problem, self._driver.IntegrityError):  # another wrote the same at the same time
            return Temporary(said), True
        if not self._sqlite:
            lost = (self._driver.OperationalError, self._driver.InterfaceError, self._driver.InternalError)
            if isinstance(problem, lost) or getattr(error, "connection_invalidated", False):
                return Unreachable(said), True
            return Corrupt(said), False
        name = str(getattr(problem, "sqlite_errorname", ""))
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Temporary(f"{said} (for {self._wait:g} s)"), False
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return Misuse(str(problem), source=self.url, fix="Name a file that can be written."), False
        if name.startswith("SQLITE_NOTADB"):
            return Misuse("it is no store of trials", source=self.url, fix="Name another file."), False
        if name.startswith(("SQLITE_FULL", "SQLITE_NOMEM")):
            return Temporary(said, delay=10.0), False
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_SCHEMA")):
            return Corrupt(said), False
        return Temporary(said), True


def _begin(connection: sql.Connection) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.execute(connection.info["begin"])


def _closed(connection: sql.Connection) -> None:
    with suppress(sql.exc.SQLAlchemyError):
        connection.close()


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
