"""Topics are found again, in any number of workers and pieces, with scikit-learn's face and without."""

import warnings

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.latent_dirichlet_allocation import LatentDirichletAllocation, TopicModel
from tradewind.algorithms.lda.learner import READ, TABLES, WORDS
from tradewind.algorithms.local_state import LocalState
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.snapshot import snapshot_of
from tradewind.state.transport.inprocess import InProcess
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state

TOPICS, VOCABULARY = 5, 60
MODES = pytest.mark.parametrize(
    ("consistency", "staleness"), [("bulk_synchronous", 0), ("stale_synchronous", 1), ("asynchronous", 0)]
)


def corpus(documents: int = 600, length: int = 50, prior: float = 0.1, seed: int = 0):
    """Documents of five topics on twelve words each, and a little of all others."""
    chance = np.random.default_rng(seed)
    truth = np.full((TOPICS, VOCABULARY), 0.0005)
    for topic in range(TOPICS):
        truth[topic, topic * 12 : topic * 12 + 12] += chance.dirichlet(np.full(12, 2.0))
    truth /= truth.sum(axis=1, keepdims=True)
    mixtures = chance.dirichlet(np.full(TOPICS, prior), documents)
    rows = np.stack([chance.multinomial(length, each / each.sum()) for each in mixtures @ truth])
    return csr_matrix(rows.astype(np.float32)), truth, mixtures


def off(found, truth) -> float:
    """The mean over topics of half the distance between distributions, matched as well as can be."""
    apart = np.abs(found[:, None] - truth[None]).sum(axis=2) / 2
    return float(apart[linear_sum_assignment(apart)].mean())


