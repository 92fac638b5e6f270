"""k-means as three functions: what its state holds, here and over the engine."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.k_means import KMeans
from tradewind.algorithms.kmeans.learner import KEPT, SEEDS, SEEN, SHIFT, SUMS, TICKETS
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

HERE = "tradewind.algorithms.kmeans.learner:KMeans"
MODES = pytest.mark.parametrize(
    ("consistency", "staleness"), [("bulk_synchronous", 0), ("stale_synchronous", 1), ("asynchronous", 0)]
)


def mixture(rows=1200, clusters=10, features=3, seed=0):
    chance = np.random.default_rng(seed)
    places = chance.normal(size=(clusters, features)) * 9
    x = places[chance.integers(clusters, size=rows)] + chance.normal(size=(rows, features))
    return x.astype(np.float32)


def begun(x, learner, rows=200) -> LocalState:
    state = LocalState()
    learner.initialize(state, batch_of(x).rows(0, rows))
    return state


def learned(x, learner, batch=100, sample=200) -> LocalState:
    state, rows = begun(x, learner, sample), batch_of(x)
    parts = (rows.rows(at, min(at + batch, len(rows))) for at in range(0, len(rows), batch))
    learner.update(state, state.draw(parts), False)
    return state


def ssd(model, x) -> float:
    return model.score(batch_of(x), "ssd")


def run(learner, x, parts=4, consistency="bulk_synchronous", staleness=0, epochs=1, leaving=None) -> Engine:
    job = Job(
        learner=learner_of(learner), data={}, parts=parts, batch=50, epochs=epochs, consistency=consistency,
        staleness=staleness,
    )  # fmt: skip
    algorithm, data = build_algorithm(job.learner), open_data(x)
    engine = fresh_state(job, algorithm, data)
    learn_here(job, algorithm, data, engine, *(() if leaving is None else (leaving,)))
    while not engine.finished:
        arrays, header = engine.snapshot().plain()
        engine = Engine.restore(snapshot_of({name: each.copy() for name, each in arrays.items()}, header))
        learn_here(job, build_algorithm(job.learner), data, engine)
    return engine


def reader(engine) -> Any:
    return StateClient([InProcess(Server(engine)).channel()])


def tables(engine) -> dict[str, bytes]:
    return {name: each.tobytes() for name, each in engine.snapshot().plain()[0].items()}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_counts_and_sums_are_those_of_the_rows(sparse, ratio) -> None:
    """However often centres begin anew: nothing is lost, nothing is counted twice."""
    x = mixture() + 5
    state = learned(csr_matrix(x) if sparse else x, KMeans(4, extra_center_factor=8, reseed_ratio=ratio))
    sums, begun_ = state.pull(SUMS), state.pull(SEEDS)
    assert np.isclose(sums[:, -2].sum(), len(x)) and (sums[:, -2] > -1e-9).all()
    shift = state.pull(SHIFT)
    assert (shift == 0).all() == sparse
    assert np.allclose(sums[:, :-2].sum(axis=0), (x.astype(np.float64) - shift).sum(axis=0), atol=1e-3)
    assert (begun_[:, -1] > 0).any() == (ratio > 0), "some began anew where the ratio asks for it"
    assert state.pull("progress")[1] == len(x) == state.pull(SEEN).sum()


def test_the_loss_pushed_is_the_distance_to_the_centres_before_the_batch() -> None:
    x, learner = mixture(), KMeans(4, reseed_ratio=0)
    state = begun(x, learner)
    places = state.pull(SEEDS)[:, :-2] + state.pull(SHIFT)
    wanted = np.square(x[:300, None].astype(np.float64) - places).sum(axis=2).min(axis=1).sum()
    learner.update(state, state.draw([batch_of(x[:300])]), False)
    assert np.isclose(state.pull("progress")[0], wanted, rtol=1e-5)


def test_weighted_rows_are_repeated_rows() -> None:
    x = mixture(rows=300)
    weights = np.random.default_rng(1).integers(1, 4, len(x))
    learner = KMeans(5, reservoir=0, reseed_ratio=0)
    one, two = begun(x, learner), begun(x, learner)
    learner.update(one, one.draw([Batch(3, dense=x, weights=weights.astype(np.float32))]), False)
    learner.update(two, two.draw([batch_of(np.repeat(x, weights, axis=0))]), False)
    assert np.allclose(one.pull(SUMS), two.pull(SUMS), rtol=1e-6, atol=1e-6)
    assert np.isclose(one.pull("progress")[0], two.pull("progress")[0])


def test_a_sample_that_shows_little_does_not_bind() -> None:
    """The first rows are all alike; the centres that could not begin do so later."""
    x = np.concatenate([np.zeros((250, 3), np.float32), mixture(rows=1000)])
    learner = KMeans(10, reservoir=0)
    state = begun(x, learner)
    assert (state.pull(SEEDS)[:, -2] >= 0).sum() == 1
    learner.update(state, state.draw(batch_of(x).rows(at, at + 50) for at in range(0, 1250, 50)), False)
    assert (state.pull(SEEDS)[:, -2] >= 0).all()
    good = KMeans(10).fit(x).inertia_
    assert ssd(learner.finalize(state), x) < 1.25 * good


def test_fewer_distinct_rows_than_centres() -> None:
    """K shrinks to them; a k above is told the most."""
    x = np.repeat(np.arange(15, dtype=np.float32).reshape(5, 3), 40, axis=0)
    x = x[np.random.default_rng(0).permutation(len(x))]
    for learner in (KMeans(5), KMeans(5, reservoir=0), KMeans(5, extra_center_factor=1)):
        state = learned(x, learner, sample=20)
        assert np.allclose(np.sort(learner.finalize(state).centres, axis=0), np.unique(x, axis=0))
        wide = KMeans(3, k_max=9, reservoir=learner.reservoir)
        state = learned(x, wide)
        assert len(wide.finalize(state).centres) == 3
        with pytest.raises(Misuse, match=r"k = 6.*knows 5 distinct places.*Give 5 or less"):
            wide.finalize(state, k=6)


def test_finalize_names_what_is_wrong() -> None:
    learner = KMeans(4, k_max=6)
    state = learned(mixture(), learner)
    for k in (0, -3, 2.5, "all"):
        with pytest.raises(Misuse, match="'k'"):
            learner.finalize(state, k=k)
    with pytest.raises(Misuse, match=r"k = 7.*made for k up to 6.*Give 6 or less"):
        learner.finalize(state, k=7)
    with pytest.raises(Misuse, match="local_lloyd_tol"):
        learner.finalize(state, local_loyd_tol=0.1)
    with pytest.raises(Misuse, match="local_lloyd_max_iter"):
        learner.finalize(state, local_lloyd_max_iter=0)
    with pytest.raises(Misuse, match="Read some rows first"):
        fresh = begun(mixture(), learner)
        learner.finalize(fresh, k=2)


def test_wrong_rows_are_refused() -> None:
    learner, x = KMeans(4), mixture()
    state = begun(x, learner)
    broken = x[:50].copy()
    broken[7, 1] = np.nan
    for rows in (broken, np.where(np.isnan(broken), np.inf, broken), x[:, :2]):
        with pytest.raises(Misuse):
            learner.update(state, state.draw([batch_of(rows)]), False)
    assert state.pull("progress").tolist() == [0, 0] and state.pull(SEEN).sum() == 0
    with pytest.raises(Misuse, match="X"):
        learner.initialize(LocalState(), batch_of(broken))
    with pytest.raises(Misuse, match="no row"):
        learner.initialize(LocalState(), batch_of(x[:0]))


@pytest.mark.parametrize("half_life", [0, 50])
@pytest.mark.parametrize("sparse", [False, True])
def test_every_batch_pushes_equally_often_the_empty_one_too(sparse, half_life) -> None:
    class Counted(LocalState):
        count = 0

        def push(self, key, delta, rows=None):
            self.count += 1
            super().push(key, delta, rows)

    x = mixture(rows=100)
    rows, learner, state = batch_of(csr_matrix(x) if sparse else x), KMeans(3), Counted()
    learner.half_life_time_size = half_life
    learner.initialize(state, rows)
    for first, last in ((0, 100), (0, 0), (5, 6), (0, 0)):
        before, held = state.count, state.pull(SEEN).sum()
        learner.update(state, iter([rows.rows(first, last)]), True)
        assert state.count - before == 6 and state.pull(SEEN).sum() - held == last - first
    assert state.pull("progress")[1] == 101 and len(learner.finalize(state).centres) == 3


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_weights_that_cannot_be_meant(wrong) -> None:
    x, learner = mixture(rows=100), KMeans(3)
    weights = np.ones(100, np.float32)
    state = begun(x, learner)
    weights[40] = wrong
    with pytest.raises(Misuse, match="a weight is missing, infinite or below zero"):
        learner.update(state, iter([Batch(3, dense=x, weights=weights)]), False)
    with pytest.raises(Misuse, match="a weight is missing, infinite or below zero"):
        learner.initialize(LocalState(), Batch(3, dense=x, weights=weights))
    assert state.pull(SEEN).sum() == 0


def test_rows_of_no_weight_are_read_but_not_counted() -> None:
    x, learner = mixture(rows=200), KMeans(3, reseed_ratio=0)
    state, other = begun(x, learner, 100), begun(x, learner, 100)
    weights = (np.arange(200) < 100).astype(np.float32)
    learner.update(state, iter([Batch(3, dense=x, weights=weights)]), False)
    learner.update(other, iter([batch_of(x[:100])]), False)
    assert np.allclose(state.pull(SUMS), other.pull(SUMS), atol=1e-9)
    assert np.allclose(learner.finalize(state).weights.sum(), 100)
    nothing = begun(x, learner)
    learner.update(nothing, iter([Batch(3, dense=x, weights=weights * 0)]), False)
    with pytest.raises(Misuse, match="knows 0 distinct places"):
        learner.finalize(nothing)


def test_rows_fade() -> None:
    """The clusters move away; with a half-life of 50 rows only the last ones count, exactly as stated."""
    old, new = mixture(rows=800), mixture(rows=800, seed=1) + 100
    x = np.concatenate([old, new])
    learner = KMeans(5, half_life_time_size=50, reservoir=500)
    state = learned(x, learner, batch=50)
    ages = 50 * (31 - np.arange(1600) // 50)
    assert np.isclose(state.pull(SUMS)[:, -2].sum(), (0.5 ** (ages / 50)).sum(), rtol=0.01)
    faded, kept = learner.finalize(state), KMeans(5).finalize(learned(x, KMeans(5), batch=50))
    assert (faded.centres.mean(axis=1) > 50).all()
    assert (kept.centres.mean(axis=1) < 50).any() and (kept.centres.mean(axis=1) > 50).any()
    best = KMeans(5).fit(new).inertia_
    assert ssd(faded, new) < 1.15 * best


@MODES
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_job_learns_what_fit_learns(consistency, staleness, parts) -> None:
    x = mixture()
    engine = run(KMeans(10), x, parts, consistency, staleness)
    state = reader(engine)
    assert np.isclose(state.pull(SUMS)[:, -2].sum(), len(x)) and state.pull(SEEN).sum() == len(x)
    sums = (x.astype(np.float64) - state.pull(SHIFT)).sum(axis=0)
    assert np.allclose(state.pull(SUMS)[:, :-2].sum(axis=0), sums, atol=1e-3)
    assert state.pull("progress")[1] == len(x)
    tickets, kept = state.pull(TICKETS), state.pull(KEPT)
    held = tickets[:, 0] > 0
    assert held.sum() == min(1000, len(x)), "each worker fills its share"
    rows = {row.tobytes() for row in (x - state.pull(SHIFT).astype(np.float32))}
    assert all(row.tobytes() in rows for row in kept[held])
    assert ssd(KMeans(10).finalize(state), x) <= 1.05 * KMeans(10).fit(x).inertia_


@pytest.mark.parametrize("half_life", [0, 300])
def test_stopped_and_resumed_at_any_batch_the_bits_are_the_same(half_life) -> None:
    x, learner = mixture(), KMeans(6, half_life_time_size=half_life, reseed_ratio=0.3)
    whole = tables(run(learner, x, epochs=2))
    for when in np.random.default_rng(half_life).integers(1, 45, 5):
        calls = 0

        def leaving(when=int(when)) -> bool:
            nonlocal calls
            calls += 1
            return calls >= when

        assert tables(run(learner, x, epochs=2, leaving=leaving)) == whole


def test_a_job_may_go_on_with_other_workers_than_its_state_was_made_for() -> None:
    """More of them: who has no share of the rows kept keeps none. Fewer: the others' rows stay."""
    x, more = mixture(), mixture(seed=1)
    for parts in (1, 4):
        engine = run(KMeans(8), x, 2)
        arrays, header = engine.snapshot().plain()
        earlier = snapshot_of({name: each.copy() for name, each in arrays.items()}, header)
        job = Job(learner=learner_of(KMeans(8)), data={}, parts=parts, batch=50)
        data = open_data(more)
        after = fresh_state(job, build_algorithm(job.learner), data, earlier)
        learn_here(job, build_algorithm(job.learner), data, after)
        state = reader(after)
        assert np.isclose(state.pull(SUMS)[:, -2].sum(), 2400) and state.pull(SEEN).sum() == 2400
        assert (state.pull(SEEN)[-1] > 0) == (parts == 4)
        both = np.concatenate([x, more])
        assert ssd(KMeans(8).finalize(state), both) <= 1.1 * KMeans(8).fit(both).inertia_


