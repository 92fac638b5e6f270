"""Nearest neighbours: a fair sample, whoever keeps it, and any k from one state."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.interface import PROGRESS
from tradewind.algorithms.k_neighbors import KNeighborsClassifier, KNeighborsRegressor
from tradewind.algorithms.local_state import LocalState
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.snapshot import snapshot_of
from tradewind.state.transport.inprocess import InProcess
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_state

MODES = pytest.mark.parametrize(
    ("consistency", "staleness"), [("bulk_synchronous", 0), ("stale_synchronous", 1), ("asynchronous", 0)]
)


def blobs(n=300, d=6, classes=3, seed=0):
    chance = np.random.default_rng(seed)
    y = chance.integers(0, classes, n)
    return chance.normal(size=(n, d)) + 3 * chance.normal(size=(classes, d))[y], y.astype(float)


def job(learner, **changes):
    return Job(learner=learner_of(learner), **{"data": {}, "parts": 4, "batch": 25, **changes})


def model_of(learner, engine, **config):
    return learner.finalize(StateClient([InProcess(Server(engine)).channel()]), **config)


def trained(learner, X, y, **changes):
    task, data = job(learner, **changes), open_data(X, y)
    algorithm = build_algorithm(task.learner)
    engine = fresh_state(task, algorithm, data)
    learn_here(task, algorithm, data, engine)
    return engine


# the sample


@MODES
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_with_room_for_all_every_row_is_kept_once(parts, consistency, staleness):
    X, y = blobs(n=310)
    learner = KNeighborsClassifier(3, reservoir_size=1000)
    how = {"consistency": consistency, "staleness": staleness}
    engine = trained(learner, X, y, parts=parts, epochs=2, **how)
    model = model_of(learner, engine)
    here = KNeighborsClassifier(3).fit(X, y).model_
    rows, expected = np.hstack([model.rows, model.labels[:, None]]), np.hstack([here.rows, y[:, None]])
    assert sorted(rows.tolist()) == sorted(expected.astype(np.float32).tolist())
    assert model.evaluate(X).tolist() == here.evaluate(X).tolist()
    assert engine.table(PROGRESS).read(None).ravel().tolist() == [0.0, 620.0]


@pytest.mark.parametrize("parts", [1, 3])
def test_with_less_room_every_row_is_as_likely_as_another(parts):
    X = np.arange(240.0)[:, None]
    counts = np.zeros(240)
    for seed in range(60):
        learner = KNeighborsRegressor(1, reservoir_size=60, seed=seed)
        rows = model_of(learner, trained(learner, X, X[:, 0], parts=parts, batch=10)).rows[:, 0]
        assert len(np.unique(rows)) == 60
        counts[rows.astype(int)] += 1
    # each row comes 15 times of 60 on average, with a deviation of 3.4
    assert abs(counts.mean() - 15) < 1e-9 and 2.4 < counts.std() < 4.4
    assert abs(counts[:120].mean() - 15) < 1.5


def tables(engine):
    return {name: array.tobytes() for name, array in engine.snapshot().plain()[0].items()}


@settings(max_examples=8, deadline=None)
@given(when=st.integers(1, 60), parts=st.sampled_from([2, 3]), room=st.sampled_from([40, 1000]))
def test_stopped_anywhere_and_resumed_it_keeps_the_same_rows(when, parts, room):
    X, y = blobs()
    learner = KNeighborsClassifier(3, reservoir_size=room)
    task, data = job(learner, parts=parts, epochs=2), open_data(X, y)
    engine = fresh_state(task, learner, data)
    calls = iter(range(10_000))
    learn_here(task, learner, data, engine, lambda: next(calls) >= when)
    arrays, header = engine.snapshot().plain()
    resumed = Engine.restore(snapshot_of({name: array.copy() for name, array in arrays.items()}, header))
    learn_here(task, learner, data, resumed)
    assert tables(resumed) == tables(trained(learner, X, y, parts=parts, epochs=2))


def test_every_batch_pushes_equally_often():
    X, y = blobs(n=40)

    class Counted(LocalState):
        count = 0

        def push(self, key, delta, rows=None):
            self.count += 1
            super().push(key, delta, rows)

    learner, state = KNeighborsClassifier(3, reservoir_size=100), Counted()
    learner.initialize(state, batch_of(X, y))
    for epoch in (0, 1):
        for n in (40, 0):
            before = state.count
            learner.update(state, iter([Batch(6, dense=X[:n], labels=y[:n], epoch=epoch)]), False)
            assert state.count - before == 4
    assert state.pull("seen").tolist() == [40]


# bad input


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": -1}, "k"),
        ({"metric": "euclid"}, "metric"),
        ({"index": "hnsw"}, "index"),
        ({"recall": 1.5}, "recall"),
        ({"projection": "sign"}, "projection"),
        ({"dimension_reduction_target": 3}, "projection"),
        ({"weighting": "distance", "metric": "inner_product"}, "weighting"),
        ({"k": 20, "reservoir_size": 10}, "k"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments, field):
    with pytest.raises(Misuse, match=field):
        KNeighborsClassifier(**arguments).check()


def test_rows_that_cannot_be_learned_from():
    X, y = blobs(n=20)
    learner, state = KNeighborsClassifier(3, reservoir_size=50), LocalState()
    learner.initialize(state, batch_of(X, y))
    with pytest.raises(Misuse, match="no row was kept"):
        learner.finalize(state)
    with pytest.raises(Misuse, match="5 features, the state was made for 6"):
        learner.update(state, iter([batch_of(X[:, :5], y)]), False)
    with pytest.raises(Misuse, match="no labels"):
        learner.update(state, iter([batch_of(X)]), False)
    bad = X.copy()
    bad[2, 2] = np.nan
    for batch in (batch_of(bad, y), batch_of(X, np.where(y == 1, np.nan, y))):
        with pytest.raises(Misuse, match="missing or not finite"):
            learner.update(state, iter([batch]), False)
    with pytest.raises(Misuse, match="6 columns are no more than 6"):
        KNeighborsClassifier(projection="sign", dimension_reduction_target=6).initialize(
            LocalState(), batch_of(X, y)
        )


def test_its_parameters_make_it_again():
    learner = KNeighborsClassifier(3, projection="fjlt", dimension_reduction_target=4, nlists=9)
    again = KNeighborsClassifier(**json.loads(json.dumps(learner.parameters())))
    assert again.parameters() == learner.parameters()
    assert build_algorithm(learner_of(learner)).parameters() == learner.parameters()
