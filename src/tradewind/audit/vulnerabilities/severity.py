"""How bad an advisory says it is: the base score of CVSS 3, and its word."""

from __future__ import annotations

from typing import Literal

Severity = Literal["unrated", "none", "low", "medium", "high", "critical"]
LEVELS: tuple[Severity, ...] = ("none", "low", "medium", "high", "critical")
"""From harmless to worst; `unrated` has no place among them."""

_WEIGHTS: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {
    "U": {"N": 0.85, "L": 0.62, "H": 0.27},
    "C": {"N": 0.85, "L": 0.68, "H": 0.5},
}


def base_score(vector: str) -> float | None:
    """The base score of a CVSS 3.0 or 3.1 vector, 0 to 10; None if it is no such vector.

    CVSS v3.1 specification, sections 7.1 and 7.4 with appendix A. Version 4 is a table of judgements and is
    not computed here: of its records the word that the database gives is taken.
    """
    version, _, rest = vector.partition("/")
    if version not in ("CVSS:3.0", "CVSS:3.1"):
        return None
    fields = dict(each.split(":", 1) for each in rest.split("/") if ":" in each)
    try:
        scope = fields["S"]
        privileges = _PRIVILEGES[scope][fields["PR"]]
        reach, effort, consent, secrecy, integrity, availability = (
            _WEIGHTS[name][fields[name]] for name in ("AV", "AC", "UI", "C", "I", "A")
        )
    except KeyError:
        return None
    harm = 1 - (1 - secrecy) * (1 - integrity) * (1 - availability)
    changed = 7.52 * (harm - 0.029) - 3.25 * (harm - 0.02) ** 15
    impact = 6.42 * harm if scope == "U" else changed
    if impact <= 0:
        return 0.0
    total = impact + 8.22 * reach * effort * privileges * consent
    return _rounded_up(min(total if scope == "U" else 1.08 * total, 10.0))


def word(score: float | None) -> Severity:
    """The word for a score: none 0, low to 3.9, medium to 6.9, high to 8.9, critical from 9.0 on."""
    if score is None:
        return "unrated"
    if score <= 0:
        return "none"
    return "low" if score < 4 else "medium" if score < 7 else "high" if score < 9 else "critical"


def named(text: str) -> Severity:
    """The severity that other tools write as `text`: MODERATE is medium, what nobody knows is unrated."""
    known = text.strip().lower()
    match known:
        case "critical" | "high" | "medium" | "low" | "none":
            return known
        case "moderate":
            return "medium"
        case "negligible":
            return "low"
    return "unrated"


def reaches(severity: Severity, least: Severity) -> bool:
    """Whether `severity` is at least `least`; neither may be unrated."""
    return LEVELS.index(severity) >= LEVELS.index(least)


def _rounded_up(value: float) -> float:
    """To one decimal, upwards, in integers, so that 4.02 does not become 4.2 by a float's dust."""
    number = round(value * 100_000)
    return number / 100_000 if number % 10_000 == 0 else (number // 10_000 + 1) / 10
