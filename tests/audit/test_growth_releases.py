"""Releases: one comparable file for each version, in order of versions."""

import pytest

from tradewind.audit.growth.releases import Distribution, listed, releases
from tradewind.errors import Misuse

FILES = [
    Distribution("Torch-1.10.0-cp38-cp38-manylinux1_x86_64.whl", 90),
    Distribution("torch-1.10.0-cp39-cp39-manylinux1_x86_64.whl", 95),
    Distribution("torch-1.10.0-cp39-cp39-macosx_11_0_arm64.whl", 400),
    Distribution("torch-1.9.0-py3-none-any.whl", 5),
    Distribution("torch-1.9.0.tar.gz", 70),
    Distribution("torch-1.2.tar.gz", 3),
    Distribution("torch-2.0rc1-cp39-cp39-win_amd64.whl", 8),
    Distribution("torch-3.0.tar.gz", 8, yanked=True),
    Distribution("torchvision-1.9.0.tar.gz", 999),
    Distribution("notes.txt", 1),
]


def test_each_version_has_one_file_to_compare():
    told = [(r.version, r.form, r.chosen.size, r.files) for r in releases(FILES, "torch")]
    assert told == [("1.2", "sdist", 3, 1), ("1.9.0", "wheel", 5, 2), ("1.10.0", "wheel", 95, 2)]


def test_another_machine_can_be_asked_for():
    told = releases(FILES, "torch", platform="macosx", machine="arm64")
    assert told[-1].chosen.size == 400


def test_a_page_of_an_index_is_read():
    file = {"filename": "a-1.tar.gz", "size": 7, "upload-time": "2024-01-02T03:04:05Z", "yanked": "broken"}
    assert listed({"files": [file]}, "page") == [Distribution("a-1.tar.gz", 7, 1704164645.0, yanked=True)]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "files"),
        ({"files": [3]}, "files[0]"),
        ({"files": [{"filename": "a"}]}, "files[0].size"),
        ({"files": [{"filename": "a", "size": 1, "upload-time": "soon"}]}, "files[0].upload-time"),
    ],
)
def test_another_document_is_refused(document, field):
    with pytest.raises(Misuse) as caught:
        listed(document, "page.json")
    assert caught.value.field == field and caught.value.source == "page.json"


@pytest.mark.parametrize("name", ["a-{}-py3-none-any.whl", "a-{}.tar.gz"], ids=["wheel", "source"])
def test_a_version_of_very_many_digits_is_left_out(name):
    assert releases([Distribution(name.format("1" * 5000), 1)], "a") == []
