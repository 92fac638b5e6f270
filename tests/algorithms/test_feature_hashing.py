"""The hashing trick: both faces, text, missing values, sparse rows."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.feature_hashing import FeatureHashing
from tradewind.algorithms.mixing import text_numbers
from tradewind.errors import Misuse


def rows(n: int = 200) -> Any:
    chance = np.random.default_rng(0)
    return np.c_[chance.normal(size=n), chance.integers(0, 50, (n, 3)), chance.normal(size=n)]


def test_scikit_learns_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(FeatureHashing(), on_fail=None)
    assert len(results) > 30
    assert not [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"]


def test_of_sparse_rows_the_stored_values_are_hashed() -> None:
    x = rows()
    x[::3, 2] = 0.0
    hashing = FeatureHashing([1, 2], buckets=64, tokens="column").fit(x)
    assert hashing.transform(csr_matrix(x)).toarray() == pytest.approx(hashing.transform(x).toarray())
    stored = FeatureHashing([2], buckets=64).fit(x)
    dense, sparse = stored.transform(x).toarray()[:, 4:], stored.transform(csr_matrix(x)).toarray()[:, 4:]
    zero = x[:, 2] == 0
    assert np.array_equal(dense[~zero], sparse[~zero])
    assert np.abs(dense[zero]).sum(axis=1).tolist() == [1] * zero.sum() and not sparse[zero].any()


def test_text_and_missing_values_are_categories() -> None:
    x = np.array([["red", 1.0], ["blue", 2.0], ["red", 3.0], [None, 4.0], [np.nan, 5.0]], object)
    hashing = FeatureHashing([0], buckets=1000).fit(x)
    found = hashing.transform(x).toarray()
    assert found[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert np.array_equal(found[0, 1:], found[2, 1:]) and np.array_equal(found[3, 1:], found[4, 1:])
    assert np.abs(found[:, 1:]).sum(axis=1).tolist() == [1] * 5
    assert len({row[1:].tobytes() for row in found}) == 3
    numbers = np.c_[text_numbers(["red", "blue", "red"]), [1.0, 2.0, 3.0]]
    assert np.array_equal(hashing.transform(numbers).toarray(), found[:3]), "as a file's text is read"
    with pytest.raises(ValueError, match="could not convert"):
        hashing.transform(np.array([["red", "two"]], object))


def test_a_category_not_seen_before_goes_where_its_hash_says() -> None:
    seen, new = np.array([[1.0], [2.0]]), np.array([[77.0]])
    assert np.array_equal(
        FeatureHashing(buckets=32).fit(seen).transform(new).toarray(),
        FeatureHashing(buckets=32).fit(new).transform(new).toarray(),
    )


def test_wrong_arguments() -> None:
    with pytest.raises(Misuse, match="7 is not among them"):
        FeatureHashing([0, 7]).fit(np.zeros((2, 3)))
    with pytest.raises(Misuse, match="names no columns"):
        FeatureHashing([1, 1]).check()
    with pytest.raises(Misuse, match="buckets"):
        FeatureHashing(buckets=0).check()
