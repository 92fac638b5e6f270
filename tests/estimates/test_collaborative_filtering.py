"""Latent factors: recovery, the law of alternating least squares, and a row that is new."""

import numpy as np
import pytest
from scipy.optimize import minimize

from tradewind.errors import Misuse
from tradewind.estimates.collaborative_filtering import latent_factors


def made_table(seed=0, rows=30, columns=12, rank=2):
    chance = np.random.default_rng(seed)
    factors = chance.standard_normal((rows, rank)) @ chance.standard_normal((rank, columns))
    return 3.0 + chance.standard_normal((rows, 1)) + chance.standard_normal(columns) + factors


def test_entries_that_were_not_measured_are_found_where_the_table_has_that_form():
    whole = made_table()
    seen = np.random.default_rng(1).uniform(size=whole.shape) < 0.7
    found = latent_factors(np.where(seen, whole, np.nan), rank=2, penalty=1e-3, rounds=200).table()
    assert np.abs(found - whole)[~seen].mean() < 0.05
    by_columns = np.nanmean(np.where(seen, whole, np.nan), axis=0)
    assert np.abs(by_columns - whole)[~seen].mean() > 0.8  # what a mean profile says


def test_the_loss_never_rises_and_is_the_one_stated():
    whole = made_table(2)
    whole[np.random.default_rng(3).uniform(size=whole.shape) < 0.4] = np.nan
    model = latent_factors(whole, rank=3, penalty=0.3, rounds=15)
    assert all(after <= before + 1e-9 for before, after in zip(model.losses, model.losses[1:], strict=False))
    error = np.nansum((whole - model.table()) ** 2)
    parts = (model.row_biases, model.column_biases, model.row_factors, model.column_factors)
    assert model.losses[-1] == pytest.approx(error + 0.3 * sum((part**2).sum() for part in parts))


def test_rank_zero_is_biases_alone():
    table = np.add.outer([1.0, 2.0, 4.0], [0.0, 1.0, 5.0])
    hidden = table.copy()
    hidden[2, 2] = np.nan
    assert latent_factors(hidden, rank=0, penalty=1e-9, rounds=100).table()[2, 2] == pytest.approx(
        9.0, abs=1e-3
    )


def test_a_new_row_is_solved_with_the_columns_as_they_are():
    whole = made_table(4, rows=60)
    model = latent_factors(whole[:-1], rank=2, penalty=0.05, rounds=60)
    row = np.full(12, np.nan)
    row[[0, 5, 9, 11]] = whole[-1, [0, 5, 9, 11]]

    def loss(x):
        said = model.mean + model.column_biases + x[0] + model.column_factors @ x[1:]
        return np.nansum((row - said) ** 2) + 0.05 * (x @ x)

    best = minimize(loss, np.zeros(3), tol=1e-12).x
    expected = model.mean + model.column_biases + best[0] + model.column_factors @ best[1:]
    np.testing.assert_allclose(model.row(row), expected, atol=1e-4)
    assert (
        np.abs(model.row(row) - whole[-1]).mean()
        < 0.3 * np.abs(model.row(np.full(12, np.nan)) - whole[-1]).mean()
    )


def test_of_a_row_without_entries_the_columns_are_said():
    model = latent_factors(made_table(5), rounds=3)
    np.testing.assert_allclose(model.row(np.full(12, np.nan)), model.mean + model.column_biases)


def test_equal_arguments_give_equal_models():
    np.testing.assert_array_equal(latent_factors(made_table()).table(), latent_factors(made_table()).table())


@pytest.mark.parametrize(
    "table,arguments",
    [
        ([1.0, 2.0], {}),
        ([[float("nan")]], {}),
        ([[float("inf"), 1.0]], {}),
        ([[1.0]], {"rank": -1}),
        ([[1.0]], {"penalty": 0.0}),
        ([[1.0]], {"rounds": 0}),
    ],
)
def test_what_is_no_table_is_refused(table, arguments):
    with pytest.raises(Misuse):
        latent_factors(table, **arguments)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(Misuse, match="12 numbers"):
        latent_factors(made_table(), rounds=1).row([1.0, 2.0])
