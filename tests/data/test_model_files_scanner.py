"""The scanner as a whole: verdicts on bytes, files and folders; never clean by default."""

import hashlib
import io
import os
import pickle
import random
import re
import resource
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files import identification, scanner
from tradewind.data.model_files.inspection import Allowed, Budget, Reading
from tradewind.data.model_files.scanner import every_rule, scan_bytes, scan_file, scan_folder
from tradewind.errors import Misuse

GOOD = pickle.dumps({"a": [1, 2]}, 4)
BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."


def test_a_file_is_judged_by_its_bytes(tmp_path):
    for name in ("model.pkl", "model.safetensors", "model.txt", "model"):
        (tmp_path / name).write_bytes(BAD)
        scan = scan_file(tmp_path / name)
        assert (scan.verdict, scan.format, scan.size) == ("blocked", "pickle", len(BAD))
        assert scan.digest == hashlib.sha256(BAD).hexdigest()
        assert scan.path == str(tmp_path / name)
    (tmp_path / "model.pkl").write_bytes(GOOD)
    assert scan_file(tmp_path / "model.pkl").verdict == "clean"


def test_large_files_are_read_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.setattr(scanner, "_SMALL", 10)
    path = tmp_path / "x.pkl"
    for content in (GOOD, BAD, pickle.dumps(bytes(500_000)) + GOOD):
        path.write_bytes(content)
        whole, piecewise = scan_bytes(content, str(path)), scan_file(path)
        assert piecewise == whole


def test_what_is_no_file_is_misuse(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe"):
        with pytest.raises(Misuse):
            scan_file(path)
    with pytest.raises(Misuse):
        scan_folder(tmp_path / "missing")


def test_folders_are_scanned_whole_and_links_refused(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "good.pkl").write_bytes(GOOD)
    (tmp_path / "deep" / "bad.pkl").write_bytes(BAD)
    (tmp_path / "link.pkl").symlink_to(tmp_path / "good.pkl")
    (tmp_path / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    found = {os.path.relpath(scan.path, tmp_path): scan for scan in scan_folder(tmp_path)}
    assert {name: scan.verdict for name, scan in found.items() if name != "."} == {
        "deep/bad.pkl": "blocked", "folder": "blocked", "good.pkl": "clean", "link.pkl": "blocked",
        "pipe": "blocked",
    }  # fmt: skip
    assert found["link.pkl"].findings[0].rule == "folder-link"
    assert found["pipe"].findings[0].rule == "folder-special"


def test_what_is_unknown_or_empty_is_never_clean():
    random.seed(3)
    for content in (b"", b"\xfe" * 50, random.randbytes(5000), b"\0" * 100):
        assert scan_bytes(content).verdict != "clean"


def test_two_formats_at_once_are_blocked():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "file-polyglot" in {each.rule for each in scan_bytes(GOOD + file.getvalue()).findings}
    assert scan_bytes(GOOD + file.getvalue()).verdict == "blocked"


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, KeyError, OSError])
def test_no_fault_of_a_reading_is_clean(monkeypatch, error):
    def fails(*_):
        raise error("x")

    for reading in (Reading("x", fails, fails), Reading("x", lambda _: True, fails)):
        monkeypatch.setattr(identification, "READINGS", (*identification.READINGS, reading))
        assert scan_bytes(GOOD).verdict != "clean"


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x93NUMPY\x01\0",
b"BZh9",
                                                 b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0",
                                                 b"\x78\x9c"]))  # fmt: skip
def test_random_bytes_never_fail(tail, head):
    assert "scan-fault" not in {each.rule for each in scan_bytes(head + tail).findings}


def test_nothing_is_allowed_without_a_list():
    ordered = b"\x80\x02ccollections\nOrderedDict\n)R."
    assert scan_bytes(ordered).verdict == "clean"
    assert scan_bytes(ordered, allowed=Allowed()).verdict == "blocked"


def test_a_spent_budget_is_undecided():
    scan = scan_bytes(pickle.dumps([None, 1] * 300), budget=Budget(opcodes=50))
    assert (scan.verdict, scan.findings[0].rule) == ("undecided", "scan-budget")


def test_a_spent_budget_is_spent_for_all_members():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", 8) as archive:
        for index in range(40):
            archive.writestr(str(index), pickle.dumps([None, True] * 20_000))
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    scan = scan_bytes(file.getvalue(), budget=Budget(opcodes=60_000))
    assert scan.verdict == "undecided"
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun < 1.0
    )  # all of them would take ten times that


def test_every_rule_has_a_name_a_meaning_and_a_fix():
    rules = every_rule()
    assert len(rules) > 60
    for name, rule in rules.items():
        assert rule.id == name and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)
        assert rule.meaning.endswith(".") and (rule.fix or rule.level == "note"), name
