"""tradewind.audit.images.archives"""

import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from images_by_hand import directory, hard, link, member, stored, tar

from tradewind.audit.images.archives import BLOCK, Member, is_archive, members
from tradewind.audit.images.limits import Limits
from tradewind.errors import Misuse

LONG = "a/" + "long name " * 30
FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def read(content: bytes, *, whole: bool = False, limits: Limits | None = None) -> list[Member]:
    with stored(content) as region:
        return list(members(region, "test.tar", limits or Limits(), whole=whole))


def contents(content: bytes) -> dict[str, bytes]:
    with stored(content) as region:
        found = {}
        for each in members(region, "test.tar", Limits()):
            if each.kind == "file":
                inner = region.within(each.start, each.size)
                inner.stretches = each.stretches
                found[each.name] = inner.at(0, each.size)
        return found


def some(form: str) -> list[tuple[tarfile.TarInfo, bytes | None]]:
    names = ["plain.txt", "directory/of/many/" + "x" * 90 + ".txt"] + (
        [LONG, "ünï/ç"] if form != "ustar" else []
    )
    return [
        directory("directory/"),
        *(member(name, name.encode() * 20, mode=0o4755, uid=7, gid=70_000, mtime=1_600_000_001)
          for name in names),
        link("link", "../" + "t" * 90 if form == "ustar" else LONG),
        hard("hard", "plain.txt"),
        member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
        member("pipe", type=tarfile.FIFOTYPE),
    ]  # fmt: skip


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_kind_of_member_is_read_in_every_format(form: str) -> None:
    stated = some(form)
    found = read(tar(*stated, form=FORMS[form]))
    kinds = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard",
             tarfile.CHRTYPE: "device", tarfile.BLKTYPE: "device", tarfile.FIFOTYPE: "pipe"}  # fmt: skip
    assert [(m.name.rstrip("/"), m.kind, m.size, m.mode, m.user, m.group, m.modified) for m in found] == [
        (i.name.rstrip("/"), kinds.get(i.type, "file"), i.size, i.mode, i.uid, i.gid, i.mtime)
        for i, _ in stated
    ]
    targets = {m.name: m.target for m in found if m.target}
    assert targets["hard"] == "plain.txt" and targets["null"] == "c 1:3" and targets["disk"] == "b 8:0"
    assert targets["link"] == next(i.linkname for i, _ in stated if i.name == "link")
    assert contents(tar(*stated, form=FORMS[form])) == {i.name: c for i, c in stated if c is not None}


def test_attributes_and_times_are_read_from_extended_headers() -> None:
    info, content = member("file", b"x")
    info.pax_headers = {
        "SCHILY.xattr.user.note": "kept",
        "mtime": "1600000000.25",
        "comment": "not looked at",
    }
    (found,) = read(tar((info, content)))
    assert found.attributes == (("user.note", b"kept"),) and found.modified == 1600000000.25


