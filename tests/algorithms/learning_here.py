"""Jobs over the state engine in this process, for tests of learners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tradewind.algorithms.interface import Algorithm, Model
from tradewind.data.streams import open_data
from tradewind.session.stretch import model_of
from tradewind.state.engine import Engine
from tradewind.state.snapshot import snapshot_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_state

MODES = [("bulk_synchronous", 0), ("stale_synchronous", 1), ("asynchronous", 0)]


def learned(learner: Any, rows: tuple[Any, ...], *, stops: Sequence[int] = (), **settings: Any) -> Engine:
    """The state of a finished job.

    At each of `stops`, so many questions into a stretch, it is stopped and read back from its snapshot.
    """
    job = Job(learner=learner_of(learner), data={}, **{"parts": 2, "batch": 32, "epochs": 2, **settings})
    algorithm: Algorithm = build_algorithm(job.learner)
    data = open_data(rows if len(rows) > 1 else rows[0])
    engine = fresh_state(job, algorithm, data)
    for stop in stops:
        asked = [0]

        def leaving(asked: list[int] = asked, stop: int = stop) -> bool:
            asked[0] += 1
            return asked[0] >= stop

        learn_here(job, algorithm, data, engine, leaving)
        if engine.finished:
            break
        arrays, header = engine.snapshot().plain()
        engine = Engine.restore(snapshot_of({name: each.copy() for name, each in arrays.items()}, header))
    learn_here(job, algorithm, data, engine)
    assert engine.finished
    return engine


def tables(engine: Engine) -> dict[str, bytes]:
    """All that a state holds, as bytes."""
    return {name: array.tobytes() for name, array in engine.snapshot().plain()[0].items()}


def model_in(learner: Any, engine: Engine, **config: Any) -> Model:
    """The model of a state at rest."""
    return model_of(build_algorithm(learner_of(learner)), engine.snapshot(), **config)


def progress(engine: Engine) -> list[float]:
    """The sum of losses, and the weight."""
    return [float(each) for each in np.ravel(engine.table("progress").read(None))[:2]]
