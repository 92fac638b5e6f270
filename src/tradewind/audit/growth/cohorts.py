"""How many lines and bytes there were at sampled moments, by when and by whom they were written.

The samples and the meaning of the curves are git-of-theseus's (its `analyze.py`), whose pictures read the
files that `theseus_files` makes; the survival of commits is among them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.audit.growth.lines import Lines, WrittenFile

Counts = NDArray[np.int64]
BY = ("cohort", "author", "domain", "directory", "extension")
"""What lines are told apart by."""


class Commit(Struct, frozen=True):
    """One commit of a history."""

    name: str
    parents: tuple[int, ...]
    """Numbers of commits before it in topological order."""
    committed: int
    """Seconds since the epoch."""
    author: str
    email: str


class Curve(Struct, frozen=True):
    """One quantity over the samples."""

    label: str
    lines: tuple[int, ...]
    bytes: tuple[int, ...]


class Growth(Struct, frozen=True):
    """A history's growth: samples in order of time, and per way of telling lines apart its curves."""

    head: str
    samples: tuple[str, ...]
    """Names of the sampled commits."""
    moments: tuple[int, ...]
    """When they were committed, seconds since the epoch."""
    curves: dict[str, tuple[Curve, ...]]
    """By each of `BY`, in order of the labels; each sums to the same totals."""
    survival: dict[str, tuple[tuple[int, int], ...]]
    """Per commit, a sample's moment and how many of its lines were there, from the first with any on."""


def sampled(history: Sequence[Commit], interval: float) -> list[int]:
    """Numbers of commits to sample: back from the last along first parents, over `interval` seconds apart."""
    found: list[int] = []
    here: int | None = len(history) - 1
    while here is not None and here >= 0:
        commit = history[here]
        if not found or commit.committed < history[found[-1]].committed - interval:
            found.append(here)
        here = commit.parents[0] if commit.parents else None
    return found[::-1]


class Counted(Struct, frozen=True):
    """One sample: lines and bytes of each commit that still has any, and of each place."""

    sample: int
    commits: list[int]
    lines: list[int]
    bytes: list[int]
    places: dict[str, dict[str, tuple[int, int]]]


