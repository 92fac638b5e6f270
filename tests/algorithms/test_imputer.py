"""Missing values filled: both faces, scikit-learn's SimpleImputer, columns without a value."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.impute import SimpleImputer
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.imputer import Imputer
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.stretch import model_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state


def rows(n: int = 300) -> Any:
    chance = np.random.default_rng(0)
    x = chance.normal(1e6, 1.0, (n, 4))
    x[chance.random(x.shape) < 0.2] = np.nan
    return x


def test_scikit_learns_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(Imputer(), on_fail=None)
    assert len(results) > 30
    assert not [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"]


def test_it_fills_as_scikit_learn_does() -> None:
    x = rows()
    assert Imputer().fit_transform(x) == pytest.approx(SimpleImputer().fit_transform(x), rel=1e-14)
    number = SimpleImputer(strategy="constant", fill_value=-1.0).fit_transform(x)
    assert np.array_equal(Imputer("number", number=-1.0).fit_transform(x), number)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_over_the_engine_the_means_are_the_same(parts) -> None:
    x = rows()
    learner, data = Imputer(), open_data(x, missing="keep")
    job = Job(learner=learner_of(learner), data={}, parts=parts, batch=20)
    engine = fresh_state(job, learner, data)
    learn_here(job, learner, data, engine)
    assert model_of(learner, engine.snapshot()).fill == pytest.approx(np.nanmean(x, axis=0), rel=1e-13)


def test_zeros_of_sparse_rows_count_for_the_mean() -> None:
    x = np.array([[0.0, 2.0], [4.0, 0.0], [np.nan, 7.0], [0.0, 0.0]])
    found = Imputer().fit(csr_matrix(x))
    assert found.model_.fill == pytest.approx(np.nanmean(x, axis=0))
    filled = found.transform(csr_matrix(x))
    assert hasattr(filled, "tocsr") and np.array_equal(filled.toarray(), found.transform(x))


def test_a_column_without_a_value_is_filled_with_the_number() -> None:
    x = np.array([[np.nan, 1.0], [np.nan, 3.0]])
    assert Imputer().fit_transform(x).tolist() == [[0.0, 1.0], [0.0, 3.0]]
    assert Imputer(number=-5.0).fit_transform(x).tolist() == [[-5.0, 1.0], [-5.0, 3.0]]


def test_wrong_arguments() -> None:
    with pytest.raises(Misuse, match="fill"):
        Imputer("median").check()
