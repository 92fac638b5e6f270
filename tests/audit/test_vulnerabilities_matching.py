"""Packages match the advisories that speak of them, and those alone."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.trees import Tree
from tradewind.audit.vulnerabilities.advisories import Advisory, Event, Range
from tradewind.audit.vulnerabilities.matching import Matching, match, spoken_of
from tradewind.audit.vulnerabilities.sources import Database, Source
from tradewind.audit.vulnerabilities.stored import shipped

NOW = 1_790_000_000.0


def inventory(*packages: Package) -> Inventory:
    return Inventory(Tree([]), {package.key: package for package in packages})


def of(database: Database, *packages: Package, system: str = "Debian:12", days: float = 1e6) -> Matching:
    return match(inventory(*packages), database, NOW, system, days)


def snapshot() -> list[dict[str, Any]]:
    folder = files("tradewind.audit.vulnerabilities") / "shipped"
    lines = gzip.decompress((folder / "pypa-2024-10.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines[1:]]


def overlay() -> list[dict[str, Any]]:
    folder = files("tradewind.audit.vulnerabilities") / "shipped"
    return [json.loads(line) for line in (folder / "ml_overlay.jsonl").read_text().splitlines()]


def intervals(events: list[list[str]]) -> list[SpecifierSet]:
    """Ranges as pip writes them: an independent reading of introduced and fixed in turn."""
    found, low = [], ""
    for kind, version in events:
        if kind == "introduced":
            low = "" if version == "0" else f">={version}"
            found.append(SpecifierSet(low))
        else:
            sign = "<" if kind == "fixed" else "<="
            found[-1] = SpecifierSet(f"{low},{sign}{version}" if low else f"{sign}{version}")
    return found


@pytest.mark.parametrize(
    ("name", "version", "at_least"),
    [
        ("pillow", "9.5.0", 2),
        ("requests", "2.28.1", 1),
        ("starlette", "0.26.1", 1),
        ("torch", "2.5.1+cpu", 2),
    ],
)
def test_golden_matches_of_the_shipped_advisories(name: str, version: str, at_least: int) -> None:
    expected = set()
    for each in snapshot():
        if each["package"] != name or each.get("withdrawn"):
            continue
        held = version in each.get("versions", ())
        for one in each.get("ranges", ()):
            held |= any(
                s.contains(Version(version).public, prereleases=True) for s in intervals(one["events"])
            )
        if held:
            expected.add(each["id"])
    for each in overlay():
        (entry,) = each["affected"]
        pairs = [[kind, v] for event in entry["ranges"][0]["events"] for kind, v in event.items()]
        if entry["package"]["name"] == name and any(
            s.contains(Version(version).public, prereleases=True) for s in intervals(pairs)
        ):
            expected.add(each["id"])
    found = of(shipped(), Package("pip", name, version)).matches
    assert {each.advisory.id for each in found} == expected
    assert len(expected) >= at_least
    assert all(each.certain for each in found)


def test_the_sound_version_of_a_package_matches_nothing() -> None:
    matching = of(shipped(), Package("pip", "starlette", "0.40.0"), Package("pip", "requests", "2.32.0"))
    assert matching.matches == ()
    assert matching.cleared == {"pip:requests": "pypa-2024-10", "pip:starlette": "pypa-2024-10"}


def test_an_old_snapshot_still_matches_and_no_longer_clears() -> None:
    matching = of(shipped(), Package("pip", "requests", "2.28.1"), Package("pip", "nothing", "1"), days=30)
    assert [each.package for each in matching.matches] == ["pip:requests"]
    assert matching.cleared == {}
    assert set(matching.unknown) == {"pip:requests", "pip:nothing"}
    assert "2024-10-10" in matching.unknown["pip:nothing"]


def test_packages_without_a_source_are_unknown() -> None:
    matching = of(shipped(), Package("apt", "libc6", "2.36-9"), Package("conda", "mkl", "2024.0"))
    assert matching.unknown == {
        "apt:libc6": "no source tells all about Debian:12",
        "conda:mkl": "no source tells all about this kind of package",
    }


def since(low: str, fixed: str) -> tuple[Range, ...]:
    return (Range((Event("introduced", low), Event("fixed", fixed))),)


def test_debian_packages_are_looked_up_by_their_source_and_its_version() -> None:
    expat = Package("apt", "libexpat1", "2.5.0-1+b2", source="expat", source_version="2.5.0-1")
    mine = Advisory("A-1", "Debian:12", "expat", ranges=since("0", "2.5.0-1+deb12u2"))
    other = Advisory("A-2", "Debian:11", "expat", ranges=since("0", "9"))
    binary = Advisory("A-3", "Debian:12", "libexpat1", versions=("2.5.0-1+b2",))
    database = Database(
        [(Source(name="d", as_of="2026-09-01", covers=("Debian:12",)), [mine, other, binary])]
    )
    assert spoken_of(expat) == ("expat", "2.5.0-1")
    assert [each.advisory.id for each in of(database, expat).matches] == ["A-1", "A-3"]
    assert of(database, Package("apt", "zlib1g", "1:1.2")).cleared == {"apt:zlib1g": "d"}


def test_sources_that_mean_the_same_make_one_match() -> None:
    first = Advisory("PYSEC-1", "PyPI", "x", aliases=("CVE-1", "GHSA-1"), ranges=since("0", "2"))
    second = Advisory("GHSA-1", "PyPI", "x", ranges=since("0", "2.1"), severity="high", score=8.0)
    apart = Advisory("CVE-9", "PyPI", "x", ranges=since("0", "3"))
    database = Database([(Source(name="a"), [first]), (Source(name="b"), [second, apart])])
    found = of(database, Package("pip", "x", "1.0")).matches
    assert [each.advisory.id for each in found] == ["CVE-9", "GHSA-1"]
    assert found[1].sources == ("a", "b")
    assert set(found[1].names) == {"PYSEC-1", "CVE-1", "GHSA-1"}
    assert set(found[1].fixed) == {"2", "2.1"}


def test_a_copy_inside_a_python_package_counts_and_one_inside_debians_does_not() -> None:
    database = Database([(Source(name="a"), [Advisory("A", "PyPI", "wheel", ranges=since("0", "0.38.1"))])])
    carrier = Package("pip", "setuptools", "65.0", carries=("pip:wheel==0.37.1",))
    (found,) = of(database, carrier).matches
    assert found.why == "carries wheel 0.37.1"
    debian = Package("apt", "python3-wheel", "0.37.1-2", carries=("pip:wheel==0.37.1",))
    assert of(database, debian).matches == ()


def test_only_commits_make_a_match_that_is_not_certain() -> None:
    doubt = Advisory("A", "PyPI", "x", ranges=(Range((), "GIT"),))
    database = Database([(Source(name="a", as_of="2026-09-01", covers=("PyPI",)), [doubt])])
    matching = of(database, Package("pip", "x", "1.0"))
    (found,) = matching.matches
    assert not found.certain
    assert matching.cleared == {}
