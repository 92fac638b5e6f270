"""One zip for every reader: the directory and the members' own headers agree, and nothing is left over."""

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.containers.zip_directory import Doubt, looks_like_zip, members_of
from tradewind.data.model_files.inspection import Source


class Unseekable(io.BytesIO):
    def seek(self, *_):
        raise OSError

    def seekable(self):
        return False


def zipped(members, file=None, compression=8, comment=b"", large=False):
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=large) as member:
                member.write(content)
        archive.comment = comment
    return file.getvalue()


def doubt(content):
    with pytest.raises(Doubt) as caught:
        members_of(Source(content))
    return caught.value.rule


MEMBERS = {"a/data.pkl": b"x" * 100, "a/data/0": bytes(999), "a/version": b"3\n", "b/": b""}


@pytest.mark.parametrize(
    "content",
    [
        zipped(MEMBERS), zipped(MEMBERS, compression=0), zipped(MEMBERS, Unseekable()),
        zipped(MEMBERS, large=True), zipped(MEMBERS, comment=b"a comment"), zipped({}),
        zipped({"\u00fc": b"1"}),
    ],
    ids=["deflated", "stored", "streamed", "zip64", "comment", "empty", "unicode"],
)  # fmt: skip
def test_what_zipfile_writes_is_read_as_it_reads_it(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        told = [(each.filename, each.CRC, each.file_size, each.compress_size) for each in archive.infolist()]
    found = members_of(Source(content))
    assert [(each.name, each.crc, each.size, each.packed) for each in found] == told
    assert looks_like_zip(Source(content))


def changed(content, mark, place, value):
    at = content.index(mark) + place
    return content[:at] + value + content[at + len(value) :]


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda c: changed(c, LOCAL, 6, b"\x01"), "zip-local"),
        (lambda c: changed(c, LOCAL, 8, b"\0\0"), "zip-local"),
        (lambda c: changed(c, LOCAL, 14, b"\1\2\3\4"), "zip-local"),
        (lambda c: changed(c, LOCAL, 18, b"\1"), "zip-local"),
        (lambda c: changed(c, LOCAL, 30, b"z"), "zip-local"),
        (lambda c: changed(c, CENTRAL, 46, b"z"), "zip-local"),
        (lambda c: changed(c, CENTRAL, 8, b"\x01"), "zip-local"),
        (lambda c: changed(c, CENTRAL, 42, b"\x05"), "zip-local"),
        (lambda c: changed(c, END, 10, b"\x02"), "zip-directory"),
        (lambda c: changed(c, END, 4, b"\x01"), "zip-directory"),
        (lambda c: c[:-1], "zip-directory"),
        (lambda c: c + b"x", "zip-directory"),
        (lambda c: c[:-22], "zip-directory"),
        (lambda c: b"MZ" + c, "zip-prefix"),
        (lambda c: c[:-2] + b"\x16\0" + c[-22:], "zip-directory"),
    ],
    ids=["flags", "method", "crc", "length", "local-name", "name", "central-flags", "offset", "count",
    "disk", "cut",
         "trailing", "no-end", "prefix", "end-in-comment"],
)  # fmt: skip
def test_disagreement_is_a_doubt(make, rule):
    assert doubt(make(zipped(MEMBERS))) == rule


def test_hidden_members_are_gaps():
    plain, hidden = zipped({"a": b"1" * 50}), zipped({"hidden.pkl": b"2" * 60})
    directory = plain.index(CENTRAL)
    inserted = hidden[: hidden.index(CENTRAL)]
    end = bytearray(plain[plain.index(END) :])
    end[16:20] = struct.pack("<I", directory + len(inserted))
    content = plain[:directory] + inserted + plain[directory : plain.index(END)] + bytes(end)
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["a"]
    assert doubt(content) == "zip-gap"


def test_overlapping_members_are_refused():
    content = zipped({"a": b"1" * 50, "b": b"1" * 50}, compression=0)
    first, second = content.index(CENTRAL), content.rindex(CENTRAL)
    entry = content[first:second]
    twice = content[:first] + entry + entry[:46].replace(b"", b"") + b"a" + content[second + 47 :]
    assert doubt(twice) in ("zip-overlap", "zip-duplicate", "zip-gap")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", "c:x", ""], ids=repr)
def test_names_that_lead_outside(name):
    assert doubt(zipped({name or "keep": b""} if name else {"": b"x"})) == "zip-path"


def test_two_names_that_are_one():
    file = io.BytesIO()
    with pytest.warns(UserWarning), zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert doubt(file.getvalue()) == "zip-duplicate"
    assert doubt(zipped({"a": b"1", "A": b"2"})) == "zip-duplicate"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_change_is_a_doubt_or_changes_nothing_that_is_read(place, byte):
    content = bytearray(zipped(MEMBERS))
    content[place % len(content)] = byte
    try:
        found = members_of(Source(bytes(content)))
    except Doubt:
        return
    assert [each.name for each in found] == list(MEMBERS)
