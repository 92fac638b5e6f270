"""The output of `git log --raw --patch --unified=0` as values: which lines of which file a commit replaced.

Only the headers are looked at one by one; the content is measured by array, so that a patch of a million
lines costs as little as it must. Content cannot be taken for a header, for each of its lines begins with `+`,
`-` or a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse

Lengths = NDArray[np.int64]
COMMIT = b"commit:"
"""What the line that begins a commit has in front of its name."""
_HUNK = re.compile(rb"@@ -(\d{1,18})(?:,(\d{1,18}))? \+(\d{1,18})(?:,(\d{1,18}))? @@")
_NEWLINE, _PLUS, _MINUS, _BACKSLASH = b"\n+-\\"
_QUOTED = re.compile(rb'\\([abtnvfr"\\]|[0-3][0-7]{2})')
_ESCAPES = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))


class Hunk(NamedTuple):
    """Lines that gave way to others; lines are counted from 0."""

    old: int
    """The first line of the old file that is replaced, or the one before which lines are put in."""
    removed: int
    new: int
    added: Lengths
    """Bytes of each new line, its newline included."""


class FileChange(NamedTuple):
    """What a commit did to one path."""

    status: str
    """`A`, `M`, `D`, `R` (renamed), `T` (another kind of file), as git writes it."""
    path: bytes
    source: bytes
    """Where a renamed file came from; the path itself otherwise."""
    blob: bytes
    """The content's name after the commit; all zeros where the path is gone."""
    regular: bool
    """Whether it is a file or a link after the commit, rather than another repository."""
    hunks: tuple[Hunk, ...]


class Patch(NamedTuple):
    """What one commit did."""

    commit: bytes
    changes: tuple[FileChange, ...]


def patches(chunks: Iterable[bytes]) -> Iterator[Patch]:
    """The patches in git's output, as they come.

    The log must be asked for with `--format=commit:%H`, `--raw`, `--no-abbrev`, `--patch`, `--unified=0` and
    `--text`. Raises Misuse where the text is not of that form.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        end = rest.rfind(b"\n" + COMMIT)
        if end < 0:
            continue
        yield from _patches_of(rest[: end + 1])
        rest = rest[end + 1 :]
    yield from _patches_of(rest)


def _patches_of(text: bytes) -> Iterator[Patch]:
    """The patches of a text that holds whole ones."""
    if not text:
        return
    if not text.startswith(COMMIT):
        raise Misuse("this is no log with patches", source="git log", fix="Ask for --format=commit:%H.")
    content = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(content == _NEWLINE)
    if not len(ends) or ends[-1] != len(text) - 1:
        ends = np.append(ends, len(text))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts  # without the newline: of a line of content, its sign stands for it
    # An empty line starts at a newline, which is no sign either.
    first = content[np.minimum(starts, len(text) - 1)]
    heads = np.flatnonzero((first != _PLUS) & (first != _MINUS) & (first != _BACKSLASH))
    commit = b""
    entries: list[tuple[str, bytes, bytes, bytes, bool]] = []
    hunks: list[list[Hunk]] = []
    rows = heads.tolist()
    places = zip(rows, [*rows, len(first)][1:], starts[heads].tolist(), ends[heads].tolist(), strict=True)
    for row, until, start, end in places:
        kind = text[start]
        if kind == 64:  # @@
            if not hunks:
                raise Misuse("a hunk stands before any file", source="git log")
            hunks[-1].append(_hunk(text[start:end], row, until, first, lengths))
        elif kind == 58:  # :
            entries.append(_entry(text[start:end]))
        elif text.startswith(b"diff --git ", start):
            hunks.append([])
        elif text.startswith(COMMIT, start):
            if commit:
                yield Patch(commit, _changes(commit, entries, hunks))
            commit, entries, hunks = text[start + len(COMMIT) : end], [], []
            if not commit:
                raise Misuse("a commit has no name", source="git log", fix="Ask for --format=commit:%H.")
    yield Patch(commit, _changes(commit, entries, hunks))


def _hunk(head: bytes, row: int, until: int, first: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Hunk:
    """The hunk whose head is the line `row`; the next head is the line `until`."""
    match = _HUNK.match(head)
    if match is None:
        raise Misuse(f"the hunk {head[:60]!r} cannot be read", source="git log")
    old, new = int(match[1]), int(match[3])
    removed = 1 if match[2] is None else int(match[2])
    added = 1 if match[4] is None else int(match[4])
    begin = row + 1 + removed
    if removed and begin < len(first) and first[begin] == _BACKSLASH:
        begin += 1  # the old file did not end in a newline
    if begin + added > until:
        raise Misuse(f"the hunk {head[:60]!r} is cut short", source="git log")
    sizes = lengths[begin : begin + added].copy()
    if added and begin + added < len(first) and first[begin + added] == _BACKSLASH:
        sizes[-1] -= 1  # nor does the new one
    # With nothing on a side, git names the line before the place.
    return Hunk(old - 1 if removed else old, removed, new - 1 if added else new, sizes)


def _entry(line: bytes) -> tuple[str, bytes, bytes, bytes, bool]:
    """One line of `--raw`: `:100644 100644 <old> <new> M<tab>path`, or two paths where it is renamed."""
    about, *paths = line.split(b"\t")
    parts = about.split(b" ")
    if len(parts) != 5 or not paths:
        raise Misuse(f"the change {line[:80]!r} cannot be read", source="git log")
    mode, blob, status = parts[1], parts[3], parts[4][:1].decode("ascii", "replace")
    names = [unquoted(each) for each in paths]
    return status, names[-1], names[0], blob, mode not in (b"160000", b"000000")


def unquoted(name: bytes) -> bytes:
    """A path as git writes it, quoted where it holds odd bytes."""
    if not name.startswith(b'"'):
        return name
    return _QUOTED.sub(
        lambda m: bytes([_ESCAPES[m[1][0]]]) if len(m[1]) == 1 else bytes([int(m[1], 8)]), name[1:-1]
    )


def _changes(
    commit: bytes, entries: list[tuple[str, bytes, bytes, bytes, bool]], hunks: list[list[Hunk]]
) -> tuple[FileChange, ...]:
    """Entries with their hunks: git writes both in the same order, a change of kind as two texts."""
    found = []
    texts = iter(hunks)
    for status, path, source, blob, regular in entries:
        mine = next(texts, [])
        if status == "T":
            mine = next(texts, [])
        found.append(FileChange(status, path, source, blob, regular, tuple(mine)))
    if next(texts, None) is not None:
        raise Misuse(f"there are more texts than changes in {commit[:12]!r}", source="git log")
    return tuple(found)
