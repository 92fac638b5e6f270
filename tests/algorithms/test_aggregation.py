from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.aggregation import (
    AGGREGATIONS,
    Aggregation,
    aggregation_called,
    hyperparameters,
    register_aggregation,
)
from tradewind.errors import Misuse


def stepped(name, values, slots, rows, delta, **options):
    """The published rule in float64, one row and column at a time."""
    o = {**dict(AGGREGATIONS[name].options), **options}
    for i, row in enumerate(rows):
        for j in range(values.shape[1]):
            g = float(delta[i, j])
            w = float(values[row, j])
            if name == "add":
                w += g
            elif name == "max":
                w = max(w, g)
            elif name == "put":
                w = g
            elif name == "fade":
                passed = float(delta[i, -1])
                w = w + g if j == values.shape[1] - 1 else w * 0.5 ** (passed / o["half_life"]) + g
            elif name == "sgd":
                w -= o["rate"] * g
            elif name == "rmsprop":
                v = slots["square"][row, j] = o["decay"] * slots["square"][row, j] + (1 - o["decay"]) * g * g
                w -= o["rate"] * g / (np.sqrt(v) + o["epsilon"])
            elif name == "adadelta":
                v = slots["square"][row, j] = o["decay"] * slots["square"][row, j] + (1 - o["decay"]) * g * g
                step = g * np.sqrt(slots["moved"][row, j] + o["epsilon"]) / np.sqrt(v + o["epsilon"])
                u = slots["moved"][row, j]
                slots["moved"][row, j] = o["decay"] * u + (1 - o["decay"]) * step * step
                w -= o["rate"] * step
            elif name == "adagrad":
                slots["square"][row, j] += g * g
                if g:
                    w -= o["rate"] * g / (np.sqrt(slots["square"][row, j]) + o["epsilon"])
            elif name == "adam":
                slots["steps"][row, j] += 1
                t = slots["steps"][row, j]
                m = slots["first"][row, j] = o["beta1"] * slots["first"][row, j] + (1 - o["beta1"]) * g
                v = slots["second"][row, j] = o["beta2"] * slots["second"][row, j] + (1 - o["beta2"]) * g * g
                w -= (
                    o["rate"]
                    * (m / (1 - o["beta1"] ** t))
                    / (np.sqrt(v / (1 - o["beta2"] ** t)) + o["epsilon"])
                )
            elif name == "ftrl" and g:
                n = slots["square"][row, j]
                sigma = (np.sqrt(n + g * g) - np.sqrt(n)) / o["rate"]
                slots["z"][row, j] += g - sigma * w
                n = slots["square"][row, j] = n + g * g
                z = slots["z"][row, j]
                w = 0.0
                if abs(z) > o["l1"]:
                    w = -(z - np.sign(z) * o["l1"]) / ((o["beta"] + np.sqrt(n)) / o["rate"] + o["l2"])
            values[row, j] = w


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(AGGREGATIONS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**16),
    steps=st.integers(1, 5),
)
def test_every_kernel_follows_its_paper(name, dtype, seed, steps):
    if name.startswith("ours"):
        return
    rng = np.random.default_rng(seed)
    options = {"l1": 0.3, "l2": 0.1} if name == "ftrl" else {}
    values = rng.normal(size=(6, 2)).astype(dtype)
    expected = values.astype(np.float64)
    slots = {slot: np.zeros_like(values) for slot in AGGREGATIONS[name].slots}
    reference = {slot: np.zeros((6, 2)) for slot in slots}
    extra = hyperparameters(name, options, 2, np.dtype(dtype))
    for _ in range(steps):
        rows = rng.permutation(6)[: rng.integers(1, 7)]
        delta = (rng.normal(size=(len(rows), 2)) * (rng.random((len(rows), 2)) < 0.8)).astype(dtype)
        AGGREGATIONS[name].kernel(values, rows, delta, *slots.values(), *extra)
        stepped(name, expected, reference, rows, delta, **options)
    np.testing.assert_allclose(values, expected, rtol=2e-4 if dtype == np.float32 else 1e-10, atol=2e-5)


def test_integers_add_exactly_and_max_keeps_a_nan():
    values = np.array([[2**53]], np.int64)
    AGGREGATIONS["add"].kernel(values, np.array([0]), np.array([[1]], np.int64))
    assert values[0, 0] == 2**53 + 1
    floats = np.array([[1.0], [np.nan], [3.0]])
    AGGREGATIONS["max"].kernel(floats, np.arange(3), np.array([[np.nan], [5.0], [2.0]]))
    assert np.isnan(floats[:2]).all() and floats[2, 0] == 3


def test_a_pack_learns_at_a_rate_a_column():
    values, square = np.zeros((1, 2)), np.zeros((1, 2))
    options = hyperparameters("adagrad", {"rate": [0.1, 1.0]}, 2, np.dtype(np.float64))
    AGGREGATIONS["adagrad"].kernel(values, np.array([0]), np.ones((1, 2)), square, *options)
    np.testing.assert_allclose(values, [[-0.1, -1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("adagard", {}, "adagrad"),
        ("adagrad", {"rat": 1.0}, "rate"),
        ("add", {"rate": 1.0}, "no options"),
        ("adam", {"rate": 0.0}, "more than 0"),
        ("adam", {"beta1": float("nan")}, "finite"),
        ("sgd", {"rate": [1.0, 2.0, 3.0]}, "2"),
    ],
)
def test_wrong_names_and_options_are_misuse(name, options, word):
    with pytest.raises(Misuse, match=word):
        hyperparameters(name, options, 2, np.dtype(np.float32))


def test_optimisers_need_floats():
    with pytest.raises(Misuse, match="float"):
        aggregation_called("adam", np.dtype(np.int64))


def test_a_users_aggregation_joins_and_does_not_replace(monkeypatch):
    monkeypatch.setattr("tradewind.algorithms.aggregation.AGGREGATIONS", dict(AGGREGATIONS))
    ours = Aggregation(lambda values, rows, delta: values.__setitem__(rows, delta), additive=True)
    register_aggregation("ours_last", ours)
    assert aggregation_called("ours_last", np.dtype(np.float32)) == ours
    with pytest.raises(Misuse, match="exists"):
        register_aggregation("add", ours)
