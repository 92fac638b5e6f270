"""Variants of a task: registered with what they were really measured to do, listed, and removed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from tradewind import clock
from tradewind.data.catalogs import aws_catalog
from tradewind.data.prediction_log import PredictionLog
from tradewind.data.stored import StoredData
from tradewind.data.streams import open_data
from tradewind.data.variant_store import VariantStore
from tradewind.errors import Misuse, Temporary
from tradewind.serving.models.opening import open_model
from tradewind.serving.models.repository import Trust
from tradewind.serving.server.engine import PROCESS, SERVER
from tradewind.serving.server.replicas.in_server import InServer
from tradewind.serving.server.replicas.interface import Replica
from tradewind.serving.server.replicas.own_process import OwnProcess
from tradewind.serving.server.replicas.standalone import Standalone
from tradewind.serving.server.tasks.library import VariantLibrary
from tradewind.serving.tensors import DTYPES, Signature, Tensors, TensorSpec
from tradewind.serving.variants.foretelling import Foretold, foretold, keep_measured
from tradewind.serving.variants.profiler import accuracy, measured
from tradewind.serving.variants.registry import Registry
from tradewind.serving.variants.variant import Rated, Task, Variant
from tradewind.session.known_feasibilities import KeptOutcomes
from tradewind.session.known_run_times import KnownRunTimes
from tradewind.session.model_folders import model_folder

STORE = "variants.sqlite"
"""Where variants are kept, if nobody says."""
RESOURCE, REGION = "c5.large", "us-east-1"
_PATIENT = 1.0
"""Seconds that the record of what was foretold waits for others who write."""
ROWS = 5000
"""Rows that accuracy is taken over at most."""
_FLOATS = ("FP16", "FP32", "FP64")


class ReplicaPrice(Struct, frozen=True, kw_only=True):
    """What a replica costs."""

    resource: str = RESOURCE
    """The instance type whose price is taken: one core of it is one replica's."""
    region: str = REGION
    per_hour: float | None = None
    """US dollars of a replica, in place of the catalogue's price."""

    def found(self) -> float:
        """US dollars an hour of a replica. Misuse where the catalogue has no price."""
        if self.per_hour is not None:
            return self.per_hour
        catalog = aws_catalog()
        return catalog.on_demand(self.resource, self.region) / catalog.type(self.resource).resources.vcpus


def add_variant(
    store: str | os.PathLike[str],
    task: str,
    artefact: str | os.PathLike[str],
    *,
    data: Any,
    labels: Any = None,
    name: str = "",
    architecture: str = "",
    precision: str = "fp32",
    max_batch: int = 64,
    price: ReplicaPrice | None = None,
    isolation: str = PROCESS,
    trust: Trust | None = None,
    rows: int = ROWS,
    reading: dict[str, Any] | None = None,
) -> Rated:
    """Open an artefact, measure it on labelled rows, and register it as a variant of `task`.

    `artefact` is a run's folder or a model; `data` whatever `open_data` reads, with its options in `reading`.
    `name` is its file's or folder's, `architecture` the variant's name, if not given. The task is made with
    its first variant, and later ones must take and give what that one does. `isolation` says where it is
    measured: in a `process` of its own, or in the `server`.

    Misuse, naming the field and the fix, before anything is kept; what was registered is on the disk.
    """
    where = Path(artefact)
    if where.is_dir():
        where = model_folder(where)
    where = where.resolve()
    name = name or (Path(artefact).stem if Path(artefact).is_file() else Path(artefact).resolve().name)
    price = price or ReplicaPrice()
    variant = Variant(
        name, task, architecture or name, str(where), "unknown", price.resource, 0.0, precision=precision,
        max_batch=max_batch,
    )  # fmt: skip
    with VariantStore(store) as keeper:
        registry = Registry(keeper)
        _check_names(variant, registry)
        per_hour = price.found()
        expected = _foretold(store, variant, variant.resource)
        rated, signature = _measured(variant, data, labels, per_hour, isolation, trust, rows, reading)
        known = {each.name: each for each in registry.tasks()}
        if task in known:
            _check_alike(known[task], signature, name)
        else:
            registry.add_task(Task(task, inputs=signature.inputs, outputs=signature.outputs))
        registry.add(rated.variant, rated.profile)
    _keep_measured(store, rated, expected)
    return rated


