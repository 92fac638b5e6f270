"""tradewind.audit.images.folder and, through it, tradewind.audit.images.beneath"""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tradewind.audit.images import beneath
from tradewind.audit.images.beneath import open_beneath, open_stepwise
from tradewind.audit.images.folder import Folder
from tradewind.errors import Misuse
from tradewind.testing.images import MOMENT, small_root

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can")


def test_everything_below_a_directory_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = small_root(tmp_path / "root")
    os.mkfifo(root / "srv/pipe")
    os.setxattr(root / "srv/notes.txt", "user.note", b"kept")
    with socket.socket(socket.AF_UNIX) as listener:
        # Its whole path may be longer than a socket's can be.
        monkeypatch.chdir(root)
        listener.bind("srv/socket")
    with Folder(root) as folder:
        tree = folder.tree
        found = {str(path.relative_to(root)) for path in root.rglob("*")}
        assert set(tree.entries) == found and folder.notes == ()
        assert tree.entries["srv/pipe"].kind == "pipe" and tree.entries["srv/socket"].kind == "socket"
        assert (
            tree.entries["opt/maze/up"].target == "../../../../../usr" and tree.entries["bin"].kind == "link"
        )
        assert tree.entries["usr/bin/demo"].mode == 0o755 and tree.entries["usr/bin/demo"].modified == MOMENT
        assert tree.names == {1: ("usr/share/demo/one", "usr/share/demo/two")}
        assert tree.entries["srv/notes.txt"].attributes == (("user.note", b"kept"),)
        with Folder(root, attributes=False) as looked:
            assert looked.tree.entries["srv/notes.txt"].attributes == ()
        assert tree.bytes == sum(
            {
                p.stat().st_ino: p.stat().st_size
                for p in root.rglob("*")
                if p.is_file() and not p.is_symlink()
            }.values()
        )
        assert folder.read("srv/notes.txt") == b"nobody's\n"
        with folder.open("usr/share/demo/two") as file:
            assert file.read() == (root / "usr/share/demo/one").read_bytes()


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(small_root(tmp_path / "root") / "pipe")
    with Folder(tmp_path / "root") as folder:
        for path in ("pipe", "bin", "usr", "absent", "", "../root/etc/passwd", "/etc/passwd", "bin/demo"):
            with pytest.raises(KeyError):
                folder.open(path)
        with pytest.raises(Misuse, match="more than 3 bytes"):
            folder.read("etc/passwd", limit=3)
    with pytest.raises(Misuse, match="no directory"):
        Folder(tmp_path / "root/etc/passwd")


@pytest.mark.parametrize("direct", [True, False], ids=["openat2", "stepwise"])
def test_a_tree_that_changes_into_links_is_not_left(
    direct: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not direct:
        monkeypatch.setattr(beneath, "_direct", lambda: None)
    elif beneath._direct() is None:
        pytest.skip("this kernel has no openat2")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    root = tmp_path / "root"
    for name in ("a/b/secret", "c/secret", "d", "e"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    with Folder(root) as folder:
        shutil.rmtree(root / "a")
        (root / "a").symlink_to("..")
        (tmp_path / "b").symlink_to("outside")
        shutil.rmtree(root / "c")
        (root / "c").symlink_to(tmp_path / "outside")
        for name in ("d", "e"):
            (root / name).unlink()
        (root / "d").symlink_to(tmp_path / "outside/secret")
        os.mkfifo(root / "e")
        for path in ("a/b/secret", "c/secret", "d", "e"):
            with pytest.raises(Misuse, match=path):
                folder.open(path)


@pytest.mark.parametrize("direct", [True, False], ids=["openat2", "stepwise"])
def test_nothing_above_the_root_is_opened(
    direct: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not direct:
        monkeypatch.setattr(beneath, "_direct", lambda: None)
    (tmp_path / "root/in").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    root = os.open(tmp_path / "root", os.O_RDONLY)
    try:
        for path in ("../secret", "in/../../secret", "/etc/passwd", "absent", "in/absent"):
            with pytest.raises(OSError):
                os.close(open_beneath(root, path, os.O_RDONLY))
        for path in ("", "in"):
            os.close(open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY))
        os.close(open_stepwise(root, b"./in//.", os.O_RDONLY))
    finally:
        os.close(root)


def test_names_that_are_no_text_and_paths_of_any_length_are_read(tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\xff\n")
    (tmp_path / odd).write_text("odd")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    with Folder(tmp_path) as folder:
        deepest = max(folder.tree.entries, key=len)
        assert len(deepest) == 60 * 101 + 4 and folder.read(deepest) == b"" and folder.read(odd) == b"odd"
        assert os.fsencode(odd) == b"odd\xff\n"
    # shutil would need the whole path.
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 100))], check=True)


@pytest.mark.root
@as_root
def test_a_mount_below_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path / "mounted")], check=True)
    try:
        (tmp_path / "mounted/file").write_text("x")
        with Folder(tmp_path) as folder:
            assert list(folder.tree.entries) == ["mounted"] and "another file system" in folder.notes[0]
        with Folder(tmp_path, one_device=False) as folder:
            assert list(folder.tree.entries) == ["mounted", "mounted/file"] and folder.notes == ()
    finally:
        subprocess.run(["umount", str(tmp_path / "mounted")], check=True)


@pytest.mark.root
@as_root
def test_what_may_not_be_listed_is_told_and_what_may_not_be_read_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "closed").mkdir(mode=0o700)
        (root / "closed/file").write_text("x")
        (root / "secret").write_text("x")
        (root / "secret").chmod(0o600)
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
        os.seteuid(65534)
        try:
            with Folder(root) as folder:
                assert list(folder.tree.entries) == ["closed", "null", "secret"]
                assert folder.notes == (
                    "closed: cannot be listed (Permission denied), what is below is left out",
                )
                assert folder.tree.entries["null"].target == "c 1:3"
                with pytest.raises(Misuse, match=r"secret.*Permission denied"):
                    folder.open("secret")
        finally:
            os.seteuid(0)
