"""A measured tree as rows for a terminal and a report; the rows of a table sum to its total, the tree."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import reduce

from msgspec import Struct

from tradewind.audit.bloat.degrees import UNOWNED, Bloat, PackageBloat, Share
from tradewind.audit.bloat.graph import DependencyGraph
from tradewind.audit.packages import Inventory


class ShareRow(Struct, frozen=True):
    """A part of a tree, and how much of it is needed."""

    name: str
    share: Share
    packages: int = 0
    bloated: int = 0
    """Packages of which nothing is needed."""


class ShareTable(Struct, frozen=True):
    """Rows that sum to a total."""

    rows: tuple[ShareRow, ...]
    total: ShareRow


class PackageRow(Struct, frozen=True):
    """A package in a table."""

    package: PackageBloat
    needs: int
    """Packages that it needs in the end."""
    needed_by: int
    """Packages that need it in the end."""
    chain: tuple[str, ...]
    """The chain that says most of why it is there, as `DependencyGraph.story` has it."""


class FileRow(Struct, frozen=True):
    """A file in a table."""

    path: str
    bytes: int
    owner: str
    """The key of its package, or `unowned`."""
    kept: bool
    names: int = 1


class FileTable(Struct, frozen=True):
    """The biggest files of some kind, and how many more there are."""

    rows: tuple[FileRow, ...]
    others: int
    other_bytes: int

    @property
    def bytes(self) -> int:
        """Bytes of all files that the table is about."""
        return sum(row.bytes for row in self.rows) + self.other_bytes


def by_manager(bloat: Bloat) -> ShareTable:
    """A row for each manager, the greatest first, and one for what no package owns."""
    return _shares(bloat, bloat.managers, [(each.manager, each.bloated) for each in bloat.packages])


def by_category(bloat: Bloat) -> ShareTable:
    """A row for each category (ML, GPU, generic), the greatest first, and one for what no package owns."""
    return _shares(bloat, bloat.categories, [(each.category, each.bloated) for each in bloat.packages])


def by_state(bloat: Bloat) -> ShareTable:
    """A row each for packages that are used, reachable from a used one, or unreachable, and for the
    unowned."""
    return _shares(bloat, bloat.states, [(each.state, each.bloated) for each in bloat.packages])


def by_layer(bloat: Bloat) -> ShareTable:
    """A row for each layer, from the lowest up; packages are not counted, for they lie across layers."""
    rows = tuple(ShareRow(f"layer {layer}", share) for layer, share in bloat.layers.items())
    return ShareTable(rows, _total(rows))


def biggest_packages(bloat: Bloat, most: int = 20, *, removed: bool = False) -> ShareTable:
    """The packages with the most bytes, or the most removed ones; then the others and the unowned in a row
    each."""
    order = sorted(
        bloat.packages,
        key=lambda each: (-(each.share.removed_bytes if removed else each.share.bytes), each.key),
    )
    rows = [ShareRow(each.key, each.share, 1, int(each.bloated)) for each in order[:most]]
    rest = order[most:]
    if rest:
        together = reduce(Share.plus, (each.share for each in rest), Share())
        rows.append(ShareRow(f"{len(rest)} others", together, len(rest), sum(each.bloated for each in rest)))
    rows.append(ShareRow(UNOWNED, bloat.unowned))
    return ShareTable(tuple(rows), _total(rows))


def package_rows(bloat: Bloat, graph: DependencyGraph) -> tuple[PackageRow, ...]:
    """All packages with what the graph says of them, the most removed bytes first."""
    order = sorted(bloat.packages, key=lambda each: (-each.share.removed_bytes, -each.share.bytes, each.key))
    return tuple(PackageRow(each, *graph.counts[each.key], graph.story(each.key)) for each in order)


def biggest_removed(inventory: Inventory, kept: Collection[str], most: int = 20) -> FileTable:
    """The biggest files of which no name is kept."""
    return _files(inventory, kept, most, lambda row: not row.kept)


def biggest_kept(inventory: Inventory, kept: Collection[str], most: int = 20) -> FileTable:
    """The biggest files that are kept."""
    return _files(inventory, kept, most, lambda row: row.kept)


def biggest_unowned(inventory: Inventory, kept: Collection[str], most: int = 20) -> FileTable:
    """The biggest files that no package owns."""
    return _files(inventory, kept, most, lambda row: row.owner == UNOWNED)


def _shares(bloat: Bloat, parts: dict[str, Share], packages: Sequence[tuple[str, bool]]) -> ShareTable:
    count: dict[str, int] = {}
    idle: dict[str, int] = {}
    for name, bloated in packages:
        count[name] = count.get(name, 0) + 1
        idle[name] = idle.get(name, 0) + bloated
    order = sorted(parts, key=lambda name: (name == UNOWNED, -parts[name].bytes, name))
    rows = [ShareRow(name, parts[name], count.get(name, 0), idle.get(name, 0)) for name in order]
    return ShareTable(tuple(rows), _total(rows))


def _total(rows: Iterable[ShareRow]) -> ShareRow:
    rows = tuple(rows)
    return ShareRow(
        "total",
        reduce(Share.plus, (row.share for row in rows), Share()),
        sum(row.packages for row in rows),
        sum(row.bloated for row in rows),
    )


def _files(
    inventory: Inventory, kept: Collection[str], most: int, wanted: Callable[[FileRow], bool]
) -> FileTable:
    tree = inventory.tree
    known = frozenset(kept)
    found: list[FileRow] = []
    for entry in tree:
        names = tree.names[entry.node] if entry.node else (entry.path,)
        if entry.kind != "file" or names[0] != entry.path:
            continue
        owner = inventory.owners.get(entry.path, UNOWNED)
        row = FileRow(entry.path, entry.size, owner, any(name in known for name in names), len(names))
        if wanted(row):
            found.append(row)
    found.sort(key=lambda row: (-row.bytes, row.path))
    return FileTable(tuple(found[:most]), len(found[most:]), sum(row.bytes for row in found[most:]))
