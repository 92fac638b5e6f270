"""Scans as SARIF 2.1.0, the form in which code hosts and editors take findings of any tool.

One run: the rules that were told, each file that was scanned as an artifact with its hash, and a result for
each finding, with the place in the file as a region of bytes and the member of the container as a logical
location. What is undecided is a warning and never absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from tradewind import __version__
from tradewind.data.model_files.findings import Finding, Level, Rule, Scan

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: dict[Level, str] = {"blocked": "error", "undecided": "warning", "note": "note"}


def sarif(scans: Iterable[Scan], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """A SARIF log of scans as plain JSON values; `rules` say what each rule means and how to mend it."""
    files = list(scans)
    told = sorted({finding.rule for scan in files for finding in scan.findings})
    index = {rule: place for place, rule in enumerate(told)}
    levels = {finding.rule: finding.level for scan in files for finding in scan.findings}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "tradewind",
                        "semanticVersion": __version__,
                        "rules": [_rule(rule, levels[rule], rules.get(rule)) for rule in told],
                    }
                },
                "artifacts": [_artifact(scan) for scan in files],
                "results": [
                    _result(finding, place, scan, index)
                    for place, scan in enumerate(files)
                    for finding in scan.findings
                ],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def _rule(identifier: str, level: Level, rule: Rule | None) -> dict[str, Any]:
    found: dict[str, Any] = {"id": identifier, "defaultConfiguration": {"level": _LEVELS[level]}}
    if rule is not None:
        found["defaultConfiguration"]["level"] = _LEVELS[rule.level]
        found["shortDescription"] = {"text": rule.meaning}
        found["help"] = {"text": rule.fix or rule.meaning}
    return found


def _artifact(scan: Scan) -> dict[str, Any]:
    return {
        "location": {"uri": _uri(scan.path)},
        "length": scan.size,
        "hashes": {"sha-256": scan.digest},
        "properties": {"format": scan.format, "verdict": scan.verdict},
    }


def _result(finding: Finding, place: int, scan: Scan, index: Mapping[str, int]) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(scan.path), "index": place}}
    if finding.offset is not None and not finding.where:
        physical["region"] = {"byteOffset": finding.offset, "byteLength": 1}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.where:
        # The offset is one in the member, which has no bytes of its own in the file if it is packed.
        location["logicalLocations"] = [{"fullyQualifiedName": finding.where, "kind": "member"}]
    properties = {
        key: value
        for key, value in (
            ("opcode", finding.opcode),
            ("name", finding.name),
            ("preview", finding.preview),
            ("memberOffset", finding.offset if finding.where else None),
        )
        if value not in ("", None)
    }
    result = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVELS[finding.level],
        "message": {"text": finding.message or finding.rule},
        "locations": [location],
        "partialFingerprints": {
            "fileAndPlace/v1": f"{scan.digest}:{finding.rule}:{finding.where}:{finding.offset}"
        },
    }
    return {**result, "properties": properties} if properties else result


def _uri(path: str) -> str:
    """A path as a URI reference; one with a colon in its first part must not look like a scheme."""
    quoted = quote(path.replace("\\", "/"), safe="/!$&'()*+,;=@~-._")
    return quoted or "bytes"
