"""From what was measured of a tree to the rows of its report."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from tradewind.audit.bloat.degrees import Bloat, Share
from tradewind.audit.bloat.graph import DependencyGraph
from tradewind.audit.bloat.pages import PageBloat, PageRow
from tradewind.audit.bloat.tables import (
    FileTable,
    ShareRow,
    biggest_kept,
    biggest_removed,
    biggest_unowned,
    by_category,
    by_layer,
    by_manager,
    by_state,
    package_rows,
)
from tradewind.audit.packages import Inventory
from tradewind.audit.tracing.events import Run
from tradewind.session.report.audit.data import (
    BloatSection,
    EdgeLine,
    FileLine,
    InventorySection,
    PackageLine,
    PageLine,
    RunLine,
    RunsSection,
    ShareLine,
    Subject,
)


def subject_of(inventory: Inventory, name: str, kind: str, digest: str = "") -> Subject:
    """What was audited, counted: files once, whatever their names."""
    tree = inventory.tree
    files = [entry for entry in tree if entry.kind == "file"]
    more = sum(len(names) - 1 for names in tree.names.values())
    links = sum(entry.kind == "link" for entry in tree)
    return Subject(name, kind, digest, tree.bytes, len(files) - more, links)


def inventory_section(inventory: Inventory, most: int = 20) -> InventorySection:
    """The packages and the biggest unowned files; layers, diet and GPU code are for whoever knows them."""
    packages = [
        PackageLine(key, package.version, package.category, size, size)
        for key, package in inventory.packages.items()
        for size in [inventory.bytes_of(key)]
    ]
    packages.sort(key=lambda line: (-line.bytes, line.key))
    return InventorySection(
        packages=tuple(packages),
        unowned_bytes=inventory.tree.bytes_of(inventory.unowned),
        unowned=tuple(replace(line, owner="") for line in _files(biggest_unowned(inventory, (), most))),
    )


def bloat_section(
    inventory: Inventory,
    bloat: Bloat,
    graph: DependencyGraph,
    kept: Collection[str],
    pages: PageBloat | None = None,
    most: int = 20,
) -> BloatSection:
    """Everything that the page tells of a measured tree; costs are for whoever knows rates and prices."""
    packages = tuple(
        PackageLine(
            row.package.key,
            row.package.version,
            row.package.category,
            row.package.share.bytes,
            row.package.share.kept_bytes,
            row.package.state,
            row.package.metadata_only,
            row.package.depth,
            row.needs,
            row.needed_by,
            row.chain,
        )
        for row in package_rows(bloat, graph)
    )
    return BloatSection(
        whole=_line("whole tree", bloat.whole),
        managers=_lines(by_manager(bloat).rows),
        categories=_lines(by_category(bloat).rows),
        layers=_lines(by_layer(bloat).rows) if len(bloat.layers) > 1 else (),
        states=_lines(by_state(bloat).rows),
        packages=packages,
        unowned=_line("unowned", bloat.unowned),
        edges=tuple(EdgeLine(edge.user, edge.used, edge.kind) for edge in graph.edges),
        removed=_files(biggest_removed(inventory, kept, most)),
        survivors=_files(biggest_kept(inventory, kept, most)),
        unmet=tuple(f"{each.user} asks for {' or '.join(each.names)}" for each in graph.unmet),
        pages=_pages((pages.kept, *pages.kinds, *pages.files[:12])) if pages else (),
        page_packages=_pages(pages.packages) if pages else (),
        page_note=pages.note if pages else "",
    )


def runs_section(inventory: Inventory, runs: Iterable[Run], statements: Iterable[str] = ()) -> RunsSection:
    """The runs in their order, each with what it needed that none before it did."""
    tree = inventory.tree
    before: frozenset[str] = frozenset()
    lines: list[RunLine] = []
    for run in runs:
        # Files by their first names, so that one of several names counts once.
        entries = [tree.entries[path] for path in run.touched.opened if path in tree]
        opened = frozenset(tree.names[e.node][0] if e.node else e.path for e in entries if e.kind == "file")
        added = opened - before
        header = run.header
        lines.append(
            RunLine(
                header.name,
                header.backend,
                " ".join(header.command),
                header.seconds,
                header.exit_code,
                len(opened),
                tree.bytes_of(opened),
                len(added),
                tree.bytes_of(added),
                header.lost,
                header.sees,
            )
        )
        before |= opened
    return RunsSection(tuple(lines), tuple(statements))


def _line(name: str, share: Share) -> ShareLine:
    return ShareLine(name, share.bytes, share.kept_bytes, share.files, share.kept_files)


def _lines(rows: Iterable[ShareRow]) -> tuple[ShareLine, ...]:
    return tuple(
        ShareLine(
            row.name,
            row.share.bytes,
            row.share.kept_bytes,
            row.share.files,
            row.share.kept_files,
            row.packages,
            row.bloated,
        )
        for row in rows
    )


def _files(table: FileTable) -> tuple[FileLine, ...]:
    rows = [
        FileLine(row.path, row.bytes, row.owner, f"{row.names} names" if row.names > 1 else "")
        for row in table.rows
    ]
    if table.others:
        rows.append(FileLine(f"{table.others:,} others", table.other_bytes))
    return tuple(rows)


def _pages(rows: Iterable[PageRow]) -> tuple[PageLine, ...]:
    return tuple(PageLine(row.name, row.files, row.bytes, row.touched) for row in rows)
