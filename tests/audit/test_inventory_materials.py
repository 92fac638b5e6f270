"""What bills of materials say of packages: URLs, licences, evidence."""

import pytest
from inventory_trees import InMemory
from packageurl import PackageURL

from tradewind.audit.inventory.materials import (
    carried_purl,
    dependencies_of,
    evidence_of,
    identity,
    moment,
    purl_of,
    spdx_license,
)
from tradewind.audit.packages import Inventory, Package, Requirement

DEBIAN = {"ID": "debian", "VERSION_ID": "12"}


@pytest.mark.parametrize(
    ("package", "parts"),
    [
        (
            Package(
                "apt",
                "libstdc++6",
                "1:12.2.0-14+b1~x",
                architecture="amd64",
                source="gcc",
                source_version="12",
            ),
            (
                "deb",
                "debian",
                "libstdc++6",
                "1:12.2.0-14+b1~x",
                {"arch": "amd64", "distro": "debian-12", "upstream": "gcc@12"},
            ),
        ),
        (Package("pip", "zope-event", "4.0+local.1"), ("pypi", None, "zope-event", "4.0+local.1", {})),
        (
            Package("conda", "libblas", "3.9", architecture="linux-64"),
            ("conda", None, "libblas", "3.9", {"subdir": "linux-64"}),
        ),
    ],
)
def test_package_urls_are_those_of_the_reference(package, parts):
    kind, space, name, version, qualifiers = parts
    assert purl_of(package, DEBIAN) == PackageURL(kind, space, name, version, qualifiers).to_string()


def test_a_source_of_the_same_name_and_version_is_not_told():
    package = Package("apt", "bash", "5", source="bash", source_version="5", architecture="amd64")
    assert purl_of(package, {}) == "pkg:deb/debian/bash@5?arch=amd64"
    assert carried_purl("pip:numpy==1.24.2") == ("numpy", "1.24.2", "pkg:pypi/numpy@1.24.2")


def test_licences_are_expressions_or_none():
    assert spdx_license("mit or apache-2.0") == "MIT OR Apache-2.0"
    assert spdx_license("BSD License") is None and spdx_license("") is None


def test_evidence_counts_files_and_bytes():
    tree = InMemory({"a.py": b"123", "info": b"12345", "other": b"1"}).tree
    packages = {
        "pip:a": Package("pip", "a", "1", files=("a.py", "info"), records=("info",)),
        "apt:meta": Package("apt", "meta", "1", records=("other",)),
    }
    inventory = Inventory(tree, packages)

    def told(key, kept):
        found = evidence_of(inventory, key, kept)
        return found.status, found.files, found.bytes, found.kept_files, found.kept_bytes

    assert told("pip:a", None) == ("present", 2, 8, 2, 8)
    assert told("pip:a", {"a.py"}) == ("kept", 2, 8, 1, 3)
    assert told("pip:a", {"info"}) == ("records-only", 2, 8, 1, 5)
    assert told("pip:a", set()) == ("removed", 2, 8, 0, 0)
    assert told("apt:meta", {"other"})[0] == "kept" and told("apt:meta", set())[0] == "removed"


def test_dependencies_leave_out_extras_absent_ones_and_oneself():
    requires = (
        Requirement(("b",)),
        Requirement(("c",), "extra:x"),
        Requirement(("none",)),
        Requirement(("a",)),
    )
    packages = {f"pip:{name}": Package("pip", name, "1") for name in "bc"}
    packages["pip:a"] = Package("pip", "a", "1", requires=requires)
    found = dependencies_of(Inventory(InMemory({}).tree, packages))
    assert found == {"pip:a": ("pip:b",), "pip:b": (), "pip:c": ()}


def test_moments_and_identities_are_the_same_again():
    assert moment(86_400.9) == "1970-01-02T00:00:00Z"
    assert identity(b"a") == identity(b"a") != identity(b"b")


def test_names_that_are_no_text_still_have_a_package_url():
    told = purl_of(Package("apt", "a\udcc7", "1\udcff", architecture="amd64"), {})
    assert told == "pkg:deb/debian/a%3F@1%3F?arch=amd64"
