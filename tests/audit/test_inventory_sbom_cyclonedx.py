"""CycloneDX documents, against the published schema."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from inventory_trees import InMemory
from sbom_trees import SITE, small_inventory

from tradewind.audit.inventory.sbom_cyclonedx import cyclonedx
from tradewind.audit.inventory.sbom_spdx import spdx
from tradewind.audit.inventory.taking import take_inventory

NOW = 1_700_000_000.5


def problems(content):
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode())


def components(content):
    return {each["bom-ref"]: each for each in json.loads(content)["components"]}


def told(component):
    return {each["name"].removeprefix("tradewind:"): each["value"] for each in component["properties"]}


@pytest.mark.parametrize(
    "kept", [None, set(), {"lib/libc.so", "app/pandas-2.dist-info/METADATA"}], ids=["all", "none", "some"]
)
def test_the_schema_holds(kept):
    assert problems(cyclonedx(small_inventory(), name="image", version="1", now=NOW, kept=kept)) is None


def test_the_schema_would_see_what_is_wrong():
    whole = cyclonedx(small_inventory(), name="image", now=NOW)
    assert problems(whole.replace(b'"library"', b'"no type"', 1)) is not None


def test_components_dependencies_and_what_is_carried():
    content = cyclonedx(small_inventory(), name="image", now=NOW)
    found = components(content)
    assert set(found) == {"apt:libc6@amd64", "apt:libc6@i386", "apt:python3-numpy", "conda:xz", "pip:pandas"}
    numpy = found["apt:python3-numpy"]
    told_url = "pkg:deb/debian/python3-numpy@1:1.24.2-1?arch=amd64&distro=debian-12&upstream="
    assert numpy["purl"] == f"{told_url}numpy%401:1.24.2-1"
    assert [each["purl"] for each in numpy["components"]] == ["pkg:pypi/numpy@1.24.2"]
    assert found["pip:pandas"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert found["pip:pandas"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert found["conda:xz"]["licenses"] == [{"license": {"name": "odd"}}]
    edges = {each["ref"]: each.get("dependsOn") for each in json.loads(content)["dependencies"]}
    assert edges["pip:pandas"] == ["apt:python3-numpy"] and edges["apt:python3-numpy"] == ["apt:libc6@amd64"]
    assert set(edges["audited"]) == set(found)
    assert "status" not in told(numpy) and "scope" not in numpy and told(numpy)["files"] == "2"
    assert any("Java" in each["value"] for each in json.loads(content)["metadata"]["properties"])


def test_what_is_removed_is_named_as_such():
    kept = {"lib/libc.so", "app/pandas-2.dist-info/METADATA", f"{SITE}/none"}
    found = components(cyclonedx(small_inventory(), name="image", now=NOW, kept=kept))
    libc, pandas, numpy = (told(found[key]) for key in ("apt:libc6@amd64", "pip:pandas", "apt:python3-numpy"))
    assert (libc["status"], libc["files"], libc["kept-files"], libc["kept-bytes"]) == ("kept", "2", "1", "6")
    assert pandas["status"] == "records-only" and numpy["status"] == "removed" and numpy["kept-bytes"] == "0"
    assert (
        found["apt:python3-numpy"]["scope"] == "excluded" and found["apt:libc6@amd64"]["scope"] == "required"
    )


def test_the_same_input_gives_the_same_bytes():
    one, two = (cyclonedx(small_inventory(), name="image", now=NOW) for _ in range(2))
    assert one == two
    other = cyclonedx(small_inventory(), name="another", now=NOW)
    assert json.loads(one)["serialNumber"] != json.loads(other)["serialNumber"]
    assert json.loads(one)["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("write", [cyclonedx, spdx], ids=["CycloneDX", "SPDX"])
def test_names_that_are_no_text_are_told_with_question_marks(write):
    status = b"Package: a\xc7\nStatus: install ok installed\nArchitecture: \xff\nVersion: 1\xff\n"
    site = "usr/lib/python3/\udcff/site-packages"
    metadata = b"Name: b\xff\nVersion: 2\xff\nRequires-Dist: c\xff\n"
    found = take_inventory(
        InMemory({"var/lib/dpkg/status": status, f"{site}/b-2.dist-info/METADATA": metadata})
    )
    told = json.loads(write(found, name="x", now=0.0))
    packages = told.get("components") or told["packages"]
    assert {each["name"]: each.get("versionInfo") or each.get("version") for each in packages}.items() >= {
        ("a?", "1?"), ("b?", "2?")
    }  # fmt: skip
