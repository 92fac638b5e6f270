"""From a spec to the parts of a run."""

import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.session.assembly import goal_of, job_of, market_of, material_of, policy_of
from tradewind.session.spec import make_spec


def spec(**changes):
    return make_spec({"learner": {"kind": "LinearLearner"}, "data": "adult", **changes})


def test_market_of_the_demo_begins_where_its_lives_do() -> None:
    market, start = market_of(spec().provider)
    terms = {offer.terms for offer in market.offers(start)}
    assert terms == {"spot", "on_demand"}


def test_a_start_that_is_not_recorded_is_told_with_the_bounds() -> None:
    with pytest.raises(Misuse, match=r"provider\.start.*Choose one from"):
        market_of(spec(provider={"kind": "local", "start": "1999-01-01T00:00:00Z"}).provider)


def test_goal_holds_the_deadline_as_a_moment() -> None:
    goal = goal_of(spec(deadline="2h", budget=5, workers={"count": 3, "vcpus": 4}), 1000.0)
    assert goal.deadline == 8200.0 and goal.budget == 5.0
    assert goal.workers.count == 3 and goal.workers.resources.vcpus == 4
    assert goal.state.count == 1


def test_policy_is_made_with_its_arguments() -> None:
    policy = policy_of(spec(policy={"name": "cheapest_spot", "args": {"move_when": 0.2}}))
    assert policy.name == "cheapest_spot" and policy.move_when == 0.2


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"name": "cheapest_spt"}, "cheapest_spot"),
        ({"name": "on_demand", "args": {"nonsense": 1}}, "cannot be made"),
    ],
)
def test_unknown_policy_or_argument_is_told(policy, words) -> None:
    with pytest.raises(Misuse, match=words):
        policy_of(spec(policy=policy))


def test_job_crosses_to_another_process() -> None:
    job = job_of(spec(epochs=2))
    assert msgspec.convert(msgspec.to_builtins(job), type(job)) == job


def test_material_is_opened_and_checked(tmp_path) -> None:
    material = material_of(spec(data={"path": "adult", "test": "adult.test"}), tmp_path)
    assert material.train.rows == 32561 and material.test is not None
    assert material.test.features == material.train.schema.features


def test_labels_of_a_wrong_kind_are_refused_before_anything_is_rented(tmp_path) -> None:
    rows = tmp_path / "three.csv"
    rows.write_text("x,label\n1,0\n2,1\n3,2\n")
    with pytest.raises(Misuse, match=r"three\.csv"):
        material_of(spec(data={"path": str(rows)}), None)


def test_test_rows_with_other_columns_are_refused(tmp_path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("x,label\n1,0\n2,1\n")
    test.write_text("x,z,label\n1,0,1\n2,1,0\n")
    with pytest.raises(Misuse, match=r"test\.csv"):
        material_of(spec(data={"path": str(train), "test": str(test)}), None)
