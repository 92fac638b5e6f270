"""What fails a build, and that what is unknown never passes a strict one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tradewind.audit.vulnerabilities.evidence import Finding, Report, State, Unanswered
from tradewind.audit.vulnerabilities.gate import (
    FAILED,
    PASSED,
    UNDECIDED,
    Threshold,
    exit_code,
    fails,
    threshold,
)
from tradewind.audit.vulnerabilities.matching import Matching
from tradewind.audit.vulnerabilities.severity import Severity
from tradewind.audit.vulnerabilities.sources import Source
from tradewind.errors import Misuse


def finding(state: State, severity: Severity = "high") -> Finding:
    return Finding(
        "pip:x", "x", "1", "pip", "A", ("A",), severity, None, state, None, "package", (), 0, "", "", (), ()
    )


def report(*findings: Finding, unanswered: tuple[Unanswered, ...] = (), trouble: str = "") -> Report:
    sources = (Source(name="s", trouble=trouble),)
    return Report(findings, unanswered, 0, Matching((), {}, {}, sources))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("any", Threshold("none")),
        ("high", Threshold("high")),
        ("High, loaded", Threshold("high", loaded_only=True)),
        ("critical,rated,loaded", Threshold("critical", loaded_only=True, unrated=False)),
    ],
    ids=str,
)
def test_thresholds_in_words(text: str, expected: Threshold) -> None:
    assert threshold(text) == expected


@pytest.mark.parametrize("text", ["", "bad", "high,touched", "loaded"])
def test_no_threshold(text: str) -> None:
    with pytest.raises(Misuse, match="critical"):
        threshold(text)


@pytest.mark.parametrize(
    ("state", "severity", "text", "failing"),
    [
        ("present-loaded", "critical", "high", True),
        ("present-loaded", "medium", "high", False),
        ("present-untouched", "high", "high", True),
        ("present-untouched", "high", "high,loaded", False),
        ("unknown", "high", "high,loaded", True),
        ("removed", "critical", "any", False),
        ("metadata-only", "critical", "any", False),
        ("present-loaded", "unrated", "critical", True),
        ("present-loaded", "unrated", "critical,rated", False),
        ("present-loaded", "none", "any", True),
    ],
)
def test_what_fails(state: State, severity: Severity, text: str, failing: bool) -> None:
    one = finding(state, severity)
    assert fails([one], threshold(text)) == ((one,) if failing else ())
    assert exit_code(report(one), threshold(text)) == (FAILED if failing else PASSED)


def test_after_slimming_the_last_state_counts() -> None:
    assert fails([replace(finding("present-loaded"), after="removed")], threshold("any")) == ()


def test_strict_passes_nothing_that_is_unknown() -> None:
    unanswered = Unanswered("apt:libc6", "no source", "unknown", None)
    gone = replace(unanswered, after="removed")
    assert exit_code(report(), None, strict=True) == PASSED
    assert exit_code(report(unanswered=(unanswered,)), None) == PASSED
    assert exit_code(report(unanswered=(unanswered,)), None, strict=True) == UNDECIDED
    assert exit_code(report(unanswered=(gone,)), None, strict=True) == PASSED
    assert exit_code(report(finding("unknown", "low")), threshold("high"), strict=True) == UNDECIDED
    assert exit_code(report(trouble="unreachable"), None, strict=True) == UNDECIDED
    assert exit_code(
        report(finding("present-loaded"), unanswered=(unanswered,)), threshold("any"), strict=True
    ) == (FAILED)
