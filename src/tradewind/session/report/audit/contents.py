"""Sections on what is in a tree and what of it is needed."""

from __future__ import annotations

import html
from collections.abc import Sequence

from tradewind.session.report.audit.data import BloatSection, InventorySection, PackageLine, sized
from tradewind.session.report.audit.marks import (
    code,
    degree_cell,
    figure,
    file_table,
    paragraphs,
    scroll,
    share_table,
    tag,
)
from tradewind.session.report.audit.package_graph import package_graph
from tradewind.session.report.audit.pictures import gpu_bars, histogram, share_bars
from tradewind.session.report.audit.treemap import treemap
from tradewind.session.report.page import table

_MEANINGS = {
    "used": "used",
    "reachable": "needed by a used one",
    "unreachable": "for nothing",
    "": "",
}
_LONG = 20


def bloat(section: BloatSection | None) -> str:
    """Before and after: treemap, by manager and category, the biggest that went and stayed."""
    if section is None:
        return ""
    whole = section.whole
    parts = [
        f"<p>Of {sized(whole.bytes)} the observed runs and the rules of the closure need "
        f"{sized(whole.kept_bytes)}; {sized(whole.bytes - whole.kept_bytes)} are bloat: a container bloat "
        f"degree of <b>{whole.degree:.3f}</b>. A file of several names counts once, so that "
        "the parts sum to the whole.</p>"
    ]
    parts.append(paragraphs(section.notes))
    if section.packages:
        rest = section.unowned
        picture, left = treemap(
            section.packages, (rest.bytes, rest.kept_bytes) if rest else (0, 0), measured=True
        )
        told = "An area is a package's bytes; the blue part of it is kept. The table of packages has figures."
        parts.append("<h3>Treemap</h3>" + figure(picture, told, left))
    for head, lines in (
        ("manager", section.managers),
        ("category", section.categories),
        ("state", section.states),
        ("layer", section.layers),
    ):
        if lines:
            parts.append(
                f"<h3>By {head}</h3>{figure(share_bars(lines, f'Kept and removed bytes by {head}'))}"
            )
            parts.append(share_table(head, lines, whole))
    if section.states:
        parts.append(paragraphs([
            "Used: something of the package is kept beside what only tells of it. Reachable: nothing is, but "
            "a used package asks for it. Unreachable: no used package does; it was installed for nothing."
        ]))  # fmt: skip
    if section.removed:
        parts.append(f"<h3>The biggest files that go</h3>{file_table(section.removed)}")
    if section.survivors:
        parts.append(f"<h3>The biggest files that stay</h3>{file_table(section.survivors)}")
    return "".join(parts)


def packages(section: BloatSection | None) -> str:
    """Degrees of packages, the graph, and a table of all with the chains that brought them in."""
    if section is None or not section.packages:
        return ""
    owned = section.packages
    alone = sum(each.degree >= 1 for each in owned)
    metadata = sum(each.metadata_only for each in owned)
    parts = [
        f"<p>{alone:,} of {len(owned):,} packages have degree 1: nothing of them is kept."
        + (f" Of {metadata:,} more only what tells of them is." if metadata else "")
        + "</p>",
        figure(
            histogram(owned), "Each bar counts packages of that degree; 1 is wholly removed, 0 wholly kept."
        ),
    ]
    if section.edges:
        picture, left = package_graph(owned, section.edges)
        told = (
            "A disc is a package, its area its bytes; what it needs stands to its right. The dark lines are "
            "the shortest chains that brought packages in."
        )
        parts.append("<h3>What needs what</h3>" + figure(picture, told, left))
    parts.append("<h3>All packages</h3>")
    parts.append(_package_table(owned))
    if section.unmet:
        items = "".join(f"<li>{html.escape(each)}</li>" for each in section.unmet[:200])
        others = len(section.unmet) - 200
        more = f"<li>and {others:,} more</li>" if others > 0 else ""
        parts.append(
            f"<h3>Asked for and not there ({len(section.unmet):,})</h3>"
            f"{scroll(f'<ul>{items}{more}</ul>', len(section.unmet) > 10)}"
        )
    return "".join(parts)


