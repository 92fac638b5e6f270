"""The system calls of Linux that confine a process and that Python has no names for.

Only the standard library is imported: the launcher runs alone.
"""

from __future__ import annotations

import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x20000000, 0x40000000, 0x2000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAP_AMBIENT = 1, 24, 38, 22, 47
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, 0o2000000, 4
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_STRICTATIME, ATTR_ATIME = 1, 2, 4, 0x20, 0x70
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


class Failed(Exception):
    """A step of the confinement that the kernel refused."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step, self.number = step, number


def checked(result: int, step: str) -> int:
    """`result` of a call of the C library; raises Failed, naming the step, where it is negative."""
    if result < 0:
        raise Failed(step, ctypes.get_errno())
    return result


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    checked(libc.mount(*arguments), f"mount {kind or 'bind'} on {target}")


def taken(path: str, *, whole: bool = False) -> int:
    """A detached copy of the mount at `path`, to be put elsewhere, even after the root has changed."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if whole else 0)
    return checked(libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags), f"open_tree {path}")


def restrict(mounted: int, flags: int, clear: int = 0) -> None:
    """Add flags to a detached mount."""
    attributes = struct.pack("QQQQ", flags, clear, 0, 0)
    result = libc.syscall(SYS_MOUNT_SETATTR, mounted, b"", AT_EMPTY_PATH, attributes, len(attributes))
    checked(result, "mount_setattr")


def put(mounted: int, target: str) -> None:
    """Attach a detached mount at `target`, resolved in the root of this moment."""
    arguments = (mounted, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    checked(libc.syscall(SYS_MOVE_MOUNT, *arguments), f"move_mount to {target}")
    os.close(mounted)


def prctl(option: int, value: int, step: str) -> None:
    """prctl(2) with one argument."""
    checked(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), step)
