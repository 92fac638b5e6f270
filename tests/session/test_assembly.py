"""From a spec to the parts of a run."""

import msgspec
import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.session.assembly import (
    backup_of,
    goal_of,
    job_of,
    market_of,
    material_of,
    policy_of,
    source_of,
    stages_of,
)
from tradewind.session.spec import make_spec
from tradewind.state.consistency import Asynchronous
from tradewind.state.engine import Engine
from tradewind.state.snapshot import Part, Snapshot


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


def test_the_datas_table_becomes_what_opens_it(tmp_path) -> None:
    given = {
        "label": -1, "weight": "w", "columns": ["a", 2], "categories": ["a"], "missing": "mean",
        "split": {"test": 0.2}, "prepare": ["ColumnScaler"],
    }  # fmt: skip
    whole = spec(data={"path": "rows.csv", **given})
    source = source_of(whole)
    assert source == {
        "source": "rows.csv", "format": "auto", "label": -1, "weight": "w", "features": ["a", 2],
        "categories": ["a"], "missing": "mean", "prepare": ["ColumnScaler"],
        "split": {"test": 0.2, "seed": 0, "key": None, "side": "train"},
    }  # fmt: skip
    job = job_of(whole, tmp_path)
    assert job.data == {**source, "missing": "keep", "prepare": str(tmp_path)}, (
        "the means are among the steps"
    )
    assert msgspec.convert(msgspec.to_builtins(job), type(job)) == job
    assert source_of(spec(data={"path": "rows.csv", "label": 0}))["label"] == 0


def test_a_test_file_must_have_the_classes_of_the_training_rows(tmp_path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("x,label\n1,no\n2,yes\n")
    test.write_text("x,label\n1,yes\n")
    material = material_of(spec(data={"path": str(train), "test": str(test)}), None)
    assert material.test.labels.tolist() == [1], "the number that yes has in the training rows"
    test.write_text("x,label\n1,yse\n")
    with pytest.raises(Misuse, match=r"test\.csv: line 2: label: 'yse' is not among the classes.*'yes'"):
        material_of(spec(data={"path": str(train), "test": str(test)}), None)


def test_validation_rows_are_checked_before_anything_is_rented(tmp_path) -> None:
    train, other = tmp_path / "train.csv", tmp_path / "validation.csv"
    train.write_text("x,label\n1,0\n2,1\n")
    other.write_text("x,z,label\n1,0,1\n2,1,0\n")
    with pytest.raises(Misuse, match=r"validation\.csv"):
        material_of(spec(data={"path": str(train), "validation": str(other)}), None)
    other.write_text("x,label\n1,0\n")
    assert len(material_of(spec(data={"path": str(train), "validation": str(other)}), None).validation) == 1


def test_series_are_rows_of_a_spec(tmp_path) -> None:
    path = tmp_path / "loads"
    path.write_text('{"start": "2026-01-01 00:00:00", "target": [4.0, null, 5.5]}\n')
    data = {"path": str(path), "format": "series", "features": 9 + 5}
    train = material_of(spec(learner="ColumnScaler", data=data), None).train
    assert train.schema.sparse and train.schema.features == 14 and not train.schema.labelled
    with pytest.raises(Misuse, match="categories"):
        material_of(spec(learner="ColumnScaler", data={**data, "categories": ["a"]}), None)


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


def state(megabytes: float, **head) -> Snapshot:
    whole = Engine(2, Asynchronous()).snapshot()
    arrays = {"w/values": np.zeros((int(megabytes * (1 << 20)) // 8, 1))}
    return Snapshot(msgspec.structs.replace(whole.header, **head), arrays)


@pytest.mark.parametrize(("megabytes", "shards"), [(0.1, 1), (15, 1), (16, 2), (50, 6), (200, 16)])
def test_a_model_gets_shards_by_its_size(megabytes, shards) -> None:
    assert stages_of(spec().state, state(megabytes)).shards == shards
    assert stages_of(spec(state={"shards": 3}).state, state(megabytes)).shards == 3


def test_the_rules_of_the_stages_are_those_of_the_spec() -> None:
    given = {"stage2_above": 2.0, "stage3_above": 8.0, "hysteresis": 0.5, "active_share": 0.25}
    rules = stages_of(spec(state={**given, "most_active": 4, "workers_beside": True}).state, state(1))
    assert {name: getattr(rules, name) for name in given} == given
    assert rules.most_active == 4 and rules.workers_beside


def test_a_state_that_was_left_at_different_clocks_keeps_its_shards() -> None:
    parts = tuple(Part((n,), ()) for n in range(5))
    left = state(1, parts=parts)
    assert stages_of(spec().state, left, resumed=True).shards == 5
    assert stages_of(spec().state, left).shards == 1, "learning on begins anew"
    with pytest.raises(Misuse, match=r"state\.shards.*left at different clocks in 5"):
        stages_of(spec(state={"shards": 2}).state, left, resumed=True)


def test_copies_go_to_a_folder_of_the_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "small-1"
    assert backup_of(spec().state, run) is None
    assert backup_of(spec(state={"backup": "memory://b/"}).state, run) == "memory://b/small-1"
    assert backup_of(spec(state={"backup": "bucket"}).state, run) == str(tmp_path / "bucket" / "small-1")
    with pytest.raises(Misuse, match="no kind of store"):
        backup_of(spec(state={"backup": "nowhere://b"}).state, run)
