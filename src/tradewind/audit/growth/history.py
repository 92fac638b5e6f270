"""Reads the history of a repository through git and counts its growth; goes on where a killed run stopped.

Git is run with the repository's own programs and settings for diffs off, and never writes to the repository.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from tradewind import clock
from tradewind.audit.growth.cohorts import Commit, Counted, Counter, Growth, sampled
from tradewind.audit.growth.lines import Lines, WrittenFile, after, merged
from tradewind.audit.growth.patches import COMMIT, FileChange, patches
from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt, Misuse

WEEK = 7 * 24 * 3600.0
_CHUNK = 16 << 20
_DIFF = ("-r", "--root", "--always", "--no-abbrev", "--no-color", "--no-ext-diff", "--no-textconv", "--raw",
         f"--format={COMMIT.decode()}%H")  # fmt: skip
_TEXT = ("--patch", "--unified=0", "--text", "--submodule=short", "-M", "-l4000")
"""Inexact renames are looked for among up to 4,000 files a commit; blame has no such limit."""


class Progress(Struct, frozen=True):
    """How far a count is."""

    commits: int
    of: int


def count_growth(
    repository: Path,
    *,
    branch: str = "HEAD",
    interval: float = WEEK,
    period: str = "%Y",
    only: Sequence[str] = (),
    ignore: Sequence[str] = (),
    checkpoint: Path | None = None,
    every: float = 60.0,
    told: Callable[[Progress], None] = lambda _: None,
) -> Growth:
    """Count the lines and bytes of a history by cohort, author, domain, directory and extension.

    A file counts if it matches any of `only` (all, if there are none) and none of `ignore`; patterns are
    those of a shell, matched against the path and against its last name. Samples are over `interval` seconds
    apart; `period` is the form of a cohort's date in UTC.

    With `checkpoint`, a file, the count so far is kept there about every `every` seconds, and a count of the
    same history and settings goes on from there. Raises Misuse for what is no repository, a branch that is
    not there, a history without commits, and a shallow clone.
    """
    commits = _commits(repository, _head(repository, branch))
    samples = set(sampled(commits, interval))
    counter = Counter(commits, period)
    wanted = _Wanted(only, ignore)
    asked = [commits[-1].name, interval, period, list(only), list(ignore)]
    begin, states = (0, {}) if checkpoint is None else _resumed(checkpoint, asked, counter)
    waiting = _children(commits, begin)
    passed = clock.stopwatch()
    with closing(_Patches(repository, commits, begin)) as source:
        for number in range(begin, len(commits)):
            lines = _files_of(number, commits, source, states, waiting)
            states[number] = lines
            if number in samples:
                counter.count(number, lines, wanted.of(lines))
            if not waiting[number]:
                del states[number]
            if checkpoint is not None and passed() > every:
                _keep(checkpoint, asked, number + 1, states, counter)
                passed = clock.stopwatch()
            if number % 500 == 499:
                told(Progress(number + 1, len(commits)))
    told(Progress(len(commits), len(commits)))
    return counter.growth()


def _git(repository: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(repository), "--no-replace-objects", "-c", "core.fsmonitor=false", *arguments]


def _asked(repository: Path, *arguments: str) -> str:
    """What git answers; Misuse with its own words if it refuses."""
    try:
        done = subprocess.run(_git(repository, *arguments), capture_output=True, check=False)
    except OSError as error:
        raise Misuse(f"git cannot be run ({error})", source=str(repository), fix="Install git.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Misuse(
            said[-1] if said else f"git {arguments[0]} failed", source=str(repository),
            fix="Give a clone of a repository, and a branch of it.",
        )  # fmt: skip
    return done.stdout.decode(errors="surrogateescape")


def _head(repository: Path, branch: str) -> str:
    if _asked(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise Misuse(
            "this is a shallow clone, whose lines have no beginning", source=str(repository),
            fix="Fetch the rest: git fetch --unshallow.",
        )  # fmt: skip
    return _asked(
        repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch}^{{commit}}"
    ).strip()  # fmt: skip


def _commits(repository: Path, head: str) -> list[Commit]:
    """All commits that lead to `head`, parents first."""
    told = _asked(
        repository, "log", "--topo-order", "--reverse", "--format=%H%x00%P%x00%ct%x00%aN%x00%aE", head, "--"
    )  # fmt: skip
    numbers: dict[str, int] = {}
    found: list[Commit] = []
    for line in told.split("\n"):
        if not line:
            continue
        name, parents, committed, author, email = line.split("\0")
        # A parent may be given twice; blame looks at it once.
        known = tuple(dict.fromkeys(numbers[each] for each in parents.split()))
        numbers[name] = len(found)
        found.append(Commit(name, known, int(committed), author, email))
    return found


def _children(commits: Sequence[Commit], begin: int) -> list[int]:
    """How many commits from `begin` on still need each commit's files."""
    waiting = [0] * len(commits)
    for commit in commits[begin:]:
        for parent in commit.parents:
            waiting[parent] += 1
    return waiting


