"""The table `data` of a spec: its forms, its errors before anything is read, and the page's example."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.session import spec as specs
from tradewind.session.data_spec import DataSpec, SplitSpec
from tradewind.session.spec import make_spec, read_spec
from tradewind.session.spec_documents import override

WHOLE = """
learner = "LinearLearner"

[data]
path = "people.csv"
format = "csv"
label = "rich"
weight = 4
columns = ["age", 2, "city"]
categories = ["city"]
missing = "mean"
split = { test = 0.2, seed = 3, key = "user" }
prepare = ["Imputer", { step = "ColumnScaler", mode = "min_max" }]
validation = "more.csv"
"""
EXPECTED = DataSpec(
    path="people.csv",
    format="csv",
    label="rich",
    weight=4,
    columns=("age", 2, "city"),
    categories=("city",),
    missing="mean",
    split=SplitSpec(test=0.2, seed=3, key="user"),
    prepare=("Imputer", {"step": "ColumnScaler", "mode": "min_max"}),
    validation="more.csv",
)


def spec_of(**data):
    return make_spec({"learner": "LinearLearner", "data": {"path": "rows.csv", **data}}, source="x.toml")


def test_a_whole_table_and_back() -> None:
    spec = make_spec(tomllib.loads(WHOLE))
    assert spec.data == EXPECTED
    assert specs.spec_from(specs.spec_bytes(spec)) == spec
    assert specs.digest(spec) != specs.digest(make_spec(tomllib.loads(WHOLE.replace("0.2", "0.3"))))


def test_the_schema_has_the_fields_and_defaults_of_a_split() -> None:
    told = specs.schema()["properties"]["data"]["properties"]["split"]
    fields = {field.name: field for field in msgspec.structs.fields(SplitSpec)}
    assert set(told["properties"]) == set(fields)
    for name, field in fields.items():
        assert (name in told["required"]) == field.required
        assert field.required or told["properties"][name]["default"] == field.default
        assert told["properties"][name]["description"]


def test_fields_are_set_on_the_command_line(tmp_path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('learner = "LinearLearner"\ndata = "rows.csv"\n')
    (tmp_path / "steps").mkdir()
    given = ["data.split.test=0.25", 'data.prepare=["ColumnScaler"]', "data.label=-1", "data.missing=keep"]
    data = read_spec(path, dict(map(override, given))).data
    assert data.split == SplitSpec(test=0.25) and data.prepare == ("ColumnScaler",)
    assert data.label == -1 and data.missing == "keep"
    path.write_text('learner = "LinearLearner"\ndata = { path = "rows.csv", prepare = "steps" }\n')
    assert read_spec(path).data.prepare == str(tmp_path / "steps"), "a folder is relative to the file"


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"prepare": ["ColumnScalr"]}, "data.prepare[0].step", "Did you mean 'ColumnScaler'"),
        ({"prepare": ["Imputer", {"step": "LinearLearner"}]}, "data.prepare[1].step", "is no step"),
        ({"prepare": [{"step": "ColumnScaler", "mod": 1}]}, "data.prepare[0].mod", "Did you mean 'mode'"),
        ({"prepare": [{"step": "ColumnScaler", "mode": "max"}]}, "data.prepare[0].mode", "min_max"),
        ({"prepare": [{"step": "FeatureHashing", "columns": ["a", "b"], "buckets": 0}]},
         "data.prepare[0].buckets", "Got 0"),
        ({"prepare": [{"kind": "min_max"}]}, "data.prepare.0.step", "is missing"),
        ({"prepare": [3]}, "data.prepare.0", "no text and no table"),
        ({"prepare": "steps", "missing": "mean"}, "data.missing", "keep"),
        ({"missing": "avg"}, "data.missing", "none of the choices"),
        ({"split": {"test": 0}}, "data.split.test", "above 0"),
        ({"split": {"test": 1.0}}, "data.split.test", "between 0 and 1"),
        ({"split": {"test": 0.2, "sed": 1}}, "data.split.sed", "Did you mean 'seed'"),
        ({"split": {"seed": 1}}, "data.split.test", "is missing"),
        ({"split": 0.2}, "data.split", "no table"),
        ({"split": {"test": 0.2}, "test": "test.csv"}, "data.split", "data.test"),
        ({"columns": ["a"], "features": 1}, "data.features", "data.columns"),
        ({"columns": "a"}, "data.columns", "no list"),
        ({"categories": [""]}, "data.categories.0", "will not do"),
        ({"format": "jsonl"}, "data.format", "none of the choices"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_field_before_anything_is_read(data, field, words) -> None:
    with pytest.raises(Misuse) as told:
        spec_of(**data)
    assert told.value.field == field and told.value.source == "x.toml"
    assert words in str(told.value) and "\n" not in str(told.value) and told.value.fix


def test_the_pages_example_is_a_spec() -> None:
    page = (Path(__file__).parents[2] / "docs" / "specs.md").read_text(encoding="utf-8")
    data = make_spec(tomllib.loads(page.split("```toml\n")[1].split("```")[0])).data
    assert data.split == SplitSpec(test=0.2, key="user") and len(data.prepare) == 2
