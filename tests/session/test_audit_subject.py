"""What is audited, opened: facts, packages, runs, and what is asked for too early."""

import pytest

from audited_root import as_layout, runnable_root
from tradewind.errors import Misuse
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record
from tradewind.session.audit.subject import facts_of, open_subject
from tradewind.testing.images import small_root


def test_a_directory_has_packages_and_no_runs(tmp_path):
    read = []
    with open_subject(str(small_root(tmp_path / "r")), told=read.append) as subject:
        assert dict(facts_of(subject))["kind"] == "directory"
        inventory = subject.inventory
        packages = sum(inventory.bytes_of(key) for key in inventory.packages)
        assert packages + subject.tree.bytes_of(inventory.unowned) == subject.tree.bytes > 0
        assert subject.runs == () and subject.kept() is None
        assert subject.question().package("wheely")
        for early in (subject.needs_runs, lambda: subject.closure):
            with pytest.raises(Misuse, match="Record one first"):
                early()


def test_there_must_be_something_to_audit(tmp_path):
    for image, profile in (("", None), (str(tmp_path / "none"), None), ("", tmp_path / "none")):
        with pytest.raises(Misuse), open_subject(image, profile):
            pass


@pytest.mark.root
def test_a_profile_knows_its_image_and_none_else(tmp_path):
    root = runnable_root(tmp_path / "root")
    layout = as_layout(root, tmp_path / "image.oci")
    with open_subject(str(layout)) as subject:
        record(subject, tmp_path / "p", make_audit_spec({"run": [{"command": "cat /etc/motd"}]}))
        facts = dict(facts_of(subject))
        assert facts["kind"] == "OCI layout" and facts["layers"] == "1" and facts["reference"] == "latest"
    with open_subject("", tmp_path / "p") as subject:
        assert subject.kept() >= {"bin/busybox", "etc/motd"}
        assert "usr/share/waste/pile" not in subject.kept()
        assert any("run-1 opened it" in each for each in subject.question().path("/etc/motd"))
    with open_subject(str(root), tmp_path / "p") as subject:
        assert len(subject.runs) == 1, "the same tree under another name"
    (root / "etc/motd").write_text("changed\n")
    with open_subject(str(root), tmp_path / "p") as subject, pytest.raises(Misuse, match="another tree"):
        subject.question()
