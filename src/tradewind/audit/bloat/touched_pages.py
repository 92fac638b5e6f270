"""Which pages of a tree's files a run touched, asked of the kernel: mincore after a cold run.

Two ways. `touched_cold` puts the tree on an ext4 image behind a loop device whose read-ahead is off and
mounts it where only this thread sees it: what is in memory afterwards was asked for, page by page. It needs
root. `forget` and `resident` do with the tree as it lies: pages are dropped before the run as far as the
kernel lets them go, and the kernel's read-ahead counts as touched, so the answer is an upper bound and says
so.

The mount lives in a namespace of one thread and the loop device clears itself when it is let go: nothing is
left behind, not even by a kill.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import shutil
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from tradewind.audit.bloat.pages import TouchedPages
from tradewind.errors import Misuse

_PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOATIME, _MS_REC, _MS_PRIVATE = 1, 2, 4, 1024, 16384, 1 << 18
_MNT_DETACH = 2
_LOOP_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LOOP_READ_ONLY, _LOOP_AUTOCLEAR = 1, 4
_SET_READ_AHEAD = 0x1262
_STRETCH = 1 << 30
"""Bytes of a file that are mapped at a time."""
_ROOM = 1.25
"""Of the image over what the tree holds: inodes, directories and the journal's absence."""


class Pages(Struct, frozen=True):
    """What was touched, and whether the answer is exact."""

    touched: tuple[TouchedPages, ...]
    """Files with at least one page in memory, in the order of paths, which are relative to the root."""
    exact: bool
    unseen: tuple[str, ...] = ()
    """Files that could not be asked about: the kernel tells only those who own a file or may write it."""


def why_not_cold() -> str:
    """Why `touched_cold` cannot be asked here, in words; empty if it can."""
    if os.geteuid() != 0:
        return "only root can mount an image"
    if _mkfs() is None:
        return "mkfs.ext4 is missing: install e2fsprogs"
    return "" if os.path.exists("/dev/loop-control") else "the kernel has no loop devices"


def touched_cold(root: Path, work: Callable[[Path], None], scratch: Path) -> Pages:
    """What `work` touches of a copy of the tree at `root`, which it finds at the path that it is given, cold.

    `work` runs in a thread of its own; only that thread and the processes that it starts see the path, which
    is read-only. `scratch` is a folder with room for the tree. Raises Misuse where the user is not root,
    where mkfs.ext4 is missing or fails, and where the kernel has no loop devices; whatever `work` raises is
    raised again. Cost: the tree is copied once, then the run reads from the disk without read-ahead, several
    times as slow.
    """
    if why := why_not_cold():
        raise Misuse(f"a cold run cannot be had: {why}", source="pages", fix="Measure the tree as it lies.")
    scratch.mkdir(parents=True, exist_ok=True)
    image, place = scratch / "pages.ext4", scratch / "pages"
    place.mkdir(exist_ok=True)
    found: list[Pages] = []
    failed: list[BaseException] = []

    def alone() -> None:
        try:
            _check(_LIBC.unshare(_CLONE_NEWNS), "unshare")
            _check(_LIBC.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount")
            _mount_cold(image, place)
            try:
                work(place)
                found.append(resident(place, exact=True))
            finally:
                # The namespace takes the mount with it, only a moment later; what still holds it keeps it.
                _LIBC.umount2(os.fsencode(place), _MNT_DETACH)
        except BaseException as problem:
            failed.append(problem)

    try:
        _make_image(root, image)
        thread = threading.Thread(target=alone, name="cold-pages")
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return found[0]
    finally:
        image.unlink(missing_ok=True)
        place.rmdir()


def forget(root: Path, paths: Iterable[str] | None = None) -> tuple[str, ...]:
    """Drop what the kernel has in memory of the files below `root`; those of which something stayed, in
    order.

    Pages that a running process maps, and pages not yet written, stay: what is told as touched later holds
    them.
    """
    os.sync()
    stayed: list[str] = []
    for path, descriptor, size in _opened(root, paths):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if _runs(descriptor, size):
            stayed.append(path)
    return tuple(stayed)


def resident(root: Path, paths: Iterable[str] | None = None, *, exact: bool = False) -> Pages:
    """The pages of the files below `root` that are in memory now; `exact` is what the caller knows of them.

    No link is followed and nothing is read, so that asking does not change the answer.
    """
    found: dict[str, TouchedPages] = {}
    unseen: list[str] = []
    for path, descriptor, size in _opened(root, paths, unseen):
        if not _may_ask(descriptor):
            unseen.append(path)
        elif runs := _runs(descriptor, size):
            found[path] = TouchedPages(path, size, runs, _PAGE)
    return Pages(tuple(found[path] for path in sorted(found)), exact, tuple(sorted(unseen)))


def _opened(
    root: Path, paths: Iterable[str] | None, unseen: list[str] | None = None
) -> Iterator[tuple[str, int, int]]:
    """Every file with content that can be opened, with a descriptor that is closed after it."""
    for path in _files(root) if paths is None else sorted(paths):
        try:
            descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            if unseen is not None:
                unseen.append(path)
            continue
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size:
                yield path, descriptor, status.st_size
        finally:
            os.close(descriptor)


def _files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        above = os.path.relpath(folder, root)
        for name in sorted(names):
            if stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode):
                yield name if above == "." else f"{above}/{name}"