def profile_variant(
    store: str | os.PathLike[str],
    name: str,
    *,
    data: Any,
    labels: Any = None,
    isolation: str = PROCESS,
    trust: Trust | None = None,
    rows: int = ROWS,
    reading: dict[str, Any] | None = None,
) -> Rated:
    """Measure a variant anew, at the price that it has, and keep that in the old profile's place."""
    with VariantStore(store) as keeper:
        registry = Registry(keeper)
        variant, before = registry.variant(name), registry.profile(name)
        expected = _foretold(store, variant, variant.resource)
        rated, _ = _measured(variant, data, labels, before.per_hour, isolation, trust, rows, reading)
        registry.profiled(rated.profile)
    _keep_measured(store, Rated(variant, rated.profile), expected)
    return Rated(variant, rated.profile)


def foretell_variant(store: str | os.PathLike[str], name: str, resource: str) -> Foretold | None:
    """What a variant is expected to do on an instance type where it was not measured; None if nothing tells.

    By profiles of its architecture made there before, or else by its own on another type and how the two
    compare for other variants. Misuse where it was measured there: its profile says more, or where there is
    no such type or variant.
    """
    aws_catalog().type(resource)
    with opened_store(store) as keeper:
        variant = Registry(keeper).variant(name)
    if variant.resource == resource:
        raise Misuse(
            f"it was measured on {resource}", source=f"variant {name!r}", field="resource",
            fix="Look at its profile: tradewind variants list.",
        )  # fmt: skip
    return _foretold(store, variant, resource)


def listed_variants(store: str | os.PathLike[str], task: str = "") -> tuple[Rated, ...]:
    """Every variant, by name; of one task where it is given."""
    with opened_store(store) as keeper:
        return Registry(keeper).rated(task)


def remove_variant(store: str | os.PathLike[str], name: str) -> tuple[str, ...]:
    """Forget a variant, or a task with all of its variants; the variants that are gone. The last variant
    takes its task along. Artefacts are left as they are."""
    with opened_store(store) as keeper:
        registry = Registry(keeper)
        if name in {each.name for each in registry.tasks()}:
            task, gone = name, tuple(each.name for each in registry.variants(name))
        else:
            task, gone = registry.variant(name).task, (name,)
        for each in gone:
            keeper.remove_variant(each)
        if not registry.variants(task):
            keeper.remove_task(task)
    return gone


def opened_store(store: str | os.PathLike[str]) -> VariantStore:
    """A store that is there. Misuse where it is not: to look must not make one."""
    text = os.fspath(store)
    if "://" not in text and not Path(text).is_file():
        raise Misuse(
            "there is no store of variants", source=text,
            fix="Register a variant first: tradewind variants add TASK MODEL --data FILE.",
        )  # fmt: skip
    return VariantStore(store)


def _log_of(store: str | os.PathLike[str]) -> PredictionLog | None:
    """The log in a store's own file; None where the store is on a server."""
    return None if "://" in os.fspath(store) else PredictionLog(store, wait=_PATIENT)


def _foretold(store: str | os.PathLike[str], variant: Variant, resource: str) -> Foretold | None:
    log = _log_of(store)
    if log is None:
        return None
    with contextlib.suppress(Temporary):
        return foretold(variant, resource, KnownRunTimes(log))
    return None


def _keep_measured(store: str | os.PathLike[str], rated: Rated, expected: Foretold | None) -> None:
    if (log := _log_of(store)) is not None:
        keep_measured(rated, expected, KeptOutcomes(log, aws_catalog().types))


def _check_names(variant: Variant, registry: Registry) -> None:
    """A name that means another thing first could never be asked for."""
    tasks = {each.name for each in registry.tasks()}
    others = registry.variants()
    source = f"variant {variant.name!r}"
    if variant.name in tasks | {variant.task}:
        raise Misuse("a task has that name", source=source, field="name", fix="Give another (--name).")
    if variant.name in {each.name for each in others}:
        raise Misuse(
            "there is a variant of that name", source=source, field="name",
            fix="Remove that one first, or give another name (--name).",
        )  # fmt: skip
    foreign = {each.architecture for each in others} - {variant.architecture}
    if variant.name in foreign or variant.architecture in {each.name for each in others} - {
        each.name for each in others if each.architecture == variant.architecture
    }:
        raise Misuse(
            "an architecture and another one's variant would share a name", source=source, field="name",
            fix="Give another name or architecture.",
        )  # fmt: skip


def _check_alike(task: Task, signature: Signature, name: str) -> None:
    source = f"variant {name!r}"
    if task.inputs and not _takes(signature.inputs, task.inputs):
        raise Misuse(
            f"it takes {_words(signature.inputs)}, and task {task.name!r} {_words(task.inputs)}",
            source=source, field="inputs", fix="Register it under another task.",
        )  # fmt: skip
    given = {(each.name, each.datatype, each.shape[1:]) for each in signature.outputs}
    for each in task.outputs:
        if (each.name, each.datatype, each.shape[1:]) not in given:
            raise Misuse(
                f"it gives {_words(signature.outputs)}, and task {task.name!r} {_words(task.outputs)}",
                source=source, field="outputs", fix="Name its outputs alike, or register it elsewhere.",
            )  # fmt: skip


