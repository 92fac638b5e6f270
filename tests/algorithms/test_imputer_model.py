"""An imputer's map alone: numpy, ONNX, sparse rows."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.imputer import Imputer
from tradewind.algorithms.imputer_model import FillModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def rows(n: int = 300) -> Any:
    chance = np.random.default_rng(0)
    x = chance.normal(1e6, 1.0, (n, 4))
    x[chance.random(x.shape) < 0.2] = np.nan
    return x


def test_the_model_alone() -> None:
    x = rows().astype(np.float32)
    model = Imputer().fit(x).model_
    arrays = model.arrays()
    assert np.array_equal(np.where(np.isnan(x), arrays["fill"], x), model.evaluate(x))
    again = FillModel.of(arrays, model.header())
    assert np.array_equal(again.evaluate(x), model.evaluate(x))
    assert model.score(batch_of(x)) == pytest.approx(np.isnan(x).mean())
    session = onnxruntime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": x})[0] == pytest.approx(model.evaluate(x), rel=1e-5)


def test_stored_gaps_of_sparse_rows_are_filled() -> None:
    x = csr_matrix(np.array([[0.0, np.nan], [3.0, 0.0]]))
    assert FillModel(np.array([7.0, 8.0])).evaluate(x).toarray().tolist() == [[0.0, 8.0], [3.0, 0.0]]


def test_rows_of_another_width() -> None:
    with pytest.raises(Misuse, match="3 features"):
        FillModel(np.zeros(4)).evaluate(np.zeros((1, 3)))
