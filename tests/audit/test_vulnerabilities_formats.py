"""Results of other tools are read in the form that their documentation shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.audit.vulnerabilities.advisories import affected
from tradewind.audit.vulnerabilities.formats import read_document, recognised
from tradewind.errors import Misuse

GRYPE: dict[str, Any] = {
    "matches": [
        {
            "vulnerability": {
                "id": "GHSA-j8r2-6x86-q33q",
                "dataSource": "https://github.com/advisories/GHSA-j8r2-6x86-q33q",
                "severity": "Medium",
                "cvss": [{"version": "3.1", "metrics": {"baseScore": 6.1}}],
                "fix": {"versions": ["2.31.0"], "state": "fixed"},
            },
            "relatedVulnerabilities": [{"id": "CVE-2023-32681"}],
            "artifact": {"name": "requests", "version": "2.28.1", "type": "python"},
        },
        {
            "vulnerability": {"id": "CVE-2023-52425", "severity": "High", "fix": {"versions": []}},
            "relatedVulnerabilities": [],
            "artifact": {"name": "libexpat1", "version": "2.5.0-1", "type": "deb"},
        },
        {
            "vulnerability": {"id": "CVE-1"},
            "artifact": {"name": "left-pad", "version": "1.0.0", "type": "npm"},
        },
    ],
    "distro": {"name": "debian", "version": "12"},
    "descriptor": {
        "name": "grype",
        "timestamp": "2026-02-02T00:00:00Z",
        "db": {"status": {"built": "2026-02-01T01:02:03Z"}},
    },
}
TRIVY: dict[str, Any] = {
    "SchemaVersion": 2,
    "CreatedAt": "2026-03-04T05:06:07.123456789Z",
    "ArtifactName": "image.tar",
    "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
    "Results": [
        {
            "Target": "image.tar (debian 12.5)",
            "Class": "os-pkgs",
            "Type": "debian",
            "Packages": [
                {"Name": "libexpat1", "Version": "2.5.0", "Release": "1"},
                {"Name": "tar", "Version": "1.34+dfsg", "Release": "1.2", "Epoch": 1},
            ],
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2023-52425",
                    "PkgName": "libexpat1",
                    "InstalledVersion": "2.5.0-1",
                    "FixedVersion": "2.5.0-1+deb12u1",
                    "Severity": "HIGH",
                    "Title": "expat: parsing large tokens",
                    "PrimaryURL": "https://avd.aquasec.com/nvd/cve-2023-52425",
                    "CVSS": {"nvd": {"V3Score": 7.5}, "redhat": {"V3Score": 7.1}},
                }
            ],
        },
        {"Target": "Python", "Type": "python-pkg"},
    ],
}
PIP_AUDIT: dict[str, Any] = {
    "dependencies": [
        {"name": "Flask", "version": "0.5", "vulns": [
            {"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": ["CVE-2019-1010083"]}
        ]},
        {"name": "jinja2", "version": "3.0.2", "vulns": []},
        {"name": "mine", "skip_reason": "Dependency not found on PyPI"},
    ],
    "fixes": [],
}  # fmt: skip


def test_grype() -> None:
    what = read_document(GRYPE)
    assert (what.tool, what.as_of, what.skipped) == ("grype", "2026-02-01T01:02:03Z", 1)
    requests, expat = what.advisories
    assert (requests.ecosystem, requests.severity, requests.score) == ("PyPI", "medium", 6.1)
    assert requests.names == {"GHSA-j8r2-6x86-q33q", "CVE-2023-32681"}
    assert requests.fixed == ("2.31.0",)
    assert expat.ecosystem == "Debian:12"
    assert what.examined == ()


def test_trivy() -> None:
    what = read_document(TRIVY)
    assert (what.tool, what.as_of) == ("trivy", "2026-03-04T05:06:07.123456789Z")
    (expat,) = what.advisories
    assert (expat.ecosystem, expat.package, expat.score) == ("Debian:12", "libexpat1", 7.5)
    assert what.examined == (
        ("Debian:12", "libexpat1", "2.5.0-1"),
        ("Debian:12", "tar", "1:1.34+dfsg-1.2"),
    )


def test_pip_audit_does_not_clear_what_it_skipped() -> None:
    what = read_document(PIP_AUDIT)
    (flask,) = what.advisories
    assert (flask.package, flask.fixed) == ("flask", ("1.0",))
    assert what.examined == (("PyPI", "flask", "0.5"), ("PyPI", "jinja2", "3.0.2"))
    assert what.skipped == 1
    assert what.as_of == ""


@pytest.mark.parametrize("document", [GRYPE, TRIVY, PIP_AUDIT], ids=["grype", "trivy", "pip-audit"])
def test_a_result_speaks_of_the_version_that_was_scanned_alone(document: dict[str, Any]) -> None:
    first = read_document(document).advisories[0]
    assert affected(first, first.versions[0]).answer is True
    for version in ("0.0.1", *first.fixed):
        assert affected(first, version).answer is False


def test_what_is_recognised() -> None:
    assert recognised({"id": "X", "affected": []}) == "osv"
    assert recognised({"dependencies": {"left-pad": "1"}}) == ""
    assert recognised([]) == ""
    with pytest.raises(Misuse, match="pip-audit"):
        read_document({"a": 1}, "file")
    with pytest.raises(Misuse, match="file: matches"):
        read_document({"matches": 3, "descriptor": {}}, "file")


OSV: dict[str, Any] = {
    "id": "X-1",
    "modified": "2026-01-01T00:00:00Z",
    "aliases": ["CVE-1"],
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}],
    "references": [{"type": "WEB", "url": "u:1"}],
    "database_specific": {"severity": "LOW"},
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "x"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            "versions": ["1"],
            "ecosystem_specific": {"imports": [{"modules": ["a"], "attribute": "b"}]},
        }
    ],
}
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, 3, -1.5, True, "", "text", [], [3], [None], {}, {"id": 3}, [{}], [[]]]
)


def places(document: object, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The ways to all values in a document."""
    inner: Any = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [way, *(place for key, value in inner for place in places(value, (*way, key)))]


def changed(document: Any, way: tuple[str | int, ...], value: object) -> Any:
    if not way:
        return value
    copy = document.copy()
    copy[way[0]] = changed(document[way[0]], way[1:], value)
    return copy


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_field_is_read_or_refused(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([GRYPE, TRIVY, PIP_AUDIT, OSV]))
    way = data.draw(st.sampled_from(places(document)))
    try:
        what = read_document(changed(document, way, data.draw(ODD)), "file")
    except Misuse:
        return
    for advisory in what.advisories:
        assert affected(advisory, "1.0").answer in (True, False, None)


@pytest.mark.parametrize("score", [10**400, float("nan"), -1, True], ids=["huge", "nan", "negative", "true"])
def test_a_score_that_is_none_is_not_taken(score):
    match = {**GRYPE["matches"][0]}
    match["vulnerability"] = {**match["vulnerability"], "cvss": [{"metrics": {"baseScore": score}}]}
    (found,) = read_document({**GRYPE, "matches": [match]}).advisories
    assert found.score is None and found.severity == "medium"