@pytest.mark.parametrize("form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix"])
def test_sparse_files_are_read_with_their_holes(form: str, tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as out:
        for at in range(30):
            out.seek(at * 200_000)
            out.write(bytes([at + 1]) * 5000)
        out.truncate(7_000_000)
    (tmp_path / "after").write_text("after")
    command = ["tar", "-C", str(tmp_path), "-S", *f"--format={form}".split(), "-cf", "-", "sparse", "after"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(archive) < 1_000_000
    assert contents(archive) == {"sparse": file.read_bytes(), "after": b"after"}


def test_an_archive_without_an_end_mark_is_whole_only_if_its_digest_says_so() -> None:
    content = tar(member("file", b"x"))[: 2 * BLOCK]
    assert [each.name for each in read(content, whole=True)] == ["file"]
    with pytest.raises(Misuse, match="cut short"):
        read(content)


def test_what_is_no_archive_is_told() -> None:
    for content, told in [
        (tar(member("f", b"")), True),
        (tar(), True),
        (b"", False),
        (b"\x7fELF" * 300, False),
    ]:
        with stored(content) as region:
            assert is_archive(region) is told
    with stored(bytes(1 << 20)) as region:
        assert not is_archive(region)


def renumbered(content: bytes) -> bytes:
    """The archive with its first header's checksum put right."""
    header = bytearray(content[:BLOCK])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[BLOCK:]


def put(at: int, value: bytes) -> bytes:
    content = tar(member("file", b"x" * 600), member("other", b"y"))
    return renumbered(content[:at] + value + content[at + len(value) :])


def extended(records: bytes, letter: bytes = b"x", size: int | None = None) -> bytes:
    """An archive whose first member has these records in its extended header, or states a size for them."""
    info = tarfile.TarInfo("header")
    info.type, info.size = letter, len(records) if size is None else size
    body = records + bytes(-len(records) % BLOCK)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + tar(member("file", b"x"))


def sparse(records: str) -> bytes:
    info, content = member("file", b"x" * 100)
    info.pax_headers = dict(line.split("=") for line in records.split())
    return tar((info, content))


DAMAGED = {
    "cut in a header": tar(member("file", b"x"))[:300],
    "cut in content": tar(member("file", b"x" * 5000))[:2000],
    "cut in an extended header": tar(member(LONG, b"x"))[:600],
    "wrong checksum": tar(member("file", b"x")).replace(b"file", b"fine"),
    "negative size": put(124, b"\xff" + b"\xff" * 11),
    "size of an exabyte": put(124, b"\x80\0\0\0\x10" + bytes(7)),
    "size that is no number": put(124, b"9zzzzzzzzzz\0"),
    "mode that is no number": put(100, b"-000644\0"),
    "unknown kind": put(156, b"V"),
    "continued volume": put(156, b"M"),
    "no name": put(0, bytes(100)),
    "a link with content": put(156, b"2"),
    "extended header that is not there": extended(b"", size=4096),
    "extended header of a gigabyte": extended(b"", size=1 << 30),
    "extended header that is no record": extended(b"not a record at all\n"),
    "extended header that lies on its length": extended(b"99 path=x\n"),
    "extended header of length 0": extended(b"0 path=x\n"),
    "size that is negative, in an extended header": extended(b"11 size=-5\n"),
    "zero byte in a name": extended(b"12 path=a\0b\n"),
    "time that is none": extended(b"13 mtime=nan\n"),
    "path for all members": extended(b"10 path=x\n", b"g"),
    "name longer than any path": extended(b"x" * 5000, b"L"),
    "members after an end mark": bytes(BLOCK) + tar(member("file", b"x")),
    "end after an extended header": extended(b"10 path=x\n")[: 2 * BLOCK] + bytes(1024),
    "sparse stretches that overlap": sparse("GNU.sparse.map=0,60,50,40 GNU.sparse.size=1000"),
    "sparse stretches beyond the end": sparse("GNU.sparse.map=0,60,990,40 GNU.sparse.size=1000"),
    "sparse stretches that are not stored": sparse("GNU.sparse.map=0,60,900,60 GNU.sparse.size=1000"),
    "sparse map that is odd": sparse("GNU.sparse.map=0,60,900 GNU.sparse.size=1000"),
    "sparse map that does not end": sparse("GNU.sparse.major=1 GNU.sparse.minor=0 GNU.sparse.realsize=1000"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(DAMAGED))
def test_what_is_damaged_is_refused(case: str) -> None:
    with pytest.raises(Misuse, match=r"^test\.tar"):
        read(DAMAGED[case])


def test_any_damage_is_either_refused_or_still_an_archive() -> None:
    chance = random.Random(5)
    whole = tar(*some("pax"), *some("gnu"), form=tarfile.PAX_FORMAT) + sparse("GNU.sparse.map=0,100")
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 3, 10])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            read(bytes(content[: chance.choice([len(content), chance.randrange(len(content))])]))
        except Misuse:
            refused += 1
    assert refused > 200
