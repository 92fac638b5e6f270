"""Copying chosen paths of a tree into a directory, so that nothing in it can do harm on the way.

The directory is filled under a temporary name that only its maker may enter, by descriptors and without
following a link, then renamed. Hard links, modes, times and extended attributes are kept; owners only by
root.
"""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.images.beneath import open_beneath
from tradewind.audit.images.regions import CHUNK
from tradewind.audit.trees import Entry, Files, Kind
from tradewind.data.durable_files import TEMPORARY, sync
from tradewind.errors import Misuse

Devices = Literal["skip", "refuse", "make"]
"""What becomes of device nodes: left out and told, Misuse, or made, which takes root."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTER = os.O_RDONLY | os.O_DIRECTORY


class Copied(Struct, frozen=True):
    """What came of a copy."""

    entries: int
    bytes: int
    """Of all files, hard links counted once."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Paths that were left out, each with the reason."""
    privileged: tuple[str, ...] = ()
    """Programs that run with the rights of their owner or group, or with capabilities; kept as they are."""
    lost: tuple[str, ...] = ()
    """What could not be kept, in words: owners and capabilities, where it was not root who copied."""


def write_folder(
    files: Files,
    paths: Collection[str],
    target: Path,
    *,
    contents: Mapping[str, bytes] | None = None,
    devices: Devices = "skip",
    progress: Callable[[int], None] | None = None,
) -> Copied:
    """Make `target`, which must not be there yet, a directory of these paths and of those above them.

    `contents` gives files another content, or adds them. Misuse if a path is not in the tree, if the tree
    changes meanwhile, or if it cannot be: a file below a file, a name that the file system does not take.
    Nothing is left then.
    """
    if os.path.lexists(target):
        raise Misuse("is there already", source=str(target), fix="Name a new place, or remove it first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
    try:
        copier = _Copier(partial, files, contents or {}, devices, progress)
        try:
            copied = copier.copied(chosen_entries(files, paths, contents or {}))
        finally:
            copier.close()
        os.rename(partial, target)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError):
            raise Misuse(
                f"cannot be written ({error.strerror})", source=str(target), field=str(error.filename or ""),
                fix="Check the room, the rights, and the names in the tree.",
            ) from error  # fmt: skip
        raise
    sync(target.parent)
    return copied


def chosen_entries(files: Files, paths: Collection[str], contents: Mapping[str, bytes]) -> list[Entry]:
    """The entries of these paths and of the directories above, in order; Misuse if one is not in the tree."""
    tree, found = files.tree, dict[str, Entry]()
    for path in (*paths, *contents):
        entry = tree.get(path)
        if path in contents:
            made = entry or Entry(path, "file")
            entry = replace(made, kind="file", size=len(contents[path]), target="", node=0)
        elif entry is None:
            raise Misuse("is not in the tree", field=path, fix="Name paths of it.")
        found[path] = entry
        above = path.rpartition("/")[0]
        while above and above not in found:
            found[above] = tree.get(above) or Entry(above, "directory", mode=0o755)
            above = above.rpartition("/")[0]
    return sorted(found.values(), key=lambda each: each.path)


