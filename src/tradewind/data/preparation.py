"""Rows made ready on their way: fitted steps, applied to each batch as it is read.

Steps are models of `algorithms` that map rows to rows: `ScalerModel`, `FillModel`, `HashingModel`. Each is
fitted on the rows as the steps before it leave them: map, merge, map, as Cirrus prepares its data (Carreira
et al., SoCC 2019).
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.catalogue import LEARNERS, model_from, resolved
from tradewind.algorithms.local_state import LocalState
from tradewind.data.interface import DataSet, Part
from tradewind.data.model_files.layout import arrays_digest, read_model_file, write_model_file
from tradewind.data.schemas import Labels, Schema, column_index
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.errors import Misuse, suggestion

KIND = "Preparation"

_BLOCK = 10_000
"""Rows that a step is fitted on at a time."""

_HERE = "tradewind.algorithms."

STEPS: dict[str, str] = {
    "ColumnScaler": _HERE + "scaler:ColumnScaler",
    "FeatureHashing": _HERE + "feature_hashing:FeatureHashing",
    "Imputer": _HERE + "imputer:Imputer",
}
"""What a plan may name, beside any learner of the catalogue that transforms rows; loaded when it is named."""

Arrays = Mapping[str, NDArray[Any]]


class Step(Protocol):
    """A fitted map of rows to rows.

    1. `evaluate` gives as many rows as it is given, in their order; each depends on its own row alone.
    2. `arrays` and `header` are all that it knows, in the form of models.
    """

    def evaluate(self, batch: Batch) -> Any:
        """The rows afterwards: an array or a scipy CSR matrix (n, d)."""
        ...

    def arrays(self) -> Arrays:
        """Named arrays."""
        ...

    def header(self) -> Mapping[str, Any]:
        """Plain JSON values; `kind` names the class in the catalogue."""
        ...


class Preparation:
    """Fitted steps, one after the other."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def apply(self, batch: Batch) -> Batch:
        """The rows afterwards, with their labels and weights."""
        for step in self.steps:
            rows = batch_of(step.evaluate(batch), batch.labels, batch.weights)
            batch = replace(rows, epoch=batch.epoch)
        return batch

    def schema(self, before: Schema) -> Schema:
        """What the rows look like afterwards; the columns keep their names where each stays in its place."""
        empty = np.empty((0, before.features))
        batch = batch_of(empty)
        if before.sparse:
            none = np.zeros(0, np.int32)
            batch = Batch(
                before.features, indptr=np.zeros(1, np.int64), indices=none, values=np.zeros(0, "f4")
            )
        after = self.apply(batch)
        same = after.features == before.features and after.sparse == before.sparse
        columns = before.columns if same else ()
        return Schema(after.features, after.sparse, before.labelled, columns, before.classes)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of every step, as `0.shift`: the step's number before their names."""
        return {
            f"{number}.{name}": array
            for number, step in enumerate(self.steps)
            for name, array in step.arrays().items()
        }

    def header(self) -> dict[str, Any]:
        """The steps' headers, in order."""
        return {"kind": KIND, "version": 1, "steps": [dict(step.header()) for step in self.steps]}

    def digest(self) -> str:
        """Hexadecimal digest of the steps."""
        known = json.dumps(self.header(), sort_keys=True) + arrays_digest(self.arrays())
        return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()

    def save(self, directory: Path | str) -> None:
        """Write it as models are written: `model.safetensors` and `model.json`; durable on return."""
        write_model_file(Path(directory), self.arrays(), self.header())

    @classmethod
    def load(cls, path: Path | str) -> Preparation:
        """What `save` wrote; Misuse for anything else."""
        return cls.of(*read_model_file(path), source=str(path))

    @classmethod
    def of(cls, arrays: Arrays, header: Mapping[str, Any], source: str = "preparation") -> Preparation:
        """The preparation that gave `arrays` and `header`."""
        if header.get("kind") != KIND:
            raise Misuse(
                f"{header.get('kind')!r} is no preparation", source=source, field="kind",
                fix="Give what Preparation.save wrote.",
            )  # fmt: skip
        steps: list[Step] = []
        for number, each in enumerate(header["steps"]):
            begin = f"{number}."
            own = {
                name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)
            }
            steps.append(model_from(own, each, source))
        return cls(steps)


