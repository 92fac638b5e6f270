"""A user's own torch modules as learners: elastic, resumable, and none of their parts forgotten."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pytest
import small_networks
import torch
from learning_here import MODES, learned, model_in, progress, tables
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.deep.gradients import BUFFERS, COUNTERS, FROZEN, PARAMETERS
from tradewind.algorithms.deep.seeded import seeded
from tradewind.algorithms.deep.torch_learner import TorchLearner
from tradewind.algorithms.deep.torch_model import TorchModel
from tradewind.algorithms.local_state import LocalState
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def rows(classes: int = 3, count: int = 300, features: int = 6):
    chance = np.random.default_rng(classes)
    x = chance.normal(size=(count, features)).astype(np.float32)
    scores = x @ chance.normal(size=(features, classes)) + 0.2 * chance.normal(size=(count, classes))
    return x, scores.argmax(axis=1).astype(float)


def values():
    x, _ = rows()
    return x, np.sin(x[:, 0]) + x[:, 1].astype(float)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_scikit_learn_finds_nothing_to_complain_of(loss):
    learner = TorchLearner("small_networks:perceptron", loss=loss, rate=0.1, epochs=6, batch_size=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(learner, on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 50


def test_in_one_process_it_learns_what_torch_does_by_itself():
    x, y = rows()
    learner = TorchLearner("small_networks:perceptron", rate=0.1, optimizer="sgd", classes=(0, 1, 2))
    engine = learned(learner, (x, y), parts=1, batch=300, epochs=20)
    with seeded(0):
        network = small_networks.perceptron(6, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(torch.from_numpy(x)), torch.from_numpy(y).long()).backward()
        optimizer.step()
    for name, tensor in network.state_dict().items():
        assert model_in(learner, engine).arrays()[name] == pytest.approx(tensor.numpy(), abs=1e-5)


def test_many_workers_are_one_with_all_of_their_rows():
    """Synchronized, sums of gradients of halves are the gradient of the whole."""
    x, y = rows()
    one = TorchLearner("small_networks:perceptron", rate=0.2, optimizer="sgd", classes=(0, 1, 2))
    two = TorchLearner("small_networks:perceptron", rate=0.1, optimizer="sgd", classes=(0, 1, 2))
    whole = model_in(one, learned(one, (x, y), parts=1, batch=300, epochs=5)).arrays()
    halves = model_in(two, learned(two, (x, y), parts=2, batch=150, epochs=5)).arrays()
    for name, value in whole.items():
        assert halves[name] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("consistency", "staleness"), MODES)
def test_every_part_of_a_network_is_learned_as_well_by_any_number_of_workers(consistency, staleness):
    x, y = rows()
    learner = TorchLearner("small_networks:Kept", rate=0.02, seed=1)
    for parts in (1, 4):
        engine = learned(
            learner, (x, y), parts=parts, batch=40 // parts, epochs=10, consistency=consistency,
            staleness=staleness,
        )  # fmt: skip
        model = model_in(learner, engine)
        assert model.score(batch_of(x, y)) > 0.85
        assert progress(engine)[1] == 300 * 10
        first = learned(learner, (x[:40], y[:40]), parts=1, batch=40, epochs=1)
        same = {name: np.ravel(each.table(FROZEN).read(None)) for name, each in (("a", engine), ("b", first))}
        assert np.array_equal(same["a"], same["b"]) and np.abs(same["a"]).min() > 0
        arrays = model.arrays()
        assert np.array_equal(arrays["tied.weight"], arrays["again.weight"])
        assert not np.allclose(arrays["norm.running_mean"], 0)


def test_running_statistics_are_the_mean_of_the_workers():
    x, y = rows()
    learner = TorchLearner("small_networks:Kept", rate=1e-9)
    engine = learned(learner, (x, y), parts=2, batch=50, epochs=30)
    model = model_in(learner, engine)
    whole = model.module().first(torch.from_numpy(x)).detach().numpy()
    assert model.arrays()["norm.running_mean"] == pytest.approx(whole.mean(axis=0), abs=0.15)
    assert model.arrays()["norm.running_var"] == pytest.approx(whole.var(axis=0), rel=0.25)
    # a clock, not a batch, for the workers count together
    assert int(model.arrays()["norm.num_batches_tracked"]) == 90
    names = set(engine.snapshot().plain()[0])
    for key in (PARAMETERS, FROZEN, BUFFERS, COUNTERS):
        assert any(name.startswith(key + "/") for name in names)


def test_a_network_without_more_has_no_more_tables():
    state = LocalState()
    TorchLearner("small_networks:perceptron").initialize(state, batch_of(*rows()))
    assert not {FROZEN, BUFFERS, COUNTERS} & set(state.tables)


def test_a_job_that_is_stopped_learns_the_same_bits():
    """With dropout and running statistics, over threads of one process."""
    learner = TorchLearner("small_networks:Kept", rate=0.02)
    whole = learned(learner, rows(), parts=3, batch=20, epochs=2)
    for stops in ([3], [1, 4, 7], [9, 2]):
        assert tables(learned(learner, rows(), parts=3, batch=20, epochs=2, stops=stops)) == tables(whole)


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("perceptron", {"loss": "bce"}),
        ("perceptron", {"loss": "mse"}),
        ("perceptron", {"loss": "small_networks:absolute"}),
        ("Bag", {"inputs": "bags"}),
        ("Rows", {"inputs": "sparse"}),
        ("Repeated", {}),
    ],
)
def test_every_loss_and_every_kind_of_rows(network, settings):
    classes = {"bce": 2}.get(settings.get("loss", ""), 3)
    x, y = values() if settings.get("loss") in ("mse", "small_networks:absolute") else rows(classes)
    learner = TorchLearner(f"small_networks:{network}", rate=0.05, epochs=15, batch_size=32, **settings)
    for given in (x, csr_matrix(x)):
        assert learner.fit(given, y).score(given, y) > 0.85
    assert learner.predict(x).shape == (300,)
    again = TorchModel.of(learner.model_.arrays(), learner.model_.header())
    again = again.built_by(getattr(small_networks, network))
    assert np.array_equal(again.evaluate(x), learner.model_.evaluate(x))


def test_pictures_of_digits_and_logarithms():
    x, y = load_digits(return_X_y=True)
    learner = TorchLearner(
        "small_networks:Pictures", loss="nll", shape=(1, 8, 8), rate=0.02, epochs=4, batch_size=50
    )
    learner.fit(x[:1000] / 16, y[:1000])
    assert learner.score(x[1000:] / 16, y[1000:]) > 0.85
    model = learner.model_
    (answer,) = onnxruntime.InferenceSession(onnx_bytes(model.graph())).run(
        None, {"X": (x[:50] / 16).astype(np.float32)}
    )
    assert answer == pytest.approx(model.evaluate(x[:50] / 16), abs=1e-5)
    again = TorchModel.of(model.arrays(), model.header())
    assert again.evaluate(x[:50] / 16) == pytest.approx(answer, abs=1e-5)


def test_a_network_may_be_its_own_label():
    x, _ = rows()
    learner = TorchLearner.of(
        small_networks.coder, loss=small_networks.difference, target="none", rate=0.02, epochs=2
    )
    before = learner.fit(x).model_.evaluate(x)
    after = learner.set_params(epochs=30).fit(x).model_.evaluate(x)
    assert np.square(after - x).mean() < np.square(before - x).mean()
    assert learner.loss == "small_networks:difference" and learner.labels == "none"


@pytest.mark.parametrize("labels", [(-1.0, 1.0), (3.0, 7.0)])
def test_classes_of_a_job_keep_their_names(labels):
    x, y = rows(2)
    y = np.asarray(labels)[y.astype(int)]
    for loss in ("bce", "cross_entropy"):
        learner = TorchLearner("small_networks:perceptron", loss=loss, rate=0.05)
        model = model_in(learner, learned(learner, (x, y), epochs=6))
        assert set(model.predict(batch_of(x))) == set(labels) and model.score(batch_of(x, y)) > 0.85
        assert model.score(batch_of(x, y), "cross_entropy") < 0.5


def test_weights_of_rows_count():
    x, y = values()
    weights = np.zeros(300, np.float32)
    weights[:150] = 1
    learner = TorchLearner("small_networks:perceptron", loss="mse", rate=0.02)
    wrong = np.where(weights > 0, y, 100.0)
    model = model_in(learner, learned(learner, (x, wrong, weights), epochs=30))
    assert model.score(batch_of(x[:150], y[:150])) > 0.85
    assert model.score(batch_of(x, wrong, weights)) > 0.85 > model.score(batch_of(x, wrong))


def test_a_module_that_workers_could_not_import_is_told():
    class Local(nn.Linear):
        pass

    def closed() -> nn.Module:
        return nn.Linear(2, 2)

    for network, words in (
        (lambda: nn.Linear(2, 2), "lambda"),
        (Local, "top of a module"),
        (closed, "top of a module"),
        (nn.Linear(2, 2), "Give the class or function"),
    ):
        with pytest.raises(Misuse, match=words):
            TorchLearner.of(network)
    at_home = type("Net", (nn.Linear,), {"__module__": "__main__"})
    with pytest.raises(Misuse, match="script that runs"):
        TorchLearner.of(at_home)
    assert TorchLearner.of(small_networks.Kept).network == "small_networks:Kept"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network": "small_networks:Kep"}, "cannot be imported"),
        ({"network": "small_networks"}, "names nothing"),
        ({"loss": "mes"}, "'mse'"),
        ({"loss": "mse", "target": "classes"}, "not classes"),
        ({"arguments": {"hidden": {1, 2}.__iter__()}}, "plain values"),
        ({"inputs": "bags", "shape": (2, 3)}, "no shape"),
        ({"rate": -1.0}, "rate"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_told(settings, words):
    with pytest.raises(Misuse, match=words):
        TorchLearner(**{"network": "small_networks:Kept", **settings}).check()


@pytest.mark.parametrize(
    ("network", "settings", "words"),
    [
        ("small_networks:perceptron", {"arguments": {"hiden": 3}}, "hiden"),
        ("small_networks:perceptron", {"arguments": {"classes": 2}}, "one score for each class"),
        ("small_networks:perceptron", {"loss": "bce"}, "3 classes"),
        ("builtins:dict", {}, "makes a dict"),
        ("small_networks:perceptron", {"classes": (0.0, 1.0)}, "none of the classes"),
        ("small_networks:perceptron", {"optimizer": "sgd", "rate": 1e30}, "no longer finite"),
        ("small_networks:perceptron", {"shape": (2, 3)}, "fails on 32 rows"),
        ("small_networks:perceptron", {"shape": (2, 4)}, r"\(2, 4\) are 8 numbers, a row has 6"),
        ("small_networks:Pictures", {}, "fails on 32 rows"),
        ("small_networks:lazy", {}, "lazy layers"),
    ],
)
def test_what_is_wrong_with_a_network_is_told(network, settings, words):
    with pytest.raises(Misuse, match=words):
        learned(TorchLearner(network, **settings), rows())


def test_parameters_of_double_precision_are_told():
    with pytest.raises(Misuse, match=r"\.float\(\)"):
        learned(TorchLearner("small_networks:doubled"), rows())


def test_a_single_row_is_normalised_by_the_running_statistics():
    """It has none of its own, and torch refuses it."""
    x, y = rows()
    learner = TorchLearner("small_networks:Kept", rate=0.02, classes=(0, 1, 2))
    engine = learned(learner, (x[:41], y[:41]), parts=1, batch=40, epochs=3)
    assert progress(engine)[1] == 41 * 3
    # it moves them by nothing
    assert int(np.ravel(engine.table(COUNTERS).read(None))[0]) == 3


def test_a_network_without_parameters_to_learn_keeps_what_it_has():
    learner = TorchLearner("small_networks:frozen", rate=0.1)
    engine = learned(learner, rows(), epochs=2)
    model = model_in(learner, engine)
    with seeded(0):
        first = small_networks.frozen(6, 3)
    for name, tensor in first.state_dict().items():
        assert np.array_equal(model.arrays()[name], tensor.numpy())
