"""Principal components: right, the same wherever they are summed up, and honest about what they hold."""

import json
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA as Peer
from sklearn.exceptions import ConvergenceWarning

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.interface import PROGRESS
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.principal_components import PCA
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
from tradewind.training.worker import learn


def rows(n=600, d=20, base=0.8, seed=0, far=5.0):
    chance = np.random.default_rng(seed)
    turn = np.linalg.qr(chance.normal(size=(d, d)))[0]
    return (chance.normal(size=(n, d)) * base ** np.arange(d)) @ turn + far * chance.normal(size=d)


def job(algorithm, **changes):
    settings = {"data": {}, "parts": 4, "batch": 25, **changes}
    return Job(learner=learner_of(algorithm), **settings)


def model_of(algorithm, engine: Engine):
    return algorithm.finalize(StateClient([InProcess(Server(engine)).channel()]))


def trained(algorithm, X, leaving=None, **changes):
    task, data = job(algorithm, **changes), open_data(X)
    algorithm = build_algorithm(task.learner)
    engine = fresh_state(task, algorithm, data)
    learn_here(task, algorithm, data, engine, leaving or (lambda: False))
    return engine


def test_a_weight_of_two_is_a_row_given_twice():
    X = rows(n=50, d=6)
    weights = np.where(np.arange(50) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(X, weights.astype(int), axis=0)
    for matrix in (X, csr_matrix(X.astype(np.float32))):
        learner, state = PCA(3), LocalState()
        batch = batch_of(matrix, weights=weights)
        learner.initialize(state, batch)
        learner.update(state, iter([batch]), False)
        model = learner.finalize(state)
        assert model.variances == pytest.approx(PCA(3).fit(twice).explained_variance_, rel=1e-5)


def test_one_state_answers_any_k():
    X = rows()
    learner = PCA(3).fit(X)
    state = learner._state
    for k in (1, 7, 20):
        again = PCA(3).finalize(state, num_components=k, whiten=True)
        assert again.components == pytest.approx(PCA(k).fit(X).components_, abs=1e-12)
        assert again.evaluate(X).std(axis=0, ddof=1) == pytest.approx(np.ones(k))
    with pytest.raises(Misuse, match="21 components of 20 columns"):
        learner.finalize(state, num_components=21)
    with pytest.raises(Misuse, match="Did you mean 'num_components'"):
        learner.finalize(state, num_component=2)
    thin = PCA(3, mode="randomized", extra_components=2).fit(X)
    assert len(thin.finalize(thin._state, num_components=5).components) == 5
    with pytest.raises(Misuse, match="6 components of a sketch of 5"):
        thin.finalize(thin._state, num_components=6)


def test_the_state_of_randomized_mode_grows_with_k_times_d():
    learner, state = PCA(4, mode="randomized", passes=3), LocalState()
    learner.initialize(state, batch_of(np.zeros((2, 1000))))
    assert sum(table.size for table in state.tables.values()) <= (2 * 3 * 14 + 3 + 1) * 1000 + 8


# the same wherever it is summed up


def tables(engine):
    return {name: array.tobytes() for name, array in engine.snapshot().plain()[0].items()}


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("n", [600, 610])
def test_regular_mode_over_the_engine_is_fit_to_the_last_bit(parts, n):
    X = rows(n=n)
    here = PCA(5, batch_size=25).fit(X).model_
    data, learner = open_data(X), PCA(5)
    task = job(learner, parts=parts)
    engine = fresh_state(task, learner, data)
    hub = InProcess(Server(engine))
    threads = [
        threading.Thread(
            target=learn, args=(learner, data.part(worker, parts, 25), worker, hub.channel()), daemon=True
        )
        for worker in range(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = model_of(learner, engine)
    for name, array in here.arrays().items():
        assert there.arrays()[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize(
    ("consistency", "staleness"), [("bulk_synchronous", 0), ("stale_synchronous", 1), ("asynchronous", 0)]
)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_every_mode_and_number_of_workers_holds_as_much(parts, consistency, staleness, mode):
    X = rows(n=1000, d=60, base=0.97)
    learner = PCA(6, mode=mode, passes=3)
    engine = trained(
        learner,
        X,
        parts=parts,
        consistency=consistency,
        staleness=staleness,
        epochs=3 if mode[1] == "a" else 1,
    )
    best = Peer(6).fit(X).explained_variance_ratio_.sum()
    model = model_of(learner, engine)
    # out of step, two workers may spoil a later pass for each other, which is left out; the first counts
    least = {"regular": 1 - 1e-6, "randomized": 0.99 if consistency == "bulk_synchronous" else 0.85}[mode]
    assert model.score(X) / best > least
    assert model.told.variance_captured == pytest.approx(model.score(X), abs=0.03)
    assert engine.table(PROGRESS).read(None).ravel()[1] == 1000 * (3 if mode == "randomized" else 1)


def test_more_epochs_than_passes_change_nothing():
    X = rows(n=300)
    for mode in ("regular", "randomized"):
        learner = PCA(4, mode=mode, extra_components=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            once, often = (model_of(learner, trained(learner, X, epochs=epochs)) for epochs in (1, 3))
        assert often.told.rows == once.told.rows == 300
        assert often.components == pytest.approx(once.components, abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(
    when=st.integers(1, 90), mode=st.sampled_from(["regular", "randomized"]), parts=st.sampled_from([2, 3])
)
def test_stopped_anywhere_and_resumed_it_learns_the_same_bits(when, mode, parts):
    X = rows(n=310)
    learner = PCA(4, mode=mode, passes=3, extra_components=3)
    task, data = job(learner, parts=parts, epochs=3), open_data(X)
    engine = fresh_state(task, learner, data)
    calls = iter(range(10_000))
    learn_here(task, learner, data, engine, lambda: next(calls) >= when)
    arrays, header = engine.snapshot().plain()
    resumed = Engine.restore(snapshot_of({name: array.copy() for name, array in arrays.items()}, header))
    learn_here(task, learner, data, resumed)
    assert tables(resumed) == tables(trained(learner, X, parts=parts, epochs=3))


def test_every_batch_pushes_equally_often():
    X = rows(n=40)

    class Counted(LocalState):
        count = 0

        def push(self, key, delta, rows=None):
            self.count += 1
            super().push(key, delta, rows)

    for mode, pushes in (("regular", 3), ("randomized", 4)):
        learner, state = PCA(4, mode=mode, passes=2), Counted()
        learner.initialize(state, batch_of(X))
        for epoch in (0, 0, 1, 1, 2):
            for batch in (Batch(20, dense=X, epoch=epoch), Batch(20, dense=X[:0], epoch=epoch)):
                before = state.count
                learner.update(state, iter([batch]), False)
                assert state.count - before == pushes


# bad input


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"num_components": 0}, "num_components"),
        ({"num_components": -3}, "num_components"),
        ({"mode": "exact"}, "mode"),
        ({"passes": 4}, "passes"),
        ({"extra_components": -2}, "extra_components"),
        ({"whiten": 1.5}, "whiten"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments, field):
    with pytest.raises(Misuse, match=field):
        PCA(**arguments).check()
    with pytest.raises(ValueError, match=field):
        PCA(**arguments).fit(rows())


def test_more_components_than_columns():
    with pytest.raises(ValueError, match="num_components=21 is more than the 20 columns"):
        PCA(21).fit(rows())
    with pytest.raises(Misuse, match="21 components of 20 columns"):
        trained(PCA(21), rows())


def test_rows_that_cannot_be_learned_from():
    learner, state = PCA(2), LocalState()
    learner.initialize(state, batch_of(rows(d=4)))
    with pytest.raises(Misuse, match="5 features, the state was made for 4"):
        learner.update(state, iter([batch_of(rows(d=5))]), False)
    bad = rows(d=4)
    bad[3, 1] = np.nan
    with pytest.raises(Misuse, match="missing or not finite"):
        learner.update(state, iter([batch_of(bad)]), False)
    with pytest.raises(Misuse, match="column 1: a value is missing"):
        PCA(2).initialize(LocalState(), batch_of(bad))
    with pytest.raises(Misuse, match="a variance of 0 rows"):
        learner.finalize(state)
    with pytest.raises(Misuse, match="no row to begin with"):
        PCA(2).initialize(LocalState(), batch_of(np.zeros((0, 3))))
    with pytest.raises(Misuse, match="randomized"):
        PCA(2).initialize(LocalState(), batch_of(np.zeros((1, 20_001), np.float32)))


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_weights_that_cannot_be_meant(wrong, mode):
    X, learner, state = rows(n=30), PCA(2, mode=mode), LocalState()
    weights = np.ones(30)
    weights[4] = wrong
    learner.initialize(state, batch_of(X))
    for matrix in (X, csr_matrix(X.astype(np.float32))):
        with pytest.raises(Misuse, match="a weight is missing, infinite or below zero"):
            learner.update(state, iter([batch_of(matrix, weights=weights)]), False)
    learner.update(state, iter([batch_of(X, weights=np.zeros(30))]), False)
    with pytest.raises(Misuse, match="a variance of 0 rows"):
        learner.finalize(state)


def test_values_that_cannot_be_squared():
    X = rows(n=30)
    X[20, 3] = 1e300
    with pytest.raises(Misuse, match="too large to be squared"):
        PCA(2).fit(X)


def test_its_parameters_make_it_again():
    learner = PCA(3, mode="randomized", passes=2, seed=5)
    again = PCA(**json.loads(json.dumps(learner.parameters())))
    assert again.parameters() == learner.parameters()
    assert build_algorithm(learner_of(learner)).parameters() == learner.parameters()
