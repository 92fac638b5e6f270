import json
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.session import spec as specs
from tradewind.session.spec import TrainSpec, make_spec, read_spec
from tradewind.session.spec_documents import override
from tradewind.training.job import Learner

SMALL = {"learner": "LinearLearner", "data": "adult.libsvm"}
WHOLE = """
name = "adult"
epochs = 3
batch = 500
deadline = "2h"
budget = 5
seed = 7
consistency = "stale_synchronous"
staleness = 2
parts = 6
snapshot_every = "1m"
runtime = "processes"
out = "results"

[learner]
kind = "LinearLearner"
loss = "logistic"
l2 = 1e-5

[data]
path = "adult.libsvm"
test = "sub/adult.t"
features = 123

[policy]
name = "checkpoint_restart"
args = { interval = 60.0 }

[workers]
count = 3
vcpus = 4
gpus = 1
gpu_kind = "V100"
instance_types = ["p3.2xlarge"]
zones = ["us-east-1a"]

[state]
vcpus = 2

[provider]
kind = "local"
history = "aws-2020"
start = 2020-01-05T00:00:00Z
speed = 30
notice = "2m"
cpu_shares = { "p3.2xlarge" = 0.5 }
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "adult.toml"
    path.write_text(WHOLE)
    return path


def refusal(document, **more) -> Misuse:
    with pytest.raises(Misuse) as told:
        make_spec(document, source="adult.toml", **more)
    return told.value


def test_a_whole_file(file):
    (file.parent / "adult.libsvm").write_text("1 1:1\n")
    spec = read_spec(file)
    assert spec.learner == Learner("LinearLearner", {"loss": "logistic", "l2": 1e-5})
    assert spec.deadline == 7200 and spec.snapshot_every == 60 and spec.budget == 5.0
    assert spec.data.path == str(file.parent / "adult.libsvm"), "paths in a file are relative to it"
    assert spec.data.test == str(file.parent / "sub/adult.t")
    assert spec.policy.name == "checkpoint_restart" and spec.policy.args == {"interval": 60.0}
    assert spec.workers.instance_types == ("p3.2xlarge",) and spec.workers.gpu_kind == "V100"
    assert spec.provider.start == clock.moment("2020-01-05T00:00:00Z")
    assert spec.provider.notice == 120 and spec.provider.boot is None
    assert spec.provider.history == "aws-2020", "a name of the package's own history is left alone"
    assert spec.provider.cpu_shares == {"p3.2xlarge": 0.5}


def test_overrides_win_and_are_relative_to_here(file):
    spec = read_spec(
        file,
        dict(
            map(
                override, ["learner.loss=hinge", "data.path=other.csv", "workers.count=2", "policy=on_demand"]
            )
        )
        | {"deadline": "90m"},
    )
    assert spec.learner.arguments["loss"] == "hinge" and spec.learner.arguments["l2"] == 1e-5
    assert spec.data.path == "other.csv" and spec.workers.count == 2 and spec.deadline == 5400
    assert spec.policy.name == "on_demand" and spec.policy.args == {}, "another policy has its own arguments"
    assert read_spec(file, {"provider": "simulated"}).provider.history == "aws-2020"


def test_shorthands_and_defaults():
    spec = make_spec(SMALL)
    assert spec == TrainSpec(learner=Learner("LinearLearner"), data=specs.DataSpec(path="adult.libsvm"))
    assert make_spec({**SMALL, "policy": "on_demand"}).policy.name == "on_demand"
    assert make_spec({**SMALL, "provider": "simulated"}).provider.kind == "simulated"


def test_a_deadline_as_a_moment():
    document = {**SMALL, "deadline": "2020-01-01T02:00:00Z"}
    spec = make_spec({**document, "provider": {"start": "2020-01-01T00:00:00Z"}})
    assert spec.deadline == 7200
    assert "provider.start" in refusal(document).fix
    late = refusal({**document, "provider": {"start": "2020-01-01T03:00:00Z"}})
    assert late.field == "deadline" and "2020-01-01T03:00:00Z" in str(late)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"dedline": "2h"}, "dedline", "Did you mean 'deadline'?"),
        ({"workers": {"cuont": 2}}, "workers.cuont", "Did you mean 'count'?"),
        ({"provider": {"histroy": "x"}}, "provider.histroy", "Did you mean 'history'?"),
        ({"provider": {"kind": "lokal"}}, "provider.kind", "Did you mean 'local'?"),
        ({"consistency": "bulk"}, "consistency", "is none of the choices"),
        ({"epochs": 0}, "epochs", "at least 1"),
        ({"epochs": 1.5}, "epochs", "no whole number"),
        ({"epochs": True}, "epochs", "no whole number"),
        ({"budget": 0}, "budget", "above 0"),
        ({"budget": float("nan")}, "budget", "no finite number"),
        ({"budget": float("inf")}, "budget", "no finite number"),
        ({"budget": "5"}, "budget", "no number"),
        ({"deadline": "soon"}, "deadline", "no duration"),
        ({"deadline": "-2h"}, "deadline", "no duration"),
        ({"snapshot_every": "0s"}, "snapshot_every", "no positive duration"),
        ({"provider": {"start": "yesterday"}}, "provider.start", "no moment"),
        ({"provider": {"cpu_shares": {"p3.2xlarge": 2}}}, "provider.cpu_shares.p3.2xlarge", "at most 1"),
        ({"workers": {"zones": "us-east-1a"}}, "workers.zones", "no list"),
        ({"workers": {"count": 9}}, "workers.count", "parts"),
        ({"workers": {"gpu_kind": "V100"}}, "workers.gpus", "gpu_kind"),
        ({"staleness": 2}, "staleness", "stale_synchronous"),
        ({"name": "../up"}, "name", "letters"),
        ({"data": {}}, "data.path", "is missing"),
        ({"learner": {"loss": "hinge"}}, "learner.kind", "is missing"),
        ({"data": 3}, "data", "no table"),
        ({"runtime": "inline", "provider": "simulated"}, "runtime", "speed model"),
    ],
)
def test_what_is_refused_names_file_field_and_fix(change, field, words):
    told = refusal({**SMALL, **change})
    assert told.field == field and told.source == "adult.toml"
    assert words in str(told) and str(told).startswith(f"adult.toml: {field}: ")
    assert told.fix


def test_a_wrong_option_is_not_blamed_on_the_file(file):
    with pytest.raises(Misuse) as told:
        read_spec(file, {"lerner.loss": "hinge"})
    assert str(told.value).startswith("the command line: lerner: ") and "'learner'" in told.value.fix
    with pytest.raises(Misuse) as told:
        read_spec(file, {"deadline": "soon"})
    assert told.value.source == "the command line"


def test_files_that_cannot_be_read(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = = 3")
    for path in (tmp_path / "absent.toml", tmp_path, broken):
        with pytest.raises(Misuse) as told:
            read_spec(path)
        assert told.value.source == str(path)


def test_stored_bytes_read_back_and_differ_with_the_spec(file):
    spec = read_spec(file)
    assert specs.spec_from(specs.spec_bytes(spec)) == spec
    assert specs.digest(spec) == specs.digest(read_spec(file))
    assert specs.digest(spec) != specs.digest(read_spec(file, {"seed": 8}))
    with pytest.raises(Misuse):
        specs.spec_from(b"{}")


def test_a_spec_is_not_altered_by_making_it():
    document = {**SMALL, "provider": {"start": "2020-01-01T00:00:00Z"}, "workers": {"zones": ["a"]}}
    before = json.dumps(document)
    make_spec(document, overrides={"provider.speed": 3})
    assert json.dumps(document) == before


def test_the_published_schema_has_the_fields_types_and_defaults_of_the_values():
    jsonschema.Draft202012Validator.check_schema(specs.schema())

    def compare(fragment, kind, path):
        named = {field.name: field for field in msgspec.structs.fields(kind)}
        assert set(fragment["properties"]) == set(named), path
        for name, field in named.items():
            told = fragment["properties"][name]
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                if field.type is not Learner:
                    compare(told, field.type, f"{path}.{name}")
            elif field.required:
                assert name in fragment["required"]
            else:
                value = field.default
                if value is msgspec.NODEFAULT:
                    value = field.default_factory()
                assert told["default"] == json.loads(msgspec.json.encode(value)), f"{path}.{name}"
            assert told.get("description") or "$ref" in told, f"{path}.{name} has no description"

    whole = specs.schema()
    assert whole["properties"].pop("tune")["type"] == "object", "a table that `tune` reads"
    compare(whole, TrainSpec, "spec")


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "path", "count", "start", "deadline", "data", "x"]), inner
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from(sorted(specs.schema()["properties"])),
)
def test_any_value_in_any_field_is_taken_or_refused_with_misuse(value, field):
    try:
        spec = make_spec({**SMALL, field: value})
    except Misuse as told:
        assert told.field and told.source
    else:
        assert specs.spec_from(specs.spec_bytes(spec)) == spec


def test_the_documents_know_every_field_and_their_example_is_right():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "specs.md").read_text(encoding="utf-8")

    def fields(fragment, path=""):
        for name, inner in fragment["properties"].items():
            if "properties" in inner:
                yield from fields(inner, f"{path}{name}.")
            else:
                yield f"{path}{name}"

    for field in fields(specs.schema()):
        table, _, last = field.rpartition(".")
        assert f"`{field}`" in page or (f"`.{last}`" in page and f"`{table}." in page), field
    readme = (root / "README.md").read_text(encoding="utf-8")
    example = make_spec(tomllib.loads(readme.split("```toml\n")[1].split("```")[0]))
    assert example.deadline == 7200 and example.policy.name == "tradewind"


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"shards": 33}, "state.shards"),
        ({"hysteresis": 1.5}, "state.hysteresis"),
        ({"active_share": -0.1}, "state.active_share"),
        ({"most_active": 0}, "state.most_active"),
        ({"stage2_above": 20}, "state.stage3_above"),
    ],
)
def test_stages_that_mean_nothing_are_told(state, field):
    assert refusal({**SMALL, "state": state}).field == field
