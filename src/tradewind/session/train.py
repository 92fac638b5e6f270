"""`train`, `resume` and `estimate`: a whole run, from a spec or a call to a model, a journal and a report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tradewind.algorithms.interface import Algorithm
from tradewind.control.journal import Journal
from tradewind.data.durable_files import write_durably
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.data.runs import CRASHED, DONE, RUNNING, RunIndex, new_run_directory
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.assembly import goal_of, job_of, material_of, policy_of
from tradewind.session.data_spec import DataSpec
from tradewind.session.estimation import Estimate, estimated, measure, rows_of, speed_of, usual_rate
from tradewind.session.known_run_times import KnownRunTimes, by_earlier, log_of, workload_of
from tradewind.session.model_folders import SPEC
from tradewind.session.places import market_for
from tradewind.session.report.reading import JOURNAL
from tradewind.session.spec import TrainSpec, make_spec, spec_bytes, spec_from
from tradewind.session.stretch import DATA, SNAPSHOTS, Observer, Stretch, Trained
from tradewind.training.job import learner_of
from tradewind.training.view import Progress


def train(
    what: TrainSpec | Algorithm, data: Any = None, *, console: Observer | None = None, **options: Any
) -> Trained:
    """Train, through whatever the market does; returns when it is done or paused, with every lease released.

    `what` is a spec, or a learner with `data` and the fields of a spec as options:
    `train(LinearLearner(loss="logistic"), "adult", provider=local(), deadline="2h", budget=5.0)`. The data
    is a path, a shipped name, the table `data` of a spec, arrays (X, y), or an iterable of rows or batches;
    one that passes once is never stored, and needs `runtime="inline"`. The fields of the table `data` are
    options too: `train(learner, "people.csv", label="rich", split={"test": 0.2}, prepare=["ColumnScaler"])`.
    Ctrl-C pauses.

    Raises Misuse, Unaffordable or NoCapacity before anything is rented; Permanent if it breaks.
    """
    if isinstance(what, TrainSpec):
        if data is not None or options:
            raise Misuse("a spec says everything itself", field="data", fix="Leave the other arguments out.")
        return _begin(what, console)
    learner = learner_of(what)
    table = {"kind": learner.kind, **without_none(learner.arguments)}
    named, opened = _named(data, of_data(options))
    spec = make_spec({**options, "learner": table, "data": named}, source="train()")
    return _begin(spec, console, opened=opened)


def learn_on(run: str | Path, data: Any, *, console: Observer | None = None, **options: Any) -> Trained:
    """Go on learning from the state of the finished run in the folder `run`, with new data only.

    Fields of the spec that are not given are those of that run, fields of its table `data` too. The rows go
    through the steps that were fitted for it.
    """
    directory = Path(run)
    before = _stored_spec(directory)
    plain = _document(before)
    given = of_data(options)
    named, opened = _named(data, given, plain["data"].get("missing", "refuse"))
    for field, other in (("test", "split"), ("split", "test")):
        if field in named:
            plain["data"].pop(other, None)
    plain["data"] = {**plain["data"], "format": "auto", **named}
    spec = make_spec({**plain, **options}, source="learn_on()")
    steps = [(each.prepare, each.missing == "mean") for each in (before.data, spec.data)]
    if steps[0] != steps[1]:
        raise Misuse(
            "the rows of that run were prepared otherwise", source="learn_on()", field="data.prepare",
            fix="Leave it out: its fitted steps are used.",
        )  # fmt: skip
    if newest_snapshot(directory / SNAPSHOTS) is None:
        raise Misuse("it has no state to go on from", source=str(run), fix="Finish it first.")
    return _begin(spec, console, base=directory / SNAPSHOTS, opened=opened)


def resume(
    run: str | Path,
    *,
    workers: int | None = None,
    budget: float | None = None,
    console: Observer | None = None,
) -> Trained:
    """Go on with the run in the folder `run`, from its last snapshot, with `workers` instances if given.

    `budget`, if given, is the new one in US dollars for the whole run, what it has cost before included. The
    market goes on from the moment at which it was left. Raises Misuse if the run is done, is being
    driven by another process, or has other data than it began with.
    """
    directory = Path(run)
    spec = _stored_spec(directory)
    index = RunIndex(directory.parent)
    record = index.find(str(directory))
    if record.state == DONE:
        raise Misuse("it is done", source=str(run), fix="Use learn_on to learn from new data.")
    if workers is not None:
        spec = msgspec.structs.replace(spec, workers=msgspec.structs.replace(spec.workers, count=workers))
    if budget is not None:
        spec = make_spec(_document(spec), source="resume()", overrides={"budget": budget})
    left_at, done = None, 0.0
    if (directory / JOURNAL).exists():  # an inline run has none, nor one that ended before its first decision
        with Journal.read(directory / JOURNAL) as journal:
            summary = journal.summary()
        left_at = summary.last
        done = 0.0 if summary.sample is None else summary.sample.done
        if record.state == CRASHED and summary.sample is not None:
            # Its driver was killed before it could write down what this stretch cost.
            record = msgspec.structs.replace(record, cost=(record.cost or 0.0) + summary.sample.spent)
    stretch = Stretch(spec, directory, index, console, record=record, at=left_at, done=done)
    if record.state != RUNNING:  # else `index.resume` refuses
        stretch.check()
    index.resume(record.id)
    stretch.record = record if record.cost is None else index.update(record.id, cost=record.cost)
    return stretch.run()


def estimate(spec: TrainSpec) -> Estimate:
    """What a run of `spec` would take and cost; nothing is rented, a few batches are measured here."""
    policy = policy_of(spec)
    with tempfile.TemporaryDirectory(prefix="tw-") as cache:
        job, material = job_of(spec), material_of(spec, Path(cache))
        market, start = market_for(spec.provider, spec.runtime)
        speed = speed_of(spec, measure(job, material.algorithm, material.train, spec.workers.count))
        goal = goal_of(spec, start)
        rows = rows_of(job, material.train)
        progress = Progress(0.0, rows, 0.0, usual_rate(speed, market, goal, start), market.boot)
        told = estimated(spec, policy, market, goal, start, speed, progress)
        log = log_of(Path(spec.out)) if spec.provider.kind != "simulated" else None
        if log is None:
            return told
        return by_earlier(told, KnownRunTimes(log), workload_of(spec, material.train), rows)


def local(**settings: Any) -> dict[str, Any]:
    """The provider whose leases are real processes of this machine; `settings` are `ProviderSpec`'s."""
    return {"kind": "local", **settings}