def _files_of(
    number: int, commits: Sequence[Commit], source: _Patches, states: dict[int, Lines], waiting: list[int]
) -> Lines:
    """The files of a commit; those of parents that nobody else waits for are given up."""
    commit = commits[number]
    changes = source.next_of(number)
    for parent in commit.parents:
        waiting[parent] -= 1
    parents = [states[parent] for parent in commit.parents]
    free = bool(parents) and not waiting[commit.parents[0]]
    for parent in commit.parents:
        if not waiting[parent]:
            del states[parent]
    if len(parents) < 2:
        return after(parents[0] if parents else {}, changes, number, reuse=free)
    return merged(parents, changes, number, lambda k, paths: source.against(number, k, paths), reuse=free)


class _Wanted:
    """Which paths are counted, asked once for each."""

    def __init__(self, only: Sequence[str], ignore: Sequence[str]) -> None:
        self._only, self._ignore = tuple(only), tuple(ignore)
        self._known: dict[bytes, bool] = {}

    def of(self, lines: Lines) -> Mapping[bytes, bool] | None:
        """What is counted among the paths of `lines`; None for all."""
        if not self._only and not self._ignore:
            return None
        for path in lines:
            if path not in self._known:
                self._known[path] = self._counts(path.decode(errors="surrogateescape"))
        return self._known

    def _counts(self, path: str) -> bool:
        names = (path, path.rpartition("/")[2])
        if any(fnmatchcase(name, pattern) for pattern in self._ignore for name in names):
            return False
        return not self._only or any(fnmatchcase(n, pattern) for pattern in self._only for n in names)