class PreparedRows(StoredData):
    """Stored rows that are prepared as they are read; the table stays as it was."""

    def __init__(self, data: StoredData, preparation: Preparation) -> None:
        super().__init__(data.table)
        self.data, self.preparation = data, preparation
        self.schema = preparation.schema(data.schema)

    def head(self, count: int) -> Batch:
        """The first rows, at most `count`."""
        return self.preparation.apply(self.data.head(count))

    def whole(self) -> Batch:
        """Every row."""
        return self.preparation.apply(self.data.whole())

    def part(self, worker: int, of: int, batch_size: int, epochs: int = 1, seed: int | None = None) -> Part:
        """The share of logical worker `worker` of `of`; `seed` shuffles the blocks of each epoch."""
        return PreparedPart(self.data.part(worker, of, batch_size, epochs, seed), self.preparation)

    def digest(self) -> str:
        """Hexadecimal digest of the rows as they were and of the steps."""
        return _digest(self.data, self.preparation)

    def check_labels(self, labels: Labels) -> None:
        """Raise Misuse, naming the row, unless the labels can be learned as `labels`."""
        self.data.check_labels(labels)

    def save(self, path: Path) -> None:
        """Write the rows as they were: the steps are saved by `preparation.save`."""
        self.data.save(path)


class PreparedStream(StreamedData):
    """A stream whose rows are prepared as they come by."""

    def __init__(self, data: StreamedData, preparation: Preparation) -> None:
        self.data, self.preparation = data, preparation
        self.name, self.rows = data.name, data.rows
        self.schema = preparation.schema(data.schema)

    @property
    def reopens(self) -> bool:
        """Whether the rows can be read more than once."""
        return self.data.reopens

    def head(self, count: int) -> Batch:
        """The first rows, at most `count`; nothing is taken away."""
        return self.preparation.apply(self.data.head(count))

    def part(self, worker: int, of: int, batch_size: int, epochs: int = 1, seed: int | None = None) -> Part:
        """The share of logical worker `worker` of `of`. A stream has its own order: no `seed`."""
        return PreparedPart(self.data.part(worker, of, batch_size, epochs, seed), self.preparation)

    def digest(self) -> str:
        """Hexadecimal digest of the schema as it was and of the steps."""
        return _digest(self.data, self.preparation)

    def check_labels(self, labels: Labels) -> None:
        """Raise Misuse unless the labels seen so far can be learned as `labels`."""
        self.data.check_labels(labels)


def with_steps(data: StoredData | StreamedData, preparation: Preparation) -> PreparedRows | PreparedStream:
    """`data` with the steps of `preparation` applied to each batch when it is read."""
    if isinstance(data, StoredData):
        return PreparedRows(data, preparation)
    return PreparedStream(data, preparation)


def _digest(data: DataSet, preparation: Preparation) -> str:
    known = data.digest() + preparation.digest()
    return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()


