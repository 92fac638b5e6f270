"""How much of what is kept is ever read: pages of files that runs touched, and what to fetch ahead.

Removing files stops at the file: of a kept shared library most pages are never asked for. The page degree
tells how much. It is a measurement and a hint for those who load lazily, never a licence to blank pages: a
file with blank pages crashes on the first run that differs from the profiled one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from tradewind.audit.bloat.degrees import UNOWNED
from tradewind.audit.trees import Tree

PAGE = 4096
"""Bytes of a page where nothing else is said."""
PYTHON, COMPILED, LIBRARY, OTHER = "Python source", "Python bytecode", "shared library", "other"


class TouchedPages(Struct, frozen=True):
    """The pages of one file that were touched."""

    path: str
    size: int
    """Bytes of the file."""
    runs: tuple[tuple[int, int], ...] = ()
    """First page and number of pages of each stretch, in order, apart from each other."""
    page: int = PAGE

    @property
    def bytes(self) -> int:
        """Bytes of the touched pages; the last page of a file ends with the file."""
        return sum(
            min(self.size, (first + count) * self.page) - min(self.size, first * self.page)
            for first, count in self.runs
        )

    def joined(self, other: TouchedPages) -> TouchedPages:
        """What either touched of one file; ValueError if they are of different files or sizes."""
        if (self.path, self.size, self.page) != (other.path, other.size, other.page):
            raise ValueError(f"{self.path!r} and {other.path!r} are not the same file")
        merged: list[tuple[int, int]] = []
        for first, count in sorted((*self.runs, *other.runs)):
            if merged and first <= sum(merged[-1]):
                start = merged[-1][0]
                merged[-1] = (start, max(sum(merged[-1]), first + count) - start)
            else:
                merged.append((first, count))
        return TouchedPages(self.path, self.size, tuple(merged), self.page)


class PageRow(Struct, frozen=True):
    """Kept files of one kind, and how much of them was touched."""

    name: str
    files: int
    bytes: int
    touched: int
    """Bytes of the touched pages."""

    @property
    def degree(self) -> float:
        """The share of the bytes that was not touched, from 0 to 1; 0 of nothing."""
        return 1 - self.touched / self.bytes if self.bytes else 0.0


class Prefetch(Struct, frozen=True):
    """A stretch of a file to fetch before it is asked for."""

    path: str
    offset: int
    """Bytes from the file's start."""
    length: int


class PageBloat(Struct, frozen=True):
    """A tree measured by pages."""

    tree_bytes: int
    kept: PageRow
    """All kept files together; its degree is the page degree of what is kept."""
    kinds: tuple[PageRow, ...]
    """By kind of file, the greatest first; they sum to `kept`."""
    packages: tuple[PageRow, ...]
    """By package, the most untouched bytes first, with `unowned`; they sum to `kept`."""
    files: tuple[PageRow, ...]
    """Each kept file, the most untouched bytes first."""
    exact: bool
    """Whether nothing but what was touched can have been counted: no read-ahead, and a cold start."""
    note: str

    @property
    def total_degree(self) -> float:
        """The share of the tree's bytes that would go if only touched pages were kept, from 0 to 1."""
        return 1 - self.kept.touched / self.tree_bytes if self.tree_bytes else 0.0


EXACT = "Read-ahead was off and nothing was in memory before: every page counted was asked for."
UPPER_BOUND = (
    "The kernel reads ahead and may have had pages in memory before: the touched bytes are an upper bound, "
    "and the degrees are lower bounds."
)


def joined_pages(runs: Iterable[Iterable[TouchedPages]]) -> tuple[TouchedPages, ...]:
    """What all runs together touched, in the order of paths."""
    found: dict[str, TouchedPages] = {}
    for run in runs:
        for each in run:
            found[each.path] = found[each.path].joined(each) if each.path in found else each
    return tuple(found[path] for path in sorted(found))


def page_bloat(
    tree: Tree,
    kept: Collection[str],
    touched: Iterable[TouchedPages],
    *,
    exact: bool,
    owners: Mapping[str, str] | None = None,
) -> PageBloat:
    """How much of the kept files of `tree` was touched; a file of several names counts once, whichever is
    told.

    A kept file of which nothing is told was not touched at all. `owners` gives the key of a path's package.
    """
    owners = owners or {}
    told: dict[str, TouchedPages] = {}
    for each in touched:
        first = _first_name(tree, each.path)
        renamed = TouchedPages(first, each.size, each.runs, each.page)
        told[first] = told[first].joined(renamed) if first in told else renamed
    rows: list[PageRow] = []
    kinds: dict[str, list[PageRow]] = {}
    packages: dict[str, list[PageRow]] = {}
    for path in sorted({_first_name(tree, path) for path in kept}):
        entry = tree.get(path)
        if entry is None or entry.kind != "file":
            continue
        seen = told.get(path)
        row = PageRow(path, 1, entry.size, min(entry.size, seen.bytes) if seen else 0)
        rows.append(row)
        kinds.setdefault(_kind(path), []).append(row)
        packages.setdefault(owners.get(path, UNOWNED), []).append(row)
    together = sorted(
        (_sum(name, each) for name, each in kinds.items()), key=lambda row: (-row.bytes, row.name)
    )
    parts = [_sum(name, each) for name, each in packages.items()]
    for lines in (rows, parts):
        lines.sort(key=lambda row: (row.touched - row.bytes, row.name))
    return PageBloat(
        tree.bytes,
        _sum("kept", rows),
        tuple(together),
        tuple(parts),
        tuple(rows),
        exact,
        EXACT if exact else UPPER_BOUND,
    )


def prefetch_list(
    touched: Iterable[TouchedPages], *, order: Sequence[str] = (), gap: int = 32 * PAGE
) -> tuple[Prefetch, ...]:
    """What to fetch ahead: touched stretches, joined where less than `gap` bytes lie between.

    Files are in `order` as far as it names them, and then by path. A gap costs its bytes; a stretch more
    costs a request.
    """
    found: list[Prefetch] = []
    place = {path: number for number, path in enumerate(order)}
    for each in sorted(touched, key=lambda one: (place.get(one.path, len(place)), one.path)):
        for first, count in each.runs:
            start = first * each.page
            end = min(each.size, (first + count) * each.page)
            last = found[-1] if found else None
            if last and last.path == each.path and start - (last.offset + last.length) < gap:
                found[-1] = Prefetch(each.path, last.offset, end - last.offset)
            else:
                found.append(Prefetch(each.path, start, end - start))
    return tuple(found)


def _first_name(tree: Tree, path: str) -> str:
    entry = tree.get(path)
    return tree.names[entry.node][0] if entry is not None and entry.node else path


def _sum(name: str, rows: Collection[PageRow]) -> PageRow:
    return PageRow(name, sum(r.files for r in rows), sum(r.bytes for r in rows), sum(r.touched for r in rows))


def _kind(path: str) -> str:
    name = path.rpartition("/")[2]
    if name.endswith(".pyc"):
        return COMPILED
    if name.endswith(".py"):
        return PYTHON
    return LIBRARY if name.endswith(".so") or ".so." in name else OTHER
