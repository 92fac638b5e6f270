"""Opening what lies below a directory without ever following a link, whatever changes meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache

_OPENAT2 = 437
"""The number of the system call, the same on every architecture."""
_NO_MAGIC_LINKS, _NO_LINKS, _BENEATH = 0x02, 0x04, 0x08
_HERE = -100
_ALWAYS = os.O_NOFOLLOW | os.O_CLOEXEC

Opener = Callable[[int, bytes, int], int]


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: str, flags: int) -> int:
    """A descriptor of `path` below the directory `root`; the root itself for the empty path.

    No component may be a link: that is ELOOP or ENOTDIR, an OSError like all others of `os.open`, and so is a
    path that leaves the root (EXDEV). The kernel sees to it in one call where it has openat2; else each
    component is opened from the one before.
    """
    name = os.fsencode(path)
    direct = _direct()
    # The kernel takes no path above 4,095 bytes, though a tree may be deeper.
    if direct is not None and len(name) < 4000:
        return direct(root, name or b".", flags | _ALWAYS)
    return open_stepwise(root, name, flags)


def open_stepwise(root: int, name: bytes, flags: int) -> int:
    """The same by one `openat` for each component, for kernels and sandboxes without openat2."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts or name.startswith(b"/"):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(name))
    above = os.open(b".", os.O_PATH | os.O_DIRECTORY | _ALWAYS, dir_fd=root)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | _ALWAYS, dir_fd=above)
            os.close(above)
            above = below
        return os.open(parts[-1] if parts else b".", flags | _ALWAYS, dir_fd=above)
    finally:
        os.close(above)


@cache
def _direct() -> Opener | None:
    """openat2 as a function, or None where the kernel or a sandbox has it not."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return None
    call.restype = ctypes.c_long

    def opened(root: int, name: bytes, flags: int) -> int:
        how = _How(flags, 0, _BENEATH | _NO_LINKS | _NO_MAGIC_LINKS)
        for _ in range(8):
            found = call(_OPENAT2, root, ctypes.c_char_p(name), ctypes.byref(how), ctypes.c_size_t(24))
            if found >= 0:
                return int(found)
            # The kernel says so when something was renamed while it looked.
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
                break
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(name))

    try:
        os.close(opened(_HERE, b".", os.O_PATH | os.O_DIRECTORY | _ALWAYS))
    except OSError:
        return None
    return opened
