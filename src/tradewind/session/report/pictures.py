"""Pictures of runs, comparisons and prices: small SVG whose text is text, equal bytes for equal data."""

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
from tradewind.session.report.comparison_data import BOUNDS, DONE, Held, Lane, Timeline, Trial
from tradewind.session.report.data import LeaseBar, PriceLine

_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3", "#666666")
"""Okabe and Ito's, which the colour-blind can tell apart."""
_TERMS = {"spot": "#56B4E9", "on_demand": "#B0B7C3", "reserved": "#E69F00"}
_ON_DEMAND = "#B0B7C3"
_LOG_FROM = 10.0
"""The greatest over the least of the amounts drawn, from which on their axis is logarithmic."""
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


def scatter(trials: Sequence[Trial], policies: Sequence[str], deadline: float | None) -> str:
    """An SVG: cost against completion time, a point for each policy and start that the work was done from.

    `deadline` is in seconds from the start. The clairvoyant's points are crosses; large marks are means.
    """
    done = [each for each in trials if each.outcome == DONE]
    longest = max([deadline or 0.0, *(each.seconds for each in done)], default=0.0)
    unit, per = ("minutes", 60.0) if longest < 3 * 3600 else ("hours", 3600.0)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 4.2), layout="constrained")
        axes = figure.subplots()
        for name, color in _colours(policies).items():
            mine = [each for each in done if each.policy == name]
            if not mine:
                continue
            seconds, costs = [each.seconds / per for each in mine], [each.cost for each in mine]
            least = name in BOUNDS
            axes.scatter(
                seconds,
                costs,
                s=14,
                marker="x" if least else "o",
                color=color,
                alpha=0.55,
                linewidths=0.9 if least else 0,
                label=BOUNDS.get(name, name),
            )
            axes.scatter(
                [float(np.mean(seconds))],
                [float(np.mean(costs))],
                s=95,
                marker="X" if least else "o",
                color=color,
                edgecolors="white",
                linewidths=1.2,
                zorder=4,
            )
        if deadline is not None:
            axes.axvline(deadline / per, color="#B91C1C", linestyle=(0, (5, 3)), linewidth=1.1)
            axes.annotate(
                "deadline",
                (deadline / per, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(4, -10),
                textcoords="offset points",
                fontsize=8,
                color="#B91C1C",
            )
        _money_axis(axes, [each.cost for each in done])
        axes.set_xlim(left=0)
        axes.set_xlabel(f"market time until the work was done, {unit}")
        axes.set_ylabel("US dollars")
        if done:
            figure.legend(loc="outside upper center", ncols=4)
        return _inline(figure, "scatter")


def lanes(told: Timeline) -> str:
    """An SVG: a lane for each policy, in it the vCPUs that it held, by pool; above them the pools' prices."""
    pools = sorted({each.pool for lane in told.lanes for each in lane.held if each.terms == "spot"})
    colours = {pool: _PALETTE[index % len(_PALETTE)] for index, pool in enumerate(pools)}
    sizes = {each.pool: each.vcpus for lane in told.lanes for each in lane.held}
    most = max([1.0, *(float(_stacked(lane.held)[1].sum(axis=0).max(initial=0.0)) for lane in told.lanes)])
    with matplotlib.rc_context(_STYLE):
        rows = len(told.lanes)
        above = 1 if told.prices else 0
        figure = Figure(figsize=(9.6, 0.9 + 2.0 * above + 0.85 * rows), layout="constrained")
        drawn = figure.subplots(
            rows + above, 1, sharex=True, squeeze=False, height_ratios=[2.2] * above + [1.0] * rows
        )[:, 0]
        for line in told.prices:
            values = np.array(line.prices, float)
            keep = _kept(values)
            times = np.array(line.times, float)[keep]
            drawn[0].step(
                np.append(times, told.end) / 86400,
                np.append(values[keep], values[-1:]) / max(sizes.get(line.pool, 1.0), 1e-9),
                where="post",
                color=colours.get(line.pool, _ON_DEMAND),
                linewidth=1.3,
            )
        if told.prices:
            drawn[0].set_ylabel("US dollars\nan hour and vCPU")
            _money_axis(drawn[0], [value for line in drawn[0].lines for value in line.get_ydata()])
        labelled: set[str] = set()
        for axes, lane in zip(drawn[above:], told.lanes, strict=True):
            _lane(axes, lane, colours, labelled)
            axes.set_ylim(0, 1.18 * most)
            if told.deadline is not None:
                axes.axvline(_day(told.deadline), color="#B91C1C", linestyle=(0, (5, 3)), linewidth=1.0)
        last = max(told.end, told.deadline or 0.0)
        drawn[-1].set_xlim(_day(told.start), _day(last + 0.02 * (last - told.start)))
        _time_axis(drawn[-1])
        handles: dict[str, Any] = {}
        for axes in drawn:
            handles |= {
                label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
            }
        if handles:
            figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
        return _inline(figure, "lanes")


def _lane(axes: Axes, lane: Lane, colours: dict[str, str], labelled: set[str]) -> None:
    """One policy's leases as areas, one on the other, and a cross where some were taken away."""
    names, heights, moments = _stacked(lane.held)
    if len(moments):
        floor = np.zeros(len(moments))
        for name, height in zip(names, heights, strict=True):
            axes.fill_between(
                moments / 86400,
                floor,
                floor + height,
                step="post",
                color=colours.get(name, _ON_DEMAND if name == "on demand" else "#6B7280"),
                linewidth=0,
                label=None if name in labelled else name if name not in colours else f"{name}, spot",
            )
            labelled.add(name)
            floor = floor + height
        lost = sorted({each.ended for each in lane.held if each.ending in ("revoked", "failed")})
        if lost:
            just_before = np.searchsorted(moments, lost) - 1
            axes.plot(
                np.array(lost) / 86400,
                floor[np.maximum(just_before, 0)],
                marker="X",
                color="#B91C1C",
                markersize=5,
                linestyle="none",
                clip_on=False,
                label=None if "revoked" in labelled else "revoked",
            )
            labelled.add("revoked")
        axes.axvline(_day(lane.ended), color="#374151", linewidth=0.8)
    paid = f"${lane.cost:,.2f}" if lane.cost >= 0.1 else f"${lane.cost:.4f}"
    told = f"{lane.policy}: {paid}" + ("" if lane.outcome == DONE else f", {lane.outcome}")
    axes.set_title(told, loc="left", fontsize=8.5, pad=2, color="#374151")
    axes.set_ylabel("vCPUs")
    axes.grid(visible=False, axis="x")


def _stacked(held: Sequence[Held]) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """What is held, by name: the vCPUs [name][moment] from each of the moments on, the last being none."""
    names: dict[str, int] = {}
    for each in held:
        names.setdefault(_named(each), len(names))
    moments = np.array(sorted({at for each in held for at in (each.started, each.ended)}))
    heights = np.zeros((len(names), len(moments)))
    for each in held:
        first, last = np.searchsorted(moments, (each.started, each.ended))
        heights[names[_named(each)], first:last] += each.count * each.vcpus
    return list(names), heights, moments


def _named(held: Held) -> str:
    if held.purpose == "state":
        return "holds the model"
    return held.pool if held.terms == "spot" else held.terms.replace("_", " ")


def _money_axis(axes: Axes, amounts: Sequence[float]) -> None:
    """From nothing upwards; logarithmic where the amounts are far apart."""
    above = [amount for amount in amounts if amount > 0]
    if not above or max(above) <= _LOG_FROM * min(above):
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    tens = range(int(np.floor(np.log10(min(above)))), int(np.ceil(np.log10(max(above)))) + 1)
    ticks = [step * 10.0**ten for ten in tens for step in ((1, 2, 5) if len(tens) < 5 else (1,))]
    axes.set_yticks([tick for tick in ticks if min(above) / 2 <= tick <= max(above) * 2])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _colours(policies: Sequence[str]) -> dict[str, str]:
    """A colour for each policy; bounds are dark and on demand is grey."""
    free = iter(_PALETTE * len(policies))
    fixed = {"on_demand": "#8A94A3", **dict(zip(BOUNDS, ("#111827", "#6B7280"), strict=True))}
    return {name: fixed[name] if name in fixed else next(free) for name in policies}


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
