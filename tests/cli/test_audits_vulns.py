"""`tradewind audit vulns`: findings as text, as JSON and as SARIF, and its exit codes."""

import json

import pytest

from tradewind.cli.main import main
from tradewind.session.audit import vulnerable
from tradewind.testing.images import PACKAGES


@pytest.fixture
def vulns(tmp_path, monkeypatch, capsys):
    """Call the verb on a tree with an old Pillow; its code and what it told."""
    monkeypatch.setattr(vulnerable, "FOLDER", tmp_path / "nobody's")
    monkeypatch.chdir(tmp_path)
    info = tmp_path / "root" / PACKAGES / "pillow-9.5.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "PIL").mkdir()
    (info.parent / "PIL/__init__.py").write_text("x = 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Pillow\nVersion: 9.5.0\n")
    (info / "RECORD").write_text(f"PIL/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")

    def call(*words):
        code = main(["audit", "vulns", "root", *words])
        return code, capsys.readouterr().out

    return call


def test_text_and_json_tell_the_same(vulns):
    code, out = vulns()
    assert code == 0 and "PYSEC-2023-175" in out and "Source: pypa-2024-10" in out
    code, text = vulns("--json")
    told = json.loads(text)
    assert code == told["exit_code"] == 0
    assert f"{len(told['findings'])} findings" in out
    for each in told["findings"]:
        assert any(name in out for name in (each["id"], *each["names"])) and each["fixed"][0] in out
    assert {each["name"] for each in told["sources"]} == {"pypa-2024-10", "ml-overlay"}


def test_a_gate_fails_by_what_it_was_asked_for(vulns):
    assert vulns("--fail-on", "any")[0] == 1
    assert vulns("--fail-on", "critical,rated")[0] == 0
    code, out = vulns("--strict", "--fresh", "1")
    assert code == 2 and "Not decided" in out and "Unknown: " in out
    code, out = vulns("--fail-on", "hihg", "--json")
    assert code == 2 and json.loads(out)["error"]["field"] == "fail-on"


def test_findings_are_written_for_code_scanning(vulns, tmp_path):
    assert vulns("--sarif", "f.sarif")[0] == 0
    (run,) = json.loads((tmp_path / "f.sarif").read_text())["runs"]
    assert "PYSEC-2023-175" in {each["ruleId"] for each in run["results"]}


def test_results_of_others_are_imported_and_stay(vulns, tmp_path):
    record = {
        "id": "X-1",
        "modified": "2026-11-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "pillow"}, "versions": ["9.5.0"]}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(record))
    assert "X-1" in vulns("--import", "mine.json", "--advisories", "own")[1]
    assert "X-1" in vulns("--advisories", "own")[1]
    assert "X-1" not in vulns()[1]
    (tmp_path / "mine.json").write_text("not json")
    assert vulns("--import", "mine.json", "--advisories", "own")[0] == 2
