"""Profiling a real model: its line, its memory, its accuracy; and what is refused."""

import numpy as np
import pytest
from msgspec.structs import replace

from tradewind.clock import stopwatch
from tradewind.errors import Misuse
from tradewind.serving.tensors import Signature, TensorSpec
from tradewind.serving.variants.profiler import measured, predictions
from tradewind.serving.variants.variant import Variant

ROWS = {"x": np.eye(4, dtype=np.float32)}
LABELS = [0, 1, 2, 0]
"""The last is wrong: the model says 3."""


class Scores:
    """Says the column that is hot. A batch takes 2 ms and 0.5 ms a row; it holds 1,000 bytes."""

    platform = "test"
    memory = 1000

    def __init__(self, batched=True):
        self.signature = Signature(
            (TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 4)),), batched
        )
        self.sizes, self.closed = [], False

    def predict(self, inputs):
        assert not self.closed
        self.sizes.append(len(inputs["x"]))
        watch = stopwatch()
        while watch() < 0.002 + 0.0005 * len(inputs["x"]):
            pass
        return {"y": inputs["x"] * 2}

    def close(self):
        self.closed = True


VARIANT = Variant(
    name="a", task="t", architecture="eye", artefact=__file__, runtime="python", resource="m", accuracy=0.0,
    max_batch=6,
)  # fmt: skip


def test_a_profile():
    model = Scores()
    found = measured(
        VARIANT, lambda: model, ROWS, per_hour=0.1, labels=LABELS, startup=2.0, warm_up=1, patience=0.0
    )
    profile = found.profile
    assert model.closed
    assert profile.batches == (1, 2, 4, 6)
    assert [model.sizes.count(size) for size in (1, 2, 6)] == [10, 10, 10]
    assert all(
        0.002 + 0.0005 * b <= seconds for b, seconds in zip(profile.batches, profile.seconds, strict=True)
    )
    # others run on this machine too, so that it may be more, but hardly less
    assert 0.002 <= profile.latency.of(1) <= 0.02
    assert 2.0 <= profile.load < 2.5 and profile.memory >= 1000 and profile.per_hour == 0.1
    assert profile.size > 1000  # this file
    assert found.variant.accuracy == 0.75 and found.variant.tested == 4
    assert replace(found.variant, accuracy=0.0, tested=0) == VARIANT


def test_memory_that_grows_is_seen():
    class Hungry(Scores):
        def predict(self, inputs):
            # beyond what malloc keeps (32 MB), so that it is never laid into memory that was freed before
            self.held = np.ones(200_000_000, dtype=np.uint8)
            return {"y": inputs["x"]}

    found = measured(replace(VARIANT, max_batch=1), Hungry, ROWS, per_hour=0.1, patience=0.0, repeats=1)
    assert 150_000_000 <= found.profile.memory <= 450_000_000
    assert found.variant.tested == 0


def test_answers_are_read_from_scores_and_from_labels():
    assert predictions({"y": np.array([[0.1, 0.9], [0.8, 0.2]])}).tolist() == [1, 0]
    assert predictions({"y": np.array([[3], [4]])}).tolist() == [3, 4]
    assert predictions({"y": np.array([3, 4]), "z": np.zeros((2, 9))}).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("field", "rows", "labels", "batched", "changes"),
    [
        ("rows", {"z": ROWS["x"]}, None, True, {}),
        ("rows", {"x": ROWS["x"][:0]}, None, True, {}),
        ("rows", {"x": ROWS["x"], "z": np.ones(3)}, None, True, {}),
        ("labels", ROWS, [1], True, {}),
        ("max_batch", ROWS, None, False, {}),
        ("accuracy", ROWS, None, True, {"accuracy": 2.0}),
    ],
)
def test_what_does_not_fit_is_refused_by_the_field(field, rows, labels, batched, changes):
    model = Scores(batched)
    with pytest.raises(Misuse) as caught:
        measured(replace(VARIANT, **changes), lambda: model, rows, per_hour=0.1, labels=labels)
    assert caught.value.field == field
    assert not model.sizes


def test_the_model_is_closed_whatever_it_does():
    class Broken(Scores):
        def predict(self, inputs):
            raise RuntimeError("no")

    model = Broken()
    with pytest.raises(RuntimeError, match="no"):
        measured(VARIANT, lambda: model, ROWS, per_hour=0.1)
    assert model.closed


def test_another_watch_may_be_given():
    found = measured(VARIANT, Scores, ROWS, per_hour=0.1, patience=0.0, repeats=1, watch=lambda: lambda: 0.5)
    assert found.profile.seconds == (0.5,) * 4 and found.profile.latency.fixed == pytest.approx(0.5)
    assert found.profile.load < 0.5
