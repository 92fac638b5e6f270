"""From a spec to the parts of a run: the market, the goal, the policy, the job and its data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import Algorithm
from tradewind.control.policy import AnyPolicy
from tradewind.data.catalogs import aws_catalog
from tradewind.data.object_store import open_store
from tradewind.data.preparation import Preparation, PreparedRows, PreparedStream, with_steps
from tradewind.data.recorded_histories import history
from tradewind.data.schemas import Labels
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.data.streams import made_ready, open_data
from tradewind.data.tables import Table
from tradewind.errors import Misuse, suggestion
from tradewind.estimates.outlook import Forecaster
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.catalog import Catalog, region_of
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session.spec import ProviderSpec, StateSpec, TrainSpec, WorkersSpec
from tradewind.state.snapshot import Snapshot
from tradewind.training.elastic.bidding.bidbrain import BidBrain
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.bidding.tradewind import Tradewind
from tradewind.training.elastic.bidding.uniform_progress import UniformProgress
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.elastic.stages import StageRules
from tradewind.training.job import Job, build_algorithm
from tradewind.training.view import Goal, Progress

POLICIES: Mapping[str, type] = {
    kind.name: kind
    for kind in (Tradewind, BidBrain, UniformProgress, CheapestSpot, CheckpointRestart, OnDemand)
}
"""The bidding policies by the name that users write."""
BOOT = 60.0
"""Seconds of market time that an instance takes until it answers, where a spec says nothing."""
LOCAL_BOOT = 2.5
"""Seconds of the wall's time that an instance of the local provider takes, a process with its imports."""
SHARD_BYTES = 8 << 20
"""A model gets a shard for each of these bytes that it has, where a spec does not say how many."""
MOST_SHARDS = 16
"""How many shards it gets at most that way: each costs every batch a message."""


class Material(Struct, frozen=True):
    """What a job learns from, opened and checked."""

    algorithm: Algorithm
    train: StoredData | StreamedData
    test: Batch | None
    held: StoredData | None = None
    """Where `test` is from."""
    validation: Batch | None = None
    preparation: Preparation | None = None
    """The fitted steps that all rows go through; None where there are none."""


def market_of(spec: ProviderSpec, catalog: Catalog | None = None) -> tuple[RecordedMarket, float]:
    """The recorded market of a spec, and the moment at which the run begins in it."""
    recorded = history(spec.history)
    # The first moment at which every pool is recorded: before it the market looks emptier than it was.
    first = max((prices.start for prices in recorded.prices.values()), default=recorded.start)
    start = first if spec.start is None else spec.start
    if not recorded.start <= start < recorded.end:
        raise Misuse(
            f"nothing is recorded at that moment in {spec.history}",
            field="provider.start",
            fix=f"Choose one from {recorded.start:.0f} to {recorded.end:.0f} (seconds since 1970, UTC).",
        )
    catalog = aws_catalog() if catalog is None else catalog
    regions = sorted({region_of(pool.zone) for pool in recorded.pools})
    expected = LOCAL_BOOT * spec.speed if spec.kind == "local" else BOOT
    sold = [each for each in recorded.pools if catalog.sells(each.instance_type, region_of(each.zone))]
    market = RecordedMarket(
        recorded,
        catalog,
        boot=expected if spec.boot is None else spec.boot,
        notice=spec.notice,
        on_demand=[*(region for region in regions if region in catalog.regions), *sold],
    )
    return market, start


def demand_of(asked: WorkersSpec, deadline: float | None = None) -> Demand:
    """What is asked of the workers' machines, with the deadline as a moment."""
    return Demand(
        resources=Resources(
            vcpus=asked.vcpus, memory_gib=asked.memory_gib, gpus=asked.gpus, gpu_kind=asked.gpu_kind
        ),
        count=asked.count,
        deadline=deadline,
        zones=asked.zones,
        instance_types=asked.instance_types,
    )


def goal_of(spec: TrainSpec, start: float) -> Goal:
    """What the user asked for, with the deadline as a moment."""
    deadline = None if spec.deadline is None else start + spec.deadline
    workers = demand_of(spec.workers, deadline)
    state = Demand(
        resources=Resources(vcpus=spec.state.vcpus, memory_gib=spec.state.memory_gib),
        count=0 if spec.policy.name == CheckpointRestart.name else 1,
        deadline=deadline,
        instance_types=spec.state.instance_types,
    )
    return Goal(workers, state, deadline, spec.budget, vcpus=spec.workers.total_vcpus)


