"""The model of ratings as a graph, and its metrics."""

from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.matrix_factorization import MatrixFactorization
from tradewind.algorithms.ratings.model import RatingModel
from tradewind.algorithms.ratings.pairs import Layout
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def model(ids: Any = (2, 5, 9), **changes: Any) -> RatingModel:
    chance = np.random.default_rng(0)
    n = len(ids)
    settings: dict[str, Any] = {
        "user_ids": np.array(ids, np.int64), "item_ids": np.arange(4),
        "users": chance.normal(size=(n, 4)).astype(np.float32),
        "items": chance.normal(size=(4, 4)).astype(np.float32), "mean": 3.0, "bounds": (1.0, 5.0),
        "clip": True,
        "layout": Layout(), "features": 2, "l2": 0.1,
    }  # fmt: skip
    return RatingModel(**{**settings, **changes})


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("columns", [(0, 1), (2, 0)])
def test_onnx_says_the_same_of_known_and_new_ones(clip, columns) -> None:
    runtime = pytest.importorskip("onnxruntime")
    found = model(clip=clip, layout=Layout("ids", columns), features=3)
    x = np.full((12, 3), -7.0, np.float32)
    x[:, columns[0]], x[:, columns[1]] = [2, 5, 9, 0, 1000, 2] * 2, [0, 1, 2, 3, 3, 8] + [8] * 6
    session = runtime.InferenceSession(onnx_bytes(found.graph()), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": x})[0] == pytest.approx(found.evaluate(x), abs=1e-5)


def test_onnx_of_large_numbers_takes_whole_numbers() -> None:
    runtime = pytest.importorskip("onnxruntime")
    found = model((2, 5, 2**40))
    x = np.array([[2**40, 1], [2**40 + 1, 1]])
    session = runtime.InferenceSession(onnx_bytes(found.graph()), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": x})[0] == pytest.approx(found.evaluate(x.astype(float)), abs=1e-5)


def test_a_model_that_knows_nobody_has_no_graph() -> None:
    empty = model((), users=np.zeros((0, 4), np.float32))
    with pytest.raises(Misuse, match="knows no users"):
        empty.graph()
    assert empty.evaluate(np.array([[0.0, 1.0]]))[0] == pytest.approx(
        np.clip(3.0 + empty.items[1, 0], 1, 5), rel=1e-6
    )


def test_metrics() -> None:
    found = model(clip=False)
    x = np.array([[2.0, 0.0], [5.0, 1.0], [77.0, 77.0]])
    y = found.evaluate(x) + np.array([1.0, -2.0, 0.0])
    assert found.score(batch_of(x, y)) == pytest.approx(np.sqrt(5 / 3))
    assert found.score(batch_of(x, y), "mae") == pytest.approx(1.0)
    assert found.score(batch_of(x, y, [1, 0, 1]), "rmse") == pytest.approx(np.sqrt(0.5))
    with pytest.raises(Misuse, match="rmse"):
        found.score(batch_of(x, y), "rmsee")


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(Misuse, match="3 features"):
        model().evaluate(np.zeros((1, 3)))
    with pytest.raises(Misuse, match="label"):
        model().fold_in(batch_of(np.zeros((1, 2))))
    with pytest.raises(Misuse, match="row 0: rating: 9 is not between 1 and 5"):
        model().fold_in(batch_of(np.zeros((1, 2)), [9.0]))


def test_fitted_by_one_rating() -> None:
    only = MatrixFactorization(2).fit([[3, 4]], [2.0])
    assert only.predict([[3, 4], [0, 0]]).tolist() == [2.0, 2.0]
