"""Gives a process the tree as its root, and what a root needs beside its files, in its own namespace."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

from tradewind.audit.tracing.backends.system_calls import (
    ATTR_ATIME,
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_RDONLY,
    ATTR_STRICTATIME,
    MNT_DETACH,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    SYS_PIVOT_ROOT,
    Failed,
    checked,
    libc,
    mount,
    put,
    restrict,
    taken,
)

DEVICES = ("null", "zero", "full", "random", "urandom")
READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/asound")
"""What a process without capabilities but of user 0 could otherwise write, `core_pattern` above all."""
HIDDEN = (
    "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/acpi", "/sys/firmware",
)  # fmt: skip


def made(path: str, *, directory: bool, new: list[str]) -> None:
    """Make a place to mount on if there is none; what had to be made is appended to `new`."""
    parts = [part for part in path.split("/") if part]
    for depth in range(1, len(parts) + 1):
        where = "/" + "/".join(parts[:depth])
        if os.path.exists(where):
            continue
        if depth < len(parts) or directory:
            os.mkdir(where, 0o755)
        else:
            os.close(os.open(where, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        new.append(where)


# The view of the tree ----------------------------------------------------------------------------------


def mount_tree(spec: dict[str, Any]) -> None:
    """Mount the tree at `merged`: an overlay over the roots, or the one root itself."""
    merged, view = spec["merged"], spec["view"]
    if view != "overlay":
        mounted = taken(spec["roots"][0])
        flags = ATTR_NOSUID | ATTR_NODEV
        if view == "read-only":
            restrict(mounted, flags | ATTR_RDONLY)
        else:
            # Every read shows in the times, not only the first of a day.
            restrict(mounted, flags | ATTR_STRICTATIME, ATTR_ATIME)
        put(mounted, merged)
        return
    # By descriptor, because the names of the directories may hold what separates the options.
    held = [
        os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (*spec["roots"], spec["upper"], spec["work"])
    ]
    *lowers, upper, work = (f"/proc/self/fd/{each}" for each in held)
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}"
    if spec["mapped"]:
        options += ",userxattr"
    mount("overlay", merged, "overlay", MS_NOSUID | MS_NODEV, options)
    for each in held:
        os.close(each)


def furnish(
    spec: dict[str, Any], binds: Sequence[tuple[int, dict[str, Any]]], devices: dict[str, int]
) -> list[str]:
    """Mount what a root needs beside its files; returns the paths that had to be made for it."""
    new: list[str] = []
    for path in ("/proc", "/dev", "/sys"):
        made(path, directory=True, new=new)
    quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", "/proc", "proc", quiet)
    try:
        mount("sysfs", "/sys", "sysfs", quiet | MS_RDONLY)
    except Failed:
        # Refused where the network is the machine's own and we are not its root: some programs ask it for
        # the number of processors, and all know what to do without.
        mount("tmpfs", "/sys", "tmpfs", quiet | MS_RDONLY)
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=256k")
    for name, held in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        put(held, f"/dev/{name}")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"/dev/{name}")
    os.mkdir("/dev/shm", 0o1777)
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"mode=1777,size={spec['shared']}")
    os.chmod("/dev/shm", 0o1777)
    for held, bind in binds:
        made(bind["path"], directory=bool(bind["directory"]), new=new)
        put(held, bind["path"])
    for path in READ_ONLY:
        if os.path.exists(path):
            held = taken(path, whole=True)
            restrict(held, ATTR_RDONLY)
            put(held, path)
    for path in HIDDEN:
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", quiet | MS_RDONLY, "size=0")
        elif os.path.exists(path):
            put(taken("/dev/null"), path)
    return new


def enter(spec: dict[str, Any]) -> list[str]:
    """Make the tree the root of this mount namespace and let go of the old one."""
    mount("", "/", "", MS_REC | MS_PRIVATE)
    mount_tree(spec)
    binds = []
    for bind in spec["binds"]:
        held = taken(bind["source"])
        restrict(held, ATTR_NOSUID | ATTR_NODEV | (0 if bind["writable"] else ATTR_RDONLY))
        binds.append((held, bind))
    devices = {name: taken(f"/dev/{name}") for name in DEVICES}
    os.chdir(spec["merged"])
    checked(libc.syscall(SYS_PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    # What would be imported from now on would be the tree's, run with all capabilities.
    sys.path.clear()
    sys.meta_path.clear()
    # The old root now lies over the new one, which absolute paths are looked up in all the same. It goes
    # last, because a new proc may only be mounted where another one is in sight.
    new = furnish(spec, binds, devices)
    checked(libc.umount2(b".", MNT_DETACH), "umount2 of the old root")
    os.chdir("/")
    return new
