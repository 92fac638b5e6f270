"""Decima's network in numpy, against its definition stage by stage."""

import numpy as np
import pytest

from tradewind.advice.scheduling.decima.features import job_graph, joined
from tradewind.advice.scheduling.decima.network import LAYERS, SUM, Network, cluster_summary, first_weights
from tradewind.advice.scheduling.interface import JobView
from tradewind.errors import Misuse

WEIGHTS = {
    name: each + np.random.default_rng(at).normal(0, 0.1, each.shape).astype(np.float32)
    for at, (name, each) in enumerate(first_weights(7).items())
}
TREE = JobView(
    0, 0.0, 1, (5, 6, 7, 8), (0, 1, 2), (True,) * 4, (2.0, 4.0, 1.0, 3.0), ((), (), (), (0, 1))
)  # fmt: skip
FORK = JobView(1, 0.0, 0, (3, 2, 1), (0,), (True,) * 3, (1.0, 5.0, 2.0), ((), (0,), (0,)))


def through(name, x):
    x = np.asarray(x, np.float64)
    layers = len(LAYERS[name]) - 1
    for at in range(layers):
        x = WEIGHTS[f"{name}.{at}.weight"].astype(np.float64) @ x + WEIGHTS[f"{name}.{at}.bias"]
        if at < layers - 1 or not name.endswith("head"):
            x = np.where(x > 0, x, 0.2 * x)
    return x


def by_definition(job, executors):
    """By stage, its embedding, recursively; and the job's summary."""
    graph = job_graph(job, executors)
    order = range(len(graph.x))
    children = {row: [child for child, parent in graph.edges if parent == row] for row in order}

    def embedding(row):
        own = through("prepare", graph.x[row])
        if children[row]:
            own = own + through("receive", sum(through("send", embedding(each)) for each in children[row]))
        return own

    found = {row: embedding(row) for row in order}
    total = sum(through("job", np.concatenate((graph.x[row], found[row]))) for row in order)
    return graph, found, SUM * total


@pytest.mark.parametrize("job", [TREE, FORK])
def test_embeddings_are_those_of_the_definition(job):
    graph, found, summary = by_definition(job, 10)
    embedded = Network(WEIGHTS).embed(joined([graph]))
    for row, expected in found.items():
        assert embedded.stage[row, 6:] == pytest.approx(expected, abs=1e-5)
    assert embedded.job[0] == pytest.approx(summary, abs=1e-5)
    assert embedded.share[0] == pytest.approx(through("cluster", summary), abs=1e-5)


def test_jobs_together_are_as_each_alone():
    network = Network(WEIGHTS)
    graphs = [job_graph(TREE, 10), job_graph(FORK, 10), job_graph(TREE, 10)]
    together = network.embed(joined(graphs))
    for number, graph in enumerate(graphs):
        alone = network.embed(joined([graph]))
        assert together.job[number] == pytest.approx(alone.job[0], abs=1e-5)
    assert cluster_summary(together.share) == pytest.approx(SUM * together.share.sum(axis=0))


def test_heads_score_each_row():
    network, rng = Network(WEIGHTS), np.random.default_rng(0)
    for name, score in (("stage_head", network.stage_scores), ("limit_head", network.limit_scores)):
        rows = rng.normal(size=(5, LAYERS[name][0])).astype(np.float32)
        assert score(rows) == pytest.approx([through(name, row)[0] for row in rows], abs=1e-5)


def test_the_network_is_small():
    assert sum(each.size for each in first_weights(0).values()) < 5000
    assert any((first_weights(0)[name] != first_weights(1)[name]).any() for name in WEIGHTS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weights: weights.pop("send.1.bias"), "send.1.bias: is missing"),
        (
            lambda weights: weights.update({"job.0.weight": np.zeros((2, 2))}),
            r"job.0.weight: has shape \(2, 2\)",
        ),
        (lambda weights: weights.update({"job.0.bias": np.full(16, np.nan)}), "job.0.bias: is not finite"),
    ],
)
def test_other_weights_are_refused_by_name(change, told):
    weights = dict(WEIGHTS)
    change(weights)
    with pytest.raises(Misuse, match=told):
        Network(weights, "mine")
