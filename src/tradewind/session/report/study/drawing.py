"""A sheet to draw on: axes, lines and marks as small SVG whose text is text, equal bytes for equal data.

Coordinates are those of the page at its full width. What is told of a mark shows where a pointer rests on it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

WIDTH = 992.0
"""Of the page's column."""
BLUE, RED, GREEN, PINK, AMBER, SKY, VIOLET = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3",
)  # fmt: skip
"""Okabe and Ito's, which the colour-blind can tell apart."""
LOST, GREY, INK, LABEL, TICK = "#B91C1C", "#8A94A3", "#111827", "#374151", "#4B5563"
_GRID, _FRAME = "#E5E7EB", "#9AA3AF"
_LOG_FROM = 10.0
"""The greatest over the least of what is drawn, from which on its axis is logarithmic."""
_MOST_POINTS = 160
"""Points kept of a line."""


class Scale(Struct, frozen=True):
    """From values to places on the sheet."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value; one beyond the bounds is drawn at the edge."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values within the bounds."""
        if not self.high > self.low:
            return [self.low]
        if self.log:
            tens = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for parts in ((1, 2, 5), (1, 3), (1,)):
                found = [part * 10.0**ten for ten in tens for part in parts]
                found = [each for each in found if self.low * (1 - 1e-9) <= each <= self.high * (1 + 1e-9)]
                if len(found) <= most:
                    break
            if len(found) > most:
                found = found[:: math.ceil(len(found) / most)]
            if len(found) >= 2:
                return found
        rough = (self.high - self.low) / most
        size = 10.0 ** math.floor(math.log10(rough))
        size *= next(part for part in (1, 2, 5, 10) if part * size >= rough * (1 - 1e-9))
        first = math.ceil(self.low / size - 1e-9)
        count = math.floor(self.high / size + 1e-9) - first + 1
        return [(first + k) * size for k in range(count)]