def _takes(inputs: tuple[TensorSpec, ...], task: tuple[TensorSpec, ...]) -> bool:
    """Whether a variant with such inputs can be given a task's."""
    if len(inputs) != len(task):
        return False
    if len(task) == 1:
        (taken,), (given,) = inputs, task
        alike = taken.datatype == given.datatype or {taken.datatype, given.datatype} <= set(_FLOATS)
        return alike and taken.shape[1:] == given.shape[1:]
    return sorted((each.name, each.datatype, each.shape[1:]) for each in inputs) == sorted(
        (each.name, each.datatype, each.shape[1:]) for each in task
    )


def _words(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{each.name} {each.datatype} {list(each.shape)}" for each in specs)


def _measured(
    variant: Variant, data: Any, labels: Any, per_hour: float, isolation: str, trust: Trust | None,
    rows: int, reading: dict[str, Any] | None,
) -> tuple[Rated, Signature]:  # fmt: skip
    library = VariantLibrary(trust)
    library.add(variant)
    opening = library.opening(variant.name)
    replica: Replica
    if isolation == SERVER:
        replica = InServer(lambda: open_model(opening))
    elif isolation == PROCESS:
        replica = OwnProcess(opening, threads=opening.threads)
    else:
        raise Misuse(
            f"{isolation!r} is no isolation", field="isolation", fix=f"Choose {PROCESS} or {SERVER}."
        )
    opening_took = clock.stopwatch()
    model = Standalone(replica)
    took = opening_took()
    try:
        signature = model.signature
        variant = replace(variant, runtime=model.platform.partition("_")[0])
        if variant.max_batch > 1 and not signature.batched:
            variant = replace(variant, max_batch=1)
        given, truth, kinds = _rows(signature, data, labels, rows, reading or {}, variant.name)
        rated = measured(
            variant, lambda: model, given, per_hour=per_hour, labels=truth, startup=took,
            metric=lambda answers, truth: accuracy(*_comparable(answers, truth, kinds)),
        )  # fmt: skip
    finally:
        model.close()
    return rated, signature


def _rows(
    signature: Signature, data: Any, labels: Any, most: int, reading: dict[str, Any], name: str
) -> tuple[Tensors, NDArray[Any], tuple[str, ...]]:
    """Labelled rows as the model takes them, evenly out of all there are, and the texts of labels."""
    if len(signature.inputs) != 1:
        raise Misuse(
            f"it takes {len(signature.inputs)} inputs, and rows are one", source=f"variant {name!r}",
            field="data", fix="Measure it by serving.variants.profiler, and register it by a Registry.",
        )  # fmt: skip
    (spec,) = signature.inputs
    if spec.datatype == "BYTES":
        raise Misuse("it takes text, and rows are numbers", source=f"variant {name!r}", field="data")
    if len(spec.shape) == 2 and spec.shape[1] > 0 and isinstance(data, str | os.PathLike):
        reading = {"features": spec.shape[1], **reading}
    found = open_data(data, labels, **reading)
    if not isinstance(found, StoredData):
        raise Misuse("rows that pass once", source=found.name, field="data", fix="Give a file or arrays.")
    batch = found.whole()
    if batch.labels is None:
        raise Misuse(
            "rows without labels", source=found.name, field="data", fix="Accuracy is taken against labels."
        )
    places = np.unique(np.linspace(0, len(batch) - 1, min(most, len(batch))).astype(np.int64))
    matrix = batch.matrix()[places]
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    try:
        shaped = dense.astype(DTYPES[spec.datatype]).reshape(len(places), *spec.shape[1:])
    except ValueError:
        raise Misuse(
            f"rows of {dense.shape[1]} features, and {spec.name} takes {list(spec.shape)}",
            source=found.name, field="data", fix="Give the rows that the model was made for.",
        ) from None  # fmt: skip
    truth: NDArray[Any] = batch.labels[places]
    return {spec.name: np.ascontiguousarray(shaped)}, truth, tuple(found.schema.classes)


def _comparable(
    answers: NDArray[Any], truth: NDArray[Any], kinds: tuple[str, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Answers and labels, both texts where the model answers with texts."""
    if answers.dtype != object:
        return answers, truth
    texts = np.array([each.decode() if isinstance(each, bytes) else str(each) for each in answers])
    told = np.array(kinds)[truth.astype(np.int64)] if kinds else truth.astype(np.str_)
    return texts, told
