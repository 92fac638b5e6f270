"""Tar archives: files handed on, links and devices refused, nothing after the end."""

import io
import pickle
import tarfile

import pytest

from tradewind.data.model_files.scanner import scan_bytes

GOOD = pickle.dumps({"a": [1, 2]}, 4)
BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."


def tarred(members, form=tarfile.PAX_FORMAT, **about):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in about.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def rules(content):
    return {finding.rule for finding in scan_bytes(content).findings}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_handed_on(form):
    scan = scan_bytes(tarred({"a.pkl": GOOD, "x" * 150: GOOD} if form else {"a.pkl": GOOD}, form))
    assert (scan.verdict, scan.format) == ("clean", "tar")
    scan = scan_bytes(tarred({"a.pkl": GOOD, "b": BAD}, form))
    assert {finding.where for finding in scan.findings} == {"b"}


def test_what_is_no_file_is_refused():
    assert rules(tarred({"a": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd")) == {"tar-link"}
    assert rules(tarred({"a": b""}, type=tarfile.LNKTYPE, linkname="b")) == {"tar-link"}
    assert rules(tarred({"a": b""}, type=tarfile.CHRTYPE)) == {"tar-device"}
    assert rules(tarred({"a": b""}, type=tarfile.FIFOTYPE)) == {"tar-device"}
    assert rules(tarred({"../a": GOOD})) == {"tar-path"}
    assert rules(tarred({"/a": GOOD})) == {"tar-path"}


def test_what_follows_or_is_cut_is_blocked():
    content = tarred({"a.pkl": GOOD})
    assert rules(content + b"x") == {"tar-trailing"}
    for length in (100, 511, 513, 530, 600):
        assert scan_bytes(content[:length]).verdict != "clean", length
    damaged = bytearray(tarred({"a.pkl": GOOD, "b.pkl": BAD}))
    damaged[1024] ^= 1  # the second header's name: its checksum is wrong, and readers stop before it
    assert "tar-trailing" in rules(bytes(damaged))


def test_two_members_of_one_name():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for content in (GOOD, GOOD):
            member = tarfile.TarInfo("a")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert rules(file.getvalue()) == {"tar-duplicate"}


def test_a_name_that_is_a_pickle_makes_two_formats():
    assert "file-polyglot" in rules(tarred({"cos\nmkdir\n(Vx\ntR.": b""}))