def inventory(section: InventorySection | None, measured: BloatSection | None) -> str:
    """What is in the tree; packages are told here only if nothing measured what of them is needed."""
    if section is None:
        return ""
    parts = [paragraphs(section.notes)]
    if section.packages and (measured is None or not measured.packages):
        picture, left = treemap(
            section.packages, (section.unowned_bytes, section.unowned_bytes), measured=False
        )
        parts.append(figure(picture, "An area is a package's bytes.", left))
        owned = sum(each.bytes for each in section.packages)
        whole = sized(owned + section.unowned_bytes)
        parts.append(
            f"<p>{len(section.packages):,} packages own {sized(owned)}; no package owns "
            f"{sized(section.unowned_bytes)}; together {whole}.</p>"
        )
        rows = [
            [code(each.key), html.escape(each.version), html.escape(each.category), sized(each.bytes)]
            for each in section.packages
        ]
        inside = table(("package", "version", "category", "bytes"), rows, numbers=(3,))
        parts.append(scroll(inside, len(rows) > _LONG))
    if section.layers:
        rows = [
            [code(each.digest[:19]), sized(each.bytes), sized(each.compressed) if each.compressed else "",
             html.escape(each.made_by)]
            for each in section.layers
        ]  # fmt: skip
        heads = ("layer", "bytes", "as it travels", "made by")
        parts.append(f"<h3>Layers</h3>{scroll(table(heads, rows, numbers=(1, 2)), len(rows) > _LONG)}")
    if section.unowned:
        parts.append(f"<h3>The biggest files that no package owns</h3>{file_table(section.unowned)}")
    return "".join(parts)


def diet(section: InventorySection | None) -> str:
    """What packages carry that no run needs, and libraries that are there several times."""
    if section is None or not (section.diet or section.duplicates):
        return ""
    parts = []
    if section.diet:
        sure = [each for each in section.diet if not each.caution]
        total = sum(each.bytes for each in sure)
        parts.append(
            f"<p>{sized(total)} in {sum(each.files for each in sure):,} files are of kinds that "
            "running code does not need. This needs no run.</p>"
        )
        kinds: dict[str, list[int]] = {}
        for each in sure:
            count = kinds.setdefault(each.kind, [0, 0])
            count[0] += each.files
            count[1] += each.bytes
        order = sorted(kinds, key=lambda kind: (-kinds[kind][1], kind))
        rows = [[html.escape(kind), f"{kinds[kind][0]:,}", sized(kinds[kind][1])] for kind in order]
        parts.append(table(("kind", "files", "bytes"), rows, numbers=(1, 2)))
        lines = sorted(section.diet, key=lambda each: (-each.bytes, each.package, each.kind))
        rows = [
            [code(e.package), html.escape(e.kind), f"{e.files:,}", sized(e.bytes), html.escape(e.caution)]
            for e in lines
        ]
        inside = table(("package", "kind", "files", "bytes", "caution"), rows, numbers=(2, 3))
        parts.append(f"<h3>By package</h3>{scroll(inside, len(rows) > 12)}")
    if section.duplicates:
        parts.append(f"<h3>There several times</h3>{file_table(section.duplicates)}")
    return "".join(parts)


def gpu(section: InventorySection | None) -> str:
    """GPU code by architecture."""
    if section is None or not section.gpu:
        return ""
    lines = sorted(section.gpu, key=lambda each: (-each.bytes, each.architecture, each.kind))
    words = {True: tag("runs", "good"), False: tag("does not", ""), None: ""}
    rows = [
        [html.escape(e.architecture), html.escape(e.kind), f"{e.files:,}", sized(e.bytes), words[e.needed]]
        for e in lines
    ]
    idle = sum(each.bytes for each in lines if each.needed is False)
    told = ""
    if section.target:
        told = f"<p>{html.escape(section.target)} runs none of {sized(idle)} of this code.</p>"
    heads = ("architecture", "kind", "files", "bytes", section.target)
    cut = 5 if section.target else 4
    return told + figure(gpu_bars(lines)) + table(heads[:cut], [row[:cut] for row in rows], numbers=(2, 3))


def _package_table(lines: Sequence[PackageLine]) -> str:
    heads = (
        "package",
        "bytes",
        "kept",
        "degree",
        "why it is there",
        "needs",
        "needed by",
        "brought in by",
    )
    rows = []
    for each in lines:
        state = _MEANINGS[each.state] + (", metadata kept" if each.metadata_only else "")
        chain = " › ".join(each.chain[:-1]) or ("itself" if each.chain else "")
        rows.append([
            f'{code(each.key)}<br><span class="small soft">{html.escape(each.version)}</span>',
            sized(each.bytes), sized(each.kept_bytes),
            degree_cell(each.degree), tag(state, "good" if each.state == "used" else ""), f"{each.needs:,}",
            f"{each.needed_by:,}", f'<span class="small">{html.escape(chain)}</span>',
        ])  # fmt: skip
    return scroll(table(heads, rows, numbers=(1, 2, 3, 5, 6)), len(rows) > _LONG)
