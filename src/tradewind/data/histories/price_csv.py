"""Price changes as CSV: a line for each change of a pool's spot price."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.data.histories.moments import moments, recorded_moment
from tradewind.errors import Misuse, suggestion
from tradewind.market.histories import PriceHistory
from tradewind.market.instances import Pool

COLUMNS = ("zone", "instance_type", "time", "price")
"""In any order: UTC moments in ISO 8601, US dollars an hour."""


def prices_of_csv(source: str, text: str) -> dict[Pool, PriceHistory]:
    """The prices in a text whose first line names `COLUMNS`, ordered by time within each pool.

    A repeated record is taken once. Raises Misuse that names `source`, the line and the column.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    header = next(reader, None)
    if header is None:
        raise Misuse("the file is empty", source=source, fix="Give one with records.")
    for column in header:
        if column not in COLUMNS:
            raise Misuse(
                "unknown column", source=f"{source}, line 1", field=column, fix=suggestion(column, COLUMNS)
            )
    for column in COLUMNS:
        if header.count(column) != 1:
            raise Misuse(
                "the column is needed once",
                source=f"{source}, line 1",
                field=column,
                fix=f"The first line is {','.join(COLUMNS)}.",
            )
    columns = _columns(source, reader, header)
    zone, kind, time, price = (columns[header.index(column)] for column in COLUMNS)
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(kind, zone, strict=True)):
        rows_of.setdefault(key, []).append(row)
    try:
        when = moments(time)
        prices = np.array(list(map(float, price)))
    except ValueError:
        when, prices = _cells(source, time, price)
    wrong = np.flatnonzero(~((prices > 0) & (prices < np.inf)))
    if len(wrong):
        row = int(wrong[0])
        raise Misuse(
            f"{price[row]!r} is no price",
            source=f"{source}, line {row + 2}",
            field="price",
            fix="Give dollars an hour, above 0.",
        )
    for name, values in (("zone", zone), ("instance_type", kind)):
        if "" in values:
            raise Misuse(
                "nothing stated",
                source=f"{source}, line {values.index('') + 2}",
                field=name,
                fix="Say it.",
            )
    histories = {}
    for (kind_name, zone_name), rows in rows_of.items():
        index = np.asarray(rows)
        kept = _in_order(source, when[index], prices[index], [row + 2 for row in rows])
        pool = Pool(kind_name, zone_name)
        histories[pool] = PriceHistory(pool, when[index][kept], prices[index][kept])
    return histories


def _columns(source: str, reader: Any, header: Sequence[str]) -> list[tuple[str, ...]]:
    rows = []
    try:
        for cells in reader:
            if len(cells) != len(header):
                raise Misuse(
                    f"{len(cells)} fields, not {len(header)}",
                    source=f"{source}, line {reader.line_num}",
                    fix="Give one for each column.",
                )
            rows.append(cells)
    except csv.Error as error:
        raise Misuse(str(error), source=f"{source}, line {reader.line_num}", fix="Mend the line.") from error
    if not rows:
        raise Misuse("a header and no record", source=source, fix="Give one with records.")
    return list(zip(*rows, strict=True))


def _cells(
    source: str, times: Sequence[str], prices: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same cell by cell, to say which one is wrong."""
    when: list[float] = []
    dollars: list[float] = []
    for row, (time, price) in enumerate(zip(times, prices, strict=True)):
        where = f"{source}, line {row + 2}"
        try:
            when.append(recorded_moment(time))
        except ValueError:
            raise Misuse(
                f"{time!r} is no moment", source=where, field="time", fix="Write it as 2020-01-31T12:00:00Z."
            ) from None
        try:
            dollars.append(float(price))
        except ValueError:
            raise Misuse(
                f"{price!r} is no price", source=where, field="price", fix="Give dollars an hour, above 0."
            ) from None
    return np.array(when), np.array(dollars)


def _in_order(
    source: str, moments: NDArray[np.float64], prices: NDArray[np.float64], lines: Sequence[int]
) -> NDArray[np.bool_]:
    """Which records to keep: those that do not repeat the one before, moment and price."""
    steps = np.diff(moments)
    for at in np.flatnonzero(steps <= 0).tolist():
        where = f"{source}, line {lines[at + 1]}"
        if steps[at] < 0:
            raise Misuse(
                f"earlier than line {lines[at]} of the same pool",
                source=where,
                field="time",
                fix="Sort the file by time.",
            )
        if prices[at] != prices[at + 1]:
            raise Misuse(
                f"another price than line {lines[at]} for the same moment",
                source=where,
                field="price",
                fix="Keep one of them.",
            )
    return np.concatenate([[True], steps > 0])
