"""A tree of one static program with many names, for tests that confine."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from tradewind.audit.trees import Entry, Tree

TOOLS = (
    "sh", "ls", "cat", "id", "sleep", "touch", "rm", "mkdir", "ln", "grep", "true", "kill", "readlink",
    "httpd", "nc", "env", "stat", "mknod", "unshare",
)  # fmt: skip


def needs_root() -> None:
    """Skip, saying why, where the user is not root."""
    if os.geteuid() != 0:
        pytest.skip("it needs root")


def small_root(where: Path) -> Path:
    """A root file system of a static busybox; skips where there is none."""
    program = shutil.which("busybox", path="/bin:/usr/bin")
    if program is None or b"/ld-linux" in Path(program).read_bytes():
        pytest.skip("the package busybox-static is not installed")
    for folder in ("bin", "etc", "tmp", "srv"):
        (where / folder).mkdir(parents=True)
    shutil.copy(program, where / "bin/busybox")
    for name in TOOLS:
        os.symlink("busybox", where / "bin" / name)
    (where / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/ann:/bin/sh\n")
    (where / "etc/group").write_text("root:x:0:\nann:x:1001:\nweb:x:33:\n")
    (where / "etc/motd").write_text("hello\n")
    (where / "srv/index.html").write_text("<p>it works</p>\n")
    os.symlink("../etc/motd", where / "srv/link")
    return where


def tree_at(root: Path) -> Tree:
    """The tree of a directory."""
    found = []
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder) / name
            shape = path.lstat()
            where = str(path.relative_to(root))
            if stat.S_ISLNK(shape.st_mode):
                found.append(Entry(where, "link", target=os.readlink(path)))
            elif stat.S_ISDIR(shape.st_mode):
                found.append(Entry(where, "directory"))
            else:
                found.append(Entry(where, "file", size=shape.st_size))
    return Tree(found)
