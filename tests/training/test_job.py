"""A job as a value, and the learner that it names."""

import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.training.job import Job, Learner, build_algorithm, learner_of


def job(**changes) -> Job:
    return Job(learner=Learner("LinearLearner", {"loss": "logistic"}), data={"source": "adult"}, **changes)


def test_job_survives_the_way_to_another_process() -> None:
    there = msgspec.convert(msgspec.json.decode(msgspec.json.encode(job(epochs=3))), Job)
    assert there == job(epochs=3)


def test_learner_is_built_and_named_again() -> None:
    algorithm = build_algorithm(Learner("LinearLearner", {"loss": "hinge"}))
    learner = learner_of(algorithm)
    assert learner.kind == "LinearLearner" and learner.arguments["loss"] == "hinge"
    assert learner_of(build_algorithm(learner)) == learner


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (Learner("LinearLerner"), "Did you mean 'LinearLearner'"),
        (Learner("nowhere:Thing"), "cannot be imported"),
        (Learner("LinearLearner", {"los": "hinge"}), "Did you mean 'loss'"),
    ],
)
def test_unknown_learner_or_argument_is_told_with_the_likely_one(learner: Learner, words: str) -> None:
    with pytest.raises(Misuse, match=words):
        build_algorithm(learner)


@pytest.mark.parametrize("field", ["epochs", "batch", "parts"])
def test_numbers_below_one_are_refused(field: str) -> None:
    with pytest.raises(Misuse, match=field):
        job(**{field: 0})


def test_negative_staleness_is_refused() -> None:
    with pytest.raises(Misuse, match="staleness"):
        job(staleness=-1)
