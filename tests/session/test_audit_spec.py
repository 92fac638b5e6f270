"""What an audit is asked: read, checked before anything is opened, and published as a schema."""

import json
from pathlib import Path

import pytest

from tradewind.errors import Misuse
from tradewind.session.audit.spec import AuditSpec, audit_schema, make_audit_spec, read_audit_spec
from tradewind.session.spec_documents import schema

WHOLE = """
image = "image.oci@v2"
negative = 3

[[run]]
name = "predict"
command = "python3 /app/predict.py 'two words'"
inputs = [{source = "rows", path = "/rows"}]

[[run]]
command = ["uvicorn", "serve:app"]
long_running = true
ready = {port = 8000, path = "/health"}
requests = [{path = "/predict", method = "POST", body = "{}", json = {labels = [0]}}]

[[beside]]
command = "python3 -m json.tool"
stdin = "{}"

[policy]
locales = true
keep = ["usr/share/zoneinfo/**"]

[bounds]
relative = 1e-6
ignore = [{pattern = "0x[0-9a-f]+"}]
"""


def test_a_file_says_all_that_can_be_asked(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text(WHOLE)
    spec = read_audit_spec(path)
    assert spec.image == str(tmp_path / "image.oci@v2") and spec.negative == 3
    predict, service = spec.run
    assert predict.command == ("python3", "/app/predict.py", "two words")
    assert predict.inputs[0].source == str(tmp_path / "rows")
    assert service.name == "run-2" and service.requests[0].json == {"labels": [0]}
    assert spec.beside[0].name == "beside-1" and spec.beside[0].stdin == "{}"
    assert spec.policy.locales and spec.policy.keep == ("usr/share/zoneinfo/**",)
    assert spec.bounds.relative == 1e-6 and spec.bounds.ignore[0].by == ""


def test_nothing_need_be_said():
    assert make_audit_spec({}) == AuditSpec()


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"runs": []}, "runs"),
        ({"run": [{"command": "a", "comand": "b"}]}, "comand"),
        ({"run": [{"name": "a"}]}, "command"),
        ({"run": [{"command": "a 'b"}]}, "run.0.command"),
        ({"run": [{"command": ""}]}, "run.0"),
        ({"run": [{"command": "a", "limit": "long"}]}, "limit"),
        ({"run": [{"command": "a", "limit": 0}]}, "limit"),
        ({"run": [{"command": "a", "network": "some"}]}, "network"),
        ({"run": [{"command": "a", "requests": [{"path": "/"}]}]}, "requests"),
        ({"run": [{"command": "a", "long_running": True}]}, "ready"),
        (
            {"run": [{"command": "a"}], "beside": [{"command": "b", "capabilities": ["SYS_ADMIN"]}]},
            "beside.0",
        ),
        ({"run": [{"command": "a", "name": "x"}], "beside": [{"command": "b", "name": "x"}]}, "'x'"),
        ({"run": [{"command": "a", "name": "run-2"}, {"command": "b"}]}, "'run-2'"),
        ({"run": {"command": "a"}}, "run"),
        ({"run": [3]}, "run"),
        ({"policy": {"locale": True}}, "locale"),
        ({"policy": {"keep": ["../x"]}}, "keep"),
        ({"policy": {"sources": "none"}}, "sources"),
        ({"bounds": {"relative": -1}}, "relative"),
        ({"bounds": {"ignore": [{"pattern": "("}]}}, "ignore"),
        ({"negative": 1.5}, "negative"),
        ({"repetitions": 0}, "repetitions"),
        ({"negative": -1}, "negative"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(document, named):
    with pytest.raises(Misuse) as told:
        make_audit_spec(document, source="audit.toml")
    assert "audit.toml" in str(told.value) and named in str(told.value), str(told.value)


def test_a_file_that_is_not_there_or_is_no_toml_is_misuse(tmp_path):
    with pytest.raises(Misuse, match="cannot be read"):
        read_audit_spec(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[run\n")
    with pytest.raises(Misuse, match="no TOML"):
        read_audit_spec(tmp_path / "bad.toml")


def test_the_published_schema_is_the_one_that_is_made():
    assert schema("audit") == audit_schema()
    text = (Path(__file__).parents[2] / "src/tradewind/session/audit.schema.json").read_text()
    assert text == json.dumps(audit_schema(), indent=2) + "\n"
