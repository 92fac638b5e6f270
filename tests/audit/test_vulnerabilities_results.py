"""Reports say what is proved, and never look clean where nobody can say."""

from __future__ import annotations

import json

from msgspec.structs import replace

from tradewind.audit.vulnerabilities.evidence import Finding, Report, Unanswered
from tradewind.audit.vulnerabilities.matching import Matching
from tradewind.audit.vulnerabilities.results import COLUMNS, as_document, as_json, as_sarif, rows, unanswered
from tradewind.audit.vulnerabilities.sources import Source

FINDING = Finding(
    package="pip:pillow",
    name="pillow",
    version="9.5.0",
    manager="pip",
    id="PYSEC-2023-227",
    names=("PYSEC-2023-227", "CVE-2023-44271"),
    severity="high",
    score=7.5,
    before="present-untouched",
    after="removed",
    scope="package",
    paths=(),
    files=0,
    why="none of its files is there",
    affected="<10.0.0",
    fixed=("10.0.0",),
    sources=("pypa-2024-10",),
    summary="Too much memory",
    references=("https://example.org/advisory",),
)
LOADED = replace(
    FINDING, after="present-loaded", paths=("usr/PIL/a.py",), files=1, severity="unrated", score=None
)
REPORT = Report(
    findings=(LOADED, replace(FINDING, package="pip:other")),
    unanswered=(
        Unanswered("apt:a", "no source", "unknown", None),
        Unanswered("apt:b", "no source", "unknown", None),
        Unanswered("apt:c", "no source", "unknown", "removed"),
    ),
    cleared=3,
    matching=Matching(
        (),
        {},
        {},
        (Source(name="s", as_of="2026-01-01", digest="ab"), Source(name="t", trouble="unreachable")),
        "Debian:12",
        1_767_312_000.0,
    ),
)


def test_json_tells_sources_with_dates_and_what_is_unknown() -> None:
    document = json.loads(as_json(REPORT))
    assert document == json.loads(json.dumps(as_document(REPORT)))
    assert document["sources"][0]["as_of"] == "2026-01-01"
    assert document["sources"][0]["days"] == 1.0
    assert document["sources"][0]["digest"] == "ab"
    assert document["sources"][1]["trouble"] == "unreachable"
    assert document["counts"]["present-loaded"] == 1
    assert document["counts"]["removed"] == 1
    assert document["unanswered_by_reason"] == {"no source": 2} == unanswered(REPORT)
    assert document["findings"][0]["state"] == "present-loaded"


def test_sarif_points_at_files_and_suppresses_only_what_is_proved() -> None:
    (run,) = as_sarif(REPORT, "1.0")["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["id"] == "PYSEC-2023-227"
    loaded, removed = run["results"]
    assert loaded["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "usr/PIL/a.py"
    assert loaded["level"] == "warning"
    assert "suppressions" not in loaded
    assert removed["suppressions"][0]["justification"] == "none of its files is there"
    assert removed["level"] == "error"
    assert [result["ruleIndex"] for result in run["results"]] == [0, 0]
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert [note["descriptor"]["id"] for note in notes] == ["unknown", "source"]
    assert "2 packages" in notes[0]["message"]["text"]


def test_rows_name_the_cve() -> None:
    first, second = rows(REPORT.findings)
    assert len(first) == len(COLUMNS)
    assert first[2:6] == ("CVE-2023-44271", "unrated", "present-untouched", "present-loaded")
    assert second[3] == "high 7.5"
