"""The objective of tuning a learner of ours: train it here with a trial's setting, score it after each step.

A trial learns what `tradewind train` would learn with the same fields, bulk-synchronous bit for bit; stopped
after any step and gone on with elsewhere, the same again. Steps are epochs, or so many rows. The numbers that
it reports are its metric on rows that are held back.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import Algorithm
from tradewind.algorithms.linear.metrics import CLASSIFICATION, LOWER_IS_BETTER, MORE_CLASSES, TWO_CLASSES
from tradewind.data.model_files.layout import arrays_digest
from tradewind.data.stored import StoredData
from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt, Misuse
from tradewind.session.assembly import material_of
from tradewind.session.learner_space import spec_with
from tradewind.session.spec import TrainSpec, make_spec
from tradewind.session.stretch import model_of
from tradewind.state.consistency import Asynchronous
from tradewind.state.engine import Engine
from tradewind.state.snapshot import Snapshot, WorkerRecord, snapshot_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm
from tradewind.training.state_host import check_same_data, fresh_state
from tradewind.training.worker import part_of
from tradewind.tuning.trial import Setting

FORMAT = "tradewind-trial-1"
"""What a checkpoint says it is."""
MOST_OPENED = 4
"""Data sets that this process keeps open."""


LESS = LOWER_IS_BETTER | {
    "cross_entropy", "loss", "mean_weighted_quantile_loss", "msd", "ssd", "mase", "nd", "smape", "perplexity",
    "reconstruction_error",
}  # fmt: skip
"""Metrics of which less is better."""
MORE = {
    *CLASSIFICATION, *TWO_CLASSES, *MORE_CLASSES, "r2", "log_likelihood", "variance_captured", "completion",
} - LESS  # fmt: skip
"""Metrics of which more is better."""


class TrialLike(Protocol):
    """What the objective needs of a trial: an `Attempt` is one."""

    @property
    def setting(self) -> Setting:
        """Values of the hyper-parameters by name."""
        ...

    @property
    def place(self) -> str:
        """Where the checkpoint lies that it goes on from; empty to begin."""
        ...

    def keep(self, save: Callable[[Path], object]) -> None:
        """Say how a checkpoint is made."""
        ...

    def report(self, step: int, value: float) -> None:
        """Record the objective after a step."""
        ...


def objective(
    trial: TrialLike,
    learner: str | Mapping[str, Any],
    data: str | Mapping[str, Any],
    *,
    metric: str = "",
    rows_per_step: int | None = None,
    cache: str | None = None,
    **job: Any,
) -> float:
    """Train a learner with a trial's setting, report the metric after each step, and give the last one.

    `learner`, `data` and `job` (`epochs`, `batch`, `parts`, `consistency`, `staleness`, `seed`) are fields of
    a spec, as plain JSON says them; the setting comes in their place, see `learner_space.spec_with`. The rows
    that are scored are those of `data.validation`, else those of `data.test` or of the test side of
    `data.split`; the first are given to the learner's `finalize` too, as in a run. `metric` is one of the
    model's, its usual one if not given: whether less of it is better is for the study to say. A step is an
    epoch, or the fewest whole rounds of batches that read `rows_per_step`. `cache` is a folder where the
    processes of a machine share what was parsed; a process opens each version of a file once.

    A value that is not finite is reported as it is. Where the state itself is not finite any more the trial
    ends there, with nan: it does not mend. Misuse, before anything is learned, for what cannot be meant, and
    where no rows are held back.
    """
    spec = spec_with(_base(learner, data, job), trial.setting)
    learning = _Learning(spec, _opened(spec, cache), metric, rows_per_step)
    engine, done = learning.begun(trial.place)
    trial.keep(lambda path: learning.keep(engine, path))
    value = math.nan
    for step in range(done + 1, learning.steps + 1):
        learning.advance(engine, step)
        value = learning.score(engine)
        trial.report(step, value)
        if math.isnan(value) and not _finite(engine):
            return value
    return value if done < learning.steps else learning.score(engine)


def steps(
    learner: str | Mapping[str, Any], data: str | Mapping[str, Any], *, rows_per_step: int | None = None,
    cache: str | None = None, setting: Setting | None = None, **job: Any,
) -> int:  # fmt: skip
    """How many steps `objective` makes with a setting, the plain fields if none is given."""
    spec = spec_with(_base(learner, data, job), setting or {})
    return _Learning(spec, _opened(spec, cache), "", rows_per_step).steps


def judged_by(
    learner: str | Mapping[str, Any], data: str | Mapping[str, Any], metric: str = "", *,
    direction: str = "", cache: str | None = None, setting: Setting | None = None, **job: Any,
) -> tuple[str, str]:  # fmt: skip
    """The metric that `objective` reports, and the direction in which it is better.

    A model of the first rows is made and scored for it: Misuse for a metric that there is not, before any
    trial, and for one of which nobody knows which way it is better, unless `direction` says so.
    """
    spec = spec_with(_base(learner, data, job), setting or {})
    learning = _Learning(spec, _opened(spec, cache), metric, 1)
    engine, _ = learning.begun("")
    learning.advance(engine, 1)
    learning.score(engine)
    name = metric or model_of(learning.algorithm, engine.snapshot(), **learning.opened.config).metric
    known = "minimize" if name in LESS else "maximize" if name in MORE else ""
    if not (direction or known):
        raise Misuse(
            f"nobody knows which way {name!r} is better", field="direction",
            fix="Say minimize or maximize, or give another metric.",
        )  # fmt: skip
    return name, direction or known


class Opened(Struct, frozen=True, eq=False):
    """Data that this process has read."""

    train: StoredData
    held: Batch
    """The rows that are scored."""
    config: dict[str, Any]
    """What the learner's `finalize` is given."""