def stages_of(spec: StateSpec, state: Snapshot, *, resumed: bool = False) -> StageRules:
    """Who serves a state that begins as `state`, or goes on from it if `resumed`.

    A state that is not bulk-synchronous may have been left at different clocks in its shards; it goes on with
    as many, and Misuse is raised if the spec says others.
    """
    stood = len(state.header.parts) if resumed else 0
    size = sum(array.nbytes for array in state.arrays.values())
    shards = spec.shards or stood or max(1, min(MOST_SHARDS, size // SHARD_BYTES))
    if stood and shards != stood:
        raise Misuse(
            f"{shards} shards, but the state was left at different clocks in {stood}",
            field="state.shards",
            fix=f"Set state.shards = {stood}.",
        )
    return StageRules(
        shards=shards,
        stage2_above=spec.stage2_above,
        stage3_above=spec.stage3_above,
        hysteresis=spec.hysteresis,
        active_share=spec.active_share,
        most_active=spec.most_active,
        workers_beside=spec.workers_beside,
    )


def backup_of(spec: StateSpec, directory: Path) -> str | None:
    """The address of the object store for copies of a run's snapshots; raises as `open_store`."""
    if spec.backup is None:
        return None
    folder = spec.backup if "://" in spec.backup else str(Path(spec.backup).absolute())
    address = f"{folder.rstrip('/')}/{directory.name}"
    open_store(address)
    return address


def policy_of(spec: TrainSpec) -> AnyPolicy:
    """The policy that a spec names; Misuse for an unknown name or argument."""
    kind = POLICIES.get(spec.policy.name)
    if kind is None:
        raise Misuse(
            f"there is no policy {spec.policy.name!r}",
            field="policy",
            fix=suggestion(spec.policy.name, POLICIES),
        )
    try:
        policy: AnyPolicy = kind(**spec.policy.args)
    except TypeError as problem:
        raise Misuse(
            f"{spec.policy.name} cannot be made: {problem}", field="policy.args", fix="Mend its arguments."
        ) from problem
    return policy


def forecaster_of(
    spec: TrainSpec, policy: AnyPolicy, market: RecordedMarket, until: float
) -> Forecaster | None:
    """The forecaster that a spec names, over what the market's history shows up to `until`.

    None for a policy that reads no outlook, and where there is no spot to foresee.
    """
    if not getattr(policy, "foresees", False) or not market.history.pools:
        return None
    return forecaster(spec.policy.forecast, market.history, until)


def modelled_work(spec: TrainSpec, policy: AnyPolicy, measured: Progress) -> ModelledWork:
    """The model of a job's work under a policy, at the speed in `measured` and from where that stands."""
    checkpoints = isinstance(policy, CheckpointRestart)
    return ModelledWork(
        measured.total,
        measured.rate,
        startup=measured.startup,
        mode="checkpoints" if checkpoints else "servers",
        snapshot_every=policy.interval if isinstance(policy, CheckpointRestart) else spec.snapshot_every,
        snapshot_seconds=policy.checkpoint if isinstance(policy, CheckpointRestart) else 0.0,
        workers=spec.workers.count,
        vcpus=spec.workers.total_vcpus,
        done=measured.done,
    )


def job_of(spec: TrainSpec, steps: Path | None = None) -> Job:
    """The job as all its processes see it, whose rows go through the fitted steps in `steps` if given."""
    return Job(
        learner=spec.learner,
        data=source_of(spec, steps),
        epochs=spec.epochs,
        batch=spec.batch,
        parts=spec.parts,
        consistency=spec.consistency,
        staleness=spec.staleness,
        seed=spec.seed,
    )


def source_of(spec: TrainSpec, steps: Path | None = None) -> dict[str, Any]:
    """The arguments of `open_data` for the rows to learn from, with paths that hold in every process.

    In place of what the spec says of steps, those that were fitted and lie in the folder `steps`, if given.
    """
    data = spec.data
    options: dict[str, Any] = {"source": _absolute(data.path), "format": data.format}
    if data.label != "":
        options["label"] = data.label
    elif build_algorithm(spec.learner).labels == "none":
        options["label"] = None
    if data.columns or data.features is not None:
        options["features"] = list(data.columns) or data.features
    if data.weight is not None:
        options["weight"] = data.weight
    if data.categories:
        options["categories"] = list(data.categories)
    if data.missing != "refuse":
        options["missing"] = data.missing
    if data.split is not None:
        options["split"] = {**msgspec.to_builtins(data.split), "side": "train"}
    if steps is not None:
        options["prepare"] = _absolute(str(steps))
        if data.missing == "mean":
            options["missing"] = "keep"  # the means are among the steps
    elif data.prepare:
        own = isinstance(data.prepare, str)
        options["prepare"] = _absolute(str(data.prepare)) if own else list(data.prepare)
    return options


def material_of(
    spec: TrainSpec, cache: Path | None, stream: StreamedData | None = None, steps: Path | None = None
) -> Material:
    """The algorithm and the data, opened and checked against each other before anything is rented.

    The rows go through the steps that the spec says, fitted here on those to learn from; or through those in
    the folder `steps`. `stream` takes the place of the spec's path.
    """
    algorithm = build_algorithm(spec.learner)
    source = source_of(spec, steps)
    if stream is None:
        train = open_data(**source, cache=cache)
    else:
        ready = {name: source[name] for name in ("missing", "split", "prepare") if name in source}
        train = made_ready(stream, **ready)
    if isinstance(train, StreamedData) and spec.runtime != "inline":
        raise Misuse(
            "a stream that passes once cannot be read by several machines",
            field="data",
            fix="Save it to a file, or train in this process with runtime='inline'.",
        )
    if algorithm.labels != "none":
        train.check_labels(Labels(algorithm.labels))
    preparation = train.preparation if isinstance(train, PreparedRows | PreparedStream) else None
    held = validation = None
    if spec.data.test is not None:
        held = _rows_beside(spec, train, spec.data.test)
    elif spec.data.split is not None:
        held = _held_back(source, preparation, stream)
    if spec.data.validation is not None:
        validation = _rows_beside(spec, train, spec.data.validation).whole()
    return Material(
        algorithm=algorithm,
        train=train,
        test=None if held is None else held.whole(),
        held=held,
        validation=validation,
        preparation=preparation,
    )


def _rows_beside(spec: TrainSpec, train: StoredData | StreamedData, path: str) -> StoredData:
    """The rows of another file, made ready as those to learn from; Misuse unless they have the same form."""
    before, preparation = train, None
    if isinstance(train, PreparedRows | PreparedStream):
        before, preparation = train.data, train.preparation
    options = {**source_of(spec), "source": _absolute(path)}
    if options["format"] == "saved":
        options["format"] = "auto"
    if not spec.data.columns:
        options["features"] = before.schema.features
    if before.schema.classes:
        options["classes"] = list(before.schema.classes)
    held = open_data(**_without_steps(options))
    held.schema.check_continues(before.schema, path)
    held = held if preparation is None else with_steps(held, preparation)
    assert isinstance(held, StoredData)
    return held


def _held_back(
    source: dict[str, Any], preparation: Preparation | None, stream: StreamedData | None
) -> StoredData:
    """The test side of the split, made ready as the rows to learn from."""
    split = {**source["split"], "side": "test"}
    held: StoredData | StreamedData
    if stream is None:
        held = open_data(**_without_steps(source), split=split)
    elif stream.reopens:
        side = made_ready(stream, split=split)
        held = StoredData(Table(side.name, side.head(sys.maxsize), side.schema.columns, side.schema.classes))
    else:
        raise Misuse(
            "a stream that passes once cannot hold rows back",
            source=stream.name,
            field="data.split",
            fix="Give a callable that opens the stream again, or name test rows with data.test.",
        )
    held = held if preparation is None else with_steps(held, preparation)
    assert isinstance(held, StoredData)
    return held


def _without_steps(source: dict[str, Any]) -> dict[str, Any]:
    """How the rows are read, gaps and all, without what is done to them afterwards."""
    left = {name: value for name, value in source.items() if name not in ("split", "prepare")}
    return {**left, "missing": "keep"} if left.get("missing") == "mean" else left


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if "://" not in path and Path(path).exists() else path
