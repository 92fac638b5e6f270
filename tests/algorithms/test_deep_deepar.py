"""DeepAR learns what repeats, from series of every kind; what cannot be learned is told."""

import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.deep.deepar import DeepAR
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.series import series_rows, unpacked_series, wide_rows
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.testing.algorithms import reader_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_state

SMALL = {"num_cells": 12, "num_layers": 1, "dropout": 0.0, "rate": 0.02, "batch_size": 16, "epochs": 25}


def waves(rows: int = 24, steps: int = 60, seed: int = 0) -> np.ndarray:
    """Daily cycles of levels between 1 and 1000, three hours a step."""
    chance = np.random.default_rng(seed)
    level = 10 ** chance.uniform(0, 3, size=(rows, 1))
    phase = np.arange(steps) / 8 * 2 * np.pi
    return level * (1 + 0.6 * np.sin(phase) + 0.05 * chance.normal(size=(rows, steps)))


def small(**changes) -> DeepAR:
    return DeepAR("3H", 8, **{**SMALL, "lags": [1, 2, 7, 8], **changes})


@pytest.fixture(scope="module")
def learned() -> DeepAR:
    return small().fit(waves())


def test_a_cycle_is_learned_with_its_spread(learned) -> None:
    rows = wide_rows(waves(seed=1))
    model = learned.model_
    assert model.score(rows, "nd") < 0.12
    assert 0.5 < model.score(rows, "coverage") < 0.99
    assert learned.score(waves(seed=1)) == -model.score(rows)
    assert learned.losses_[-1] < learned.losses_[0] and learned.n_iter_ == 25
    assert learned.predict(waves(seed=1)).shape == (24, 8, 9)


def test_new_series_are_forecast_from_little(learned) -> None:
    """A history of one step, or of none, gives numbers; a long one gives better ones."""
    whole = waves(seed=2)
    future = whole[:, 48:56]

    def error(history: np.ndarray) -> float:
        found = learned.predict([{"start": "1970-01-01", "target": row} for row in history])
        return float(np.abs(found[:, :, 4] - future).sum() / future.sum())

    assert np.isfinite(learned.predict([{"start": "1970-01-01", "target": []}])).all()
    assert error(whole[:, :48]) < 0.12
    assert error(whole[:, 47:48]) < 3


def test_missing_values_are_learned_around() -> None:
    table = waves()
    table[np.random.default_rng(0).random(table.shape) < 0.2] = np.nan
    table[3] = np.nan  # nothing at all: no steps
    with pytest.warns(UserWarning, match="1 of the series are shorter than 8 steps"):
        found = small().fit(table)
    assert found.ignored_ == 1 and found.model_.header()["ignored_series"] == 1
    assert found.model_.score(wide_rows(waves(seed=1)), "nd") < 0.15


def test_what_is_missing_never_counts() -> None:
    """Where no value is there, the loss is the same whatever the rest of the world does."""
    learner, state = small(), LocalState()
    rows = wide_rows(np.where(np.arange(60) % 3 == 0, waves(), np.nan))
    learner.initialize(state, rows)
    learner.update(state, state.draw([rows]), False)
    total, weight = state.pull("progress")
    assert np.isfinite(total) and 24 * 4 * 2 <= weight <= 24 * 4 * 6  # a third of 16 steps at most


def test_series_that_are_too_short_are_passed_over() -> None:
    table = waves()
    table[5:, 7:] = np.nan
    with pytest.warns(UserWarning, match="19 of the series"):
        assert small(epochs=1).fit(table).ignored_ == 19
    with pytest.raises(Misuse, match="every series is shorter than 8 steps"):
        small().fit(table[5:])
    learner, state = small(), LocalState()
    learner.initialize(state, wide_rows(table))
    learner.update(state, state.draw([wide_rows(table).rows(6, 9)]), False)
    assert state.pull("progress").tolist() == [0, 0]


def test_dynamic_features_carry_what_the_past_cannot() -> None:
    """Promotions at random double the sales; who sees them forecasts better."""
    chance = np.random.default_rng(3)
    shown = (chance.random((24, 60)) < 0.4).astype(float)
    sales = 10 * (1 + shown) + 0.1 * chance.normal(size=shown.shape)
    with_, without = (
        [
            {"start": "1970-01-01", "target": row, **({"dynamic_feat": [on.tolist()]} if told else {})}
            for row, on in zip(sales, shown, strict=True)
        ]
        for told in (True, False)
    )
    errors = [
        small(likelihood="gaussian").fit(rows).model_.score(series_rows(rows), "nd")
        for rows in (with_, without)
    ]
    assert errors[0] < 0.15 and errors[0] < errors[1] / 2


