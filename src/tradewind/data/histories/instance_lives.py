"""Lives of instances as CSV: `milliseconds,add or remove,name`, as uclasystem/bamboo records them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tradewind.errors import Misuse, suggestion
from tradewind.market.histories import CapacityHistory
from tradewind.market.instances import Pool

_FIRST_EVENT = re.compile(r"\d+,(add|remove),")


def tells_lives(text: str) -> bool:
    """Whether a text begins as such a file does."""
    return _FIRST_EVENT.match(text) is not None


def lives_of_csv(source: str, text: str) -> list[tuple[str, float, float]]:
    """(name, start, end) of each instance, in seconds from the trace's zero, by start.

    The end is infinite where none is told. Raises Misuse that names `source`, the line and the field.
    """
    since: dict[str, float] = {}
    lives: list[tuple[str, float, float]] = []
    last = 0.0
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{source}, line {number}"
        cells = line.split(",")
        if len(cells) != 3 or not cells[0].isdecimal():
            raise Misuse(f"{line!r} is no event", source=where, fix="Write milliseconds,add or remove,name.")
        moment, event, name = int(cells[0]) / 1000, cells[1], cells[2]
        if moment < last:
            raise Misuse(
                "earlier than the line before", source=where, field="time", fix="Sort the file by time."
            )
        last = moment
        if event not in {"add", "remove"}:
            raise Misuse(f"{event!r}", source=where, field="event", fix=suggestion(event, ("add", "remove")))
        if (event == "add") == (name in since):
            problem = "is added twice" if event == "add" else "was never added"
            raise Misuse(f"{name!r} {problem}", source=where, field="name", fix="Remove the line.")
        if event == "add":
            since[name] = moment
        elif (began := since.pop(name)) < moment:
            lives.append((name, began, moment))
    lives += [(name, began, math.inf) for name, began in since.items()]
    order = {line.split(",")[2]: number for number, line in reversed(list(enumerate(text.splitlines())))}
    lives.sort(key=lambda life: (life[1], order[life[0]]))
    return lives


def dealt(
    source: str, lives: Sequence[tuple[str, float, float]], pools: Sequence[Pool], start: float
) -> list[CapacityHistory]:
    """The lives as slots of `pools`, the k-th life to pool k modulo their number, beginning at `start`.

    So each pool gets an equal part of one cluster's instances, and loses them at other moments. Raises
    Misuse without lives or pools.
    """
    if not lives:
        raise Misuse("no instance was ever added", source=source, fix="Give a trace with some.")
    if len(set(pools)) < len(pools) or not pools:
        raise Misuse("pools are needed, each once", source=source, field="pools", fix="Name them.")
    end = start + max(moment for life in lives for moment in life[1:] if math.isfinite(moment))
    return [
        CapacityHistory.from_lifetimes(
            pool,
            [(name, start + began, start + over) for name, began, over in lives[k :: len(pools)]],
            start=start,
            end=end,
        )
        for k, pool in enumerate(pools)
    ]