class _Learning:
    """A job, step by step, in an engine that is at rest between them."""

    def __init__(self, spec: TrainSpec, opened: Opened, metric: str, rows_per_step: int | None) -> None:
        if rows_per_step is not None and rows_per_step < 1:
            raise Misuse(f"{rows_per_step} rows are no step", field="rows_per_step", fix="Give 1 or more.")
        self.opened, self.metric, self.at = opened, metric, 0
        self.algorithm: Algorithm = build_algorithm(spec.learner)
        self.job = Job(
            learner=spec.learner, data={}, epochs=spec.epochs, batch=spec.batch, parts=spec.parts,
            consistency=spec.consistency, staleness=spec.staleness, seed=spec.seed,
        )  # fmt: skip
        parts = [part_of(self.job, opened.train, worker) for worker in range(spec.parts)]
        self.lengths = [int(part.length or 0) for part in parts]
        rounds = max(self.lengths)
        self.rounds = rounds // spec.epochs
        if rows_per_step is not None:
            self.rounds = min(rounds, -(-rows_per_step // (spec.batch * spec.parts)))
        self.steps = -(-rounds // self.rounds)

    def clocks(self, step: int) -> list[int]:
        """How many batches each worker has read after a step."""
        return [min(length, step * self.rounds) for length in self.lengths]

    def begun(self, place: str) -> tuple[Engine, int]:
        """The engine at the checkpoint in `place`, and its step; a fresh one where there is none.

        A checkpoint that is gone or damaged costs the trial its steps, and not itself.
        """
        fresh = fresh_state(self.job, self.algorithm, self.opened.train)
        if not place:
            return fresh, 0
        try:
            arrays, metadata = read_tensors(Path(place))
            if metadata.get("format") != FORMAT or metadata.get("digest") != arrays_digest(arrays):
                raise Corrupt(f"{place}: no whole checkpoint of a trial")
            told, step = json.loads(metadata["job"]), int(metadata["step"])
            snapshot = snapshot_of(arrays, json.loads(metadata["header"]))
        except (Corrupt, KeyError, ValueError):
            return fresh, 0
        check_same_data(snapshot, self.opened.train)
        if told != self._told():
            snapshot = self._adopted(fresh.snapshot(), snapshot, step, place)
        return Engine.restore(snapshot), step

    def _adopted(self, own: Snapshot, other: Snapshot, step: int, place: str) -> Snapshot:
        """What another setting had learned, in tables that aggregate as this one's do."""
        shapes = [
            {name: (array.dtype, array.shape) for name, array in each.arrays.items()} for each in (own, other)
        ]
        if shapes[0] != shapes[1]:
            raise Misuse(
                "it has other tables than this setting's, and nothing can be taken over", source=place,
                fix="Copy only between settings with the same optimizer, parts and sizes.",
            )  # fmt: skip
        clocks = self.clocks(step)
        stood = tuple(WorkerRecord(clock, 0) for clock in clocks)
        return Snapshot(replace(own.header, workers=stood, rounds=max(clocks)), other.arrays)

    def advance(self, engine: Engine, step: int) -> None:
        """Learn up to the end of a step."""
        rounds, batches = step * self.rounds, sum(self.clocks(step))
        last, alone = step >= self.steps, isinstance(engine.consistency, Asynchronous)

        def there() -> bool:
            # Where one waits for another, all leave after as many batches as the first to get there.
            clocks = [record.clock for record in engine.records()]
            return not last and (sum(clocks) >= batches if alone else max(clocks) >= rounds)

        learn_here(self.job, self.algorithm, self.opened.train, engine, there)
        self.at = step

    def score(self, engine: Engine) -> float:
        """The metric of what has been learned so far; nan where that is not finite and cannot be scored."""
        try:
            model = model_of(self.algorithm, engine.snapshot(), **self.opened.config)
            return float(model.score(self.opened.held, self.metric or model.metric))
        except (ArithmeticError, ValueError, Misuse):
            if _finite(engine):
                raise
            return math.nan

    def keep(self, engine: Engine, path: Path) -> None:
        """Write a checkpoint of the engine, which is at rest, as one file."""
        arrays, header = engine.snapshot().plain()
        metadata = {
            "format": FORMAT, "digest": arrays_digest(arrays), "header": json.dumps(header),
            "job": json.dumps(self._told()), "step": str(self.at),
        }  # fmt: skip
        write_tensors(path, arrays, metadata)

    def _told(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be gone on with as it is."""
        told: dict[str, Any] = json.loads(msgspec.json.encode(self.job))
        return {**told, "rounds": self.rounds}


def _base(learner: Any, data: Any, job: Mapping[str, Any]) -> TrainSpec:
    """The spec that is the same for all trials."""
    document = {"learner": learner, "data": data, **job, "workers": {"count": 1}, "runtime": "inline"}
    return _spec(msgspec.json.encode(document, order="deterministic"))


@lru_cache(maxsize=16)
def _spec(document: bytes) -> TrainSpec:
    return make_spec(msgspec.json.decode(document), source="objective")


_opened_here: OrderedDict[str, Opened] = OrderedDict()
_opening = threading.Lock()


def _opened(spec: TrainSpec, cache: str | None) -> Opened:
    """The data of a spec, read once for each version of its files."""
    labels = build_algorithm(spec.learner).labels
    steps = spec.data.prepare if isinstance(spec.data.prepare, str) else None
    versions = [_version(each) for each in (spec.data.path, spec.data.test, spec.data.validation, steps)]
    key = msgspec.json.encode([spec.data, labels, versions], order="deterministic").decode()
    with _opening:
        if key not in _opened_here:
            _opened_here[key] = _read(spec, cache)
        _opened_here.move_to_end(key)
        while len(_opened_here) > MOST_OPENED:
            _opened_here.popitem(last=False)
        return _opened_here[key]


def _read(spec: TrainSpec, cache: str | None) -> Opened:
    material = material_of(spec, None if cache is None else Path(cache))
    held = material.test if material.validation is None else material.validation
    if held is None:
        raise Misuse(
            "no rows are held back to compare trials by", source=spec.data.path, field="data.split",
            fix="Set data.split.test = 0.2, or name rows with data.validation or data.test.",
        )  # fmt: skip
    assert isinstance(material.train, StoredData)
    config = {} if material.validation is None else {"validation": material.validation}
    return Opened(material.train, held, config)


def _version(path: str | None) -> tuple[int, int] | None:
    if path is None or not (where := Path(path)).exists():
        return None  # not a file of ours: a sample, or an address, which `open_data` looks at itself
    status = where.stat()
    return status.st_mtime_ns, status.st_size


def _finite(engine: Engine) -> bool:
    arrays = engine.snapshot().arrays.values()
    return all(bool(np.isfinite(each).all()) for each in arrays if each.dtype.kind == "f")
