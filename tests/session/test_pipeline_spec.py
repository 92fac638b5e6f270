"""What a pipeline's file says: which steps, and one clear error for whatever is wrong in any table."""

from __future__ import annotations

import pytest
from small_pipelines import SERVE, TUNE, write_pipeline

from tradewind.errors import Misuse
from tradewind.session.pipeline.spec import read_pipeline_spec
from tradewind.session.spec import read_spec
from tradewind.session.tune_spec import read_tune_spec


def test_the_tables_say_which_steps_there_are(tmp_path) -> None:
    assert read_pipeline_spec(write_pipeline(tmp_path)).steps == ("train", "audit")
    spec = read_pipeline_spec(write_pipeline(tmp_path, TUNE, SERVE))
    assert spec.steps == ("tune", "train", "audit", "serve")
    assert spec.home == tmp_path / "runs" / "small" and spec.serve is not None
    assert spec.serve.grpc_port == -1 and spec.audit.fail_on == ""


def test_one_file_is_read_by_every_verb(tmp_path) -> None:
    path = write_pipeline(tmp_path, TUNE, "[audit]\nstrict = true\n", SERVE)
    spec = read_pipeline_spec(path)
    assert read_spec(path) == spec.train and spec.tune is not None
    assert read_tune_spec(path).space == spec.tune.space


def test_the_command_line_changes_any_table(tmp_path) -> None:
    path = write_pipeline(tmp_path, TUNE)
    changes = {"tune.trials": 5, "serve.port": 9, "audit.fail_on": "high", "epochs": 7, "out": str(tmp_path)}
    spec = read_pipeline_spec(path, changes)
    assert spec.tune is not None and spec.serve is not None and spec.train.epochs == 7
    assert (spec.tune.trials, spec.serve.port, spec.audit.fail_on) == (5, 9, "high")
    assert spec.training({"learner.l2": 0.25}).learner.arguments["l2"] == 0.25
    assert spec.training({}).epochs == 7


def test_where_it_answers_does_not_make_it_another_pipeline(tmp_path) -> None:
    path = write_pipeline(tmp_path, TUNE, SERVE)
    spec = read_pipeline_spec(path)
    assert spec.digest == read_pipeline_spec(path, {"serve.port": 9, "audit.strict": True}).digest
    assert spec.digest != read_pipeline_spec(path, {"tune.trials": 5}).digest
    assert spec.digest != read_pipeline_spec(path, {"epochs": 5}).digest


@pytest.mark.parametrize(
    ("tables", "changes", "field"),
    [
        ("[serve]\nprot = 8080\n", {}, "serve.prot"),
        ("[serve]\nport = 70000\n", {}, "serve.port"),
        ('[serve]\nslo = "quick"\n', {}, "quick"),
        ('[serve]\npolicy = "tradewind"\n', {}, "serve.slo"),
        ('[audit]\nenvironment = "absent"\n', {}, "audit.environment"),
        ('[audit]\nfail_on = "hihg"\n', {}, "hihg"),
        ("[tune]\ntrials = 2\n", {}, "space"),
        ("", {"tune.trials": 3}, "tune"),
        ("", {"provider.kind": "simulated"}, "provider.kind"),
        ("", {"policy": "cheapest_spto"}, "cheapest_spto"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(tmp_path, tables, changes, field) -> None:
    path = write_pipeline(tmp_path, tables)
    with pytest.raises(Misuse) as told:
        read_pipeline_spec(path, changes)
    assert field in str(told.value)
