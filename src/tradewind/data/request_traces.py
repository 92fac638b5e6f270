"""Recorded request traces: how many requests came in each interval.

Read are CSV files, gzipped or not, of four layouts, told apart by their first line:

- `period,count`: requests of each minute (nimamahmoudi/worldcup98-dataset);
- `TIMESTAMP,...`: one line a request, such as Azure's LLM inference traces of 2023
  (Azure/AzurePublicDataset);
- `HashOwner,HashApp,HashFunction,Trigger,1,...,1440`: invocations of functions in each minute of a day (Azure
  Functions 2019), added up over the functions;
- `app,func,end_timestamp,duration`: one line an invocation, in seconds (Azure Functions 2021).
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.data.histories.moments import moments, recorded_moment
from tradewind.errors import Misuse

_MINUTE = 60.0
_MOST_INTERVALS = 50_000_000
"""Of a trace, empty ones included: more is a wrong moment, not a long record."""


class RequestTrace(Struct, frozen=True, eq=False):
    """Requests over time, in intervals of equal length."""

    name: str
    start: float
    """The moment at which the first interval begins; 0 where the record does not say."""
    interval: float
    """Seconds."""
    counts: NDArray[np.float64]
    """(n,) requests in each interval."""

    @property
    def end(self) -> float:
        """The moment at which the last interval ends."""
        return self.start + self.interval * len(self.counts)

    @property
    def rates(self) -> NDArray[np.float64]:
        """(n,) requests a second."""
        return self.counts / self.interval

    def scaled(self, factor: float) -> RequestTrace:
        """The same course with `factor` times as many requests."""
        if not 0 < factor < math.inf:
            raise Misuse(f"{factor!r} is no factor", field="factor", fix="Give a number above 0.")
        return RequestTrace(self.name, self.start, self.interval, self.counts * factor)

    def moved(self, start: float) -> RequestTrace:
        """The same requests, as if the record began at `start`."""
        return RequestTrace(self.name, start, self.interval, self.counts)

    def window(self, start: float, end: float) -> RequestTrace:
        """The intervals that lie within [start, end]. Raises Misuse if none does."""
        first = max(0, math.ceil((start - self.start) / self.interval - 1e-9))
        last = min(len(self.counts), math.floor((end - self.start) / self.interval + 1e-9))
        if first >= last:
            raise Misuse(
                f"nothing recorded from {start!r} to {end!r}",
                source=f"request trace {self.name}",
                fix=f"Its record runs from {self.start!r} to {self.end!r}.",
            )
        return RequestTrace(
            self.name, self.start + first * self.interval, self.interval, self.counts[first:last]
        )


def request_trace(path: Path | str, *, interval: float | None = None) -> RequestTrace:
    """The trace in a file; see the module for the layouts.

    Traces of single requests are counted by `interval` (1 s if not given), others keep their own, or are
    added up to a multiple of it. A line that ends before the last column is an error, a minute that lacks is
    one without requests. Raises Misuse that names the file, the line and the column.
    """
    source = str(path)
    if interval is not None and not 0 < interval < math.inf:
        raise Misuse(f"{interval!r} is no interval", field="interval", fix="Give seconds, above 0.")
    lines = _lines(Path(path))
    header, rows = lines[0], lines[1:]
    name = Path(path).name.removesuffix(".gz").removesuffix(".csv")
    if header == ["period", "count"]:
        return _widened(_minutes(name, source, rows), interval, source)
    if header[0] == "TIMESTAMP":
        when = _parsed(source, [row[0] for row in rows], "TIMESTAMP")
        first = math.floor(when.min() / _MINUTE) * _MINUTE
        return _counted(name, source, when, first, interval or 1.0)
    if header[:4] == ["HashOwner", "HashApp", "HashFunction", "Trigger"]:
        return _widened(_functions(name, source, header, rows), interval, source)
    if header == ["app", "func", "end_timestamp", "duration"]:
        ends, lasted = _numbers(source, rows, 2, "end_timestamp"), _numbers(source, rows, 3, "duration")
        return _counted(name, source, np.maximum(ends - lasted, 0.0), 0.0, interval or 1.0)
    raise Misuse(
        f"the columns {','.join(header[:4])!r} are no request trace's",
        source=f"{source}, line 1",
        fix="Write period,count, or one TIMESTAMP a request.",
    )


def _lines(path: Path) -> list[list[str]]:
    source = str(path)
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise Misuse(f"cannot be read: {problem}", source=source, fix="Give a file that can be.") from problem
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as problem:
        raise Misuse(f"broken gzip: {problem}", source=source, fix="Fetch the file again.") from problem
    except UnicodeDecodeError as problem:
        raise Misuse(f"no text: {problem}", source=source, fix="Give CSV in UTF-8.") from problem
    reader = csv.reader(io.StringIO(text), strict=True)
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if rows and len(cells) != len(rows[0]):
                raise Misuse(
                    f"{len(cells)} fields, not {len(rows[0])}",
                    source=f"{source}, line {reader.line_num}",
                    fix="Give one for each column.",
                )
            rows.append(cells)
    except csv.Error as problem:
        raise Misuse(str(problem), source=f"{source}, line {reader.line_num}", fix="Mend it.") from problem
    if len(rows) < 2:
        raise Misuse("no record", source=source, fix="Give a header line and one line a record.")
    return rows


def _parsed(source: str, texts: Sequence[str], column: str) -> NDArray[np.float64]:
    try:
        found = moments([text[:26] for text in texts])
        if np.isfinite(found).all():
            return found
    except ValueError:
        pass
    for line, text in enumerate(texts, 2):
        try:
            if not math.isfinite(recorded_moment(text[:26])):
                raise ValueError(text)
        except ValueError:
            raise Misuse(
                f"{text!r} is no moment",
                source=f"{source}, line {line}",
                field=column,
                fix="Write it as 2020-01-31 12:00:00.",
            ) from None
    raise Misuse("not all are moments", source=source, field=column, fix="Write them in ISO 8601.")


def _numbers(source: str, rows: Sequence[Sequence[str]], at: int, column: str) -> NDArray[np.float64]:
    found = np.empty(len(rows))
    for index, row in enumerate(rows):
        try:
            found[index] = value = float(row[at])
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise Misuse(
                f"{row[at]!r} is no number from 0",
                source=f"{source}, line {index + 2}",
                field=column,
                fix="Correct it.",
            )
    return found


def _minutes(name: str, source: str, rows: Sequence[Sequence[str]]) -> RequestTrace:
    when = _parsed(source, [row[0] for row in rows], "period")
    counts = _numbers(source, rows, 1, "count")
    late = np.flatnonzero(np.diff(when) <= 0)
    if len(late):
        raise Misuse(
            "not later than the line before",
            source=f"{source}, line {int(late[0]) + 3}",
            field="period",
            fix="Sort the lines by time, one a minute.",
        )
    places = (when - when[0]) / _MINUTE
    odd = np.flatnonzero(places != np.round(places))
    if len(odd):
        raise Misuse(
            "not a whole number of minutes after the first",
            source=f"{source}, line {int(odd[0]) + 2}",
            field="period",
            fix="Give one line a minute.",
        )
    found = _room(source, places[-1] + 1)
    found[places.astype(np.int64)] = counts
    return RequestTrace(name, float(when[0]), _MINUTE, found)


def _functions(name: str, source: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> RequestTrace:
    minutes = list(header[4:])
    if minutes != [str(number) for number in range(1, len(minutes) + 1)] or not minutes:
        raise Misuse(
            "the minutes do not count from 1", source=f"{source}, line 1", fix="Number the columns 1 to 1440."
        )
    total = np.zeros(len(minutes))
    for at, column in enumerate(minutes):
        total[at] = _numbers(source, rows, 4 + at, column).sum()
    return RequestTrace(name, 0.0, _MINUTE, total)


def _counted(
    name: str, source: str, when: NDArray[np.float64], first: float, interval: float
) -> RequestTrace:
    places = np.floor((when - first) / interval)
    counts = _room(source, places.max() + 1)
    np.add.at(counts, places.astype(np.int64), 1.0)
    return RequestTrace(name, first, interval, counts)


def _room(source: str, intervals: Any) -> NDArray[np.float64]:
    if not 1 <= intervals <= _MOST_INTERVALS:
        raise Misuse(f"{intervals:g} intervals", source=source, fix="Look for a moment that is far off.")
    return np.zeros(int(intervals))


def _widened(trace: RequestTrace, interval: float | None, source: str) -> RequestTrace:
    if interval is None or interval == trace.interval:
        return trace
    times = interval / trace.interval
    if times < 1 or times != round(times):
        raise Misuse(
            f"{interval:g} s is no multiple of its intervals of {trace.interval:g} s",
            source=source,
            field="interval",
            fix="Give a multiple.",
        )
    whole = len(trace.counts) // int(times) * int(times)
    if not whole:
        raise Misuse("shorter than one interval", source=source, field="interval", fix="Give less.")
    added = trace.counts[:whole].reshape(-1, int(times)).sum(axis=1)
    return RequestTrace(trace.name, trace.start, interval, added)