def fitted(values: Iterable[float], start: float, end: float, *, zero: bool = False) -> Scale:
    """A scale that holds the values with room about them; logarithmic if above 0 and far apart."""
    known = [each for each in values if math.isfinite(each)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low > 0 and high >= _LOG_FROM * low:
        room = (high / low) ** 0.04
        return Scale(low / room, high * room, start, end, log=True)
    if zero and low >= 0:
        return Scale(0.0, high * 1.04 or 1.0, start, end)
    room = 0.04 * (high - low) or max(abs(high) * 0.04, 1e-9)
    return Scale(low - room, high + room, start, end)


def number(value: float) -> str:
    """A number as an axis or a table shows it."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e7:
        text = f"{value:,.5g}" if abs(value) < 1e5 else f"{value:,.0f}"
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def thinned(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """The points to draw of a line: of each stretch the first, the least and the greatest."""
    if len(ys) <= _MOST_POINTS:
        return list(zip(xs, ys, strict=True))
    size = -(-3 * len(ys) // _MOST_POINTS)
    kept = {len(ys) - 1}
    for start in range(0, len(ys), size):
        stretch = np.asarray(ys[start : start + size])
        kept |= {start, start + int(stretch.argmin()), start + int(stretch.argmax())}
    return [(xs[at], ys[at]) for at in sorted(kept)]


class Sheet:
    """SVG under way."""

    def __init__(self, height: float, told: str) -> None:
        self.height = height
        self._told = told
        self._parts: list[str] = []

    def __str__(self) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH:g} {self.height:g}" role="img" aria-label="{html.escape(self._told)}" '
            f'font-size="12" fill="none">{"".join(self._parts)}</svg>'
        )

    def line(
        self, points: Sequence[tuple[float, float]], color: str, width: float = 1.4, *, dash: str = "",
        opacity: float = 1.0, told: str = "",
    ) -> None:  # fmt: skip
        """A line through points of the sheet; a single one is a dot."""
        if not points:
            return
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        if len(points) == 1:
            path += "h0"
        more = f' stroke-dasharray="{dash}"' if dash else ""
        more += f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
        self._add(
            f'<path d="{path}" stroke="{color}" stroke-width="{width:g}" stroke-linecap="round" '
            f'stroke-linejoin="round"{more}',
            told,
        )

    def bar(self, x: float, y: float, width: float, height: float, color: str, told: str = "") -> None:
        """A filled rectangle."""
        self._add(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" '
            f'fill="{color}"',
            told,
        )

    def dot(
        self, x: float, y: float, radius: float, color: str, *, filled: bool = True, opacity: float = 1.0,
        told: str = "",
    ) -> None:  # fmt: skip
        """A disc, or a ring."""
        paint = f'fill="{color}"' if filled else f'fill="#fff" stroke="{color}" stroke-width="1.3"'
        more = f' opacity="{opacity:g}"' if opacity < 1 else ""
        self._add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {paint}{more}', told)

    def cross(self, x: float, y: float, size: float, color: str, told: str = "") -> None:
        """A cross."""
        self._add(
            f'<path d="M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}'
            f'M{x - size:.1f} {y + size:.1f}L{x + size:.1f} {y - size:.1f}" '
            f'stroke="{color}" stroke-width="2"',
            told,
        )

    def shape(self, points: Sequence[tuple[float, float]], color: str, told: str = "") -> None:
        """A filled polygon."""
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
        self._add(f'<path d="{path}" fill="{color}" stroke="#fff" stroke-width="0.8"', told)

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", color: str = TICK, size: float = 12,
        turned: bool = False, most: int = 0, halo: bool = False,
    ) -> None:  # fmt: skip
        """Words, at most so many characters of them; a halo keeps them readable on lines."""
        if most and len(words) > most:
            words = words[: most - 1] + "…"
        place = f'x="{x:.1f}" y="{y:.1f}"'
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        small = "" if size == 12 else f' font-size="{size:g}"'
        if halo:
            small += ' stroke="#fff" stroke-width="3" paint-order="stroke"'
        self._parts.append(
            f'<text {place} fill="{color}" text-anchor="{anchor}"{small}{turn}>{html.escape(words)}</text>'
        )

    def axes(self, x: Scale, y: Scale, across: str, upwards: str) -> None:
        """Two axes with their grids and names; y.start is the lower edge."""
        for value in x.ticks(8 if x.end - x.start > 500 else 5):
            at = x.at(value)
            self.line([(at, y.end), (at, y.start)], _GRID, 0.8)
            self.text(at, y.start + 17, number(value), anchor="middle")
        for value in y.ticks():
            at = y.at(value)
            self.line([(x.start, at), (x.end, at)], _GRID, 0.8)
            self.text(x.start - 7, at + 4, number(value), anchor="end")
        self.line([(x.start, y.end), (x.start, y.start), (x.end, y.start)], _FRAME, 1)
        self.text((x.start + x.end) / 2, y.start + 35, across, anchor="middle", color=LABEL)
        self.text(x.start - 48, (y.start + y.end) / 2, upwards, anchor="middle", color=LABEL, turned=True)

    def keys(self, y: float, entries: Sequence[tuple[str, str, str]]) -> None:
        """A legend in rows from y on: each a kind (line, dash, bar, dot, ring, cross), a colour and words."""
        x = 64.0
        for kind, color, words in entries:
            width = 44 + 6.6 * len(words)
            if x + width > WIDTH and x > 64:
                x, y = 64.0, y + 18
            middle = y - 4
            match kind:
                case "line":
                    self.line([(x, middle), (x + 18, middle)], color, 2.4)
                case "dash":
                    self.line([(x, middle), (x + 18, middle)], color, 1.6, dash="4 3")
                case "bar":
                    self.bar(x, middle - 4, 18, 8, color)
                case "cross":
                    self.cross(x + 9, middle, 3.6, color)
                case "down":
                    self.shape([(x + 5, middle - 4), (x + 13, middle - 4), (x + 9, middle + 4)], color)
                case _:
                    self.dot(x + 9, middle, 4, color, filled=kind == "dot")
            self.text(x + 24, y, words, color=LABEL)
            x += width

    def _add(self, tag: str, told: str) -> None:
        self._parts.append(
            f"{tag}><title>{html.escape(told)}</title></{tag[1 : tag.index(' ')]}>" if told else f"{tag}/>"
        )
