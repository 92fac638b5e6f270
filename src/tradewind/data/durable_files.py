"""Files that are old or new after a kill at any instruction, never half-written.

Content goes to a temporary name beside the target, is synced, and renamed over it; then the directory is
synced, so that the new name outlives a crash of the machine too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".partial-"
"""What the name of an unfinished file or directory begins with."""


def sync(path: Path) -> None:
    """Force a file's content, or a directory's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path to write; on leaving it is synced and becomes `target`, on an error it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=target.suffix, dir=target.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        sync(partial)
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(target.parent)


def write_durably(target: Path, content: bytes) -> None:
    """Make `content` the whole content of `target`."""
    with replacing(target) as partial:
        partial.write_bytes(content)


@contextmanager
def creating_directory(target: Path) -> Iterator[Path]:
    """A temporary directory to fill; on leaving, its files are synced and it becomes `target`.

    Raises OSError if `target` exists and is not empty; on any error nothing is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
    try:
        yield partial
        for path in partial.iterdir():
            sync(path)
        sync(partial)
        os.chmod(partial, 0o755)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(target.parent)


def remove_directory(target: Path) -> None:
    """Remove a directory so that nobody ever sees half of it; silent if it is gone."""
    grave = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
    with suppress(FileNotFoundError):
        os.rename(target, grave / target.name)
    shutil.rmtree(grave, ignore_errors=True)


def remove_unfinished(directory: Path) -> int:
    """Remove what killed writers left in `directory`; how many. Call it only where nobody writes."""
    left = [path for path in directory.iterdir() if path.name.startswith(TEMPORARY)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)
