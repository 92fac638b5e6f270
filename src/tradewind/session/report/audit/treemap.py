"""A treemap: rectangles whose areas are bytes, as near to squares as they get.

The squarified layout of Bruls, Huizing and van Wijk (2000), once over managers and once within each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tradewind.session.report.audit.data import PackageLine, sized
from tradewind.session.report.study.drawing import BLUE, INK, LABEL, WIDTH, Sheet

REMOVED = "#F2C9A5"
"""The colour of what is removed: pale beside the blue of what is kept, told apart in grey too."""
HEIGHT = 440.0
_HEAD = 18.0
_MOST = 90
"""Packages that are drawn each on its own."""


class Box(Struct, frozen=True):
    """A rectangle on the sheet."""

    x: float
    y: float
    width: float
    height: float


class _Tile(Struct, frozen=True):
    name: str
    bytes: int
    kept: int


def squarified(sizes: Sequence[float], box: Box) -> tuple[Box, ...]:
    """A rectangle for each size, in their order, which fill the box; sizes must fall and be above 0."""
    total = sum(sizes)
    if not total:
        return ()
    scale = box.width * box.height / total
    areas = [size * scale for size in sizes]
    found: list[Box] = []
    x, y, width, height = box.x, box.y, box.width, box.height
    start = 0
    while start < len(areas):
        side = min(width, height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row = areas[start:end]
        thick = sum(row) / side if side else 0.0
        along = 0.0
        for area in row:
            length = area / thick if thick else 0.0
            if width >= height:
                found.append(Box(x, y + along, thick, length))
            else:
                found.append(Box(x + along, y, length, thick))
            along += length
        if width >= height:
            x, width = x + thick, max(0.0, width - thick)
        else:
            y, height = y + thick, max(0.0, height - thick)
        start = end
    return tuple(found)


def treemap(packages: Sequence[PackageLine], unowned: tuple[int, int], *, measured: bool) -> tuple[str, str]:
    """An SVG of packages grouped by manager; what is drawn together, in words.

    `unowned` is bytes and kept bytes of what no package owns. With `measured` the kept share of each
    rectangle is filled from below in the colour of what is kept.
    """
    groups: dict[str, list[_Tile]] = {}
    order = sorted((each for each in packages if each.bytes > 0), key=lambda each: (-each.bytes, each.key))
    small: dict[str, list[PackageLine]] = {}
    for place, each in enumerate(order):
        manager = each.key.partition(":")[0]
        if place < _MOST:
            name = each.key.partition(":")[2]
            groups.setdefault(manager, []).append(_Tile(name, each.bytes, each.kept_bytes))
        else:
            small.setdefault(manager, []).append(each)
    for manager, rest in small.items():
        tile = _Tile(f"{len(rest)} others", sum(e.bytes for e in rest), sum(e.kept_bytes for e in rest))
        groups.setdefault(manager, []).append(tile)
    if unowned[0]:
        groups["unowned"] = [_Tile("no package", *unowned)]
    sizes = {name: sum(tile.bytes for tile in tiles) for name, tiles in groups.items()}
    names = sorted(groups, key=lambda name: (-sizes[name], name))
    sheet = Sheet(HEIGHT + (26 if measured else 4), f"Bytes of {len(order)} packages as areas")
    boxes = squarified([sizes[name] for name in names], Box(0, 0, WIDTH, HEIGHT))
    for name, box in zip(names, boxes, strict=True):
        _group(sheet, name, sizes[name], groups[name], box, measured)
    if measured:
        sheet.keys(HEIGHT + 20, [("bar", BLUE, "kept"), ("bar", REMOVED, "removed")])
    left = sum(len(rest) for rest in small.values())
    return str(sheet), f"The {left:,} smallest packages are drawn as one for each manager." if left else ""


def _group(sheet: Sheet, name: str, size: int, tiles: list[_Tile], box: Box, measured: bool) -> None:
    head = _HEAD if box.height > 2.2 * _HEAD and box.width > 50 else 0.0
    if head:
        words = f"{name}, {sized(size)}"
        sheet.text(box.x + 3, box.y + 13, words, color=LABEL, most=max(3, int(box.width / 7)))
    inner = Box(box.x + 1, box.y + head, max(0.0, box.width - 2), max(0.0, box.height - head - 1))
    tiles = sorted(tiles, key=lambda tile: (-tile.bytes, tile.name))
    for tile, place in zip(tiles, squarified([tile.bytes for tile in tiles], inner), strict=True):
        _tile(sheet, tile, place, measured)


def _tile(sheet: Sheet, tile: _Tile, box: Box, measured: bool) -> None:
    width, height = max(0.3, box.width - 1), max(0.3, box.height - 1)
    share = tile.kept / tile.bytes if measured else 1.0
    told = f"{tile.name}: {sized(tile.bytes)}"
    if measured:
        told += f", {sized(tile.kept)} kept, degree {1 - share:.3f}"
    filled = height * share
    sheet.bar(box.x, box.y, width, height, REMOVED, told)
    if filled > 0.2:
        sheet.bar(box.x, box.y + height - filled, width, filled, BLUE, told)
    if width > 34 and height > 15:
        _words(sheet, tile, box, width, height - filled, height, measured)


def _words(
    sheet: Sheet, tile: _Tile, box: Box, width: float, edge: float, height: float, measured: bool
) -> None:
    """The name and the figures of a tile, each wholly on one colour; the kept part begins `edge` below its
    top."""
    size = f"{sized(tile.bytes)}" + (f", {1 - tile.kept / tile.bytes:.2f}" if measured else "")
    lines = [(tile.name, 11.0, 6.3)] + [(size, 10.0, 5.6)] * (width > 54)
    y = 12.0
    for words, tall, wide in lines:
        if y - 10 < edge < y + 3:
            y = edge + 12
        if y + 3 > height:
            break
        color = "#fff" if y > edge else INK
        sheet.text(box.x + 4, box.y + y, words, color=color, size=tall, most=max(3, int((width - 4) / wide)))
        y += 13


def _worst(row: Iterable[float], side: float) -> float:
    areas = list(row)
    total = sum(areas)
    if not total or not side:
        return 0.0
    return max(side * side * max(areas) / total**2, total**2 / (side * side * min(areas)))
