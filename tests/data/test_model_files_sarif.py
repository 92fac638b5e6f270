"""SARIF: what section 3 of the specification asks of a log, and nothing lost of the findings."""

import json
import pickle

import jsonschema
import pytest

from tradewind.data.model_files.sarif import SCHEMA, sarif
from tradewind.data.model_files.scanner import every_rule, scan_bytes

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
COUNT = {"type": "integer", "minimum": 0}
URI = {"type": "string", "format": "uri-reference", "pattern": r"^[A-Za-z0-9/!$&'()*+,;=@~._%-]+$"}
SUBSET = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "semanticVersion": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "shortDescription": TEXT,
                                                "help": TEXT,
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "properties": {"level": LEVEL},
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "artifacts": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "location": {"type": "object", "properties": {"uri": URI}},
                                "length": {"type": "integer", "minimum": -1},
                                "hashes": {"type": "object", "additionalProperties": {"type": "string"}},
                                "properties": {"type": "object"},
                            },
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": COUNT,
                                "level": LEVEL,
                                "message": TEXT,
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                                "properties": {"type": "object"},
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "properties": {"uri": URI, "index": COUNT},
                                                    },
                                                    "region": {
                                                        "type": "object",
                                                        "properties": {
                                                            "byteOffset": COUNT,
                                                            "byteLength": COUNT,
                                                        },
                                                    },
                                                },
                                            },
                                            "logicalLocations": {
                                                "type": "array",
                                                "items": {
                                                    "type": "object",
                                                    "properties": {
                                                        "fullyQualifiedName": {"type": "string"},
                                                        "kind": {"type": "string"},
                                                    },
                                                },
                                            },
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The parts of the published schema that a log of ours has, written after its text."""


class Trap:
    def __reduce__(self):
        return (print, ("harm",))


SCANS = [
    scan_bytes(pickle.dumps(Trap()), "a folder/größe:1.pkl"),
    scan_bytes(b"\xff\xfe\xfd", "unknown.bin"),
    scan_bytes(b"a,b\n1,2\n", "table.csv"),
    scan_bytes(b'{"chat_template": "{{ x.__class__ }}"}', ""),
]


def test_a_log_is_valid_and_travels_as_json():
    log = sarif(SCANS, every_rule())
    jsonschema.Draft202012Validator(SUBSET).validate(log)
    assert json.loads(json.dumps(log, allow_nan=False)) == log and log["$schema"] == SCHEMA


def test_every_finding_is_a_result_with_its_rule_and_place():
    (run,) = sarif(SCANS, every_rule())["runs"]
    results, rules, artifacts = run["results"], run["tool"]["driver"]["rules"], run["artifacts"]
    assert len(results) == sum(len(scan.findings) for scan in SCANS) > 2
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [each["properties"]["verdict"] for each in artifacts] == [scan.verdict for scan in SCANS]
    assert [each["hashes"]["sha-256"] for each in artifacts] == [scan.digest for scan in SCANS]
    first = results[0]["locations"][0]["physicalLocation"]
    assert first["artifactLocation"] == {"uri": "a%20folder/gr%C3%B6%C3%9Fe%3A1.pkl", "index": 0}
    assert first["region"]["byteOffset"] == SCANS[0].findings[0].offset
    assert {each["level"] for each in results} <= {"error", "warning", "note"}


def test_every_rule_has_a_meaning_and_what_is_wrong_has_a_fix():
    for identifier, rule in every_rule().items():
        assert identifier == rule.id and rule.meaning.strip().endswith("."), identifier
        assert rule.fix or rule.level == "note", identifier


@pytest.mark.parametrize("scans", [[], [SCANS[2]]], ids=["none", "clean"])
def test_nothing_found_is_a_log_too(scans):
    log = sarif(scans, every_rule())
    jsonschema.Draft202012Validator(SUBSET).validate(log)
    assert log["runs"][0]["results"] == []