class _Patches:
    """The changes of each commit from one on, in order: two processes of git, which read ahead."""

    def __init__(self, repository: Path, commits: Sequence[Commit], begin: int) -> None:
        self._repository, self._commits = repository, commits
        self._processes: list[subprocess.Popen[bytes]] = []
        rest = commits[begin:]
        single = "".join(f"{c.name}\n" for c in rest if len(c.parents) < 2)
        merges = "".join(f"{c.name} {commits[c.parents[0]].name}\n" for c in rest if len(c.parents) > 1)
        self._single = patches(self._told(single, *_TEXT))
        self._merges = patches(self._told(merges, "--no-renames"))

    def _told(self, names: str, *arguments: str) -> Iterator[bytes]:
        if not names:
            return
        with tempfile.TemporaryFile() as listed:
            listed.write(names.encode())
            listed.seek(0)
            process = subprocess.Popen(
                _git(self._repository, "diff-tree", "--stdin", *_DIFF, *arguments),
                stdin=listed, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        self._processes.append(process)
        assert process.stdout is not None and process.stderr is not None
        while chunk := process.stdout.read(_CHUNK):
            yield chunk
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise Misuse(f"git diff-tree failed: {said}", source=str(self._repository), fix="Try git fsck.")

    def next_of(self, number: int) -> Sequence[FileChange]:
        """What the commit of that number did; numbers are asked for in order."""
        commit = self._commits[number]
        patch = next(self._merges if len(commit.parents) > 1 else self._single, None)
        if patch is None or patch.commit.decode() != commit.name:
            raise Misuse(
                f"git tells nothing of {commit.name[:12]}", source=str(self._repository), fix="Try git fsck."
            )
        return patch.changes

    def against(self, number: int, parent: int, paths: Sequence[bytes]) -> Mapping[bytes, FileChange]:
        """What turned the files of a merge's parent into these paths of the merge."""
        commit = self._commits[number]
        trees = self._commits[commit.parents[parent]].name, commit.name
        found = self._changes(trees, paths, "--no-renames")
        # Where a parent lacks the path, blame asks for the file's old name.
        if any(change.status in "AT" for change in found.values()):
            lacking = {path for path, change in found.items() if change.status in "AT"}
            renamed = self._changes(trees, (), "-M", "-l4000")
            found.update({p: c for p, c in renamed.items() if p in lacking and c.status == "R"})
        return found

    def _changes(
        self, trees: tuple[str, str], paths: Sequence[bytes], *arguments: str
    ) -> dict[bytes, FileChange]:
        text = [each for each in _TEXT if not each.startswith(("-M", "-l"))]
        asked = ["--literal-pathspecs", "diff-tree", *_DIFF, *text, *arguments, *trees, "--"]
        asked += [path.decode(errors="surrogateescape") for path in paths]
        done = subprocess.run(_git(self._repository, *asked), capture_output=True, check=True)
        told = COMMIT + trees[1].encode() + b"\n" + done.stdout
        return {change.path: change for patch in patches([told]) for change in patch.changes}

    def close(self) -> None:
        """End git, if it still runs."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


class _Saved(Struct, frozen=True):
    """What a checkpoint says beside its arrays."""

    asked: list[Any]
    begin: int
    counted: list[Counted]
    blobs: list[str]
    states: dict[int, list[tuple[str, int]]]
    """Per commit, its paths and the number of each one's file."""


def _keep(target: Path, asked: list[Any], begin: int, states: Mapping[int, Lines], counter: Counter) -> None:
    """Write down how far the count is, whole or not at all."""
    numbers: dict[int, int] = {}
    files: list[WrittenFile] = []
    told: dict[int, list[tuple[str, int]]] = {}
    for commit, lines in states.items():
        told[commit] = rows = []
        for path, file in lines.items():
            if id(file) not in numbers:
                numbers[id(file)] = len(files)
                files.append(file)
            rows.append((path.decode("latin-1"), numbers[id(file)]))
    saved = _Saved(asked, begin, counter.kept(), [file.blob.decode() for file in files], told)
    arrays = {
        "sizes": np.array([len(file.owners) for file in files], np.int64),
        "owners": np.concatenate([np.zeros(0, np.int32), *(file.owners for file in files)]),
        "lengths": np.concatenate([np.zeros(0, np.int64), *(file.lengths for file in files)]),
    }
    write_tensors(target, arrays, {"count": msgspec.json.encode(saved).decode()})


def _resumed(target: Path, asked: list[Any], counter: Counter) -> tuple[int, dict[int, Lines]]:
    """Where a count of the same history and settings stopped; the beginning if there is none."""
    if not target.exists():
        return 0, {}
    try:
        arrays, about = read_tensors(target)
        saved = msgspec.json.decode(about["count"], type=_Saved)
        ends = np.cumsum(arrays["sizes"])[:-1]
        parts = zip(
            saved.blobs, np.split(arrays["owners"], ends), np.split(arrays["lengths"], ends), strict=True
        )
        files = [WrittenFile(blob.encode(), owners, lengths) for blob, owners, lengths in parts]
    except (Corrupt, KeyError, ValueError, msgspec.DecodeError):
        return 0, {}  # it only spares time
    if saved.asked != asked:
        return 0, {}
    counter.go_on(saved.counted)
    states = {
        commit: {path.encode("latin-1"): files[number] for path, number in rows}
        for commit, rows in saved.states.items()
    }
    return saved.begin, states