def test_scikit_learn_finds_nothing_to_complain_of():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(LatentDirichletAllocation(2, epochs=2), on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 45


@pytest.mark.parametrize("settings", [{}, {"alpha": "auto"}, {"kappa": 0.5}, {"batch_size": 50}])
def test_the_topics_that_made_documents_are_found(settings):
    rows, truth, mixtures = corpus()
    even = np.full_like(truth, 1 / VOCABULARY)
    found = LatentDirichletAllocation(TOPICS, seed=1, **settings).fit(rows)
    assert off(found.components_, truth) < 0.08 < 0.5 < off(even, truth)
    assert np.allclose(found.components_.sum(axis=1), 1, atol=1e-5)
    apart = np.abs(found.components_[:, None] - truth[None]).sum(axis=2)
    order = linear_sum_assignment(apart)[1]
    assert np.abs(found.transform(rows) - mixtures[:, order]).mean() < 0.06
    assert found.perplexity(rows) < 1.05 * TopicModel(truth, np.full(TOPICS, 0.1)).score(rows)


def test_each_topics_prior_is_learned():
    rows, _, _ = corpus(1500, prior=0.05)
    few = LatentDirichletAllocation(TOPICS, alpha="auto", seed=1).fit(rows).alpha_
    rows, _, _ = corpus(1500, prior=0.5)
    many = LatentDirichletAllocation(TOPICS, alpha="auto", seed=1).fit(rows).alpha_
    assert few.max() < 0.12 and 0.3 < many.mean() < 0.8


def test_more_passes_are_better_and_the_order_may_be_kept():
    rows, _, _ = corpus()
    found = [LatentDirichletAllocation(TOPICS, epochs=e).fit(rows).perplexity(rows) for e in (1, 10)]
    assert found[1] < found[0]
    kept = LatentDirichletAllocation(TOPICS, shuffle=False).fit(rows)
    again = LatentDirichletAllocation(TOPICS, shuffle=False).fit(rows)
    assert np.array_equal(kept.components_, again.components_)
    assert kept.score(rows) == pytest.approx(-np.log(kept.perplexity(rows)))


def test_pieces_are_learned_like_the_whole():
    rows, _, _ = corpus()
    whole = LatentDirichletAllocation(TOPICS, shuffle=False, epochs=1, batch_size=100).fit(rows)
    pieces = LatentDirichletAllocation(TOPICS, batch_size=100)
    for at in range(0, 600, 200):
        pieces.partial_fit(rows[at : at + 200])
    assert pieces.perplexity(rows) == pytest.approx(whole.perplexity(rows), rel=0.1)


def test_empty_documents_and_words_never_seen():
    rows, _, _ = corpus(200)
    wide = csr_matrix((rows.data, rows.indices, rows.indptr), (200, VOCABULARY + 1))
    found = LatentDirichletAllocation(TOPICS).fit(wide)
    assert found.components_[:, -1].max() < 1e-3 and found.components_[:, -1].min() > 0
    strange = np.zeros((2, VOCABULARY + 1))
    strange[0, -1] = 3
    assert np.isfinite(found.transform(strange)).all()
    assert np.allclose(found.transform(strange)[1], 1 / TOPICS)
    nothing = LatentDirichletAllocation(2, epochs=1).fit(np.zeros((4, 3)))
    assert np.allclose(nothing.components_.sum(axis=1), 1)
    plan, state = LatentDirichletAllocation(TOPICS), LocalState()
    plan.initialize(state, batch_of(rows))
    table = state.pull(WORDS).copy()
    plan.update(state, state.draw([batch_of(csr_matrix((5, VOCABULARY), dtype=np.float32))]), False)
    assert np.array_equal(state.pull(WORDS), table) and state.pull(READ).tolist() == [
        5,
        VOCABULARY,
    ]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"topics": 0}, "topics"), ({"alpha": 0}, "alpha"), ({"alpha": "x"}, "alpha"), ({"eta": -1}, "eta"),
        ({"kappa": 0.3}, "kappa"), ({"tau": 0}, "tau"), ({"sweeps": 0}, "sweeps"), ({"seed": -1}, "seed"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(settings, field):
    with pytest.raises(Misuse, match=field):
        LatentDirichletAllocation(**settings).check()
    with pytest.raises(ValueError, match=field):
        LatentDirichletAllocation(**settings).fit(np.ones((3, 3)))


def test_wrong_counts_are_refused_before_anything_is_pushed():
    rows, _, _ = corpus(100)
    plan, state = LatentDirichletAllocation(TOPICS), LocalState()
    plan.initialize(state, batch_of(rows))
    before = {name: table.copy() for name, table in state.tables.items()}
    negative = rows.copy()
    negative.data[7] = -1
    for wrong in (negative, rows[:, :-1]):
        with pytest.raises(Misuse):
            plan.update(state, state.draw([batch_of(wrong)]), False)
    assert all(np.array_equal(state.tables[name], table) for name, table in before.items())
    with pytest.raises(ValueError, match="Negative values"):
        LatentDirichletAllocation(2).fit(negative)


def test_finalize_answers_other_priors():
    rows, _, _ = corpus(200)
    plan, state = LatentDirichletAllocation(TOPICS), LocalState()
    plan.initialize(state, batch_of(rows))
    plan.update(state, state.draw([batch_of(rows)]), False)
    usual, smooth = plan.finalize(state), plan.finalize(state, eta=50.0, alpha=1.0)
    assert smooth.topic_words.max() < usual.topic_words.max() and smooth.alpha.tolist() == [1.0] * TOPICS
    with pytest.raises(Misuse, match="auto"):
        plan.finalize(state, alpha="auto")
    with pytest.raises(Misuse, match="Known"):
        plan.finalize(state, shape=1)
    assert TABLES not in state.tables


def job(parts: int, consistency: str = "bulk_synchronous", staleness: int = 0) -> Job:
    learner = learner_of(LatentDirichletAllocation(TOPICS, alpha="auto", seed=1))
    return Job(
        learner=learner,
        data={},
        parts=parts,
        batch=25,
        epochs=6,
        consistency=consistency,
        staleness=staleness,
    )


def made(engine: Engine) -> TopicModel:
    reader = StateClient([InProcess(Server(engine)).channel()])
    return LatentDirichletAllocation(TOPICS, alpha="auto", seed=1).finalize(reader)


@MODES
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_job_finds_them_too(parts, consistency, staleness):
    rows, truth, _ = corpus()
    task, data = job(parts, consistency, staleness), open_data(rows)
    plan = LatentDirichletAllocation(TOPICS, alpha="auto", seed=1)
    engine = fresh_state(task, plan, data)
    learn_here(task, plan, data, engine)
    found = made(engine)
    assert off(found.topic_words, truth) < 0.1
    assert found.score(rows) == pytest.approx(plan.fit(rows).perplexity(rows), rel=0.03)
    loss, weight = engine.table("progress").read(None).ravel().tolist()
    assert weight == 600 * 6 and 1 < loss / weight < np.log(VOCABULARY)


def test_a_job_that_is_stopped_goes_on_to_the_same_bits():
    rows, _, _ = corpus(300)
    task, data = job(3), open_data(rows)
    plan = LatentDirichletAllocation(TOPICS, alpha="auto", seed=1)
    whole = fresh_state(task, plan, data)
    learn_here(task, plan, data, whole)
    chance, broken = np.random.default_rng(4), fresh_state(task, plan, data)
    for _ in range(5):
        left = int(chance.integers(3, 12))

        def leaving() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        learn_here(task, plan, data, broken, leaving)
        arrays, header = broken.snapshot().plain()
        broken = Engine.restore(snapshot_of({name: array.copy() for name, array in arrays.items()}, header))
    assert not broken.finished
    learn_here(task, plan, data, broken)
    ours, theirs = (each.snapshot().plain()[0] for each in (broken, whole))
    assert {name: each.tobytes() for name, each in ours.items()} == {
        name: each.tobytes() for name, each in theirs.items()
    }
