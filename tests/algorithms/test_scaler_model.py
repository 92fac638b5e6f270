"""A scaler's map alone: numpy, ONNX, both ways, sparse rows."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.algorithms.scaler_model import ScalerModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def rows(n: int = 400) -> Any:
    chance = np.random.default_rng(0)
    return chance.normal(size=(n, 4)) * [1, 1e-3, 1e6, 1] + [0, 5, 1e6, -3]


def test_the_model_alone() -> None:
    x = rows().astype(np.float32)
    model = ColumnScaler("min_max").fit(x).model_
    a = model.arrays()
    assert np.array_equal((x - a["shift"]) * a["scale"] + a["offset"], model.evaluate(x))
    assert np.array_equal(ScalerModel.of(a, model.header()).evaluate(x), model.evaluate(x))
    session = onnxruntime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": x})[0] == pytest.approx(model.evaluate(x), abs=1e-4)
    assert model.score(batch_of(x)) == pytest.approx(np.square(model.evaluate(x)).mean())


def test_there_and_back() -> None:
    x = rows()
    model = ColumnScaler().fit(x).model_
    assert model.inverse(model.evaluate(x)) == pytest.approx(x, rel=1e-9)
    sparse = csr_matrix(np.where(x > 0, x, 0.0))
    there = model.evaluate(sparse)
    assert there.nnz == sparse.nnz and np.array_equal(there.indices, sparse.indices)
    assert model.inverse(there).toarray() == pytest.approx(sparse.toarray(), rel=1e-5)


def test_rows_of_another_width() -> None:
    with pytest.raises(Misuse, match="2 features"):
        ScalerModel(np.zeros(3), np.ones(3), np.zeros(3), "normal").evaluate(np.zeros((1, 2)))
    with pytest.raises(Misuse, match="no metric of a scaler"):
        ScalerModel(np.zeros(3), np.ones(3), np.zeros(3), "normal").score(batch_of(np.ones((1, 3))), "rmse")