def _may_ask(descriptor: int) -> bool:
    """Whether mincore tells the truth: to others than the owner and writers it calls every page resident."""
    if os.geteuid() in (0, os.fstat(descriptor).st_uid):
        return True
    return os.access(f"/proc/self/fd/{descriptor}", os.W_OK)


def _runs(descriptor: int, size: int) -> tuple[tuple[int, int], ...]:
    """The stretches of a file's pages that are in memory."""
    runs: list[tuple[int, int]] = []
    for start in range(0, size, _STRETCH):
        length = min(_STRETCH, size - start)
        count = -(-length // _PAGE)
        seen = ctypes.create_string_buffer(count)
        address = _LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, start)
        if address == ctypes.c_void_p(-1).value:
            _check(-1, "mmap")
        try:
            _check(_LIBC.mincore(address, length, seen), "mincore")
        finally:
            _LIBC.munmap(address, length)
        first = start // _PAGE
        bits = bytes(seen.raw)
        at = 0
        while (begin := _next(bits, at, 1)) < count:
            at = _next(bits, begin, 0)
            if runs and sum(runs[-1]) == first + begin:
                runs[-1] = (runs[-1][0], runs[-1][1] + at - begin)
            else:
                runs.append((first + begin, at - begin))
    return tuple(runs)


_ONE = bytes(each & 1 for each in range(256))


def _next(flags: bytes, at: int, wanted: int) -> int:
    """The first place from `at` on whose lowest bit is `wanted`; the length if there is none."""
    found = flags.translate(_ONE).find(bytes([wanted]), at)
    return len(flags) if found < 0 else found


def _mkfs() -> str | None:
    return shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _make_image(root: Path, image: Path) -> None:
    tool = _mkfs()
    assert tool is not None, "why_not_cold() has looked"
    held = inodes = 0
    for folder, folders, names in os.walk(root):
        inodes += len(folders) + len(names)
        for name in names:
            size = os.lstat(os.path.join(folder, name)).st_size
            held += -(-size // 4096) * 4096
    room = int(held * _ROOM) + 4096 * len(str(inodes)) + 512 * inodes + 4096 * inodes // 8 + (16 << 20)
    with image.open("wb") as file:
        file.truncate(room)
    command = [tool, "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal", "-N", str(inodes + 2048)]
    done = subprocess.run(
        [*command, "-d", str(root), str(image)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Misuse(
            f"mkfs.ext4 failed: {done.stderr.strip()[-200:]}",
            source=str(root),
            fix="Give the scratch folder more room.",
        )


def _mount_cold(image: Path, place: Path) -> None:
    """Mount an image at `place` in this thread's namespace, with read-ahead off before the first read."""
    device = _attached(image)
    try:
        fcntl.ioctl(device, _SET_READ_AHEAD, 0)
        source = os.fsencode(os.readlink(f"/proc/self/fd/{device}"))
        flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOATIME
        done = _LIBC.mount(source, os.fsencode(place), b"ext4", ctypes.c_ulong(flags), None)
        _check(done, "mount")
    finally:
        os.close(device)


def _attached(image: Path) -> int:
    """A loop device of the image, open, which goes when nobody holds it any more."""
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as problem:
        raise Misuse(
            f"the kernel gives no loop device: {problem.strerror}",
            source="pages",
            fix="Measure the tree as it lies.",
        ) from problem
    with image.open("rb") as file:
        # loop_config: descriptor, block size, loop_info64 of 232 bytes (its flags at 52), 64 in reserve.
        asked = bytearray(struct.pack("<II", file.fileno(), 4096) + bytes(232 + 64))
        struct.pack_into("<I", asked, 8 + 52, _LOOP_READ_ONLY | _LOOP_AUTOCLEAR)
        try:
            for _ in range(16):
                number = fcntl.ioctl(control, _LOOP_GET_FREE)
                device = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(device, _LOOP_CONFIGURE, bytes(asked))
                except OSError:
                    # Somebody else took it between the two questions.
                    os.close(device)
                    continue
                return device
        finally:
            os.close(control)
    raise Misuse("no loop device could be had", source="pages", fix="Try again.")


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
