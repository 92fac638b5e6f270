"""The seam between what is learned and how it is run: three functions over a state.

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 3. An algorithm is `initialize`, `update`
and `finalize`; the runtime owns the state, its distribution, snapshots and the reading of data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.graph import Graph

PROGRESS = "progress"
"""The key of the table that an algorithm adds its running loss to: shape (2,), [sum of losses, weight]."""


class State(Protocol):
    """Named tables that a model lives in while it learns.

    1. `push` never overwrites: the table's own aggregation (`add`, `adagrad`, `adam`, `ftrl`, `max`) takes
       the delta in, at the server.
    2. Synchronized, what a worker pushes between two barriers is seen by nobody, itself included, until
       every worker has come to the second; then all of it is, in the workers' order.
    3. Stale-synchronous, a pull sees all that was pushed more than `staleness` clocks ago. Asynchronous, it
       sees what there is.
    4. No push is taken in twice, however often it is sent.
    5. `worker` and `clock` say which batch of the job's data is at hand, whoever reads it and however often.
    """

    @property
    def worker(self) -> int | None:
        """Which of the job's logical workers this is; None for who only initializes or reads."""
        ...

    @property
    def workers(self) -> int:
        """How many logical workers the job has."""
        ...

    @property
    def clock(self) -> int:
        """Batches that this worker has finished."""
        ...

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table with its first value; its shape and dtype hold from now on.

        Misuse if `key` exists. `options` are the aggregation's own, such as `rate` for adagrad; each is a
        number, or one a column.
        """
        ...

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """A copy of the table, or of those of its rows (along axis 0), in the order asked."""
        ...

    def entries(self, key: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The rows of a sparse table that were ever pushed to, ascending, and their values."""
        ...

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        """Give `delta` to the table's aggregation: to all of it, or to those rows. Rows must be distinct."""
        ...

    def barrier(self) -> None:
        """End this worker's clock; returns when the consistency in force lets it go on."""
        ...


class Model(Protocol):
    """What `finalize` makes of a state."""

    @property
    def metric(self) -> str:
        """The name of its usual metric, which `score` takes where none is named."""
        ...

    def evaluate(self, batch: Batch) -> NDArray[Any]:
        """The model's answer for each row."""
        ...

    def score(self, batch: Batch, metric: str) -> float:
        """A number for the whole batch; which metrics there are, the model's class says."""
        ...

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All that the model knows, as named arrays; together with `header` enough to build it again."""
        ...

    def header(self) -> Mapping[str, Any]:
        """What is not an array, as plain JSON values; `kind` names the model's class in the catalogue."""
        ...

    def graph(self) -> Graph:
        """`evaluate` for dense rows as operators of ONNX; Misuse where they cannot express it."""
        ...


class Algorithm(Protocol):
    """A learner as three functions.

    1. `initialize` is called once, on a fresh job, never on a resume.
    2. `update` runs on every worker in parallel, each with its own part of the data. Everything it must not
       lose is in the state: after a revocation it is called again, with the rest of its stream.
    3. Between two batches that it draws from its stream, it pushes the same number of times whenever it is
       given the same data; synchronized, it calls `barrier` once a batch.
    4. `finalize` may be called again on the same state with another configuration.
    5. The constructor's arguments are plain values kept under their own names.
    """

    sample_size: int
    """How many rows `initialize` wants to see, the first of the data."""

    @property
    def labels(self) -> str:
        """What it takes the labels for: `none` (they are not read), `number`, `binary` or `classes`."""
        ...

    def check(self) -> None:
        """Raise Misuse for an argument of the constructor that cannot be meant."""
        ...

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables."""
        ...

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the data."""
        ...

    def finalize(self, state: State, **config: Any) -> Model:
        """Make a model of the state."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """The constructor's arguments, as plain JSON values."""
        ...
