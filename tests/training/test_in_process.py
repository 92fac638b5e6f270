"""A whole job in one process: every worker gets its share, a failure is told, and nobody is left waiting."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.engine import Engine
from tradewind.state.snapshot import snapshot_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_state

MODES = pytest.mark.parametrize(
    ("consistency", "staleness"), [("bulk_synchronous", 0), ("stale_synchronous", 1), ("asynchronous", 0)]
)


def data(rows: int = 60, features: int = 5) -> Any:
    chance = np.random.default_rng(1)
    x = chance.normal(size=(rows, features)).astype(np.float32)
    return open_data(x, (x[:, 0] > 0).astype(float))


def job(**changes: Any) -> Job:
    settings = {"learner": learner_of(LinearLearner(optimizer="sgd")), "data": {}, "parts": 4, "batch": 4}
    return Job(**{**settings, "epochs": 3, **changes})


def tables(engine: Engine) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in engine.snapshot().plain()[0].items()}


def again(engine: Engine) -> Engine:
    arrays, header = engine.snapshot().plain()
    return Engine.restore(snapshot_of({name: array.copy() for name, array in arrays.items()}, header))


class Failing(LinearLearner):
    """Fails in the batch that `when` says, counted over all workers."""

    def __init__(self, when: int) -> None:
        super().__init__(optimizer="sgd")
        self.when = when
        self.count = 0
        self.lock = threading.Lock()

    def update(self, state: Any, stream: Iterator[Batch], synchronized: bool) -> None:
        super().update(state, self._until_it_fails(stream), synchronized)

    def _until_it_fails(self, stream: Iterator[Batch]) -> Iterator[Batch]:
        for batch in stream:
            with self.lock:
                self.count += 1
                if self.count == self.when:
                    raise ZeroDivisionError("in a batch")
            yield batch


@MODES
def test_every_row_is_learned_once_an_epoch(consistency, staleness) -> None:
    task, rows = job(consistency=consistency, staleness=staleness), data()
    algorithm = build_algorithm(task.learner)
    engine = fresh_state(task, algorithm, rows)
    learn_here(task, algorithm, rows, engine)
    assert engine.finished
    assert engine.table("progress").read(None).sum(axis=1).tolist()[1] == 60 * 3


@MODES
@pytest.mark.parametrize("when", [1, 2, 9, 30])
def test_what_a_worker_raises_is_raised_and_nobody_hangs(consistency, staleness, when) -> None:
    task, rows = job(consistency=consistency, staleness=staleness), data()
    engine = fresh_state(task, LinearLearner(optimizer="sgd"), rows)
    with pytest.raises(ZeroDivisionError, match="in a batch"):
        learn_here(task, Failing(when), rows, engine)


def test_rows_that_are_wrong_are_told_as_misuse() -> None:
    task = job()
    engine = fresh_state(task, LinearLearner(optimizer="sgd"), data(features=5))
    with pytest.raises(Misuse, match="features"):
        learn_here(task, LinearLearner(optimizer="sgd"), data(features=4), engine)


@MODES
@pytest.mark.parametrize("when", range(1, 40, 3))
def test_a_pause_at_any_moment_ends_and_goes_on(consistency, staleness, when) -> None:
    """Bulk-synchronous, with nothing to be seen of it."""
    task, rows = job(consistency=consistency, staleness=staleness), data()
    algorithm = build_algorithm(task.learner)
    engine = fresh_state(task, algorithm, rows)
    calls = 0

    def leaving() -> bool:
        nonlocal calls
        calls += 1
        return calls >= when

    learn_here(task, algorithm, rows, engine, leaving)
    assert not engine.finished and not any(each["arrived"] for each in engine.workers())
    resumed = again(engine)
    learn_here(task, algorithm, rows, resumed)
    assert resumed.table("progress").read(None).sum(axis=1).tolist()[1] == 60 * 3
    if consistency == "bulk_synchronous":
        whole = fresh_state(task, algorithm, rows)
        learn_here(task, algorithm, rows, whole)
        assert tables(resumed) == tables(whole)


@MODES
def test_the_same_job_learns_the_same_again(consistency, staleness) -> None:
    """Also where nobody waits: the order of messages comes from the seed."""
    rows = data()

    def learned(seed: int) -> dict[str, bytes]:
        task = job(consistency=consistency, staleness=staleness, seed=seed)
        algorithm = build_algorithm(task.learner)
        engine = fresh_state(task, algorithm, rows)
        learn_here(task, algorithm, rows, engine)
        return tables(engine)

    first = learned(0)
    assert all(learned(0) == first for _ in range(5))
    assert learned(1) != first


def test_more_workers_than_blocks() -> None:
    """Some then have nothing to do, and nobody waits for them."""
    task, rows = job(parts=8, batch=20), data()
    algorithm = build_algorithm(task.learner)
    engine = fresh_state(task, algorithm, rows)
    learn_here(task, algorithm, rows, engine)
    assert engine.finished and engine.rounds == 3
