"""SPDX documents, against SPDX's own validator."""

import json

import pytest
from sbom_trees import small_inventory
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from tradewind.audit.inventory.sbom_spdx import spdx

NOW = 1_700_000_000.5


def packages(content):
    return {each["SPDXID"]: each for each in json.loads(content)["packages"]}


@pytest.mark.parametrize("kept", [None, set(), {"lib/libc.so"}], ids=["all", "none", "some"])
def test_the_validator_has_nothing_to_say(kept):
    content = spdx(small_inventory(), name="image", version="1", now=NOW, kept=kept)
    assert validate_full_spdx_document(JsonLikeDictParser().parse(json.loads(content))) == []


def test_the_validator_would_see_what_is_wrong():
    told = json.loads(spdx(small_inventory(), name="image", now=NOW))
    told["relationships"][1]["relatedSpdxElement"] = "SPDXRef-nobody"
    assert validate_full_spdx_document(JsonLikeDictParser().parse(told))


def test_packages_and_relations():
    content = spdx(small_inventory(), name="image", now=NOW)
    found = packages(content)
    pandas = found["SPDXRef-pip-pandas"]
    assert (
        pandas["licenseDeclared"] == "BSD-3-Clause"
        and pandas["externalRefs"][0]["referenceLocator"] == "pkg:pypi/pandas@2"
    )
    assert pandas["checksums"] == [{"algorithm": "SHA256", "checksumValue": "ab" * 32}]
    assert found["SPDXRef-conda-xz"]["licenseComments"] == "Declared as: odd"
    relations = {
        (each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"])
        for each in json.loads(content)["relationships"]
    }
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-audited") in relations
    assert ("SPDXRef-pip-pandas", "DEPENDS_ON", "SPDXRef-apt-python3-numpy") in relations
    carried = "SPDXRef-apt-python3-numpy-pip-numpy-1.24.2"
    assert ("SPDXRef-apt-python3-numpy", "CONTAINS", carried) in relations and carried in found


def test_what_is_removed_is_annotated():
    found = packages(spdx(small_inventory(), name="image", now=NOW, kept={"lib/libc.so"}))
    assert (
        "; kept: 1 files, 6 bytes are kept" in found["SPDXRef-apt-libc6-amd64"]["annotations"][0]["comment"]
    )
    assert "; removed: 0 files" in found["SPDXRef-pip-pandas"]["annotations"][0]["comment"]
    assert (
        "kept"
        not in packages(spdx(small_inventory(), name="i", now=NOW))["SPDXRef-pip-pandas"]["annotations"][0][
            "comment"
        ]
    )


def test_the_same_input_gives_the_same_bytes():
    one, two = (spdx(small_inventory(), name="image", now=NOW) for _ in range(2))
    assert one == two and json.loads(one)["documentNamespace"].startswith("urn:uuid:")
