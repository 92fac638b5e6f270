"""One process at a time in a folder, and what a killed one left there is cleared away by the next."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tradewind.audit.tracing.backends.confinement import remove_room
from tradewind.data.durable_files import TEMPORARY
from tradewind.errors import Misuse


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made if need be; Misuse if another process does.

    A kill frees it with the process, so whatever unfinished is found on entry is nobody's and is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misuse(
                "another process works here", source=str(folder), fix="Wait for it, or name another folder."
            ) from None
        for left in folder.glob(f"{TEMPORARY}*"):
            if left.is_dir() and not left.is_symlink():
                remove_room(left)
            else:
                left.unlink(missing_ok=True)
        yield
    finally:
        os.close(held)


@contextmanager
def made_alone(target: Path) -> Iterator[Path]:
    """A place to make `target` at, which becomes `target` on leaving; whole or not at all.

    What a kill leaves lies beside `target`, under a name that the next attempt knows and clears away.
    Misuse if the target is there, or another process is making it.
    """
    if target.exists() or target.is_symlink():
        raise Misuse("is there already", source=str(target), fix="Name a new place, or remove it first.")
    room = target.parent / f"{TEMPORARY}{target.name}"
    with alone_in(room):
        try:
            made = room / f"{TEMPORARY}made"
            yield made
            os.rename(made, target)
        finally:
            remove_room(room)
