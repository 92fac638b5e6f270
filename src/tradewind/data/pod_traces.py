"""Recorded pods: what each asked for, when it was made, and how long it ran.

Read is the layout of Alibaba's GPU trace of 2023 (alibaba/clusterdata, `cluster-trace-gpu-v2023`), CSV,
gzipped or not, a header and one pod a line; its columns are found by name: `name cpu_milli memory_mib num_gpu
gpu_milli creation_time scheduled_time deletion_time`, and `gpu_spec qos` where there are any. Moments are
seconds of the record. A pod that was never scheduled has no run time.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from pathlib import Path

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.resources import Resources

_NEEDED = (
    "name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "creation_time", "scheduled_time",
    "deletion_time",
)  # fmt: skip


class Pod(Struct, frozen=True):
    """One pod of a record."""

    name: str
    resources: Resources
    """`gpus` is the share of one device that it asked for, or the number of whole ones."""
    created: float
    seconds: float | None
    """From its start to its end; None where it never started, or the record does not have its end."""
    qos: str = ""
    gpu_spec: str = ""
    """The GPU models that would do, as the record has them, such as V100M16|V100M32; empty for any."""


def pod_trace(path: Path | str) -> tuple[Pod, ...]:
    """The pods of a file, by the moment of their making.

    Raises Misuse that names the file, the line and the column of whatever is wrong: a column that lacks, what
    is no number, a negative amount, a share of a GPU beside several, a name given twice, an end before the
    start.
    """
    source = str(path)
    rows = _rows(Path(path), source)
    header = rows[0][1]
    for column in _NEEDED:
        if column not in header:
            raise Misuse(
                "the column is missing",
                source=f"{source}, line 1",
                field=column,
                fix="Give pods with moments.",
            )
    pods = []
    seen: set[str] = set()
    for line, cells in rows[1:]:
        where = f"{source}, line {line}"
        if len(cells) != len(header):
            raise Misuse(
                f"{len(cells)} fields, not {len(header)}", source=where, fix="Give one for each column."
            )
        row = dict(zip(header, cells, strict=True))
        if not row["name"] or row["name"] in seen:
            raise Misuse(
                f"{row['name']!r} is no new name", source=where, field="name", fix="Give each pod its own."
            )
        seen.add(row["name"])
        pods.append(_pod(row, where))
    return tuple(sorted(pods, key=lambda pod: pod.created))


def _pod(row: dict[str, str], where: str) -> Pod:
    count, milli = _amount(row, "num_gpu", where), _amount(row, "gpu_milli", where)
    if count != int(count):
        raise Misuse(f"{count!r} GPUs", source=where, field="num_gpu", fix="Give a whole number.")
    if milli > 1000 or (count > 1 and milli != 1000):
        raise Misuse(
            f"{milli:g} thousandths of each of {count:g} GPUs", source=where, field="gpu_milli",
            fix="Give up to 1000 of one, or whole ones.",
        )  # fmt: skip
    gpus = count if count != 1 else milli / 1000
    if count == 1 and not milli:
        raise Misuse("a GPU of which nothing is used", source=where, field="gpu_milli", fix="Give 1 to 1000.")
    started, ended = _moment(row, "scheduled_time", where), _moment(row, "deletion_time", where)
    created = _moment(row, "creation_time", where)
    if created is None:
        raise Misuse("no moment", source=where, field="creation_time", fix="Give seconds.")
    if started is not None and ended is not None and ended < started:
        raise Misuse("ends before it starts", source=where, field="deletion_time", fix="Mend the moments.")
    seconds = None if started is None or ended is None else ended - started
    resources = Resources(
        vcpus=_amount(row, "cpu_milli", where) / 1000,
        memory_gib=_amount(row, "memory_mib", where) / 1024,
        gpus=gpus,
    )
    return Pod(row["name"], resources, created, seconds, row.get("qos", ""), row.get("gpu_spec", ""))


def _rows(path: Path, source: str) -> list[tuple[int, list[str]]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as problem:
        raise Misuse(f"cannot be read: {problem}", source=source, fix="Give a whole CSV file.") from problem
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as problem:
        raise Misuse(str(problem), source=f"{source}, line {reader.line_num}", fix="Mend it.") from problem
    if len(rows) < 2:
        raise Misuse("no pod", source=source, fix="Give a header line and one line a pod.")
    return rows


def _moment(row: dict[str, str], column: str, where: str) -> float | None:
    """A moment in seconds; None where the cell is empty."""
    return _number(row, column, where) if row[column] else None


def _amount(row: dict[str, str], column: str, where: str) -> float:
    found = _number(row, column, where)
    if found < 0:
        raise Misuse(f"{row[column]!r} is no amount", source=where, field=column, fix="Give 0 or more.")
    return found


def _number(row: dict[str, str], column: str, where: str) -> float:
    try:
        found = float(row[column])
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise Misuse(f"{row[column]!r} is no number", source=where, field=column, fix="Give a number.")
    return found
