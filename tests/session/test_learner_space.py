"""Names of a space for a learner: what they mean, and what is said of one that means nothing."""

from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.session.learner_space import check_space, spec_with
from tradewind.session.spec import make_spec
from tradewind.training.job import Learner
from tradewind.tuning.space import Space


def spec(learner="LinearLearner"):
    return make_spec({"learner": learner, "data": "adult", "runtime": "inline"})


def test_arguments_of_the_learner_and_fields_of_the_job_are_known():
    space = check_space(
        {"rate": [0.1], "l2": {"low": 1e-6, "high": 1.0, "log": True}, "batch": [10, 20]}, "LinearLearner"
    )
    assert isinstance(space, Space) and space.names == ("rate", "l2", "batch")
    for learner in ({"kind": "LinearLearner", "loss": "hinge"}, Learner("LinearLearner", {"loss": "hinge"})):
        assert check_space(space, learner) is space


@pytest.mark.parametrize(
    ("name", "learner", "meant"),
    [
        ("minibach_size", "LinearLearner", "minibatch_size"),
        ("learnin_rate", "LinearLearner", "learning_rate"),
        ("epoch", "LinearLearner", "epochs"),
        ("num_factor", "FactorizationMachineClassifier", "num_factors"),
        ("consistancy", "KMeans", "consistency"),
    ],
)
def test_a_misspelt_name_is_told_what_was_meant(name, learner, meant):
    with pytest.raises(Misuse, match=f"{name}: is neither.*Did you mean '{meant}'"):
        check_space({name: [1, 2]}, learner)


def test_an_unknown_learner_is_told():
    with pytest.raises(Misuse, match="Did you mean 'LinearLearner'"):
        check_space({"rate": [1.0]}, "LinearLerner")
    with pytest.raises(Misuse, match="cannot be imported"):
        check_space({"rate": [1.0]}, "nowhere_at_all:Learner")


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"batch": [10, 1.5]}, "batch: 1.5 cannot be it"),
        ({"batch": {"low": 1.0, "high": 9.0}}, "whole numbers from 1"),
        ({"parts": [0, 1]}, "parts: 0 cannot be it"),
        ({"staleness": {"low": -1, "high": 3}}, "staleness: -1"),
        ({"epochs": [True]}, "epochs: True"),
        ({"consistency": ["bulk_synchronous", "asynchronus"]}, "Did you mean 'asynchronous'"),
        ({"batch": [1], "minibatch_size": [2]}, "'batch' is the same"),
        ({"rate": [1.0], "learning_rate": [2.0]}, "'rate' is the same"),
    ],
)
def test_what_the_job_cannot_have_is_told(space, told):
    with pytest.raises(Misuse, match=told):
        check_space(space, "LinearLearner")


def test_a_setting_takes_its_place_in_the_spec():
    base = spec({"kind": "LinearLearner", "loss": "hinge", "l2": 0.5})
    found = spec_with(
        base, {"minibatch_size": 7, "learning_rate": 0.25, "l2": 0.0, "consistency": "asynchronous"}
    )
    assert (found.batch, found.consistency) == (7, "asynchronous")
    assert found.learner.arguments == {"loss": "hinge", "l2": 0.0, "rate": 0.25}
    assert base.learner.arguments == {"loss": "hinge", "l2": 0.5} and base.batch == 1000
    assert spec_with(base, {}) == base


def test_what_only_fit_reads_is_the_jobs():
    found = spec_with(spec("LinearSVM"), {"epochs": 4, "batch_size": 9})
    assert (found.epochs, found.batch) == (4, 9) and not found.learner.arguments


def test_a_seed_is_the_jobs_and_the_learners():
    found = spec_with(spec(), {"seed": 3})
    assert found.seed == 3 and found.learner.arguments == {"seed": 3}
    assert not spec_with(spec("LinearSVM"), {"seed": 3}).learner.arguments


def test_a_name_with_a_dot_is_a_key_of_a_table():
    base = spec(
        {
            "kind": "PartialFitLearner",
            "estimator": "sklearn.linear_model:SGDClassifier",
            "arguments": {"loss": "log_loss"},
        }
    )
    found = spec_with(base, {"arguments.alpha": 0.01})
    assert found.learner.arguments["arguments"] == {"loss": "log_loss", "alpha": 0.01}
    check_space({"arguments.alpha": [0.1]}, base.learner)
    with pytest.raises(Misuse, match=r"argument\.alpha"):
        check_space({"argument.alpha": [0.1]}, base.learner)


@pytest.mark.parametrize(
    ("setting", "told"),
    [({"rats": 1.0}, "Did you mean 'rate'"), ({"batch": 0}, "batch"), ({"rate": -1.0}, "rate")],
)
def test_a_setting_that_cannot_be_meant_is_refused(setting, told):
    with pytest.raises(Misuse, match=told):
        spec_with(spec(), setting)
