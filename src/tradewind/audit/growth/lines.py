"""Who wrote each line of each file, carried from commit to commit: what `git blame` tells, without asking it.

A commit's files are its parent's, but for those it changed; a changed file's lines are its parent's where no
hunk replaced them, and the commit's own where one did. At a merge, a file that equals some parent's is that
parent's whole, the first such one's; of any other each line is the first parent's that has it unchanged, and
the merge's own if none has. These are blame's own rules (git's blame.c, `pass_blame`), so counts are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tradewind.audit.growth.patches import FileChange, Hunk
from tradewind.errors import Misuse

Owners = NDArray[np.int32]


class WrittenFile:
    """One content at one path: the number of the commit that wrote each line, and each line's bytes."""

    __slots__ = ("blob", "lengths", "owners")

    def __init__(self, blob: bytes, owners: Owners, lengths: NDArray[np.int64]) -> None:
        self.blob, self.owners, self.lengths = blob, owners, lengths


Lines = dict[bytes, WrittenFile]
"""The files of a commit, by path."""
Differ = Callable[[int, Sequence[bytes]], Mapping[bytes, FileChange]]
"""What turned the files of a merge's parent of that number into these paths of the merge."""


def after(lines: Lines, changes: Sequence[FileChange], commit: int, *, reuse: bool = False) -> Lines:
    """The files after a commit with one parent, whose files are `lines`; these are altered if `reuse`."""
    found: list[tuple[bytes, WrittenFile]] = []
    gone: list[bytes] = []
    for change in changes:
        if change.status == "R":
            gone.append(change.source)
        if change.status == "D" or not change.regular:
            gone.append(change.path)
            continue
        old = lines.get(change.source) if change.status in "MR" else None
        found.append((change.path, _changed(old, change, commit)))
    kept = lines if reuse else dict(lines)
    for path in gone:
        kept.pop(path, None)
    kept.update(found)
    return kept


def merged(
    parents: Sequence[Lines],
    changes: Sequence[FileChange],
    commit: int,
    differ: Differ,
    *,
    reuse: bool = False,
) -> Lines:
    """The files after a merge; `changes` are those against its first parent, renames not looked for."""
    gone: list[bytes] = []
    found: dict[bytes, WrittenFile] = {}
    disputed: list[FileChange] = []
    for change in changes:
        if change.status == "D" or not change.regular:
            gone.append(change.path)
            continue
        same = (other.get(change.path) for other in parents[1:])
        whole = next((each for each in same if each is not None and each.blob == change.blob), None)
        if whole is None:
            disputed.append(change)
        else:
            found[change.path] = whole
    if disputed:
        paths = [change.path for change in disputed]
        against = [differ(number, paths) for number in range(len(parents))]
        for change in disputed:
            told = [each.get(change.path) for each in against]
            found[change.path] = _settled(change, told, parents, commit)
    kept = parents[0] if reuse else dict(parents[0])
    for path in gone:
        kept.pop(path, None)
    kept.update(found)
    return kept


def _settled(
    change: FileChange, against: Sequence[FileChange | None], parents: Sequence[Lines], commit: int
) -> WrittenFile:
    """A file that equals no parent's at its path: every line goes to the first parent that has it."""
    owners: Owners | None = None
    lengths: NDArray[np.int64] | None = None
    for told, lines in zip(against, parents, strict=True):
        if told is None:
            continue
        old = lines.get(told.source) if told.status in "MR" else None
        mine = _changed(old, told, -1)
        if told.status == "R" and not told.hunks and old is not None:
            return WrittenFile(change.blob, mine.owners, mine.lengths)
        if owners is None:
            owners, lengths = mine.owners, mine.lengths
        else:
            owners = np.where(owners < 0, mine.owners, owners)
    if owners is None or lengths is None:
        path = change.path.decode(errors="replace")
        raise Misuse(f"git does not tell how {path!r} came to be", source="git log")
    return WrittenFile(change.blob, np.where(owners < 0, np.int32(commit), owners), lengths)


def _changed(old: WrittenFile | None, change: FileChange, commit: int) -> WrittenFile:
    """The new content of a file, by the hunks against the old."""
    if old is None:
        owners, lengths = np.zeros(0, np.int32), np.zeros(0, np.int64)
    elif not change.hunks:
        return WrittenFile(change.blob, old.owners, old.lengths)
    else:
        owners, lengths = old.owners, old.lengths
    hunks: tuple[Hunk, ...] = change.hunks
    if hunks and hunks[-1].old + hunks[-1].removed > len(owners):
        raise Misuse(
            f"{change.path.decode(errors='replace')!r} has more lines than its past tells", source="git log",
            fix="Use a whole history; a shallow clone lacks the beginning.",
        )  # fmt: skip
    owner_parts, length_parts = [], []
    here = 0
    for hunk in hunks:
        owner_parts += [owners[here : hunk.old], np.full(len(hunk.added), commit, np.int32)]
        length_parts += [lengths[here : hunk.old], hunk.added]
        here = hunk.old + hunk.removed
    owner_parts.append(owners[here:])
    length_parts.append(lengths[here:])
    return WrittenFile(change.blob, np.concatenate(owner_parts), np.concatenate(length_parts))
