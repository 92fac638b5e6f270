"""Pages as the kernel tells them: of a plain tree, and exactly of a cold image."""

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tradewind.audit.bloat.touched_pages import forget, resident, touched_cold
from tradewind.errors import Misuse

READ = "import os,sys; d=os.open(sys.argv[1],os.O_RDONLY); os.pread(d,int(sys.argv[3]),int(sys.argv[2]))"


def read(path, offset, length):
    subprocess.run([sys.executable, "-c", READ, str(path), str(offset), str(length)], check=True)


def held_by_loops(scratch):
    """Loop devices that still hold an image in the folder; they go a moment after the mount."""
    for _ in range(100):
        found = []
        for each in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):
                found += [each] * (str(scratch) in each.read_text())
        if not found:
            break
        threading.Event().wait(0.05)
    return found


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "tree"
    (root / "d").mkdir(parents=True)
    (root / "d" / "big").write_bytes(os.urandom(4096 * 200 + 17))
    (root / "small").write_bytes(b"0123456789")
    (root / "idle").write_bytes(bytes(50_000))
    (root / "empty").touch()
    os.link(root / "d" / "big", root / "other")
    (root / "link").symlink_to("small")
    (root / "dangling").symlink_to("/etc/passwd")
    return root


def test_what_was_read_is_in_memory_and_no_link_is_followed(root):
    stayed = forget(root)
    read(root / "small", 0, 10)
    read(root / "d" / "big", 4096 * 7, 4096)
    found = resident(root)
    told = {each.path: each for each in found.touched}
    assert not found.exact and not found.unseen
    assert told["small"].runs == ((0, 1),) and told["small"].bytes == 10
    pages = {page for first, count in told["d/big"].runs for page in range(first, first + count)}
    assert 7 in pages and told["other"].runs == told["d/big"].runs
    assert set(told) <= {"small", "d/big", "other", "idle"}
    # A file system that keeps files in memory only, such as tmpfs, forgets nothing and says so.
    assert "idle" not in told or "idle" in stayed
    assert [each.path for each in resident(root, ["link", "gone", "small"]).touched] == ["small"]
    assert resident(root, ["link", "gone"]).unseen == ("gone", "link")


@pytest.mark.root
def test_a_cold_image_tells_exactly_the_pages_that_were_asked_for(root, tmp_path):
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root, loop devices and mkfs.ext4")
    scratch = tmp_path / "scratch"

    def work(place):
        read(place / "d" / "big", 4096 * 7 + 5, 4096)
        read(place / "d" / "big", 4096 * 200, 17)
        read(place / "link", 0, 3)
        with pytest.raises(OSError, match="Read-only"):
            (place / "new").touch()

    found = touched_cold(root, work, scratch)
    assert found.exact and not found.unseen
    assert {each.path: each.runs for each in found.touched} == {
        "d/big": ((7, 2), (200, 1)), "other": ((7, 2), (200, 1)), "small": ((0, 1),),
    }  # fmt: skip
    assert not list(scratch.iterdir()) and str(scratch) not in Path("/proc/self/mounts").read_text()
    assert not held_by_loops(scratch)

    def fails(_place):
        raise RuntimeError("the workload broke")

    with pytest.raises(RuntimeError, match="broke"):
        touched_cold(root, fails, scratch)
    assert not list(scratch.iterdir())


def test_a_cold_run_says_that_it_needs_root(root, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Misuse, match="only root"):
        touched_cold(root, lambda place: None, tmp_path / "scratch")
