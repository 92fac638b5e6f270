"""The picture of the packages and what each needs: columns by depth, cut to what matters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tradewind.session.report.audit.data import EdgeLine, PackageLine, sized
from tradewind.session.report.study.drawing import AMBER, BLUE, GREY, INK, LABEL, WIDTH, Sheet

COLOURS = {"used": BLUE, "reachable": AMBER, "unreachable": GREY, "": BLUE}
MEANINGS = {
    "used": "used",
    "reachable": "not used, but asked for by one that is",
    "unreachable": "not used, and nothing used asks for it",
}
MOST_PACKAGES = 64
_MOST_IN_A_COLUMN = 30
_MOST_COLUMNS = 5
_ROW = 21.0
_SWEEPS = 6


def package_graph(packages: Sequence[PackageLine], edges: Sequence[EdgeLine]) -> tuple[str, str]:
    """An SVG of the packages that weigh most, each with the chain that brought it in; the rest in words."""
    chosen = chosen_packages(packages)
    known = {each.key: each for each in chosen}
    columns = _columns(chosen)
    links = [edge for edge in edges if edge.user in known and edge.used in known]
    _untangle(columns, links)
    rows = max((len(column) for column in columns), default=1)
    sheet = Sheet(44 + _ROW * rows + 26, f"{len(chosen)} packages and what each needs")
    wide = WIDTH / max(1, len(columns))
    places: dict[str, tuple[float, float]] = {}
    for at, column in enumerate(columns):
        head = _head(at, column, len(columns))
        sheet.text(at * wide + 6, 14, head, color=LABEL)
        gap = _ROW * rows / len(column)
        for row, each in enumerate(column):
            places[each.key] = (at * wide + 14, 30 + gap * (row + 0.5))
    steps = {(user, used) for each in chosen for user, used in zip(each.chain, each.chain[1:], strict=False)}
    for edge in sorted(links, key=lambda edge: ((edge.user, edge.used) in steps, edge.user, edge.used)):
        strong = (edge.user, edge.used) in steps
        told = f"{edge.user} needs {edge.used} ({edge.kind})"
        _link(sheet, places[edge.user], places[edge.used], strong, told, wide)
    greatest = max((each.bytes for each in chosen), default=1) or 1
    for each in chosen:
        x, y = places[each.key]
        radius = 2.5 + 7.5 * math.sqrt(each.bytes / greatest)
        sheet.dot(x, y, round(radius, 1), COLOURS[each.state], told=_told(each))
        name = each.key.partition(":")[2]
        sheet.text(
            x + radius + 3, y + 4, name, color=INK, size=11, most=max(6, int((wide - 26) / 6.4)), halo=True
        )
    states = [state for state in MEANINGS if any(each.state == state for each in chosen)]
    sheet.keys(44 + _ROW * rows + 18, [("dot", COLOURS[state], MEANINGS[state]) for state in states])
    left = len(packages) - len(chosen)
    words = f"The {left:,} packages that weigh least are not drawn; the table has all." if left else ""
    return str(sheet), words


def chosen_packages(packages: Sequence[PackageLine], most: int = MOST_PACKAGES) -> tuple[PackageLine, ...]:
    """The packages that are drawn: by bytes removed and kept, each with the whole chain that brought it
    in."""
    by_key = {each.key: each for each in packages}
    order = sorted(packages, key=lambda each: (-each.bytes, each.key))
    chosen: dict[str, PackageLine] = {}
    count: dict[int, int] = {}
    for each in order:
        wanted = [by_key[key] for key in (*each.chain, each.key) if key in by_key and key not in chosen]
        wanted = list({one.key: one for one in wanted}.values())
        crowded = any(
            count.get(_column(one), 0) + sum(_column(other) == _column(one) for other in wanted)
            > _MOST_IN_A_COLUMN
            for one in wanted
        )
        if len(chosen) + len(wanted) > most or crowded:
            continue
        for one in wanted:
            chosen[one.key] = one
            count[_column(one)] = count.get(_column(one), 0) + 1
    return tuple(chosen[key] for key in sorted(chosen))


def _column(package: PackageLine) -> int:
    """By the length of its story, the longest together; what nobody asked for comes last."""
    if package.chain:
        return min(len(package.chain), _MOST_COLUMNS)
    return _MOST_COLUMNS + 1


def _columns(chosen: Iterable[PackageLine]) -> list[list[PackageLine]]:
    found: dict[int, list[PackageLine]] = {}
    for each in chosen:
        found.setdefault(_column(each), []).append(each)
    return [found[column] for column in sorted(found)]


def _head(at: int, column: Sequence[PackageLine], columns: int) -> str:
    depth = _column(column[0])
    if depth > _MOST_COLUMNS:
        return "nobody asks for"
    if depth == 1:
        return "asked for, or else used"
    more = " or more" if depth == _MOST_COLUMNS else ""
    return f"{depth - 1}{more} away" if at or columns > 1 else ""


def _untangle(columns: list[list[PackageLine]], links: Sequence[EdgeLine]) -> None:
    """Order each column by the mean place of its neighbours, a few times over (Sugiyama's barycentres)."""
    near: dict[str, list[str]] = {}
    for edge in links:
        near.setdefault(edge.user, []).append(edge.used)
        near.setdefault(edge.used, []).append(edge.user)
    place = {each.key: (row + 0.5) / len(column) for column in columns for row, each in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            inside = {each.key for each in column}
            means = {}
            for each in column:
                others = [place[key] for key in near.get(each.key, ()) if key not in inside]
                means[each.key] = sum(others) / len(others) if others else place[each.key]
            column.sort(key=lambda each, means=means: (means[each.key], each.key))  # type: ignore[misc]
            for row, each in enumerate(column):
                place[each.key] = (row + 0.5) / len(column)


def _link(
    sheet: Sheet, start: tuple[float, float], end: tuple[float, float], strong: bool, told: str, wide: float
) -> None:
    """A curve from one package to another; between two of a column it bends out to the left."""
    bend = wide / 2 if start[0] != end[0] else -11.0
    turn = bend if end[0] >= start[0] else -bend
    points = []
    for step in range(13):
        t = step / 12
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        if start[0] == end[0]:
            x = a * start[0] + b * (start[0] + turn) + c * (end[0] + turn) + d * end[0]
        else:
            x = a * start[0] + b * (start[0] + turn) + c * (end[0] - turn) + d * end[0]
        points.append((x, (a + b) * start[1] + (c + d) * end[1]))
    width, opacity = (1.5, 0.75) if strong else (0.8, 0.22)
    sheet.line(points, "#6B7280", width, opacity=opacity, told=told if strong else "")


def _told(package: PackageLine) -> str:
    parts = [f"{package.key} {package.version}", sized(package.bytes), f"degree {package.degree:.3f}"]
    if package.state:
        parts.append(MEANINGS[package.state])
    if len(package.chain) > 1:
        parts.append("brought in by " + " > ".join(package.chain[:-1]))
    return ", ".join(parts)
