"""Documents of specs: read as plain tables, and told by file and field where they are wrong."""

from __future__ import annotations

from datetime import date

import pytest

from tradewind.errors import Misuse
from tradewind.session.spec_documents import check, override, plain, read_document, schema

RULES = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "Give it one."},
        "port": {"type": "integer", "minimum": 0, "maximum": 9},
        "kind": {"enum": ["local", "simulated"]},
        "table": {"type": "object", "properties": {"deep": {"type": "number"}}},
    },
}


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"name": "a", "prot": 1}, "prot", "port"),
        ({"port": 1}, "name", "is missing"),
        ({"name": "a", "port": 10}, "port", "at most 9"),
        ({"name": "a", "port": -1}, "port", "at least 0"),
        ({"name": ""}, "name", "Give it one."),
        ({"name": "a", "kind": "lokal"}, "kind", "local"),
        ({"name": "a", "table": {"deep": "x"}}, "table.deep", "no number"),
        ({"name": "a", "table": {"deep": float("inf")}}, "table.deep", "finite"),
    ],
)
def test_the_first_thing_that_is_wrong_is_told_with_its_field(document, field, words) -> None:
    with pytest.raises(Misuse) as told:
        check(document, lambda at: f"file of {at}", RULES)
    assert told.value.field == field and told.value.source == f"file of {field}" and words in str(told.value)


def test_what_is_right_passes() -> None:
    check({"name": "a", "port": 9, "table": {"deep": 0.5}}, str, RULES)


@pytest.mark.parametrize("text", ["", "=3", "epochs", " =x"])
def test_an_override_that_sets_nothing(text) -> None:
    with pytest.raises(Misuse):
        override(text)


def test_an_override_is_toml_or_else_text() -> None:
    assert override("data.split={test=0.2}") == ("data.split", {"test": 0.2})
    assert override("learner.loss = hinge") == ("learner.loss", "hinge")


def test_toml_becomes_what_json_has(tmp_path) -> None:
    assert plain({"at": date(2020, 2, 1), "list": (1, {"deep": date(2020, 2, 2)})}) == {
        "at": "2020-02-01",
        "list": [1, {"deep": "2020-02-02"}],
    }
    with pytest.raises(Misuse, match="absent"):
        read_document(tmp_path / "absent.toml")


def test_the_schemas_that_are_published_are_there() -> None:
    for name in ("spec", "tune", "advise", "audit", "pipeline"):
        assert schema(name)["$schema"].endswith("2020-12/schema")