class PreparedPart:
    """One worker's batches, each prepared when it is drawn."""

    def __init__(self, part: Part, preparation: Preparation) -> None:
        self._part, self._preparation = part, preparation
        self.length: int | None = part.length

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from `start` on."""
        return map(self._preparation.apply, self._part.batches(start))

    def rows_before(self, index: int) -> int:
        """How many rows the batches before `index` hold."""
        return self._part.rows_before(index)


def fitted(plans: Sequence[Any], data: StoredData | StreamedData) -> Preparation:
    """The preparation that `plans` describe, fitted on `data`: one pass for each step that learns.

    A plan is the name of a learner that transforms rows (`ColumnScaler`, `Imputer`, `FeatureHashing`, or
    another of the catalogue); a mapping with it as `step` and its arguments, columns by number or name; such
    a learner; or a step that is fitted already. Misuse for any other, and where a stream that passes once
    would have to be read before it is used.
    """
    done = Preparation(())
    for number, plan in enumerate(plans):
        field = f"prepare[{number}]"
        seen = with_steps(data, done)
        if hasattr(plan, "evaluate"):
            _check_features(seen, plan, field)
            done = Preparation((*done.steps, plan))
            continue
        learner = _learner(plan, seen.schema, data.name, field)
        state = LocalState()
        learner.initialize(state, seen.head(learner.sample_size))
        if getattr(learner, "reads_rows", True):
            if isinstance(data, StreamedData) and not data.reopens:
                raise Misuse(
                    f"{type(learner).__name__} must see all rows first, and this stream passes once",
                    source=data.name, field=field, fix="Store the data, or give steps fitted before.",
                )  # fmt: skip
            learner.update(state, state.draw(seen.part(0, 1, _BLOCK).batches()), False)
        done = Preparation((*done.steps, learner.finalize(state)))
    return done


def prepared(
    data: StoredData | StreamedData, plans: Any, cache: Path | None = None
) -> StoredData | StreamedData:
    """`data` with its rows prepared: by a Preparation, the folder of one, or plans, see `fitted`.

    What plans of plain values were fitted to is kept in the folder `cache`, so that the other processes of a
    job need not read the rows for it.
    """
    if isinstance(plans, Preparation):
        return _checked(data, plans)
    if isinstance(plans, str | Path):
        return _checked(data, Preparation.load(plans))
    if not plans:
        return data
    kept = None
    if cache is not None and all(isinstance(plan, str | Mapping) for plan in plans):
        asked = json.dumps([data.digest(), list(plans)], sort_keys=True, default=dict)
        kept = cache / f"preparation-{hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()}"
        if (kept / "model.safetensors").exists():
            try:
                return with_steps(data, Preparation.load(kept))
            except Misuse:
                pass  # a damaged cache is only a cache: fit again
    made = fitted(plans, data)
    if kept is not None:
        made.save(kept)
    return with_steps(data, made)


def _checked(data: StoredData | StreamedData, preparation: Preparation) -> PreparedRows | PreparedStream:
    if preparation.steps:
        _check_features(data, preparation.steps[0], "prepare")
    return with_steps(data, preparation)


def _check_features(data: DataSet, step: Step, field: str) -> None:
    """Raise Misuse unless the step was fitted on rows as wide as these."""
    wanted = step.header().get("features", data.schema.features)
    if data.schema.features != wanted:
        raise Misuse(
            f"the rows have {data.schema.features} features, the step was made for {wanted}",
            source=data.name, field=field, fix="Give the same columns in the same order.",
        )  # fmt: skip


def check_plans(plans: Sequence[Any], source: str, field: str = "prepare") -> None:
    """Raise Misuse, naming `field` and its part, for a plan that no rows could be prepared by.

    Nothing is read: whether the columns that it names are there is seen by `fitted`.
    """
    for number, plan in enumerate(plans):
        if not hasattr(plan, "evaluate"):
            _learner(plan, None, source, f"{field}[{number}]")


def _learner(plan: Any, schema: Schema | None, source: str, field: str) -> Any:
    """The learner that a plan names; without a schema columns are taken for granted."""
    if isinstance(plan, str):
        plan = {"step": plan}
    if not isinstance(plan, Mapping):
        if all(hasattr(plan, each) for each in ("initialize", "update", "finalize", "transform")):
            plan.check()
            return plan
        raise Misuse(
            f"{type(plan).__name__} is no step", source=source, field=field,
            fix="Give a name, a mapping with step, or a learner that transforms.",
        )  # fmt: skip
    kind = str(plan.get("step", ""))
    known = {**LEARNERS, **STEPS}
    home = resolved(known[kind]) if kind in known else None
    if home is None or not hasattr(home, "transform"):
        raise Misuse(
            f"{kind!r} is no step", source=source, field=f"{field}.step", fix=suggestion(kind, STEPS)
        )
    arguments = {name: value for name, value in plan.items() if name != "step"}
    for name in arguments:
        if name not in inspect.signature(home).parameters:
            raise Misuse(
                f"{kind} takes no {name!r}", source=source, field=f"{field}.{name}",
                fix=suggestion(name, inspect.signature(home).parameters),
            )  # fmt: skip
    named = arguments.get("columns")
    if isinstance(named, Sequence) and not isinstance(named, str):
        if schema is None:
            arguments["columns"] = list(range(len(named)))
        else:
            arguments["columns"] = _columns(named, schema, source, f"{field}.columns")
    learner = home(**arguments)
    try:
        learner.check()
    except Misuse as problem:
        raise Misuse(
            f"{kind} cannot be made: {problem}", source=source,
            field=f"{field}.{problem.field}" if problem.field else field, fix="Mend the argument.",
        ) from problem  # fmt: skip
    return learner


def _columns(named: Sequence[Any], schema: Schema, source: str, field: str) -> list[int]:
    """The numbers of the columns that a plan names."""
    columns = schema.columns or tuple(str(place) for place in range(schema.features))
    for column in named:
        if isinstance(column, str) and not schema.columns:
            raise Misuse(
                f"the columns have no names to find {column!r} in", source=source, field=field,
                fix="Give numbers.",
            )  # fmt: skip
    return [column_index(each, columns, source, field) for each in named]
