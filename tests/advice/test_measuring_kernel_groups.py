"""Groups of the kernel's, on folders in their form: which limits are written, and what is read of them."""

import os
from pathlib import Path

import pytest

from tradewind.advice.measuring.kernel_groups import KernelGroup

OWN = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]


@pytest.fixture
def parent(tmp_path):
    assert OWN, "a kernel without cgroups of version 2"
    folder = tmp_path / OWN[0].strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_limits_are_written_for_the_controllers_that_are_there(parent, tmp_path):
    (parent / "cgroup.subtree_control").write_text("cpu memory\n")
    group = KernelGroup.create(memory=1 << 30, share=0.5, root=tmp_path)
    assert group is not None and group.holds_memory and group.holds_cpu
    folder = parent / f"tradewind-probe-{os.getpid()}"
    assert (folder / "memory.max").read_text() == str(1 << 30)
    assert (folder / "memory.oom.group").read_text() == "1" and (
        folder / "cpu.max"
    ).read_text() == "50000 100000"
    group.join(77)
    assert (folder / "cgroup.procs").read_text() == "77"
    assert not group.exceeded and group.peak == 0
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    (folder / "memory.peak").write_text("4096\n")
    assert group.exceeded and group.peak == 4096


def test_without_controllers_there_is_none(parent, tmp_path):
    assert KernelGroup.create(memory=1 << 30, share=0.5, root=tmp_path) is None
    (parent / "cgroup.subtree_control").write_text("io pids\n")
    assert KernelGroup.create(memory=1 << 30, share=0.5, root=tmp_path) is None
    (parent / "cgroup.subtree_control").write_text("cpu\n")
    assert KernelGroup.create(memory=1 << 30, share=None, root=tmp_path) is None
    group = KernelGroup.create(memory=1 << 30, share=2.0, root=tmp_path)
    assert group is not None and group.holds_cpu and not group.holds_memory


def test_groups_of_the_dead_are_removed(parent, tmp_path):
    (parent / "cgroup.subtree_control").write_text("cpu\n")
    (parent / "tradewind-probe-999999999").mkdir()
    KernelGroup.create(memory=None, share=0.5, root=tmp_path)
    assert not (parent / "tradewind-probe-999999999").exists()