def simulated(**settings: Any) -> dict[str, Any]:
    """The provider in virtual time, whose work is a speed model; `settings` are `ProviderSpec`'s."""
    return {"kind": "simulated", **settings}


def processes() -> str:
    """The runtime that runs each worker in a process on its lease."""
    return "processes"


def ray(cluster: str = "auto") -> str:
    """The runtime that runs each worker on a node of the Ray cluster at that address."""
    return f"ray:{cluster}"


def ray_nodes(**settings: Any) -> dict[str, Any]:
    """The provider whose leases are a Ray cluster's nodes; `settings` are `ProviderSpec`'s."""
    return {"kind": "ray", **settings}


def inline() -> str:
    """The runtime that runs the whole job in threads of this process, and rents nothing."""
    return "inline"


def of_data(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that are fields of the table `data`, taken out."""
    fields = set(DataSpec.__struct_fields__) - {"path"}
    return {name: options.pop(name) for name in sorted(fields & options.keys())}


def _named(
    data: Any, given: dict[str, Any], missing: str = "refuse"
) -> tuple[dict[str, Any], StoredData | StreamedData | None]:
    """The table `data` of a spec, and the data itself where no path leads to it.

    `given` are fields of the table besides; `missing` is what is meant where they do not say.
    """
    if isinstance(data, dict):
        return {**data, **given}, None
    if isinstance(data, str | Path):
        return {"path": str(data), **given}, None
    for field in ("format", "label", "weight", "features", "columns", "categories"):
        if field in given:
            raise Misuse(
                "goes with files", field=f"data.{field}", fix="Leave it out, or save the rows to a file."
            )
    gaps = given.get("missing", missing) != "refuse"
    return {"path": "given", **given}, open_data(data, missing="keep" if gaps else "refuse")


def without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML, whose tables a spec has, knows no null: what is None is left to its default."""
    return {
        name: without_none(value) if isinstance(value, dict) else value
        for name, value in table.items()
        if value is not None
    }


def _document(spec: TrainSpec) -> dict[str, Any]:
    """The spec as a document that `make_spec` takes."""
    learner = {"kind": spec.learner.kind, **spec.learner.arguments}
    return without_none({**msgspec.to_builtins(spec), "learner": learner})


def _stored_spec(directory: Path) -> TrainSpec:
    try:
        return spec_from((directory / SPEC).read_bytes())
    except FileNotFoundError:
        raise Misuse("there is no run here", source=str(directory), fix="See: tradewind runs") from None


def _begin(
    spec: TrainSpec,
    console: Observer | None,
    *,
    base: Path | None = None,
    opened: StoredData | StreamedData | None = None,
) -> Trained:
    index = RunIndex(spec.out)
    directory = new_run_directory(spec.out, spec.name)
    try:
        if isinstance(opened, StoredData):
            opened.save(directory / DATA)
            data = msgspec.structs.replace(spec.data, path=str((directory / DATA).resolve()), format="saved")
            spec, opened = msgspec.structs.replace(spec, data=data), None
        write_durably(directory / SPEC, spec_bytes(spec))
        stretch = Stretch(spec, directory, index, console, base=base, stream=opened)
        stretch.check()
        stretch.record = index.begin(spec.name, spec_bytes(spec).decode(), directory)
    except BaseException:
        shutil.rmtree(directory)  # nothing half-written of a run that never began
        raise
    return stretch.run()
