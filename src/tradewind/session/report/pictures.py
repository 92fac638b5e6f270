"""Pictures of runs and of prices: small SVG whose text is text, the same bytes for the same data."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tradewind.control.records import Sample
from tradewind.data.durable_files import replacing
from tradewind.errors import Misuse
from tradewind.session.report.data import LeaseBar, PriceLine

_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3", "#666666")
"""Okabe and Ito's, which the colour-blind can tell apart."""
_TERMS = {"spot": "#56B4E9", "on_demand": "#B0B7C3", "reserved": "#E69F00"}
_MOST_POINTS = 1500
"""Points kept of a line: more than a screen has columns."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9AA3AF",
    "axes.labelcolor": "#374151",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E7EB",
    "grid.linewidth": 0.6,
    "xtick.color": "#4B5563",
    "ytick.color": "#4B5563",
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def timeline(prices: Sequence[PriceLine], leases: Sequence[LeaseBar], start: float, end: float) -> str:
    """An SVG: spot prices as lines, under them a bar for each lease, with its notice and its revocation."""
    lanes = _lanes(leases, start, end)
    rows = max([2, *(lane + 1 for lane in lanes)])
    with matplotlib.rc_context(_STYLE):
        tall = 0.2 + 0.17 * min(rows, 60)
        figure = Figure(figsize=(9.6, (3.2 if prices else 1.4) + tall), layout="constrained")
        if prices:
            above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.1, tall))
            _price_lines(above, prices, start, end)
            figure.legend(loc="outside upper center", ncols=min(3, len(prices)))
        else:
            below = figure.subplots()
        _lease_bars(below, leases, lanes, end)
        below.set_xlim(_day(start), _day(end) if end > start else _day(start + 60))
        _time_axis(below)
        if leases:
            figure.legend(*below.get_legend_handles_labels(), loc="outside lower center", ncols=6)
        return _inline(figure, "timeline")


def curves(samples: Sequence[Sample], start: float) -> str:
    """An SVG: the loss against time, and against dollars paid and dollars that on-demand would have asked."""
    seen = [each for each in samples if each.loss is not None and np.isfinite(each.loss)]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        loss = np.array([each.loss for each in seen], float)
        keep = _kept(loss)
        loss = loss[keep]
        hours = (np.array([each.moment for each in seen], float)[keep] - start) / 3600
        unit, factor = ("minutes", 60.0) if len(hours) and hours[-1] < 3 else ("hours", 1.0)
        left.plot(hours * factor, loss, color=_PALETTE[0], linewidth=1.4)
        left.set_xlabel(f"market time, {unit} from the start")
        left.set_ylabel("loss")
        for name, values, color, dash in (
            ("paid", [each.spent for each in seen], _PALETTE[0], "-"),
            ("at on-demand prices", [each.on_demand_spent for each in seen], _PALETTE[1], "--"),
        ):
            if any(values):
                right.plot(
                    np.array(values)[keep], loss, color=color, linestyle=dash, linewidth=1.4, label=name
                )
        right.set_xlabel("US dollars")
        if right.lines:
            right.legend(loc="upper right")
        return _inline(figure, "curves")


def price_picture(prices: Sequence[PriceLine], start: float, end: float, path: Path) -> None:
    """Write a picture of prices to `path`, as SVG or PNG by its ending; Misuse for another."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise Misuse(
            f"{path.name!r} is no kind of picture that we draw",
            source="--plot",
            fix="Name a file that ends in .svg or .png.",
        )
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        axes = figure.subplots()
        _price_lines(axes, prices, start, end)
        axes.set_xlim(_day(start), _day(end) if end > start else _day(start + 60))
        _time_axis(axes)
        figure.legend(loc="outside upper center", ncols=min(3, max(len(prices), 1)))
        try:
            with replacing(path) as part:
                figure.savefig(part, format=kind, dpi=140, metadata={"Date": None} if kind == "svg" else None)
        except OSError as problem:
            raise Misuse(
                f"cannot be written: {problem.strerror}", source=str(path), fix="Name another file."
            ) from problem


