"""What fails a build: findings at or above a severity, and whatever nobody can say."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tradewind.audit.vulnerabilities.evidence import Finding, Report, State
from tradewind.audit.vulnerabilities.severity import LEVELS, Severity, reaches
from tradewind.errors import Misuse

PASSED, FAILED, UNDECIDED = 0, 1, 2
"""What a command exits with: as the scanner of model files does."""


class Threshold(Struct, frozen=True):
    """From which severity on, and in which states, a finding fails a build."""

    least: Severity = "none"
    loaded_only: bool = False
    """Whether what is there but was opened by no run passes. What may be loaded fails."""
    unrated: bool = True
    """Whether an advisory without a severity counts as bad enough; most of PyPA's have none."""


def threshold(text: str) -> Threshold:
    """A threshold from words with commas between: a severity or `any`, then `loaded` and `rated` if wanted.

    `high` fails for all that is present and high or critical or unrated; `high,loaded` only for what is
    loaded or may be; `critical,rated` for no unrated one. Raises Misuse for anything else.
    """
    first, *others = (word.strip().lower() for word in text.split(","))
    levels: dict[str, Severity] = {level: level for level in LEVELS}
    levels["any"] = "none"
    unknown = [word for word in others if word not in ("loaded", "rated")]
    if first not in levels or unknown:
        raise Misuse(
            f"{text!r} is no threshold",
            field="fail-on",
            fix=f"Use any, {', '.join(LEVELS[1:])}, with ,loaded or ,rated behind it",
        )
    return Threshold(levels[first], loaded_only="loaded" in others, unrated="rated" not in others)


def fails(findings: Iterable[Finding], threshold: Threshold) -> tuple[Finding, ...]:
    """The findings that fail, in order. What is removed or only metadata passes; what is unknown fails."""
    failing: set[State] = {"present-loaded", "unknown"}
    if not threshold.loaded_only:
        failing.add("present-untouched")
    return tuple(each for each in findings if each.state in failing and _bad_enough(each, threshold))


def undecided(report: Report) -> tuple[str, ...]:
    """All that nobody can say, in words: packages that no source clears, and findings of that state."""
    return (
        *(f"{each.package}: {each.why}" for each in report.unanswered if each.state == "unknown"),
        *(f"{each.package}: {each.id}: {each.why}" for each in report.findings if each.state == "unknown"),
        *(f"{source.name}: {source.trouble}" for source in report.matching.sources if source.trouble),
    )


def exit_code(report: Report, threshold: Threshold | None, *, strict: bool = False) -> int:
    """FAILED if a finding fails; under `strict` UNDECIDED if anything is unknown; else PASSED."""
    if threshold is not None and fails(report.findings, threshold):
        return FAILED
    return UNDECIDED if strict and undecided(report) else PASSED


def _bad_enough(finding: Finding, threshold: Threshold) -> bool:
    if finding.severity == "unrated":
        return threshold.unrated
    return reaches(finding.severity, threshold.least)
