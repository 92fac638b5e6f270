"""Neural topics: found where they are, alike through a state and out of it, and judged by counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from learning_here import MODES, learned, model_in, progress, tables
from scipy.sparse import csr_matrix
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.deep.gradients import PARAMETERS, flat_gradient, load
from tradewind.algorithms.deep.neural_topic_model import NeuralTopicModel
from tradewind.algorithms.deep.neural_topics import scaled
from tradewind.algorithms.local_state import LocalState
from tradewind.errors import Misuse

GROUPS, WORDS = 6, 60


def documents(count: int = 240, seed: int = 0) -> np.ndarray:
    """Counts of documents that have two of six topics each, with ten words of its own to a topic."""
    chance = np.random.default_rng(seed)
    words = np.full((GROUPS, WORDS), 0.002)
    for k in range(GROUPS):
        words[k, 10 * k : 10 * k + 10] = 0.1
    words /= words.sum(axis=1, keepdims=True)
    shares = np.zeros((count, GROUPS))
    for i in range(count):
        shares[i, chance.choice(GROUPS, 2, replace=False)] = chance.dirichlet([1, 1])
    return np.stack([chance.multinomial(60, p) for p in shares @ words]).astype(np.float32)


def small(**settings) -> NeuralTopicModel:
    return NeuralTopicModel(
        **{"topics": 4, "encoder_layers": (12,), "batch_size": 40, "epochs": 4, **settings}
    )


def test_scikit_learn_finds_nothing_to_complain_of():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(NeuralTopicModel(3, epochs=2), on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 45


def completed(model, known, hidden):
    p = model.words(known, steps=20)
    return float(np.exp(-np.sum(hidden * np.log(p)) / hidden.sum()))


def test_hidden_words_are_foretold_better_than_by_lda_and_nearly_as_by_the_truth():
    train, test = documents(600), documents(100, seed=1)
    hidden = np.random.default_rng(2).binomial(test.astype(int), 0.5).astype(np.float32)
    known = test - hidden
    model = NeuralTopicModel(GROUPS, epochs=40, batch_size=50, rate=0.01).fit(train).model_
    lda = LatentDirichletAllocation(GROUPS, random_state=0, max_iter=20).fit(train)
    words = lda.components_ / lda.components_.sum(axis=1, keepdims=True)
    theirs = float(np.exp(-np.sum(hidden * np.log(lda.transform(known) @ words)) / hidden.sum()))
    background = train.sum(axis=0) / train.sum()
    unaware = float(np.exp(-np.sum(hidden * np.log(background)) / hidden.sum()))
    ours = completed(model, known, hidden)
    assert ours < 0.5 * unaware and ours < 1.1 * theirs
    # topics go up and down together, so what is alike is the coherence of the words that rise
    assert model.coherence(train, 5).max() > 0.2


@pytest.mark.parametrize("mixing", ["gaussian", "softmax"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_the_loss_falls_with_every_option(mixing, activation):
    x = documents()
    rate = {"gaussian": None, "softmax": 0.03}[mixing]
    learner = small(mixing=mixing, activation=activation, rate=rate, warm_up=0, epochs=8, patience=None).fit(
        x
    )
    assert learner.loss_curve_[-1] < learner.loss_curve_[0] - 1
    assert learner.perplexity(x) < WORDS


@pytest.mark.parametrize("optimizer", ["adadelta", "adam", "rmsprop", "adagrad", "sgd"])
def test_the_loss_falls_with_every_optimizer(optimizer):
    rate = {"sgd": 0.05, "adagrad": 0.05}.get(optimizer)
    learner = small(optimizer=optimizer, rate=rate, warm_up=0, epochs=10, patience=None).fit(documents())
    assert learner.loss_curve_[-1] < learner.loss_curve_[0] - 1


def test_layers_are_three_times_the_topics_and_twice_where_nothing_is_said():
    learner = NeuralTopicModel(5, epochs=1).fit(documents(40))
    shapes = {name: each.shape for name, each in learner.model_.arrays().items()}
    assert shapes["weight0"] == (WORDS, 15) and shapes["weight1"] == (15, 10)
    assert shapes["mean_weight"] == (10, 5) and shapes["topics"] == (5, WORDS)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mixing", ["gaussian", "softmax"])
def test_the_arrays_and_the_header_are_enough_for_numpy(sparse, mixing):
    x = documents(50)
    x[3] = 0
    learner = small(mixing=mixing).fit(x)
    a, header = learner.model_.arrays(), learner.model_.header()
    h = np.log(1 + x)
    h = h / np.maximum(np.sqrt((h * h).sum(axis=1, keepdims=True)), 1e-12)
    for i in range(header["layers"]):
        h = np.maximum(h @ a[f"weight{i}"] + a[f"bias{i}"], 0)
    mean = h @ a["mean_weight"] + a["mean_bias"]
    shares = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    given = csr_matrix(x) if sparse else x
    assert learner.transform(given) == pytest.approx(shares, abs=1e-5)
    raised = np.exp((shares if mixing == "softmax" else mean) @ a["topics"] + a["background"])
    assert learner.model_.words(given) == pytest.approx(raised / raised.sum(axis=1, keepdims=True), abs=1e-6)


def test_the_network_and_its_model_say_the_same():
    x = documents(50)
    learner = small().fit(x)
    facts = {name: learner._state.pull("fact/" + name) for name in learner.fact_names()}
    network = learner._fresh(facts)
    load(network, learner._state.pull(PARAMETERS))
    mean, spread = (each.detach().numpy() for each in network(torch.from_numpy(scaled(x))))
    found = learner.model_.posterior(x)
    assert found[0] == pytest.approx(mean, abs=1e-5) and found[1] == pytest.approx(spread, abs=1e-5)


@pytest.mark.parametrize("layers", [(), (12,), "auto"])
def test_sparse_rows_have_the_loss_and_the_slope_of_dense_ones(layers):
    x = documents(30)
    x[4] = 0
    learner = small(encoder_layers=layers)
    state = LocalState()
    learner.initialize(state, batch_of(x))
    facts = {name: state.pull("fact/" + name) for name in learner.fact_names()}
    found = []
    for rows in (x, csr_matrix(x)):
        network = learner._fresh(facts)
        chance = torch.Generator().manual_seed(0)
        total, weight = learner.loss(network, batch_of(rows), facts, chance, 1e9)
        total.backward()
        found.append((float(total.detach()), flat_gradient(network)))
        assert weight == 30
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-3, abs=1e-3)


def test_the_bound_is_that_of_the_definition():
    x = documents(20)
    model = small().fit(x).model_
    mean, spread = model.posterior(x)
    chance = np.random.default_rng(5)
    told = np.zeros(20)
    for _ in range(2000):
        z = mean + np.exp(spread / 2) * chance.normal(size=mean.shape)
        raised = z @ model.topics + model.arrays()["background"]
        logs = raised - np.log(np.exp(raised).sum(axis=1, keepdims=True))
        told += (x * logs).sum(axis=1) / 2000
    divergence = 0.5 * (np.exp(spread) + mean**2 - 1 - spread).sum(axis=1)
    assert model.bound(x, draws=300) == pytest.approx(told - divergence, abs=0.5)
    batch = batch_of(x)
    assert model.score(batch) == pytest.approx(np.exp(-model.bound(x).sum() / x.sum()))
    assert model.score(batch, "loss") == pytest.approx(-model.bound(x).mean())
    assert model.bound(csr_matrix(x)) == pytest.approx(model.bound(x), abs=1e-3)


def test_steps_uphill_never_foretell_the_known_words_worse():
    x = documents(60)
    for mixing in ("gaussian", "softmax"):
        model = small(mixing=mixing, epochs=8).fit(x).model_
        mean = model.posterior(x)[0]

        def height(z, model=model):
            return (x * model._log_words(z)).sum(axis=1) - 0.5 * (z * z).sum(axis=1)

        refined = model._refined(x, mean, 30)
        assert height(refined).mean() > height(mean).mean()


def test_words_and_their_coherence():
    x = np.zeros((10, 4), np.float32)
    x[:5, :2], x[5:, 2:] = 1, 1
    learner = NeuralTopicModel(2, epochs=1, vocabulary=["a", "b", "c", "d"]).fit(x)
    model = learner.model_
    model.topics[:] = [[2, 1, -1, -1], [0, 2, 1, -5]]
    assert model.top_words(2) == [["a", "b"], ["b", "c"]]
    # a and b are met in five documents, always together; b and c never
    assert model.coherence(x, 2) == pytest.approx([1.0, -1.0])
    assert model.coherence(csr_matrix(x), 2) == pytest.approx([1.0, -1.0])
    assert model.topic_words().sum(axis=1) == pytest.approx([1, 1])
    renamed = learner.finalize(learner._state, vocabulary=["e", "f", "g", "h"])
    assert {word for row in renamed.top_words(4) for word in row} == set("efgh")


def test_fit_stops_when_the_loss_no_longer_falls():
    x = documents(80)
    stopped = small(warm_up=0, tolerance=0.9, patience=2, epochs=30).fit(x)
    assert stopped.n_iter_ == 3 and len(stopped.loss_curve_) == 3
    assert small(warm_up=0, tolerance=0.9, patience=None, epochs=6).fit(x).n_iter_ == 6
    # not before it is warmed up: 80 rows an epoch
    assert small(warm_up=400, tolerance=0.9, patience=2, epochs=30).fit(x).n_iter_ == 8


def test_the_divergence_is_warmed_up_by_the_rows_seen():
    x = batch_of(documents(40))
    learner = small(warm_up=1000)
    state = LocalState()
    learner.initialize(state, x)
    facts = {name: state.pull("fact/" + name) for name in learner.fact_names()}
    network = learner._fresh(facts)

    def loss(seen):
        return float(learner.loss(network, x, facts, torch.Generator().manual_seed(0), seen)[0].detach())

    none, half, whole, beyond = (loss(seen) for seen in (0, 500, 1000, 5000))
    assert none < half < whole == beyond
    assert half - none == pytest.approx(whole - half, rel=1e-2)


def test_a_share_of_the_rows_may_be_left_out():
    state = LocalState()
    learner = small(sub_sample=0.25)
    x = batch_of(documents(40))
    learner.initialize(state, x)
    learner.update(state, state.draw([x, x]), False)
    assert state.pull("progress")[1] == 20


@pytest.mark.parametrize(("consistency", "staleness"), MODES)
def test_a_job_learns_as_well_as_one_worker(consistency, staleness):
    x = documents(400)
    learner = small(encoder_layers="auto", warm_up=0, rate=0.01)
    alone = learned(learner, (x,), parts=1, batch=40, epochs=10)
    ours = model_in(learner, alone).score(batch_of(x), "perplexity")
    for parts in (2, 4):
        engine = learned(
            learner, (x,), parts=parts, batch=40 // parts, epochs=10, consistency=consistency,
            staleness=staleness,
        )  # fmt: skip
        theirs = model_in(learner, engine).score(batch_of(x), "perplexity")
        # as many rows a clock; without barriers more steps are taken, and it gets further
        assert theirs < 1.25 * ours < WORDS * 0.75
        assert progress(engine)[1] == 400 * 10


def test_a_job_that_is_stopped_learns_the_same_bits():
    x = csr_matrix(documents(100))
    learner = small(sub_sample=0.5)
    whole = learned(learner, (x,), parts=2, batch=10, epochs=2)
    for stops in ([3], [1, 4, 7], [9, 2]):
        assert tables(learned(learner, (x,), parts=2, batch=10, epochs=2, stops=stops)) == tables(whole)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"topics": 0}, "topics"),
        ({"encoder_layers": (3, 0)}, "encoder_layers"),
        ({"activation": "swish"}, "activation"),
        ({"sub_sample": 0.0}, "sub_sample"),
        ({"optimizer": "adm"}, "optimizer"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_told(settings, words):
    with pytest.raises(Misuse, match=words):
        small(**settings).check()


def test_rows_that_are_no_counts_are_told():
    x = documents(40)
    with pytest.raises(ValueError, match="Negative values"):
        small().fit(-x)
    model = small().fit(x).model_
    with pytest.raises(Misuse, match="Negative"):
        model.evaluate(-x)
    with pytest.raises(Misuse, match="60 words"):
        model.evaluate(x[:, :9])
    with pytest.raises(Misuse, match="not a word"):
        model.score(batch_of(np.zeros((2, WORDS))))
    with pytest.raises(Misuse, match="3 words for 60 columns"):
        small(vocabulary=["a", "b", "c"]).fit(x)
    with pytest.raises(Misuse, match="Negative"):
        learned(small(), (-x,))
