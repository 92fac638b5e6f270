"""tradewind.audit.images.copying"""

import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from msgspec.structs import replace

from tradewind.audit.images.copying import write_folder
from tradewind.audit.images.digests import tree_digest
from tradewind.audit.images.folder import Folder
from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse
from tradewind.testing.images import small_root

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can")


class Made:
    """Files that are nowhere but in memory, as wrong as one likes."""

    def __init__(self, *entries: Entry, contents: dict[str, bytes] | None = None) -> None:
        self.tree, self.contents = Tree(entries), contents or {}

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.contents[path])

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        return self.contents[path]


def plain(tree: Tree) -> dict[str, Entry]:
    """The entries without what a copy keeps to the second only."""
    return {path: replace(entry, modified=entry.modified // 1) for path, entry in tree.entries.items()}


def test_a_whole_tree_is_copied_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    root = small_root(tmp_path / "root")
    os.setxattr(root / "srv/notes.txt", "user.note", b"kept")
    (root / "usr/bin/demo").chmod(0o4755)
    (root / "srv").chmod(0o2750)
    with Folder(root) as folder:
        told: list[int] = []
        copied = write_folder(folder, folder.tree.entries, tmp_path / "copy", progress=told.append)
        with Folder(tmp_path / "copy") as copy:
            assert plain(copy.tree) == plain(folder.tree) and tree_digest(copy) == tree_digest(folder)
        assert (copied.entries, copied.bytes) == (len(folder.tree), folder.tree.bytes) and sum(
            told
        ) == copied.bytes
        assert copied.privileged == ("usr/bin/demo",) and copied.skipped == () and copied.lost == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "root"]


def test_chosen_paths_come_with_the_directories_above_and_with_other_contents(tmp_path: Path) -> None:
    with Folder(small_root(tmp_path / "root")) as folder:
        write_folder(
            folder, ["usr/share/demo/two", "bin"], tmp_path / "copy",
            contents={"var/lib/dpkg/status": b"less\n", "new/list": b"new\n"},
        )  # fmt: skip
    copy = tmp_path / "copy"
    found = [path for path in copy.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert {str(path.relative_to(copy)) for path in found} == {
        "usr/share/demo/two", "bin", "var/lib/dpkg/status", "new/list",
    }  # fmt: skip
    assert (copy / "var/lib/dpkg/status").read_text() == "less\n" and (
        copy / "new/list"
    ).read_text() == "new\n"
    assert (copy / "usr/share/demo/two").stat().st_nlink == 1 and copy.stat().st_mode & 0o777 == 0o755


REFUSED = {
    "a way through a link": Made(
        Entry("out", "link", target=".."), Entry("out/evil", "file", 1), contents={"out/evil": b"x"}
    ),
    "a file below a file": Made(
        Entry("f", "file", 0), Entry("f/g", "file", 0), contents={"f": b"", "f/g": b""}
    ),
    "a name that no file system takes": Made(Entry("n" * 300, "file", 0), contents={"n" * 300: b""}),
    "content that became shorter": Made(Entry("f", "file", 3), contents={"f": b"x"}),
    "content that became longer": Made(Entry("f", "file", 3), contents={"f": b"x" * 9}),
    "a device": Made(Entry("null", "device", target="c 1:3")),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_is_refused_and_nothing_is_left(case: str, tmp_path: Path) -> None:
    files = REFUSED[case]
    with pytest.raises(Misuse):
        write_folder(files, files.tree.entries, tmp_path / "copy", devices="refuse")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_not_in_the_tree_and_a_target_that_is_there_are_refused(tmp_path: Path) -> None:
    with Folder(small_root(tmp_path / "root")) as folder:
        with pytest.raises(Misuse, match="not in the tree"):
            write_folder(folder, ["absent"], tmp_path / "copy")
        (tmp_path / "there").symlink_to("nowhere")
        with pytest.raises(Misuse, match="there already"):
            write_folder(folder, ["bin"], tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "there"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    class Interrupted(Made):
        def open(self, path: str) -> BinaryIO:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(
            Interrupted(Entry("a", "directory", mode=0o500), Entry("a/f", "file", 1)),
            ["a/f"],
            tmp_path / "copy",
        )
    assert list(tmp_path.iterdir()) == []


def test_pipes_are_made_and_devices_and_sockets_left_out_and_told(tmp_path: Path) -> None:
    files = Made(
        Entry("null", "device", target="c 1:3"), Entry("pipe", "pipe", mode=0o640), Entry("socket", "socket")
    )
    copied = write_folder(files, files.tree.entries, tmp_path / "copy")
    assert [path for path, _ in copied.skipped] == ["null", "socket"] and copied.entries == 1
    assert (tmp_path / "copy/pipe").stat().st_mode & 0o777 == 0o640


@pytest.mark.root
@as_root
def test_root_keeps_owners_capabilities_and_devices_on_request(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    files = Made(
        Entry("ping", "file", 1, 0o6755, 7, 8, attributes=(("security.capability", capability),)),
        Entry("disk", "device", mode=0o660, user=9, group=10, modified=5.0, target="b 8:1"),
        Entry("null", "device", mode=0o666, target="c 1:3"),
        Entry("link", "link", target="null", user=3, group=4),
        contents={"ping": b"x"},
    )
    copied = write_folder(files, files.tree.entries, tmp_path / "copy", devices="make")
    assert copied.privileged == ("ping", "ping") and copied.skipped == ()
    with Folder(tmp_path / "copy") as copy:
        assert {
            p: replace(e, mode=0 if e.kind == "link" else e.mode) for p, e in copy.tree.entries.items()
        } == {p: replace(e, mode=0 if e.kind == "link" else e.mode) for p, e in files.tree.entries.items()}
