"""OSV records are read as the schema means them, and doubt is never an answer."""

from __future__ import annotations

from typing import Any

import pytest

from tradewind.audit.vulnerabilities.advisories import Advisory, affected, from_osv, told
from tradewind.errors import Misuse


def record(*ranges: dict[str, Any], versions: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    package = {"ecosystem": more.pop("ecosystem", "PyPI"), "name": more.pop("name", "Some_Package")}
    entry = {"package": package, "ranges": list(ranges), "versions": list(versions)}
    entry.update(more.pop("entry", {}))
    return {"id": "X-1", "modified": "2026-01-02T03:04:05Z", "affected": [entry], **more}


def events(*pairs: tuple[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"type": kind, "events": [{name: version} for name, version in pairs]}


def only(document: dict[str, Any]) -> Advisory:
    (advisory,) = from_osv(document)
    return advisory


FIXED = events(("introduced", "4.0"), ("fixed", "4.3"), ("introduced", "5.0"), ("fixed", "5.2"))
ALL = events(("introduced", "0"))
LAST = events(("introduced", "0"), ("last_affected", "1.11.0"))
LIMIT = events(("introduced", "1.0"), ("limit", "2.0"))
MENDED_AND_BROKEN = events(("introduced", "1"), ("fixed", "5"), ("introduced", "5"), ("fixed", "6"))
SHUFFLED = events(("fixed", "5.2"), ("introduced", "5.0"), ("fixed", "4.3"), ("introduced", "4.0"))


@pytest.mark.parametrize(
    ("ranges", "version", "answer"),
    [
        (FIXED, "3.9", False),
        (FIXED, "4.0", True),
        (FIXED, "4.3", False),
        (FIXED, "4.3rc1", True),
        (FIXED, "5.1.9", True),
        (FIXED, "1!4.1", False),
        (SHUFFLED, "5.1", True),
        (SHUFFLED, "4.5", False),
        (ALL, "0.0.1", True),
        (LAST, "1.11.0", True),
        (LAST, "1.11.0+cpu", True),
        (LAST, "1.11.0.post1", False),
        (LIMIT, "1.5", True),
        (LIMIT, "2.0", False),
        (MENDED_AND_BROKEN, "5", True),
        (events(("introduced", "2019-09-12x")), "1.0", None),
        (events(("introduced", "0"), ("fixed", "abc"), kind="GIT"), "1.0", None),
        (events(("introduced", "1.2.0"), ("fixed", "1.3.0"), kind="SEMVER"), "1.2.5", True),
        (FIXED, "no version", None),
    ],
    ids=str,
)
def test_ranges(ranges: dict[str, Any], version: str, answer: bool | None) -> None:
    assert affected(only(record(ranges)), version).answer is answer


def test_only_commits_are_no_answer_but_commits_beside_versions_are_none_needed() -> None:
    commits = events(("introduced", "0"), ("fixed", "b42dd4b"), kind="GIT")
    doubt = affected(only(record(commits)), "1.0")
    assert doubt.answer is None
    assert "GIT" in doubt.why
    assert affected(only(record(commits, FIXED)), "6.0").answer is False
    assert affected(only(record(commits, versions=("2.0",))), "2.0").answer is True
    assert affected(only(record(commits, versions=("2.0",))), "2.1").answer is False
    assert affected(only(record()), "1.0").answer is None


def test_versions_by_name_are_those_that_no_range_holds() -> None:
    advisory = only(record(FIXED, versions=("4.0", "4.1", "7.0", "trunk")))
    assert advisory.versions == ("7.0", "trunk")
    assert affected(advisory, "7.0.0").answer is True
    assert affected(advisory, "trunk").answer is True
    assert affected(advisory, "4.1").answer is True
    assert advisory.fixed == ("4.3", "5.2")


def test_what_is_withdrawn_matches_nothing() -> None:
    advisory = only(record(ALL, versions=("1.0",), withdrawn="2024-05-05T00:00:00Z"))
    assert affected(advisory, "1.0").answer is False


def test_debian_ranges_are_in_dpkgs_order() -> None:
    ranges = events(("introduced", "0"), ("fixed", "2.5.0-1+deb12u2"))
    advisory = only(record(ranges, ecosystem="Debian:12", name="expat"))
    assert affected(advisory, "2.5.0-1+deb12u1").answer is True
    assert affected(advisory, "2.5.0-1+deb12u10").answer is False


def test_a_record_of_several_packages_is_one_advisory_each() -> None:
    document = record(ALL)
    document["affected"] += [
        {"package": {"ecosystem": "PyPI", "name": "some.package"}, "versions": ["9"]},
        {"package": {"ecosystem": "npm", "name": "other"}, "ranges": [ALL]},
        {"ranges": [events(("introduced", "0"), kind="GIT")]},
    ]
    first, second = from_osv(document)
    assert (first.ecosystem, first.package) == ("PyPI", "some-package")
    assert (second.ecosystem, second.package) == ("npm", "other")


def test_all_fields() -> None:
    advisory = only(
        record(
            FIXED,
            aliases=["CVE-2026-1"],
            details="First sentence. " + "x" * 500,
            severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            references=[{"type": "WEB", "url": "u:1"}, {"type": "ADVISORY", "url": "u:2"}, {"url": "u:3"}],
            entry={"ecosystem_specific": {"imports": [{"modules": ["a.b"], "attribute": "c"}]}},
        )
    )
    assert advisory.package == "some-package"
    assert advisory.names == {"X-1", "CVE-2026-1"}
    assert (advisory.severity, advisory.score) == ("critical", 9.8)
    assert advisory.summary == "First sentence."
    assert advisory.references == ("u:2", "u:1")
    assert advisory.imports[0].modules == ("a.b",)
    assert advisory.imports[0].attribute == "c"
    assert told(advisory.ranges[0]) == ">=4.0 <4.3, >=5.0 <5.2"
    rated = only(record(FIXED, database_specific={"severity": "MODERATE"}))
    assert (rated.severity, rated.score) == ("medium", None)


@pytest.mark.parametrize(
    "damaged",
    [{}, {"id": 3}, {"id": "X", "affected": {}}, {"id": "X", "affected": [{"package": {"name": 1}}]}],
    ids=str,
)
def test_what_is_no_record_is_refused(damaged: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match="dump"):
        from_osv(damaged, "dump")
