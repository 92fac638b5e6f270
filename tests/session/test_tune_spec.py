"""The table `tune` of a spec: what it may say, and what is told of what it may not."""

import json

import jsonschema
import msgspec
import pytest
from small_specs import spec_of, write_files

from tradewind.errors import Misuse
from tradewind.session.spec import make_spec
from tradewind.session.spec_documents import schema
from tradewind.session.tune_spec import RuleSpec, TuneSpec, learner_arguments, make_tune_spec, read_tune_spec

DOCUMENT = {
    "learner": {"kind": "LinearLearner", "loss": "logistic"},
    "data": {"path": "adult", "split": {"test": 0.2}},
    "epochs": 4,
    "budget": 3.0,
    "tune": {
        "space": {"rate": {"low": 0.01, "high": 1.0, "log": True}, "batch": [100, 1000]},
        "search": {"name": "gp", "initial": 5},
        "stop": "race",
        "checkpoint_every": "2m",
    },
}


def refusal(table=None, **changes):
    document = {**DOCUMENT, **changes}
    if table is not None:
        document["tune"] = {**DOCUMENT["tune"], **table}
    with pytest.raises(Misuse) as told:
        make_tune_spec(document, source="adult.toml")
    assert told.value.source and told.value.field and told.value.fix
    return told.value


def test_a_table_is_read_beside_what_every_run_says():
    spec = make_tune_spec(DOCUMENT)
    assert spec.search == RuleSpec("gp", {"initial": 5}) and spec.stop == RuleSpec("race")
    assert spec.search.spoken == {"name": "gp", "initial": 5}
    assert spec.checkpoint_every == 120.0 and spec.budget == 3.0 and spec.machines.name == "cheapest_step"
    assert spec.train is not None and spec.train.epochs == 4
    arguments = learner_arguments(spec)
    assert arguments["learner"] == {"kind": "LinearLearner", "loss": "logistic"}
    assert arguments["epochs"] == 4 and arguments["data"]["split"]["test"] == 0.2
    assert json.loads(json.dumps(arguments)) == arguments


def test_train_reads_the_same_file_and_leaves_the_table_alone(tmp_path):
    write_files(tmp_path)
    spec_of(tmp_path)
    assert make_spec(DOCUMENT).epochs == 4


def test_the_published_schema_has_the_fields_and_defaults_of_the_values():
    whole = schema("tune")
    jsonschema.Draft202012Validator.check_schema(whole)
    told = whole["properties"]["tune"]
    shared = {"train", "budget", "deadline", "seed", "workers", "provider", "runtime", "out"}
    fields = {each.name: each for each in msgspec.structs.fields(TuneSpec)}
    assert set(told["properties"]) == set(fields) - shared
    for name, fragment in told["properties"].items():
        if name == "space":
            continue
        default = fields[name].default
        value = default.name if isinstance(default, RuleSpec) else default
        assert fragment["default"] == value, name
        assert fragment.get("description") or "$ref" in fragment, name


def test_the_command_line_changes_any_of_it(tmp_path):
    path = tmp_path / "adult.toml"
    path.write_text(
        'epochs = 2\nlearner = "LinearLearner"\n[data]\npath = "adult"\nsplit = {test = 0.2}\n'
        "[tune.space]\nl2 = [0.1, 0.2]\n"
    )
    changes = {"tune.trials": 3, "tune.space.rate": [0.1], "tune.search": "grid", "workers.count": 2}
    spec = read_tune_spec(path, changes)
    assert spec.trials == 3 and list(spec.space) == ["l2", "rate"] and spec.search.name == "grid"
    assert spec.workers.count == 2
    with pytest.raises(Misuse, match="the command line"):
        read_tune_spec(path, {"tune.trials": 0})


@pytest.mark.parametrize(
    ("table", "field", "part"),
    [
        ({"space": {}}, "tune.space", ""),
        ({"spcae": {}}, "tune.spcae", "space"),
        ({"space": {"rat": [0.1]}}, "rat", "rate"),
        ({"space": {"minibach_size": [10]}}, "minibach_size", "minibatch_size"),
        ({"space": {"rate": {"low": 1.0, "high": 0.1}}}, "rate", ""),
        ({"trials": 0}, "tune.trials", "1"),
        ({"direction": "maximise"}, "tune.direction", "maximize"),
        ({"search": {"initial": 3}}, "tune.search", "name"),
        ({"search": None}, "tune.search", "name"),
        ({"steps": 5}, "tune.steps", "epochs"),
        ({"checkpoint_every": "soon"}, "tune.checkpoint_every", "90s"),
    ],
)
def test_what_is_wrong_is_told_with_its_field_and_the_fix(table, field, part):
    told = refusal(table)
    assert told.field.endswith(field) and part in f"{told} {told.fix}"


def test_a_table_that_is_missing_and_fields_that_are_wrong_together():
    document = {key: value for key, value in DOCUMENT.items() if key != "tune"}
    with pytest.raises(Misuse, match="space"):
        make_tune_spec(document)
    assert refusal(provider={"kind": "simulated"}).field == "provider.kind"
    assert refusal(epochs=0).field == "epochs"


def test_a_function_has_neither_learner_nor_data():
    spec = make_tune_spec({"tune": {"space": {"x": [1]}}, "budget": 1.0}, of_function=True)
    assert spec.train is None and spec.budget == 1.0
    with pytest.raises(Misuse, match="steps"):
        make_tune_spec({"tune": {"space": {"x": [1]}, "stop": "asha"}}, of_function=True)
