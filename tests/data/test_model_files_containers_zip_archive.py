"""Members of zips are handed on whole; encrypted, linked and damaged ones are told."""

import io
import pickle
import stat
import zipfile

import pytest

from tradewind.data.model_files.containers.zip_archive import READING
from tradewind.data.model_files.inspection import Budget
from tradewind.data.model_files.scanner import scan_bytes

GOOD = pickle.dumps({"a": [1, 2]}, 4)
BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."


def zipped(members, compression=8):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def rules(content, **options):
    return {finding.rule for finding in scan_bytes(content, **options).findings}


@pytest.mark.parametrize("compression", [0, 8, 12, 14])
def test_every_method_that_zipfile_writes(compression):
    assert scan_bytes(zipped({"a.pkl": GOOD, "b.bin": GOOD}, compression)).verdict == "clean"
    scan = scan_bytes(zipped({"a.pkl": GOOD, "deep/b": BAD}, compression))
    assert {finding.where for finding in scan.findings} == {"deep/b"}
    assert scan.verdict == "blocked"


def test_zips_in_zips_name_the_way():
    scan = scan_bytes(zipped({"in.zip": zipped({"m": BAD})}))
    assert {finding.where for finding in scan.findings} == {"in.zip!m"}


def test_a_wrong_checksum_is_told_and_the_member_read_all_the_same():
    content = zipped({"a.pkl": BAD}, 0)
    at = content.index(BAD) + BAD.index(b"x\x85")
    changed = content[:at] + b"y" + content[at + 1 :]
    assert rules(changed) == {"zip-checksum", "pickle-global", "pickle-call"}


def test_encrypted_members_are_blocked():
    content = bytearray(zipped({"a.pkl": GOOD}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert rules(bytes(content)) == {"zip-encrypted"}


def test_links_are_blocked():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        about = zipfile.ZipInfo("link")
        about.create_system = 3
        about.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(about, "/etc/passwd")
    assert rules(file.getvalue()) == {"zip-link"}


def test_unknown_methods_are_undecided():
    content = bytearray(zipped({"a.pkl": GOOD}))
    content[8] = 99
    content[content.index(b"PK\x01\x02") + 10] = 99
    assert rules(bytes(content)) == {"zip-method"}
    assert scan_bytes(bytes(content)).verdict == "undecided"


def test_bombs_stop_at_the_budget():
    assert "scan-budget" in rules(zipped({"a": bytes(20 << 20)}), budget=Budget(unpacked=1 << 20))
    many = zipped({str(each): b"" for each in range(50)})
    assert scan_bytes(many, budget=Budget(members=10)).verdict != "clean"


def test_no_cut_is_clean():
    content = zipped({"a.pkl": GOOD, "b/c": GOOD})
    for length in range(len(content)):
        assert scan_bytes(content[:length]).verdict != "clean", length


def test_every_rule_says_what_it_is():
    assert all(rule.meaning.endswith(".") and rule.fix for rule in READING.rules.values())