def test_any_k_from_the_state_of_a_job() -> None:
    x = mixture()
    state = reader(run(KMeans(3, k_max=12), x))
    losses = [ssd(KMeans(3, k_max=12).finalize(state, k=k), x) for k in range(1, 13)]
    assert all(later < earlier for earlier, later in pairwise(losses))
    for k in (1, 3, 12):
        assert losses[k - 1] <= 1.06 * KMeans(k).fit(x).inertia_


def test_how_large_the_state_is() -> None:
    assert [KMeans(k).centres for k in (1, 8, 20, 100, 500)] == [10, 80, 100, 100, 500]
    assert KMeans(3, k_max=40, extra_center_factor=5).centres == 200
    assert [KMeans(k).slots(64) for k in (1, 100, 1000)] == [1000, 10_000, 20_000]
    assert KMeans(100).slots(10_000) == 419 and KMeans(100, reservoir=7).slots(64) == 7


def test_what_fades_is_taken_in_at_once() -> None:
    """Pushes of one round are added up first: what was there decays by all rows of the round, once."""
    first, push = np.array([[8.0, 4.0, 0.0]]), np.array([[1.0, 1.0, 10.0]])
    state = LocalState()
    state.initialize("t", first, aggregate="fade", half_life=20)
    state.push("t", 2 * push)
    assert state.pull("t").tolist() == [[8 / 2 + 2, 4 / 2 + 2, 20]]
    state.push("t", push)
    assert np.allclose(state.pull("t"), [[6 * 0.5**0.5 + 1, 4 * 0.5**0.5 + 1, 30]])
