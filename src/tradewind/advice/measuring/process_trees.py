"""Who descends from a process, and what they hold in memory together."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans() -> bool:
    """Become the parent of every descendant that loses its own; False where the system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.prctl(_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)) == 0


def descendants(pid: int) -> set[int]:
    """The processes below one, dead ones that nobody has waited for left out."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return {each for each in found if not _ended(each)}


def held(pids: set[int]) -> int:
    """Bytes of memory that processes hold together, what they share counted once."""
    if len(pids) == 1:
        return _resident(next(iter(pids)))
    # Resident sizes count shared pages for each process; proportional ones cost a walk of the pages.
    return sum(_proportional(pid) for pid in pids)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        return found
    return found


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)
