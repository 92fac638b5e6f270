"""`GridSearch`: Cirrus's interface (Carreira et al., SoCC 2019), each setting a job on leases of its own.

Unlike the published one it enforces its timeout, queues what does not run at once, knows trials by their
number, refuses names that mean nothing, and goes on where a driver that was killed left off.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tradewind import clock
from tradewind.data.stored import StoredData
from tradewind.data.streams import open_data
from tradewind.data.trial_records import NOTED, REPORTED, StoredTrial, Trials
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, Permanent
from tradewind.session import durations
from tradewind.session.cleaning import driver_name
from tradewind.session.grid.driver import GridDriver
from tradewind.session.grid.names import SOURCE, Names, variables
from tradewind.session.spec import TrainSpec
from tradewind.tuning.interface import Stopper
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, OPEN, RUNNING, Setting

RECENT = 5
"""Reports of a trial that what it costs a second is reckoned over."""
_VIEW = (
    "from tradewind.cli.console import command; "
    "command.main(['--lifeline', *__import__('sys').argv[1:]], standalone_mode=True)"
)


class Ranked(msgspec.Struct, frozen=True):
    """A trial among the best."""

    number: int
    setting: Setting
    loss: float
    """The mean over the rows read lately, as the job tells it."""
    state: str
    dollars: float


class GridSearch:
    """Trains every combination of some values, each as a real job, a few at a time.

    A trial is a run of `tradewind.train` in a process group of its own. Its loss is what the job tells of the
    rows read lately, less is better; its steps are updates of the model. All of it is kept in a study, and
    after a kill `run()` goes on where it was: trials that are over stay so, others are resumed from their
    last snapshots.

    Args:
        task: the learner's class, or its kind as a spec says it.
        param_base: what all trials have: arguments of the learner, fields of a job's spec (`provider.speed`
            with a dot where they are in a table), and Cirrus's names for them: dataset, n_workers, n_ps,
            worker_size (MB), minibatch_size, learning_rate, epsilon, opt_method, model_bits, timeout. A name
            that both have, such as epochs, is the job's. Data in memory is saved once, beside the runs.
        hyper_vars: names of what is varied, flat or nested in a list; or a mapping of names to values.
        hyper_params: a list of values for each name.
        num_jobs: how many trials run at a time; the others wait.
        timeout: seconds of the wall, or a text such as `20m`, that a trial may take in one go.
        store: of the study: a path, a URL of SQLAlchemy, or a store; a file beside the runs if not given.
        name: of the study.
        stop: a rule of `tradewind.tuning.stopping` for who ends early, its steps in updates; nobody does if
            not given, but for those who are killed.
        instances: types of instances that workers are rented of; any that will do if not given.
        out: the folder of the runs, in which they have one of their own, named for the study.

    >>> import tradewind as tw
    >>> search = tw.GridSearch(task=tw.MultinomialLogisticRegression, param_base={"dataset": "adult"},
    ...     hyper_vars=["learning_rate", "minibatch_size"], hyper_params=[[0.1, 1.0], [100, 1000]])
    >>> search.size
    4
    """

    def __init__(
        self,
        task: Any,
        param_base: Mapping[str, Any],
        hyper_vars: Sequence[Any] | Mapping[str, Any],
        hyper_params: Sequence[Any] | None = None,
        *,
        num_jobs: int = 2,
        timeout: float | str | None = None,
        store: TrialStore | str | os.PathLike[str] | None = None,
        name: str = "grid",
        stop: Stopper | None = None,
        instances: Sequence[str] | None = None,
        out: str | os.PathLike[str] = "runs",
    ) -> None:
        self._names = Names.of(task)
        base = dict(param_base)
        if instances is not None:
            base["instances"] = [instances] if isinstance(instances, str) else list(instances)
        timeout = base.pop("timeout", None) if timeout is None else timeout
        given = {"source": SOURCE, "field": "timeout"}
        self._timeout = None if timeout is None else durations.seconds(timeout, **given)
        values = variables(hyper_vars, hyper_params)
        for each in values:
            self._names.check(each, "hyper_vars")
        for each in base:
            self._names.check(each, "param_base")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
            raise Misuse(
                f"{name!r} is no name for a folder", source=SOURCE, field="name",
                fix="Use letters, digits, dots, dashes and underscores.",
            )  # fmt: skip
        self.name, self._folder = name, Path(out).absolute() / name
        self._base = self._with_data(base, values)
        self._space = Space.of(values, source=SOURCE)
        self._settings = list(self._space.grid(1))
        self._check(values)
        if isinstance(stop, PopulationTraining):
            raise Misuse(
                "a grid's settings stay as they are", source=SOURCE, field="stop",
                fix="Population-based training is a study of its own: tw.Study(search=..., stop=...).",
            )  # fmt: skip
        self._stop, self._given = stop, store
        self._store: TrialStore | None = store if isinstance(store, TrialStore) else None
        self._together = 0
        self.set_threads(num_jobs)
        self._leave = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: BaseException | None = None
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._known = Trials()
        self._view: subprocess.Popen[bytes] | None = None
        self.url = ""
        """Of the live view, once there is one."""

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return len(self._settings)

    @property
    def store(self) -> TrialStore:
        """Where all of it is on record; made where it is not there."""
        if self._store is None:
            given = self._folder / "trials.sqlite" if self._given is None else self._given
            assert not isinstance(given, TrialStore)
            self._store = TrialStore(given)
        return self._store

    @property
    def trials(self) -> tuple[StoredTrial, ...]:
        """All trials as they are now, by number."""
        with self._reading:
            if not self._known and self.name not in {each.name for each in self.store.studies()}:
                return ()
            return self.store.trials(self.name, self._known).all()

    # running

    def run(self, UI: bool = False, *, wait: bool = True) -> list[Ranked]:
        """Run what is left, and give the best first; with `wait=False` in a thread, and give what there is.

        `UI` opens the live view, a page of a server of its own on this machine, whose address is written to
        stderr. Ctrl-C pauses every trial and gives it back; so does the end of this process. Raises Misuse
        if it runs already.
        """
        if not self._lock.acquire(blocking=False):
            raise Misuse("it runs already", source=SOURCE, field="run", fix="Use wait() to wait for it.")
        try:
            study = self._study()
            if UI:
                self._open_view()
            self._leave.clear()
            self._problem = None
        except BaseException:
            self._lock.release()
            raise
        if wait:
            self._drive(study)
        else:
            self._thread = threading.Thread(target=self._drive_apart, args=(study,), daemon=True)
            self._thread.start()
        return self.get_top(self.size)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a search that runs in a thread; whether it is over. Raises what went wrong there."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
            problem, self._problem = self._problem, None
            if problem is not None:
                raise problem
        return True

    def close(self) -> None:
        """Pause what runs, wait until it is given back, and end the live view."""
        self._leave.set()
        if self._thread is not None:
            self._thread.join()
        if self._view is not None:
            for stream in (self._view.stdin, self._view.stdout):
                assert stream is not None
                stream.close()
            self._view.wait()
            self._view, self.url = None, ""

    def set_threads(self, n: int) -> None:
        """Run `n` trials at a time from now on; those that run already go on."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise Misuse(f"{n!r} run nothing", source=SOURCE, field="num_jobs", fix="Give 1 or more.")
        self._together = n

    def kill(self, i: int) -> bool:
        """Stop trial `i` for good; its processes are gone within 5 s. False if it is over already."""
        return self.store.stop(self.name, i, "it was killed", moment=clock.wall())

    def kill_all(self) -> int:
        """Stop every trial, those that wait as well; how many that were."""
        return sum(self.kill(each.number) for each in self.trials if each.state in OPEN)

    # how it stands

    def get_top(self, n: int) -> list[Ranked]:
        """The `n` trials with the least loss, those that still run among them, the best first."""
        found = []
        for each in self.trials:
            loss = each.final if each.state == COMPLETED else (each.values or (None,))[-1]
            if loss is not None and not math.isnan(loss) and each.state != FAILED:
                found.append(Ranked(each.number, dict(each.setting), loss, each.state, each.dollars))
        return sorted(found, key=lambda each: (each.loss, each.number))[:n]

    def get_cost(self) -> float:
        """US dollars that all trials have cost so far."""
        return math.fsum(each.dollars for each in self.trials)

    def get_cost_per_sec(self) -> float:
        """US dollars that the trials that run cost together in a second of market time, lately."""
        running = {each.number for each in self.trials if each.state == RUNNING}
        lately: dict[int, list[tuple[float, float]]] = {number: [] for number in running}
        for event in self.store.history(self.name) if running else ():
            if event.kind == REPORTED and event.number in lately and event.seconds is not None:
                lately[event.number].append((event.seconds, event.dollars or 0.0))
        total = 0.0
        for points in lately.values():
            (first, before), *_, (last, after) = [(0.0, 0.0), (0.0, 0.0), *points][-RECENT:]
            total += max(0.0, after - before) / (last - first) if last > first else 0.0
        return total

    def get_num_lambdas(self) -> int:
        """How many leases work now, each with the worker processes of a trial.

        Cirrus counts functions here. The lease that keeps a trial's model is not among them.
        """
        found: dict[int, int] = {}
        running = {each.number for each in self.trials if each.state == RUNNING}
        for event in self.store.history(self.name) if running else ():
            if event.kind == NOTED and event.number in running and "workers" in event.document:
                found[event.number] = event.document["workers"]
        return sum(found.values())

    # how

    def _spec(self, number: int, setting: Setting) -> TrainSpec:
        return self._names.spec({**self._base, **setting}, name=f"trial-{number}", out=self._folder)

    def _check(self, values: Mapping[str, list[Any]]) -> None:
        """Every value in a job, before any is begun: one after the other beside the first of the others."""
        self._spec(0, self._settings[0])
        for name, each in values.items():
            for value in each[1:]:
                self._spec(0, {**self._settings[0], name: value})

    def _with_data(self, base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """`base` with data in memory saved to a file, which the processes of the trials read."""
        for name in ("dataset", "data"):
            given = base.get(name)
            if given is None or isinstance(given, str | Path | Mapping):
                continue
            if name in values:
                break
            opened = open_data(given)
            if not isinstance(opened, StoredData):
                raise Misuse(
                    "a stream that passes once cannot be read by several trials", source=SOURCE, field=name,
                    fix="Save it to a file.",
                )  # fmt: skip
            path = self._folder / "data.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            opened.save(path)
            return {**base, name: {"path": str(path), "format": "saved"}}
        return base

    def _study(self) -> Study:
        """The study, with every combination in it."""
        study = Study(
            self._space, name=self.name, search=FullGrid(1), stop=self._stop, store=self.store,
            driver=driver_name(),
        )  # fmt: skip
        for number in range(len(study.trials), self.size):
            # None where another driver has just added it, who adds them in the same order.
            self.store.add(self.name, self._settings[number], number=number, moment=clock.wall())
        return study

    def _drive(self, study: Study) -> None:
        try:
            driver = GridDriver(study, self._spec, self._folder, lambda: self._together, self._timeout)
            driver.drive(self._leave.is_set)
        finally:
            self._lock.release()

    def _drive_apart(self, study: Study) -> None:
        try:
            self._drive(study)
        except BaseException as problem:
            self._problem = problem

    def _open_view(self) -> None:
        """Start the live view in a process that ends with this one."""
        if self._view is not None and self._view.poll() is None:
            return
        if ":memory:" in self.store.url or self.store.url == "sqlite://":
            raise Misuse(
                "a store in memory is seen by this process only", source=SOURCE, field="store",
                fix="Give a path.",
            )  # fmt: skip
        given = str(self._folder / "trials.sqlite") if self._given is None else self._given
        where = given.url if isinstance(given, TrialStore) else os.fspath(given)
        self._view = subprocess.Popen(
            [sys.executable, "-c", _VIEW, where, "--study", self.name, "--json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._view.stdout is not None
        told = self._view.stdout.readline()
        with contextlib.suppress(msgspec.DecodeError):
            self.url = msgspec.json.decode(told).get("url", "")
        if not self.url:
            raise Permanent(f"the live view did not start: {told.decode(errors='replace').strip()}")
        sys.stderr.write(f"the live view is at {self.url}\n")
