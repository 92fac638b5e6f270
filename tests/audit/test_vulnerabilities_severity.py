"""CVSS 3 scores are those that the published vectors come with."""

from __future__ import annotations

import pytest

from tradewind.audit.vulnerabilities.severity import base_score, named, word

SCORED = (
    # Vectors with the scores that NVD and GitHub publish beside them.
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, "critical"),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:H", 9.6, "critical"),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0, "critical"),
    ("CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8, "high"),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5, "high"),
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 6.5, "medium"),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:N/I:L/A:N", 4.7, "medium"),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N", 5.3, "medium"),
    ("CVSS:3.0/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:L/A:N", 1.6, "low"),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0, "none"),
)


@pytest.mark.parametrize(("vector", "score", "expected"), SCORED)
def test_base_scores(vector: str, score: float, expected: str) -> None:
    assert base_score(vector) == pytest.approx(score)
    assert word(base_score(vector)) == expected


@pytest.mark.parametrize("vector", ["", "7.5", "CVSS:4.0/AV:N", "CVSS:3.1/AV:N/AC:L", "CVSS:3.1/AV:X/AC:L"])
def test_what_is_no_vector_has_no_score(vector: str) -> None:
    assert base_score(vector) is None
    assert word(base_score(vector)) == "unrated"


def test_words_of_other_tools() -> None:
    assert [named(text) for text in ("MODERATE", "Critical", "Negligible", "UNKNOWN", "")] == [
        "medium",
        "critical",
        "low",
        "unrated",
        "unrated",
    ]
