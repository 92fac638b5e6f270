"""A report of an image has each section that there is something for, and its sums hold."""

import pytest
from audited_roots import profiled

from tradewind.audit.verification.comparing import Bounds, Difference
from tradewind.audit.verification.proof import Check, Coverage, Missed, Proof, Side, sealed
from tradewind.session.audit.subject import open_subject
from tradewind.session.audit.telling import audit_report, verification_section
from tradewind.session.audit.vulnerable import vulnerable
from tradewind.session.report.audit.page import audit_page


@pytest.fixture
def proof():
    same = Side(0, "sha256:a", (), {}, 0.5)
    checks = (
        Check("first", ("demo",), 0, same, same, ()),
        Check(
            "second",
            ("demo",),
            0,
            same,
            Side(1, "sha256:b", (), {}, 0.1),
            (Difference("exit code", "0", "1"),),
        ),
    )
    missed = (Missed("usr/bin/demo", True), Missed("etc/passwd", False, "kept by system"))
    coverage = Coverage(statement="The last run still added 1 file: record more.")
    return sealed(
        Proof(
            made="2026-11-22", tradewind="1", original="o", slim="s", removed="r", policy="p",
            bounds=Bounds(), checks=checks, negative=missed, coverage=coverage,
        )
    )  # fmt: skip


def test_without_runs_only_the_inventory_is_told(tmp_path):
    root, _ = profiled(tmp_path)
    with open_subject(str(root)) as subject:
        report = audit_report(subject)
    assert report.bloat is None and report.runs is None and report.verification is None
    assert {line.key for line in report.inventory.packages} >= {"apt:demo", "pip:wheely"}
    assert (
        report.subject.bytes
        == sum(p.bytes for p in report.inventory.packages) + report.inventory.unowned_bytes
    )


def test_with_runs_and_a_proof_all_is_told(tmp_path, proof):
    root, profile = profiled(tmp_path)
    profile.prove(proof)
    with open_subject(str(root), profile.folder) as subject:
        found = vulnerable(subject, folder=tmp_path)
        report = audit_report(subject, found=found)
        assert report.slim.kept_bytes + report.slim.removed_bytes == subject.tree.bytes
    assert [line.name for line in report.runs.runs] == ["first", "second"]
    assert [line.new_files for line in report.runs.runs] == [2, 1]
    assert report.verification.passed is False and report.vulnerabilities is not None
    assert {rule.rule for rule in report.slim.rules} >= {"traced", "interpreter"}
    page = audit_page(report)
    for text in ("Proof that it still works", "Runs and what they cover", "apt:demo", "exit code: 0 / 1"):
        assert text in page


def test_a_verification_in_rows(proof):
    section = verification_section(proof)
    assert [line.mark for line in section.checks] == ["good", "bad", "good", "unsure"]
    assert section.checks[1].told == "exit code: 0 / 1" and section.checks[3].told == "kept by system"
    assert any("record more" in each for each in section.statements)