def test_categories_tell_series_apart_from_their_first_step() -> None:
    chance = np.random.default_rng(4)
    kinds = np.arange(24) % 2
    slope = np.where(kinds, 1.0, -1.0)[:, None] * np.linspace(0, 0.8, 16)
    table = 100 * (1 + slope + 0.02 * chance.normal(size=slope.shape))
    rows = [
        {"start": "1970-01-01", "target": row, "cat": [int(kind)]}
        for row, kind in zip(table, kinds, strict=True)
    ]
    found = small(likelihood="gaussian", context_length=2).fit(rows)
    falls, rises, unseen = (
        found.predict([{"start": "1970-01-01", "target": [100.0], "cat": [kind]}])[0, :, 4]
        for kind in (0, 1, 9)
    )
    assert rises[-1] > falls[-1] + 30 and np.isfinite(unseen).all()
    assert found.model_.arrays()["embedding0"].shape == (3, 10)


@pytest.mark.parametrize("likelihood", ["gaussian", "negative_binomial", "beta", "deterministic_l1"])
def test_every_likelihood_learns(likelihood) -> None:
    table = waves()
    if likelihood == "beta":
        table = np.clip(0.5 + (table / table.mean(axis=1, keepdims=True) - 1) / 2, 0, 1)
    if likelihood == "negative_binomial":
        table = np.random.default_rng(0).poisson(table).astype(float)
    found = small(likelihood=likelihood).fit(table)
    assert found.losses_[-1] < found.losses_[0]
    assert found.model_.score(wide_rows(table), "nd") < 0.25


def test_values_that_a_likelihood_cannot_give_are_told() -> None:
    with pytest.raises(Misuse, match=r"target: .* cannot come from a negative_binomial"):
        small(likelihood="negative_binomial").fit(-waves())
    with pytest.raises(Misuse, match=r"Give values in \[0, 1\]"):
        small(likelihood="beta").fit(waves())


def test_large_series_can_be_drawn_more_often() -> None:
    learner = small(weighted_sampling=True, windows_per_series=50)
    table = np.vstack([np.full((1, 20), 99.0), np.zeros((1, 20))])
    block = unpacked_series(wide_rows(table))
    counts = np.bincount(learner._rows_of_windows(block, np.random.default_rng(0)))
    assert counts.sum() == 100 and counts[0] > 90
    assert small(weighted_sampling=True, epochs=2).fit(waves()).losses_[1] < np.inf


