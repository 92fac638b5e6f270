"""tradewind.audit.images.digests"""

import hashlib
import os
import random
import shutil
from pathlib import Path
from typing import BinaryIO

import pytest

from tradewind.audit.images.digests import file_digests, tree_digest
from tradewind.audit.images.folder import Folder
from tradewind.testing.images import random_tree, small_root


def of(path: Path) -> str:
    with Folder(path) as folder:
        return tree_digest(folder)


@pytest.mark.parametrize("workers", [1, 3])
def test_files_have_the_digest_of_their_bytes(workers: int, tmp_path: Path) -> None:
    root = random_tree(random.Random(2), tmp_path / "tree", 60)
    (root / "large").write_bytes(bytes(3 << 20))
    told: list[int] = []
    with Folder(root) as folder:
        found = file_digests(folder, workers=workers, progress=told.append)
        files = [each for each in folder.tree if each.kind == "file"]
        assert found == {e.path: hashlib.sha256((root / e.path).read_bytes()).hexdigest() for e in files}
        assert sum(told) == folder.tree.bytes
        assert file_digests(folder, ["large", "absent"]) == {"large": found["large"]}


def test_a_file_of_several_names_is_read_once(tmp_path: Path) -> None:
    opened: list[str] = []

    class Counting(Folder):
        def open(self, path: str) -> BinaryIO:
            opened.append(path)
            return super().open(path)

    with Counting(small_root(tmp_path / "root")) as folder:
        found = file_digests(folder)
        assert found["usr/share/demo/one"] == found["usr/share/demo/two"]
        assert len(opened) == len(found) - 1


def test_a_tree_has_the_same_digest_wherever_and_whenever(tmp_path: Path) -> None:
    root = small_root(tmp_path / "root")
    copy = Path(shutil.copytree(root, tmp_path / "copy", symlinks=True))
    for path in copy.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert of(copy) == of(root)


@pytest.mark.parametrize("change", ["content", "mode", "name", "target", "kind", "directory", "new line"])
def test_whatever_matters_changes_the_digest(change: str, tmp_path: Path) -> None:
    root = small_root(tmp_path / "root")
    before = of(root)
    notes = root / "srv/notes.txt"
    match change:
        case "content":
            notes.write_bytes(b"Nobody's\n")
        case "mode":
            notes.chmod(0o4644)
        case "name":
            notes.rename(root / "srv/note.txt")
        case "target":
            (root / "bin").unlink()
            (root / "bin").symlink_to("usr/sbin")
        case "kind":
            notes.unlink()
            notes.mkdir(0o644)
        case "directory":
            (root / "var/empty").rmdir()
        case _:
            notes.rename(root / "srv/notes.txt\nfile")
    assert of(root) != before
