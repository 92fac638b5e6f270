"""Published traces of jobs on GPU clusters: when each came, how long it ran, on how many GPUs, for whom.

Read are CSV files, gzipped or not, of two layouts, told apart by their columns:

- `timestamp,duration,num_gpus,gpu_time,cluster`: Microsoft's Philly cluster of 2017
  (msr-fiddle/philly-traces, as siasosp23/artifacts condensed it);
- `job_id,user,num_gpu,submit_time,...,duration,...`: jobs as simulators of deep-learning clusters take them,
  moments in seconds from the start (S-Lab-System-Group/ChronusArtifact).
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.data.histories.moments import recorded_moment
from tradewind.errors import Misuse


class JobTrace(Struct, frozen=True, eq=False):
    """Jobs in order of arrival."""

    name: str
    arrival: NDArray[np.float64]
    """(n,) seconds from the first job's arrival."""
    duration: NDArray[np.float64]
    """(n,) seconds."""
    gpus: NDArray[np.int64]
    """(n,)"""
    tenant: tuple[str, ...]


def job_trace(path: Path | str) -> JobTrace:
    """The trace in a file; see the module for the layouts.

    Empty lines, and jobs that ran no time or on no GPU, are left out; jobs of one moment stay in the order of
    the file. Raises Misuse that names the file, the line and the column.
    """
    source = str(path)
    header, rows, lines = _rows(Path(path))
    if header[:3] == ["timestamp", "duration", "num_gpus"] and "cluster" in header:
        names = ("timestamp", "duration", "num_gpus", "cluster")
    elif {"user", "num_gpu", "submit_time", "duration"} <= set(header):
        names = ("submit_time", "duration", "num_gpu", "user")
    else:
        raise Misuse(
            f"the columns {','.join(header[:4])!r} are no job trace's", source=f"{source}, line 1",
            fix="Write timestamp,duration,num_gpus,gpu_time,cluster.",
        )  # fmt: skip
    when, lasted, gpus, tenant = (header.index(name) for name in names)
    moment = recorded_moment if names[0] == "timestamp" else float
    arrival = _numbers(source, rows, lines, when, names[0], moment)
    duration = _numbers(source, rows, lines, lasted, names[1], float)
    count = _numbers(source, rows, lines, gpus, names[2], float)
    fraction = np.flatnonzero(count != np.round(count))
    if len(fraction):
        raise Misuse(
            f"{rows[fraction[0]][gpus]!r} is no number of GPUs",
            source=f"{source}, line {lines[fraction[0]]}", field=names[2], fix="Write a whole number.",
        )  # fmt: skip
    ran = np.flatnonzero((duration > 0) & (count > 0))
    if not len(ran):
        raise Misuse("no job that ran", source=source, field=names[1], fix="Give jobs with a duration.")
    order = ran[np.argsort(arrival[ran], kind="stable")]
    return JobTrace(
        Path(path).name.removesuffix(".gz").removesuffix(".csv"),
        arrival[order] - arrival[order[0]],
        duration[order],
        count[order].astype(np.int64),
        tuple(rows[at][tenant] for at in order.tolist()),
    )


def _rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The first line, the others, and the numbers of these."""
    source = str(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as problem:
        raise Misuse(f"cannot be read: {problem}", source=source, fix="Give a file that can be.") from problem
    except UnicodeDecodeError as problem:
        raise Misuse(f"no text: {problem}", source=source, fix="Give CSV in UTF-8.") from problem
    reader = csv.reader(io.StringIO(text), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if rows and len(cells) != len(rows[0]):
                raise Misuse(
                    f"{len(cells)} fields, not {len(rows[0])}", source=f"{source}, line {reader.line_num}",
                    fix="Give one for each column.",
                )  # fmt: skip
            rows.append(cells)
            lines.append(reader.line_num)
    except csv.Error as problem:
        raise Misuse(str(problem), source=f"{source}, line {reader.line_num}", fix="Mend it.") from problem
    if len(rows) < 2:
        raise Misuse("no record", source=source, fix="Give a header line and one line a job.")
    return rows[0], rows[1:], lines[1:]


def _numbers(
    source: str, rows: Sequence[Sequence[str]], lines: Sequence[int], at: int, column: str,
    convert: Callable[[str], float],
) -> NDArray[np.float64]:  # fmt: skip
    found = np.empty(len(rows))
    for index, row in enumerate(rows):
        try:
            found[index] = value = convert(row[at])
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise Misuse(
                f"{row[at]!r} is no number from 0 or no moment", source=f"{source}, line {lines[index]}",
                field=column, fix="Correct it.",
            )  # fmt: skip
    return found