def test_learning_repeats_and_the_seed_matters() -> None:
    settings = {"epochs": 2, "dropout": 0.3, "num_layers": 2}
    torch.manual_seed(123)
    first = small(**settings).fit(waves()).model_.arrays()
    torch.manual_seed(456)
    second, third = (small(**settings, seed=seed).fit(waves()).model_.arrays() for seed in (0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["head_weights"], third["head_weights"])


def test_partial_fit_goes_on_as_if_it_were_one_stream() -> None:
    """Two calls are two stretches of one pass."""
    table = waves(32)
    found = small().partial_fit(table[:16])
    state, learner = LocalState(), small()
    learner.initialize(state, wide_rows(table[:16]))
    learner.update(state, state.draw([wide_rows(table[:16]), wide_rows(table[16:])]), False)
    whole = learner.finalize(state)
    again = found.partial_fit(table[16:]).model_
    assert all(np.array_equal(each, again.arrays()[name]) for name, each in whole.arrays().items())


def test_early_stopping_keeps_the_best() -> None:
    found = small(epochs=60, early_stopping_patience=2, rate=0.2).fit(waves())
    assert found.n_iter_ < 60
    best = int(np.argmin(found.losses_))
    assert found.n_iter_ == best + 3
    same = small(epochs=best + 1, rate=0.2).fit(waves())
    assert np.array_equal(same.model_.arrays()["head_bias"], found.model_.arrays()["head_bias"])


def test_without_averaging_the_last_parameters_stand(learned) -> None:
    plain = small(averaging=0.0, epochs=3).fit(waves()).model_.arrays()
    averaged = small(epochs=3).fit(waves()).model_.arrays()
    assert not np.array_equal(plain["head_bias"], averaged["head_bias"])


def test_finalize_takes_other_quantiles_and_lengths(learned) -> None:
    model = learned.finalize(
        learned._state, quantiles=[0.25, 0.75], prediction_length=3, num_eval_samples=7, seed=9
    )
    assert model.evaluate(wide_rows(waves())).shape == (24, 3, 2)
    assert model.samples(wide_rows(waves())).shape == (24, 7, 3)
    for config, match in (
        ({"quantile": [0.5]}, "finalize takes no 'quantile'"),
        ({"quantiles": [0.5, 0.1]}, "are no quantiles"),
        ({"prediction_length": 0}, "prediction_length: 0 is less"),
    ):
        with pytest.raises(Misuse, match=match):
            learned.finalize(learned._state, **config)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"time_freq": "fortnight"}, "time_freq: 'fortnight' is no frequency"),
        ({"quantiles": []}, "quantiles"),
        ({"quantiles": [0.5, 1.0]}, "quantiles"),
        ({"lags": [2, 3]}, "lags"),
        ({"lags": [1, 5000]}, "lags"),
        ({"cardinality": [0]}, "cardinality"),
        ({"prediction_length": 0}, "prediction_length"),
        ({"dropout": 1.0}, "dropout"),
        ({"likelihood": "poisson"}, "likelihood"),
        ({"rate": -1.0}, "rate"),
    ],
)
def test_arguments_that_cannot_be_meant_are_told(arguments, match) -> None:
    with pytest.raises(Misuse, match=match):
        DeepAR(**arguments).check()
    with pytest.raises((InvalidParameterError, Misuse), match=match):
        DeepAR(**arguments).fit(waves())


def test_series_that_do_not_fit_are_told() -> None:
    one = {"start": "1970-01-01", "target": list(range(1, 20))}
    with pytest.raises(Misuse, match="this is one series"):
        small().fit(one)
    with pytest.raises(Misuse, match="cardinality: 2 given, the series have 1"):
        small(cardinality=[2, 2]).fit([{**one, "cat": [0]}])
    with pytest.raises(Misuse, match="target: no value is there"):
        small().fit([{**one, "target": [None] * 20}])
    learner, state = small(), LocalState()
    learner.initialize(state, series_rows([{**one, "cat": [0]}]))
    with pytest.raises(Misuse, match="cat: 0 where the first series have 1"):
        learner.update(state, state.draw([series_rows([one])]), False)


def test_clones_have_the_same_arguments() -> None:
    assert clone(small(seed=4)).parameters() == small(seed=4).parameters()


def test_scikit_learn_finds_nothing_to_complain_of() -> None:
    learner = DeepAR("D", 1, num_cells=3, num_layers=1, num_eval_samples=5, epochs=1, lags=[1])
    wanted = "sparse rows are series laid out as algorithms.series says, other ones are refused"
    sparse = ("check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(
            learner, on_fail=None, expected_failed_checks=dict.fromkeys(sparse, wanted)
        )  # fmt: skip
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert {each["check_name"] for each in results if each["status"] == "xfail"} == set(sparse)
    assert len(results) >= 35


def test_a_job_reads_json_lines_and_its_model_forecasts(tmp_path) -> None:
    chance = np.random.default_rng(1)
    path = tmp_path / "sales.jsonl"
    lines = [
        {
            "start": "2026-01-01",
            "target": [None if chance.random() < 0.1 else round(x, 3) for x in chance.random(12).tolist()],
            "cat": number % 3,
            "dynamic_feat": [chance.random(16).round(3).tolist()],
        }
        for number in range(12)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    learner = DeepAR("D", 4, lags=[1, 2], num_cells=4, num_eval_samples=8)
    job = Job(learner=learner_of(learner), data={"source": str(path)}, parts=2, batch=3, epochs=2, seed=1)
    data, algorithm = open_data(**job.data), build_algorithm(job.learner)
    engine = fresh_state(job, algorithm, data)
    learn_here(job, algorithm, data, engine)
    model = algorithm.finalize(reader_of(engine.snapshot()))
    found = model.evaluate(data.whole())
    assert engine.finished and found.shape == (12, 4, 9) and np.isfinite(found).all()
    assert model.arrays()["embedding0"].shape == (4, 10) and model.arrays()["dynamic_shift"].shape == (1,)
