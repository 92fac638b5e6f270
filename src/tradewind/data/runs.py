"""The record of runs: what was run, where it lies, what it cost and how it ended; SQLite by SQLAlchemy."""

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

from tradewind.clock import iso, wall
from tradewind.errors import Corrupt, Misuse, suggestion

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

    def begin(self, name: str, spec: str, directory: str | os.PathLike[str]) -> Run:
        """Record a run that this process drives."""
        values = {
            "name": name, "spec": spec, "directory": str(Path(directory).resolve()), "state": RUNNING,
            "started": wall(), "pid": os.getpid(), "process": process_identity(os.getpid()),
        }  # fmt: skip
        with self._engine.begin() as connection:
            key = connection.execute(_runs.insert().values(**values)).inserted_primary_key
        assert key is not None
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
    ) -> Run:
        """Record what is new about a run; an ending (`paused`, `done`, `failed`) is given its moment."""
        given: Mapping[str, Any] = {
            "state": state, "ended": ended, "cost": cost, "cost_on_demand": cost_on_demand,
            "quality": quality, "metric": metric, "estimate_cost": estimate_cost,
            "estimate_seconds": estimate_seconds,
            "seconds": seconds, "reason": reason, "pid": pid, "process": process,
        }  # fmt: skip
        values = {field: value for field, value in given.items() if value is not UNSET}
        if state in (PAUSED, DONE, FAILED) and ended is UNSET:
            values["ended"] = wall()
        if values:
            with self._engine.begin() as connection:
                done = connection.execute(_runs.update().where(_runs.c.id == run).values(**values))
            if done.rowcount == 0:
                raise Misuse(f"there is no run {run}", source=str(self.root), fix="See: tradewind runs")
        return self.get(run)

    def get(self, run: int) -> Run:
        """The run of that number."""
        with self._engine.connect() as connection:
            row = connection.execute(_runs.select().where(_runs.c.id == run)).mappings().first()
        if row is None:
            raise Misuse(f"there is no run {run}", source=str(self.root), fix="See: tradewind runs")
        return _run(row)

    def list(self) -> list[Run]:
        """Every run, the newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(_runs.select().order_by(_runs.c.id.desc())).mappings().all()
        return [_run(row) for row in rows]

    def find(self, text: str) -> Run:
        """The run that `text` means: `latest`, a number, a directory, or the newest of a name."""
        runs = self.list()
        if not runs:
            raise Misuse(
                "there are no runs yet", source=str(self.root), fix="Begin one: tradewind train SPEC"
            )
        if text == "latest":
            return runs[0]
        directory = str(Path(text).resolve())
        for run in runs:
            if text in (str(run.id), run.name, Path(run.directory).name) or run.directory == directory:
                return run
        known = {"latest", *(run.name for run in runs), *(str(run.id) for run in runs)}
        raise Misuse(f"there is no run {text!r}", source=str(self.root), fix=suggestion(text, known))


def _run(row: Mapping[Any, Any]) -> Run:
    run = convert({str(field): value for field, value in row.items()}, Run)
    if run.state == RUNNING and process_identity(run.pid) != run.process:
        values = {field: getattr(run, field) for field in run.__struct_fields__}
        return Run(**{**values, "state": CRASHED, "reason": f"its driver, process {run.pid}, is gone"})
    return run


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
