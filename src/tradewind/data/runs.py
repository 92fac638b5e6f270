"""The record of runs, endpoints among them: where each lies, what it cost and how it ended; in SQLite."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from msgspec import UNSET, Struct, UnsetType, convert
from msgspec.structs import replace

from tradewind.clock import iso, wall
from tradewind.errors import Corrupt, Misuse, Temporary, suggestion

RUNNING, PAUSED, DONE, FAILED, CRASHED = "running", "paused", "done", "failed", "crashed"

_tables = sql.MetaData()
_runs = sql.Table(
    "runs",
    _tables,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("name", sql.String, nullable=False),
    sql.Column("directory", sql.String, nullable=False, unique=True),
    sql.Column("spec", sql.String, nullable=False),
    sql.Column("state", sql.String, nullable=False),
    sql.Column("started", sql.Float, nullable=False),
    sql.Column("ended", sql.Float),
    sql.Column("cost", sql.Float),
    sql.Column("cost_on_demand", sql.Float),
    sql.Column("quality", sql.Float),
    sql.Column("metric", sql.String, nullable=False, default=""),
    sql.Column("estimate_cost", sql.Float),
    sql.Column("estimate_seconds", sql.Float),
    sql.Column("seconds", sql.Float),
    sql.Column("reason", sql.String, nullable=False, default=""),
    sql.Column("pid", sql.Integer, nullable=False),
    sql.Column("process", sql.String, nullable=False),
    sqlite_autoincrement=True,
)
_endpoints = sql.Table(
    "endpoints",
    _tables,
    sql.Column("run", sql.Integer, sql.ForeignKey("runs.id"), primary_key=True),
    sql.Column("url", sql.String, nullable=False),
    sql.Column("replicas", sql.Integer, nullable=False),
)
"""What is kept of endpoints besides; in a table of its own, so that older records need no change."""
_lines = sql.select(_runs, _endpoints.c.url, _endpoints.c.replicas).outerjoin(_endpoints)


class Serving(Struct, frozen=True):
    """What is kept of a run that is an endpoint, besides what is kept of every run."""

    url: str = ""
    """Where it answers, or did; empty until it does."""
    replicas: int = 0
    """How many answered when it was last looked at; none of an endpoint that ended or crashed."""


class Run(Struct, frozen=True):
    """A line of the record."""

    id: int
    name: str
    directory: str
    spec: str
    """The spec, as JSON."""
    state: str
    """running, paused, done or failed; crashed where the driver of a running one is gone."""
    started: float
    """The wall's moment."""
    ended: float | None = None
    cost: float | None = None
    """US dollars."""
    cost_on_demand: float | None = None
    """US dollars that the same work would have cost on demand."""
    quality: float | None = None
    metric: str = ""
    """What the quality measures, such as accuracy."""
    estimate_cost: float | None = None
    """US dollars, before it began."""
    estimate_seconds: float | None = None
    seconds: float | None = None
    """Seconds of the market's time that it took."""
    reason: str = ""
    """Why it ended, in words."""
    pid: int = 0
    """The driver's process."""
    process: str = ""
    """What tells that process from a later one with the same number."""
    endpoint: Serving | None = None
    """None of a run that is no endpoint."""


