"""A report as JSON, as SARIF for code-scanning pages, and as rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tradewind.audit.vulnerabilities.evidence import Finding, Report

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "unrated": "warning", "medium": "warning"}
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0", "none": "0.0"}
COLUMNS = ("package", "version", "advisory", "severity", "before", "after", "fixed in", "evidence")


def as_document(report: Report) -> dict[str, Any]:
    """The whole report as plain objects; what is unknown is there in full, and by reason with its count."""
    matching = report.matching
    return {
        "format": "tradewind-vulnerabilities-1",
        "at": datetime.fromtimestamp(matching.now, UTC).isoformat(),
        "system": matching.system,
        "most_days": matching.most_days,
        "sources": [
            {
                **_plain(source),
                "examined": len(source.examined),
                "days": None if (days := source.days(matching.now)) is None else round(days, 1),
            }
            for source in matching.sources
        ],
        "counts": {**report.counts, "packages_cleared": report.cleared},
        "findings": [{**_plain(each), "state": each.state} for each in report.findings],
        "unanswered": [{**_plain(each), "state": each.state} for each in report.unanswered],
        "unanswered_by_reason": unanswered(report),
    }


def as_json(report: Report) -> bytes:
    """The report as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(as_document(report)), indent=2) + b"\n"


def unanswered(report: Report) -> dict[str, int]:
    """How many packages nobody clears that still have code, by the reason, most first."""
    counts = Counter(each.why for each in report.unanswered if each.state == "unknown")
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def as_sarif(report: Report, version: str = "") -> dict[str, Any]:
    """The report in SARIF 2.1.0: an advisory is a rule, a finding a result at the files that prove it.

    What is removed or only metadata is told as suppressed, with the proof as its justification; a report with
    anything unanswered says so in the run's notifications, so that an empty list is not read as clean.
    """
    rules: dict[str, Finding] = {}
    for each in report.findings:
        rules.setdefault(each.id, each)
    order = {name: at for at, name in enumerate(rules)}
    notes = [
        {
            "level": "warning",
            "message": {"text": f"{count} packages that nobody clears: {why}"},
            "descriptor": {"id": "unknown"},
        }
        for why, count in unanswered(report).items()
    ]
    notes += [
        {
            "level": "error",
            "message": {"text": f"{source.name}: {source.trouble}"},
            "descriptor": {"id": "source"},
        }
        for source in report.matching.sources
        if source.trouble
    ]
    driver: dict[str, Any] = {
        "name": "tradewind audit vulns",
        "informationUri": "https://github.com/ossf/osv-schema",
        "rules": [_rule(each) for each in rules.values()],
    }
    if version:
        driver["version"] = version
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
                "results": [_result(each, order[each.id]) for each in report.findings],
            }
        ],
    }


def rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """One row a finding, under COLUMNS."""
    return [
        (
            each.package,
            each.version,
            next((name for name in each.names if name.startswith("CVE-")), each.id),
            each.severity if each.score is None else f"{each.severity} {each.score:.1f}",
            each.before,
            each.after or "",
            ", ".join(each.fixed),
            each.why,
        )
        for each in findings
    ]


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": finding.id,
        "shortDescription": {"text": finding.summary or finding.id},
        "properties": {"tags": ["security", *finding.names]},
    }
    if finding.references:
        rule["helpUri"] = finding.references[0]
    score = f"{finding.score:.1f}" if finding.score is not None else _SCORES.get(finding.severity)
    if score is not None:
        rule["properties"]["security-severity"] = score
    return rule


def _result(finding: Finding, at: int) -> dict[str, Any]:
    text = f"{finding.name} {finding.version} ({finding.affected}): {finding.state}; {finding.why}"
    if finding.fixed:
        text += f"; fixed in {', '.join(finding.fixed)}"
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": at,
        "level": _LEVELS.get(finding.severity, "note"),
        "message": {"text": text},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": path}}} for path in finding.paths[:10]
        ]
        or [{"logicalLocations": [{"fullyQualifiedName": finding.package, "kind": "package"}]}],
        "partialFingerprints": {"packageAndAdvisory/v1": f"{finding.package}@{finding.id}"},
        "properties": {"before": finding.before, "after": finding.after, "sources": list(finding.sources)},
    }
    if finding.state in ("removed", "metadata-only"):
        result["suppressions"] = [{"kind": "external", "justification": finding.why}]
    return result


def _plain(value: msgspec.Struct) -> Mapping[str, Any]:
    """All fields, those with their defaults too: who reads a report should not have to know them."""
    return {name: getattr(value, name) for name in value.__struct_fields__}
