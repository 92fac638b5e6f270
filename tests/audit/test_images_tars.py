"""tradewind.audit.images.tars"""

import io
import os
import tarfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from images_by_hand import stored

from tradewind.audit.images.archives import members
from tradewind.audit.images.limits import Limits
from tradewind.audit.images.tars import TarWriter
from tradewind.audit.trees import Entry, Kind
from tradewind.errors import Misuse


def written(*given_: tuple[Entry, bytes, str]) -> bytes:
    out = io.BytesIO()
    tar = TarWriter(out.write)
    for entry, content, hard in given_:
        tar.add(entry, io.BytesIO(content), hard=hard)
    tar.close()
    return out.getvalue()


names = st.one_of(
    st.integers(1, 300).map(lambda n: ("directory/" * 40)[:n].strip("/") or "x"),
    st.integers(1, 255).map(lambda n: "x" * n),
    st.tuples(st.integers(1, 200), st.integers(1, 120)).map(lambda t: "d" * t[0] + "/" + "f" * t[1]),
    st.text(
        st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=60
    ).filter(lambda text: text not in (".", "..")),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(names, names, st.integers(0, 1 << 40), st.floats(-1e9, 1e10), st.booleans())
@example("x" * 100, "x" * 101, 1 << 21, 8.0**11, False)
@example("d" * 155 + "/" + "f" * 100, "d" * 156 + "/" + "f" * 100, 0, -1.5, True)
def test_what_is_written_is_read_alike_by_us_and_by_others(
    name: str, target: str, owner: int, modified: float, directory: bool
) -> None:
    attributes = (("security.capability", b"\x01\0\0\x02=\n\xff"), ("user.empty", b""))
    kind: Kind = "directory" if directory else "file"
    size = 0 if directory else 3
    first = Entry(name, kind, size, 0o4751, owner, 7, modified, attributes=attributes)
    link = Entry("link", "link", target=target)
    content = written((first, b"abc", ""), (link, b"", ""), (Entry("again", "file", 3), b"", name))
    with stored(content) as region:
        ours = list(members(region, "test", Limits()))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        theirs = archive.getmembers()
    assert [m.name.rstrip("/") for m in ours] == [name, "link", "again"] == [m.name for m in theirs]
    assert ours[0].attributes == attributes and ours[0].modified == modified // 1
    assert (ours[0].user, ours[0].mode) == (owner, 0o4751) == (theirs[0].uid, theirs[0].mode)
    assert ours[1].target == target == theirs[1].linkname and ours[2].target == name == theirs[2].linkname
    assert len(content) % 10240 == 0


def test_names_that_are_no_text_keep_their_bytes() -> None:
    name = os.fsdecode(b"odd\xff\xfe\n")
    with stored(written((Entry(name, "file", 1), b"x", ""))) as region:
        assert [each.name for each in members(region, "test", Limits())] == [name]


def test_devices_and_pipes_are_kept_and_sockets_left_out() -> None:
    entries = [Entry("null", "device", target="c 1:3"), Entry("disk", "device", target="b 8:1"),
               Entry("pipe", "pipe"), Entry("socket", "socket")]  # fmt: skip
    with stored(written(*((entry, b"", "") for entry in entries))) as region:
        assert [(m.name, m.kind, m.target) for m in members(region, "test", Limits())] == [
            ("null", "device", "c 1:3"), ("disk", "device", "b 8:1"), ("pipe", "pipe", ""),
        ]  # fmt: skip


@pytest.mark.parametrize("size", [2, 4])
def test_a_file_that_changes_its_length_meanwhile_is_refused(size: int) -> None:
    with pytest.raises(Misuse, match="not any more"):
        written((Entry("file", "file", size), b"abc", ""))
