"""What is counted of the calls to each model: plain numbers, cheap to add to, read at a scrape.

Everything that statistics and metrics tell is counted here and nowhere else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from msgspec import Struct

from tradewind.serving.calls import DurationStatistic, ModelStatistics, RefusalKind

SECONDS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the buckets for durations: finest where objectives lie."""
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the buckets for rows in a batch."""

_SIZES = 1024
"""Sizes of batches told apart: a caller may send requests of any size, and must not fill the memory."""
OURS = (
    RefusalKind.OVERLOADED,
    RefusalKind.FAILED,
    RefusalKind.NOT_READY,
    RefusalKind.DEADLINE_PASSED,
    RefusalKind.NO_ROOM,
)
"""Refusals for no fault of the caller's."""


class Histogram:
    """How many values fell below each bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Of each bucket alone; the last is for what exceeds every bound."""
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class ModelMeter:
    """The counts of one model version. Each call is `began` once, and then one of `answered`, `refused`
    and `cancelled` once."""

    __slots__ = (
        "batch_rows",
        "batch_sizes",
        "begun",
        "cancellations",
        "compute_input",
        "compute_output",
        "failed_seconds",
        "infer",
        "last_inference",
        "late",
        "name",
        "objective",
        "queue",
        "refusals",
        "rows",
        "total",
        "version",
    )

    def __init__(self, name: str, version: str, objective: float | None = None) -> None:
        self.name = name
        self.version = version
        self.objective = objective
        """Seconds from a call's arrival in which its answer should be there; None where nobody said."""
        self.begun = 0
        self.cancellations = 0
        self.refusals = dict.fromkeys(RefusalKind, 0)
        self.failed_seconds = 0.0
        self.rows = 0
        self.late = 0
        """Calls answered, but not within the objective."""
        self.queue = Histogram(SECONDS)
        self.infer = Histogram(SECONDS)
        self.total = Histogram(SECONDS)
        self.batch_rows = Histogram(ROWS)
        self.batch_sizes: dict[int, list[float]] = {}
        """By rows in the batch: how many, their seconds of stacking, of inference and of cutting."""
        self.compute_input = 0.0
        self.compute_output = 0.0
        self.last_inference = 0.0

    def began(self) -> None:
        """A call came in for this model."""
        self.begun += 1

    def answered(self, queue_s: float, infer_s: float, total_s: float, rows: int) -> None:
        """A call was answered: its seconds in the queue, in its batch's inference, and in all."""
        queue, infer, total = self.queue, self.infer, self.total
        bounds = queue.bounds
        queue.counts[bisect_left(bounds, queue_s)] += 1
        queue.sum += queue_s
        infer.counts[bisect_left(bounds, infer_s)] += 1
        infer.sum += infer_s
        total.counts[bisect_left(bounds, total_s)] += 1
        total.sum += total_s
        self.rows += rows
        if self.objective is not None and total_s > self.objective:
            self.late += 1

    def refused(self, kind: RefusalKind, total_s: float = 0.0) -> None:
        """A call that began was refused, `total_s` seconds after its arrival."""
        self.refusals[kind] += 1
        self.failed_seconds += total_s

    def cancelled(self) -> None:
        """The caller of a call that began went away before its answer."""
        self.cancellations += 1

    def batch(
        self, rows: int, seconds: float, ended: float = 0.0, input_s: float = 0.0, output_s: float = 0.0
    ) -> None:
        """A batch was run: its rows, its seconds of inference, the moment of its end (`clock.now()`), and
        the seconds that its requests took to be stacked and its outputs to be cut apart."""
        self.batch_rows.add(rows)
        self.compute_input += input_s
        self.compute_output += output_s
        self.last_inference = max(self.last_inference, ended)
        known = self.batch_sizes.get(rows)
        if known is None:
            if len(self.batch_sizes) >= _SIZES:
                return
            known = self.batch_sizes[rows] = [0, 0.0, 0.0, 0.0]
        known[0] += 1
        known[1] += input_s
        known[2] += seconds
        known[3] += output_s

    @property
    def answers(self) -> int:
        """Calls answered."""
        return self.total.count

    @property
    def failures(self) -> int:
        """Calls refused, and calls whose callers went away."""
        return sum(self.refusals.values()) + self.cancellations

    @property
    def in_progress(self) -> int:
        """Calls that began and are not over."""
        # Read by a scrape in another thread: a call may be over between the readings.
        return max(0, self.begun - self.answers - self.failures)

    @property
    def missed(self) -> int:
        """Calls that the objective was broken for: answered late, or refused for no fault of the caller's."""
        return self.late + sum(self.refusals[kind] for kind in OURS)

    @property
    def judged(self) -> int:
        """Calls that the objective was kept or broken for: not those at fault themselves, or cancelled."""
        return self.answers + sum(self.refusals[kind] for kind in OURS)

    def statistics(self) -> ModelStatistics:
        """The same counts in the shape of Triton's statistics extension.

        `queue` and `compute_infer` are added up by calls, as in Triton; `compute_input` and
        `compute_output` by batches, for a call's own share of them is not measured.
        """
        answers, batches = self.answers, self.batch_rows.count
        return ModelStatistics(
            name=self.name,
            version=self.version,
            last_inference=self.last_inference,
            inferences=self.rows,
            executions=batches,
            success=DurationStatistic(answers, self.total.sum),
            fail=DurationStatistic(self.failures, self.failed_seconds),
            queue=DurationStatistic(answers, self.queue.sum),
            compute_input=DurationStatistic(batches, self.compute_input),
            compute_infer=DurationStatistic(answers, self.infer.sum),
            compute_output=DurationStatistic(batches, self.compute_output),
            batches={
                rows: DurationStatistic(int(known[0]), known[2])
                for rows, known in sorted(self.batch_sizes.items())
            },
        )


class ModelGauge(Struct, frozen=True):
    """How a model version stands at this moment."""

    name: str
    version: str
    waiting: int = 0
    """Calls in its queue."""
    replicas: dict[str, int] = {}
    """By state, such as starting, idle, busy, lost: how many."""
    memory: int = 0
    """Bytes that its replicas hold together."""


class Gauges(Struct, frozen=True):
    """How the server stands at this moment; asked for at a scrape."""

    models: tuple[ModelGauge, ...] = ()
    """Those that are loaded."""
    memory_limit: int | None = None
    """Bytes that models may hold together; None without a limit."""
    cost_rate: float | None = None
    """Dollars an hour of the leases held for this server; None where it is not known."""
    ready: bool = True


class Meters:
    """The meters of every model of a server."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], ModelMeter] = {}
        self.refusals = dict.fromkeys(RefusalKind, 0)
        """Calls refused before it was clear which model would answer, such as one of no such name."""

    def model(self, name: str, version: str, objective: float | None = None) -> ModelMeter:
        """The model's meter: a new one at the first call, with `objective` (seconds)."""
        found = self._models.get((name, version))
        if found is None:
            found = self._models[name, version] = ModelMeter(name, version, objective)
        return found

    def forget(self, name: str, version: str) -> None:
        """Count the model anew from zero when it is asked for again, as after it was loaded anew."""
        self._models.pop((name, version), None)

    def refused(self, kind: RefusalKind) -> None:
        """A call was refused before it was clear which model would answer: nothing is named after it."""
        self.refusals[kind] += 1

    def __iter__(self) -> Iterator[ModelMeter]:
        return iter([meter for _, meter in sorted(list(self._models.items()))])