class _Copier:
    def __init__(
        self,
        partial: Path,
        files: Files,
        contents: Mapping[str, bytes],
        devices: Devices,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._files, self._contents, self._devices, self._progress = files, contents, devices, progress
        self._root = os.open(partial, _ENTER | os.O_CLOEXEC)
        self._above, self._descriptor = "", os.dup(self._root)
        self._first: dict[int, str] = {}
        self._skipped: list[tuple[str, str]] = []
        self._privileged: list[str] = []
        self._lost: set[str] = set()
        self._bytes = 0
        self._owns = os.geteuid() == 0

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._root)

    def copied(self, entries: list[Entry]) -> Copied:
        for entry in entries:
            self._copy(entry)
        # Directories last, the deepest first: they may forbid writing, and writing changes their times.
        for entry in reversed(entries):
            if entry.kind == "directory":
                above, name = self._enter(entry.path)
                self._finish(entry, os.open(name, _ENTER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above))
        os.fchmod(self._root, 0o755)
        _to_disk(self._root)
        return Copied(
            len(entries) - len(self._skipped), self._bytes, tuple(self._skipped), tuple(self._privileged),
            tuple(sorted(self._lost)),
        )  # fmt: skip

    def _enter(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory above, and the name in it."""
        above, _, name = path.rpartition("/")
        if above != self._above:
            descriptor = open_beneath(self._root, above, _ENTER)
            os.close(self._descriptor)
            self._above, self._descriptor = above, descriptor
        return self._descriptor, name

    def _copy(self, entry: Entry) -> None:
        above, name = self._enter(entry.path)
        match entry.kind:
            case "directory":
                os.mkdir(name, 0o700, dir_fd=above)
            case "link":
                os.symlink(entry.target, name, dir_fd=above)
                if self._owns:
                    os.chown(name, entry.user, entry.group, dir_fd=above, follow_symlinks=False)
                moment = math.floor(entry.modified * 1e9)
                os.utime(name, ns=(moment, moment), dir_fd=above, follow_symlinks=False)
            case "file":
                self._file(entry, above, name)
            case other:
                self._special(other, entry, above, name)

    def _file(self, entry: Entry, above: int, name: str) -> None:
        first = self._first.setdefault(entry.node, entry.path) if entry.node else entry.path
        if first != entry.path:
            directory, _, other = first.rpartition("/")
            where = open_beneath(self._root, directory, _ENTER)
            try:
                os.link(other, name, src_dir_fd=where, dst_dir_fd=above, follow_symlinks=False)
            finally:
                os.close(where)
            return
        out = os.open(name, _NEW, 0o600, dir_fd=above)
        try:
            if entry.path in self._contents:
                _write(out, self._contents[entry.path])
            else:
                self._content(entry, out)
        except BaseException:
            os.close(out)
            raise
        self._bytes += entry.size
        self._finish(entry, out)

    def _content(self, entry: Entry, out: int) -> None:
        count = 0
        with self._files.open(entry.path) as source:
            while piece := source.read(CHUNK):
                count += len(piece)
                _write(out, piece)
                if self._progress is not None:
                    self._progress(len(piece))
        if count != entry.size:
            raise Misuse(
                f"had {entry.size:,} bytes and has {count:,} now", field=entry.path,
                fix="Let nobody write to the tree meanwhile.",
            )  # fmt: skip

    def _finish(self, entry: Entry, descriptor: int) -> None:
        """Give an open file or directory its owner, mode, attributes and times, and close it."""
        try:
            if self._owns:
                os.fchown(descriptor, entry.user, entry.group)
            elif entry.user != os.geteuid() or entry.group != os.getegid():
                self._lost.add("owners: only root can give files away")
            # After the owner, whose change takes the rights of these bits away.
            os.fchmod(descriptor, entry.mode)
            if entry.kind == "file" and entry.mode & (stat.S_ISUID | stat.S_ISGID):
                self._privileged.append(entry.path)
            for key, value in entry.attributes:
                if key == "security.capability":
                    self._privileged.append(entry.path)
                try:
                    os.setxattr(descriptor, key, value)
                except OSError as error:
                    self._lost.add(f"the attribute {key}: {error.strerror}")
            moment = math.floor(entry.modified * 1e9)
            os.utime(descriptor, ns=(moment, moment))
        finally:
            os.close(descriptor)

    def _special(self, kind: Kind, entry: Entry, above: int, name: str) -> None:
        if kind == "socket":
            self._skipped.append((entry.path, "a socket is of the process that made it"))
            return
        if kind == "device" and self._devices == "refuse":
            raise Misuse(
                "is a device node", field=entry.path, fix="Leave it out, or ask for devices to be skipped."
            )
        if kind == "device" and self._devices == "skip":
            self._skipped.append((entry.path, "a device node reaches the machine's devices"))
            return
        if kind == "pipe":
            os.mkfifo(name, 0o600, dir_fd=above)
        else:
            letter, _, numbers = entry.target.partition(" ")
            major, minor = (int(each) for each in numbers.split(":"))
            form = stat.S_IFCHR if letter == "c" else stat.S_IFBLK
            os.mknod(name, form | 0o600, os.makedev(major, minor), dir_fd=above)
        if self._owns:
            os.chown(name, entry.user, entry.group, dir_fd=above, follow_symlinks=False)
        os.chmod(name, entry.mode & 0o777, dir_fd=above)
        moment = math.floor(entry.modified * 1e9)
        os.utime(name, ns=(moment, moment), dir_fd=above, follow_symlinks=False)


def _remove(partial: Path) -> None:
    """Remove an unfinished copy, also where its directories forbid their maker to write."""
    for directory, names, _ in os.walk(partial):
        for name in names:
            where = os.path.join(directory, name)
            # A link is among the names too, and would have its target changed, wherever that is.
            if not os.path.islink(where):
                with suppress(OSError):
                    os.chmod(where, 0o700)
    shutil.rmtree(partial, ignore_errors=True)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _to_disk(descriptor: int) -> None:
    """Have all that was written to this file system reach the disk."""
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) == 0:
            return
    except (OSError, AttributeError):
        pass
    os.sync()
