"""`tradewind audit scan` on a small root: what it tells, its JSON, its bills of materials."""

import json

import pytest

from tradewind.cli.main import main
from tradewind.testing.images import small_root


@pytest.fixture
def root(tmp_path):
    return str(small_root(tmp_path / "root"))


def test_packages_sizes_and_what_no_run_needs_are_told(root, capsys):
    assert main(["audit", "scan", root]) == 0
    out = capsys.readouterr().out
    assert "kind: directory" in out and "apt:libdemo1" in out and "pip:wheely" in out and "tests" in out
    assert main(["audit", "scan", root, "--json", "--gpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["image"] == root and told["facts"]["kind"] == "directory" and told["gpu"] == {}
    assert {each["key"] for each in told["packages"]} == {"apt:demo", "apt:libdemo1", "pip:wheely"}
    assert sum(each["bytes"] for each in told["packages"]) + told["unowned_bytes"] == told["bytes"]
    for each in told["packages"]:
        assert any(each["key"] in line and str(each["files"]) in line for line in out.splitlines())


@pytest.mark.parametrize(("form", "names"), [("cyclonedx", "components"), ("spdx", "packages")])
def test_a_bill_of_materials_is_written_or_shown(root, tmp_path, capsys, form, names):
    path = tmp_path / "bill.json"
    assert main(["audit", "scan", root, "--sbom", form, "--to", str(path)]) == 0
    assert f"Bill of materials: {path}" in capsys.readouterr().out
    found = {each["name"] for each in json.loads(path.read_text())[names]}
    assert {"demo", "libdemo1", "wheely"} <= found
    assert main(["audit", "scan", root, "--sbom", form]) == 0
    assert names in json.loads(capsys.readouterr().out)


def test_what_is_no_image_is_misuse(tmp_path, capsys):
    (tmp_path / "file").write_text("no archive")
    for image in ("", str(tmp_path / "none"), str(tmp_path / "file")):
        assert main(["audit", "scan", image]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