class RunIndex:
    """The record of the runs under a directory, in `index.sqlite`; any number of processes may use it."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._engine = sql.create_engine(
            f"sqlite:///{self.root / 'index.sqlite'}", connect_args={"timeout": 30}, poolclass=sql.NullPool
        )
        try:
            _tables.create_all(self._engine)
        except sql.exc.OperationalError:  # another process made the table between the look and the making
            _tables.create_all(self._engine)
        except sql.exc.DatabaseError as error:
            raise Corrupt(f"{self.root / 'index.sqlite'}: not a record of runs ({error.orig})") from None

    def begin(
        self, name: str, spec: str, directory: str | os.PathLike[str], endpoint: Serving | None = None
    ) -> Run:
        """Record a run that this process drives. It becomes the `latest`, unless it is an endpoint."""
        values = {
            "name": name, "spec": spec, "directory": str(Path(directory).resolve()), "state": RUNNING,
            "started": wall(), "pid": os.getpid(), "process": process_identity(os.getpid()),
        }  # fmt: skip
        with self._engine.begin() as connection:
            key = connection.execute(_runs.insert().values(**values)).inserted_primary_key
            assert key is not None
            if endpoint is not None:
                line = {"run": int(key[0]), "url": endpoint.url, "replicas": endpoint.replicas}
                connection.execute(_endpoints.insert().values(**line))
        if endpoint is not None:
            return self.get(int(key[0]))
        latest = self.root / "latest"
        with suppress(OSError):  # a convenience; file systems without links go without
            partial = self.root / f".latest-{os.getpid()}"
            partial.unlink(missing_ok=True)
            partial.symlink_to(str(values["directory"]))
            os.replace(partial, latest)
        return self.get(int(key[0]))

    def resume(self, run: int) -> Run:
        """Record that this process drives a run again; Misuse while another one does."""
        found = self.get(run)
        if found.state == RUNNING and found.pid != os.getpid():
            raise Misuse(
                f"process {found.pid} is driving it",
                source=f"run {run}",
                fix="Wait for it, or stop it first.",
            )
        return self.update(
            run, state=RUNNING, pid=os.getpid(), process=process_identity(os.getpid()), ended=None, reason=""
        )

    def update(
        self,
        run: int,
        *,
        state: str | UnsetType = UNSET,
        ended: float | UnsetType | None = UNSET,
        cost: float | UnsetType = UNSET,
        cost_on_demand: float | UnsetType = UNSET,
        quality: float | UnsetType = UNSET,
        metric: str | UnsetType = UNSET,
        estimate_cost: float | UnsetType = UNSET,
        estimate_seconds: float | UnsetType = UNSET,
        seconds: float | UnsetType = UNSET,
        reason: str | UnsetType = UNSET,
        pid: int | UnsetType = UNSET,
        process: str | UnsetType = UNSET,
        endpoint: Serving | UnsetType = UNSET,
    ) -> Run:
        """Record what is new about a run; an ending (`paused`, `done`, `failed`) is given its moment.

        `endpoint` is of a run that was begun as one. Temporary where the file is locked, or broken meanwhile.
        """
        given: Mapping[str, Any] = {
            "state": state, "ended": ended, "cost": cost, "cost_on_demand": cost_on_demand,
            "quality": quality, "metric": metric, "estimate_cost": estimate_cost,
            "estimate_seconds": estimate_seconds,
            "seconds": seconds, "reason": reason, "pid": pid, "process": process,
        }  # fmt: skip
        values = {field: value for field, value in given.items() if value is not UNSET}
        if state in (PAUSED, DONE, FAILED) and ended is UNSET:
            values["ended"] = wall()
        changes = [(_runs.update().where(_runs.c.id == run), values)]
        if endpoint is not UNSET:
            told = {"url": endpoint.url, "replicas": endpoint.replicas}
            changes.append((_endpoints.update().where(_endpoints.c.run == run), told))
        try:
            with self._engine.begin() as connection:
                done = [connection.execute(update.values(**new)).rowcount for update, new in changes if new]
            if all(done):
                return self.get(run)
        except sql.exc.OperationalError as error:
            raise Temporary(f"{self.root / 'index.sqlite'} cannot be written ({error.orig})") from error
        raise Misuse(f"there is no run {run}", source=str(self.root), fix="See: tradewind runs")

    def get(self, run: int) -> Run:
        """The run of that number."""
        with self._engine.connect() as connection:
            row = connection.execute(_lines.where(_runs.c.id == run)).mappings().first()
        if row is None:
            raise Misuse(f"there is no run {run}", source=str(self.root), fix="See: tradewind runs")
        return _run(row)

    def list(self) -> list[Run]:
        """Every run, the newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(_lines.order_by(_runs.c.id.desc())).mappings().all()
        return [_run(row) for row in rows]

    def find(self, text: str) -> Run:
        """The run that `text` means: `latest`, a number, a directory, or the newest of a name.

        The latest is no endpoint, unless there is nothing else.
        """
        runs = self.list()
        if not runs:
            raise Misuse(
                "there are no runs yet", source=str(self.root), fix="Begin one: tradewind train SPEC"
            )
        if text == "latest":
            return next((run for run in runs if run.endpoint is None), runs[0])
        directory = str(Path(text).resolve())
        for run in runs:
            if text in (str(run.id), run.name, Path(run.directory).name) or run.directory == directory:
                return run
        known = {"latest", *(run.name for run in runs), *(str(run.id) for run in runs)}
        raise Misuse(f"there is no run {text!r}", source=str(self.root), fix=suggestion(text, known))


def _run(row: Mapping[Any, Any]) -> Run:
    values = {str(field): value for field, value in row.items()}
    url, replicas = values.pop("url"), values.pop("replicas")
    run = convert(values, Run)
    endpoint = None if url is None else Serving(url, replicas)
    if run.state == RUNNING and process_identity(run.pid) != run.process:
        run = replace(run, state=CRASHED, reason=f"its driver, process {run.pid}, is gone")
    if endpoint is not None and run.state != RUNNING:
        endpoint = replace(endpoint, replicas=0)
    return replace(run, endpoint=endpoint)


def process_identity(pid: int) -> str:
    """What tells a live process from a later one with its number (boot, start time); empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        try:
            os.kill(pid, 0)  # no /proc on this system: alive is all that can be said
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
        return "alive"
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else f"{boot}:{fields[19]}"


def new_run_directory(root: str | os.PathLike[str], name: str) -> Path:
    """A new directory that nobody else has, `root/<name>-<moment>`; Misuse for a name with a slash."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise Misuse(
            f"{name!r} is no name for a run",
            field="name",
            fix="Use letters, digits, dots, dashes and underscores.",
        )
    stamp = iso(wall()).replace("-", "").replace(":", "").removesuffix("Z")
    for attempt in itertools.count(1):
        directory = Path(root) / (f"{name}-{stamp}" + (f"-{attempt}" if attempt > 1 else ""))
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise AssertionError
