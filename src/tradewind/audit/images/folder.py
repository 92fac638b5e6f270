"""A directory as a tree of files: walked by descriptors, no link followed, nothing opened but plain files.

A mount below the root (`/proc`, `/sys`, a volume) is left out unless asked for, and a directory that cannot
be listed stays empty; `notes` tells of both, so that a figure is never taken for more than it counts. Names
that are no UTF-8 keep their bytes, as Python's file names do (`os.fsencode` gives them back).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn

from tradewind.audit.images.beneath import open_beneath
from tradewind.audit.images.regions import Region
from tradewind.audit.trees import Entry, Kind, Tree
from tradewind.errors import Misuse

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
OF_THE_MACHINE = (
    "security.selinux",
    "security.ima",
    "security.evm",
    "security.apparmor",
    "trusted.",
    "system.nfs4",
)
"""Extended attributes that a machine gives its files: no part of a tree."""
_LIST = os.O_RDONLY | os.O_DIRECTORY
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENODATA, errno.ENOENT, errno.EPERM, errno.EACCES)


class Folder:
    """The files below a directory. It is walked when this is made; Misuse if there is no such directory.

    Half of that goes into extended attributes: who only looks at an image leaves them out.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, one_device: bool = True, attributes: bool = True
    ) -> None:
        self.path = Path(path)
        self._held = ExitStack()
        try:
            self._root = os.open(self.path, _LIST | os.O_CLOEXEC)
        except OSError as error:
            raise Misuse(
                f"no directory that can be read ({error.strerror})", source=str(path), fix="Name another one."
            ) from None
        notes: list[str] = []
        try:
            self.tree = Tree(_shared(_walked(self._root, one_device, attributes, notes)))
        except BaseException:
            self.close()
            raise
        self.notes = tuple(notes)
        """What was left out of the tree, and why."""

    def open(self, path: str) -> BinaryIO:
        """The content of a file; see `Files`. Misuse if it cannot be read, or is no longer what it was."""
        entry = self.tree.get(path)
        if entry is None or entry.kind != "file":
            raise KeyError(path)
        try:
            # A pipe that took the file's place would otherwise wait for somebody to write.
            descriptor = _open_quietly(self._root, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            self._refuse(path, f"cannot be read ({error.strerror})")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            self._refuse(path, "was a file, and is none any more")
        return os.fdopen(descriptor, "rb")

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """The content of a file; see `Files`."""
        with self.open(path) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise Misuse(f"has more than {limit:,} bytes", source=str(self.path), field=path)
        return content

    def region(self, path: str) -> Region:
        """The content of a file as a stretch, which can be read until the folder is closed."""
        file = self._held.enter_context(self.open(path))
        return Region(file, 0, os.fstat(file.fileno()).st_size)

    def close(self) -> None:
        """Let go of the directory; nothing can be opened afterwards."""
        self._held.close()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse(self, path: str, problem: str) -> NoReturn:
        raise Misuse(
            problem,
            source=str(self.path),
            field=path,
            fix="Run as somebody who may read it, while it is at rest.",
        ) from None


def _open_quietly(root: int, path: str, flags: int) -> int:
    """Open without leaving a time of access where that is allowed: tracers go by those times."""
    try:
        return open_beneath(root, path, flags | os.O_NOATIME)
    except PermissionError:
        return open_beneath(root, path, flags)


def _walked(
    root: int, one_device: bool, attributes: bool, notes: list[str]
) -> list[tuple[Entry, tuple[int, int] | None]]:
    """Everything below `root`, and what tells a file of several names from others."""
    found: list[tuple[Entry, tuple[int, int] | None]] = []
    device = os.fstat(root).st_dev
    attributes_of = _attributes if attributes and os.path.exists(f"/proc/self/fd/{root}") else _none
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        try:
            here = _open_quietly(root, directory, _LIST)
        except OSError as error:
            notes.append(f"{directory}: cannot be listed ({error.strerror}), what is below is left out")
            continue
        start = directory + "/" if directory else ""
        try:
            if one_device and os.fstat(here).st_dev != device:
                notes.append(f"{directory}: another file system is mounted there, left out")
                continue
            with os.scandir(here) as names:
                for each in names:
                    name = each.name
                    path = start + name
                    try:
                        info = each.stat(follow_symlinks=False)
                        target = os.readlink(name, dir_fd=here) if each.is_symlink() else ""
                    except OSError as error:
                        notes.append(f"{path}: went away while it was looked at ({error.strerror})")
                        continue
                    mode = info.st_mode
                    kind = _KINDS.get(stat.S_IFMT(mode), "device")
                    extended: tuple[tuple[str, bytes], ...] = ()
                    if kind in ("file", "directory"):
                        extended = attributes_of(here, name)
                    elif kind == "device":
                        letter = "c" if stat.S_ISCHR(mode) else "b"
                        target = f"{letter} {os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
                    if kind == "directory":
                        waiting.append(path)
                    is_file = kind == "file"
                    entry = Entry(
                        path,
                        kind,
                        info.st_size if is_file else 0,
                        mode & 0o7777,
                        info.st_uid,
                        info.st_gid,
                        info.st_mtime,
                        target,
                        0,
                        0,
                        extended,
                    )
                    found.append(
                        (entry, (info.st_dev, info.st_ino) if is_file and info.st_nlink > 1 else None)
                    )
        finally:
            os.close(here)
    return found


def _shared(found: Iterable[tuple[Entry, tuple[int, int] | None]]) -> list[Entry]:
    """The entries, with the names of one file numbered alike, in order of their first names."""
    entries: list[Entry] = []
    names: dict[tuple[int, int], list[Entry]] = {}
    for entry, inode in found:
        if inode is None:
            entries.append(entry)
        else:
            names.setdefault(inode, []).append(entry)
    return entries + numbered(names.values())


def numbered(groups: Iterable[list[Entry]]) -> list[Entry]:
    """The entries of groups that share one file each: `node` is set, or 0 where a group has one name only."""
    several = [sorted(group, key=lambda each: each.path) for group in groups]
    several.sort(key=lambda group: group[0].path)
    entries: list[Entry] = []
    number = 0
    for group in several:
        number += len(group) > 1
        for each in group:
            entries.append(
                Entry(
                    each.path, each.kind, each.size, each.mode, each.user, each.group, each.modified,
                    each.target, number if len(group) > 1 else 0, each.layer, each.attributes,
                )
            )  # fmt: skip
    return entries


def _attributes(here: int, name: str) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of a name, which need not be readable itself."""
    where = f"/proc/self/fd/{here}/{name}"
    try:
        names = os.listxattr(where, follow_symlinks=False)
        if not names:
            return ()
        kept = sorted(each for each in names if not each.startswith(OF_THE_MACHINE))
        return tuple((each, os.getxattr(where, each, follow_symlinks=False)) for each in kept)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return ()
        raise


def _none(here: int, name: str) -> tuple[tuple[str, bytes], ...]:
    return ()