class Counter:
    """Counts the files of one sample after another, looking again only at those that changed."""

    def __init__(self, history: Sequence[Commit], period: str = "%Y") -> None:
        self._history = history
        self._labels = {
            "cohort": [datetime.fromtimestamp(c.committed, UTC).strftime(period) for c in history],
            "author": [c.author for c in history],
            "domain": [c.email.rpartition("@")[2] for c in history],
        }
        self._numbers: dict[str, dict[str, int]] = {by: {} for by in BY}
        self._of_commit: dict[str, NDArray[np.int64]] = {}
        for by, labels in self._labels.items():
            numbers = self._numbers[by]
            of = [numbers.setdefault(each, len(numbers)) for each in labels]
            self._of_commit[by] = np.array(of, np.int64)
        self._seen: dict[bytes, WrittenFile] = {}
        self._counts = np.zeros((2, len(history)), np.int64)
        self._places: dict[str, dict[str, Counts]] = {"directory": {}, "extension": {}}
        self.samples: list[int] = []
        self._totals: list[tuple[Counts, dict[str, dict[str, tuple[int, int]]]]] = []

    def count(self, commit: int, lines: Lines, wanted: Mapping[bytes, bool] | None = None) -> None:
        """Add a sample. Only paths that `wanted` holds as true are counted; all of them if it is None."""
        now = {p: f for p, f in lines.items() if wanted is None or wanted[p]}
        for path, old in self._seen.items():
            new = now.get(path)
            if new is not old:
                self._add(path, old, -1)
        for path, new in now.items():
            if self._seen.get(path) is not new:
                self._add(path, new, 1)
        self._seen = now
        self.samples.append(commit)
        places = {
            by: {label: (int(c[0]), int(c[1])) for label, c in found.items()}
            for by, found in self._places.items()
        }
        self._totals.append((self._counts.copy(), places))

    def _add(self, path: bytes, file: WrittenFile, sign: int) -> None:
        if not len(file.owners):
            size: Counts = np.zeros(2, np.int64)
        else:
            owners, where = np.unique(file.owners, return_inverse=True)
            self._counts[0, owners] += sign * np.bincount(where)
            self._counts[1, owners] += sign * np.bincount(where, weights=file.lengths).astype(np.int64)
            size = np.array([len(file.owners), int(file.lengths.sum())], np.int64)
        name = path.decode(errors="surrogateescape")
        for by, label in (
            ("directory", posixpath.dirname(name).split("/")[0] + "/"),
            ("extension", posixpath.splitext(name)[1]),
        ):
            total = self._places[by].setdefault(label, np.zeros(2, np.int64))
            total += sign * size

    def kept(self) -> list[Counted]:
        """The samples so far, as values."""
        found = []
        for sample, (counts, places) in zip(self.samples, self._totals, strict=True):
            commits = np.flatnonzero(counts[0])
            lines, sizes = counts[:, commits].tolist()
            found.append(Counted(sample, commits.tolist(), lines, sizes, places))
        return found

    def go_on(self, counted: Sequence[Counted]) -> None:
        """Take up samples that another counter of the same history made."""
        for each in counted:
            counts = np.zeros_like(self._counts)
            counts[:, each.commits] = each.lines, each.bytes
            self.samples.append(each.sample)
            self._totals.append((counts, each.places))
            for by, places in each.places.items():
                for label in places:
                    self._places[by].setdefault(label, np.zeros(2, np.int64))

    def growth(self) -> Growth:
        """What was counted."""
        curves: dict[str, tuple[Curve, ...]] = {}
        for by in ("cohort", "author", "domain"):
            numbers, of = self._numbers[by], self._of_commit[by]
            sums = np.zeros((2, len(numbers), len(self._totals)), np.int64)
            for sample, (counts, _) in enumerate(self._totals):
                for what in (0, 1):
                    weighed = np.bincount(of, weights=counts[what], minlength=len(numbers))
                    sums[what, :, sample] = weighed.astype(np.int64)
            lines, sizes = sums.tolist()
            curves[by] = tuple(
                Curve(label, tuple(lines[k]), tuple(sizes[k])) for label, k in sorted(numbers.items())
            )
        for by in ("directory", "extension"):
            curves[by] = tuple(
                Curve(
                    label,
                    tuple(places[by].get(label, (0, 0))[0] for _, places in self._totals),
                    tuple(places[by].get(label, (0, 0))[1] for _, places in self._totals),
                )
                for label in sorted(self._places[by])
            )
        survival: dict[str, list[tuple[int, int]]] = {}
        seen = np.zeros(len(self._history), bool)
        for sample, (counts, _) in zip(self.samples, self._totals, strict=True):
            moment = self._history[sample].committed
            seen |= counts[0] > 0
            for commit in np.flatnonzero(seen).tolist():
                survival.setdefault(self._history[commit].name, []).append((moment, int(counts[0, commit])))
        return Growth(
            head=self._history[-1].name,
            samples=tuple(self._history[each].name for each in self.samples),
            moments=tuple(self._history[each].committed for each in self.samples),
            curves=curves,
            survival={name: tuple(found) for name, found in sorted(survival.items())},
        )


def theseus_files(growth: Growth) -> dict[str, dict[str, Any]]:
    """The JSON that git-of-theseus writes, by the name of the file, so that its own pictures can be drawn."""
    stamps = [datetime.fromtimestamp(m, UTC).replace(tzinfo=None).isoformat() for m in growth.moments]
    files: dict[str, dict[str, Any]] = {}
    for name, by, prefix in (
        ("cohorts", "cohort", "Code added in "), ("exts", "extension", ""), ("authors", "author", ""),
        ("dirs", "directory", ""), ("domains", "domain", ""),
    ):  # fmt: skip
        files[f"{name}.json"] = {
            "y": [list(curve.lines) for curve in growth.curves[by]],
            "ts": stamps,
            "labels": [prefix + curve.label for curve in growth.curves[by]],
        }
    files["survival.json"] = {name: [list(pair) for pair in found] for name, found in growth.survival.items()}
    return files