def _price_lines(axes: Axes, prices: Sequence[PriceLine], start: float, end: float) -> None:
    types: dict[str, float] = {}
    for index, line in enumerate(prices):
        values = np.array(line.prices, float)
        keep = _kept(values)
        times, values = np.clip(np.array(line.times, float)[keep], start, end), values[keep]
        if len(times):
            times, values = np.append(times, end), np.append(values, values[-1])
        axes.step(
            times / 86400,
            values,
            where="post",
            label=f"{line.pool}, spot",
            color=_PALETTE[index % len(_PALETTE)],
            linewidth=max(2.8 - 0.5 * index, 1.0),  # so that lines which lie on each other all show
        )
        if line.on_demand is not None:
            types[line.pool.partition("@")[0]] = line.on_demand
    for name, value in types.items():
        axes.axhline(value, color="#9AA3AF", linestyle=(0, (5, 3)), linewidth=1.0)
        axes.annotate(
            f"{name} on demand",
            (0.004, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=7.5,
            color="#6B7280",
        )
    axes.set_ylabel("US dollars an hour")
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)


def _lanes(leases: Sequence[LeaseBar], start: float, end: float) -> list[int]:
    """For each lease the lane that it is drawn in: the first that is free again, with room for a mark."""
    room = 0.012 * (end - start)
    free: list[float] = []
    lanes = []
    for lease in leases:
        lane = next((k for k, since in enumerate(free) if since + room <= lease.started), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane] = end if lease.ended is None else lease.ended
        lanes.append(lane)
    return lanes


def _lease_bars(axes: Axes, leases: Sequence[LeaseBar], lanes: Sequence[int], end: float) -> None:
    labelled: set[str] = set()
    for row, lease in zip(lanes, leases, strict=True):
        stop = end if lease.ended is None else lease.ended
        name = lease.terms.replace("_", " ") + (" (holds the model)" if lease.purpose == "state" else "")
        axes.barh(
            row,
            _day(stop) - _day(lease.started),
            left=_day(lease.started),
            height=0.72,
            color=_TERMS.get(lease.terms, "#B0B7C3"),
            hatch="///" if lease.purpose == "state" else None,
            edgecolor="white",
            linewidth=0.4,
            label=None if name in labelled else name,
        )
        labelled.add(name)
        marks = [(lease.warned, "v", "#E69F00", "notice")]
        if lease.ending in ("revoked", "failed"):
            marks.append((lease.ended, "X", "#B91C1C", lease.ending))
        for at, marker, color, label in marks:
            if at is not None:
                axes.plot(
                    _day(at),
                    row,
                    marker=marker,
                    color=color,
                    markersize=5,
                    linestyle="none",
                    label=None if label in labelled else label,
                    zorder=3,
                )
                labelled.add(label)
    axes.set_ylim(max([1, *lanes]) + 0.6, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("leases")


def _time_axis(axes: Axes) -> None:
    locator: Any = dates.AutoDateLocator(  # type: ignore[no-untyped-call]
        tz=UTC, minticks=4, maxticks=9
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
    )
    axes.set_xlabel("market time (UTC)")


def _day(moment: float) -> float:
    """`moment` as matplotlib counts: days since 1970."""
    return moment / 86400


def _kept(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of many points to draw: each stretch's first, least and greatest, so that no peak is lost."""
    if len(values) <= _MOST_POINTS:
        return np.arange(len(values))
    size = -(-3 * len(values) // _MOST_POINTS)
    kept: set[int] = {len(values) - 1}
    for start in range(0, len(values), size):
        stretch = values[start : start + size]
        kept |= {start, start + int(stretch.argmin()), start + int(stretch.argmax())}
    return np.array(sorted(kept))


def _inline(figure: Figure, name: str) -> str:
    """The figure as an SVG element for a page: its ids made its own, its width the page's."""
    with io.StringIO() as out, matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", text)
    return re.sub(
        r'<svg([^>]*?) width="[^"]*"',
        r'<svg\1 role="img"',
        re.sub(r' height="[\d.]+pt"', "", text, count=1),
        count=1,
    )
