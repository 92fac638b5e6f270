"""The hashing alone: beside the same written plainly, and its promises."""

from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.feature_hashing import FeatureHashing
from tradewind.algorithms.feature_hashing_model import HashingModel
from tradewind.errors import Misuse

M64 = 2**64


def mixed(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % M64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % M64
    return x ^ (x >> 31)


def plainly(x: Any, arrays: Any, header: Any) -> Any:
    """The rows by the formula in the header, with numpy and whole numbers alone; zeros of `x` are stored."""
    columns = arrays["columns"].tolist()
    rest = [each for each in range(header["features"]) if each not in columns]
    out = np.zeros((len(x), len(rest) + header["buckets"]))
    out[:, : len(rest)] = x[:, rest]
    for row, column in np.ndindex(len(x), len(columns)):
        value = float(x[row, columns[column]])
        category = header["tokens"] == "category"
        bits = int(np.array(value + 0.0).view(np.uint64)) if category else 0
        h = mixed(mixed((columns[column] * 0x9E3779B97F4A7C15 + header["seed"]) % M64) ^ bits)
        sign = -1 if h >= M64 // 2 else 1
        out[row, len(rest) + h % 2**63 % header["buckets"]] += sign * (1 if category else value)
    return out


def rows(n: int = 200) -> Any:
    chance = np.random.default_rng(0)
    return np.c_[chance.normal(size=n), chance.integers(0, 50, (n, 3)), chance.normal(size=n)]


@pytest.mark.parametrize("tokens", ["category", "column"])
@pytest.mark.parametrize("columns", [[1, 2, 3], [3], None])
def test_it_is_the_formula_of_its_header(tokens, columns) -> None:
    x = rows()
    hashing = FeatureHashing(columns, buckets=8, tokens=tokens, seed=5).fit(x)
    found = hashing.transform(x)
    assert found.toarray() == pytest.approx(plainly(x, hashing.model_.arrays(), hashing.model_.header()))
    assert found.has_sorted_indices and found.shape[1] == hashing.model_.width
    again = HashingModel.of(hashing.model_.arrays(), hashing.model_.header())
    assert (again.evaluate(x) != found).nnz == 0
    assert len(hashing.get_feature_names_out()) == found.shape[1]


def test_inner_products_are_right_on_average() -> None:
    """Over seeds: lemma 2 of the paper, no bias, whatever meets in a bucket."""
    chance = np.random.default_rng(1)
    x = chance.normal(size=(2, 40))
    products = []
    for seed in range(400):
        a, b = FeatureHashing(buckets=16, tokens="column", seed=seed).fit(x).transform(x).toarray()
        products.append(a @ b)
    error = np.std(products) / 20
    assert abs(np.mean(products) - x[0] @ x[1]) < 4 * error


def test_categories_fall_evenly_and_differ_by_column_and_seed() -> None:
    x = np.repeat(np.arange(20_000.0)[:, None], 2, axis=1)
    found = FeatureHashing([0], buckets=10).fit(x).transform(x).toarray()[:, 1:]
    share = np.abs(found).sum(axis=0) / len(x)
    assert np.abs(share - 0.1).max() < 0.01
    assert abs(found.sum() / len(x)) < 0.03, "signs are even"
    one = FeatureHashing([0], buckets=1000).fit(x).transform(x)[:, 1:]
    other = FeatureHashing([1], buckets=1000).fit(x).transform(x)[:, 1:]
    seeded = FeatureHashing([0], buckets=1000, seed=1).fit(x).transform(x)[:, 1:]
    for each in (other, seeded):
        assert (one.indices == each.indices).mean() < 0.01


def test_rows_of_another_width_and_what_it_cannot_do() -> None:
    model = FeatureHashing([0]).fit(np.zeros((2, 3))).model_
    with pytest.raises(Misuse, match="4 features"):
        model.evaluate(np.zeros((1, 4)))
    with pytest.raises(Misuse, match="ONNX cannot hash"):
        model.graph()
    assert model.score(batch_of(np.ones((4, 3)))) == 3.0
