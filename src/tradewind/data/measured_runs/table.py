"""CSV files of measured runs in our own layout.

    workload,program,configuration,per_hour,seconds,status[,dollars][,machines][,...]

`status` is done, failed, timed_out or stopped. `dollars` are those of price and time unless they are given.
Further columns tell of the configuration (`machines`, `vcpus`, `memory_gib`, `family`, ...: numbers or
words); those that begin with `in_` of the run's input (`in_data_mb`), with `seen_` of what was measured
meanwhile (`seen_cpu_user`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tradewind.data.durable_files import write_durably
from tradewind.errors import Misuse
from tradewind.market.measured_runs import ENDS, MeasuredRun

NEEDED = ("workload", "program", "configuration", "per_hour", "seconds", "status")
_INPUT, _SEEN = "in_", "seen_"


def read_table(text: str, source: str) -> tuple[MeasuredRun, ...]:
    """The runs in a CSV text of our layout. Raises Misuse that names the line and the column."""
    rows = list(csv.DictReader(io.StringIO(text)))
    found = []
    for number, row in enumerate(rows, start=2):
        where = f"{source}, line {number}"
        for field in NEEDED:
            if not row.get(field):
                raise Misuse("nothing stands there", source=where, field=field, fix="Fill it in.")
        if row["status"] not in ENDS:
            raise Misuse(
                f"{row['status']!r} is no end of a run",
                source=where,
                field="status",
                fix=f"Write one of {', '.join(ENDS)}.",
            )
        per_hour, seconds = (positive(row[field], where, field) for field in ("per_hour", "seconds"))
        dollars = row.get("dollars")
        others = {key: value for key, value in row.items() if key and key not in (*NEEDED, "dollars")}
        found.append(
            MeasuredRun(
                row["workload"],
                row["program"],
                row["configuration"],
                per_hour,
                seconds,
                positive(dollars, where, "dollars") if dollars else per_hour * seconds / 3600,
                row["status"],
                {key: _told(value) for key, value in others.items() if not key.startswith((_INPUT, _SEEN))},
                _numbers(others, _INPUT, where),
                _numbers(others, _SEEN, where),
            )
        )
    if not found:
        raise Misuse("there is no run in it", source=source, field="rows", fix="Give at least one.")
    return tuple(found)


def write_table(path: Path, runs: Sequence[MeasuredRun]) -> None:
    """Write runs in our layout, whole or not at all."""
    features = _keys(run.features for run in runs)
    inputs, seen = _keys(run.inputs for run in runs), _keys(run.seen for run in runs)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = [
        *NEEDED,
        "dollars",
        *features,
        *(_INPUT + key for key in inputs),
        *(_SEEN + key for key in seen),
    ]
    writer.writerow(header)
    for run in runs:
        writer.writerow(
            [
                run.workload, run.program, run.configuration, repr(run.per_hour), repr(run.seconds),
                run.status, repr(run.dollars),
                *(run.features.get(key, "") for key in features),
                *(run.inputs.get(key, "") for key in inputs),
                *(run.seen.get(key, "") for key in seen),
            ]
        )  # fmt: skip
    write_durably(path, out.getvalue().encode())


def positive(text: str, source: str, field: str) -> float:
    """A number above zero, as a CSV file has it. Raises Misuse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise Misuse(f"{text!r} is no number above 0", source=source, field=field, fix="Mend it.")
    return value


def _told(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def _numbers(others: Mapping[str, str], prefix: str, source: str) -> dict[str, float]:
    found = {}
    for key, value in others.items():
        if key.startswith(prefix) and value:
            number = _told(value)
            if isinstance(number, str) or not math.isfinite(number):
                raise Misuse(f"{value!r} is no number", source=source, field=key, fix="Mend it.")
            found[key.removeprefix(prefix)] = number
    return found


def _keys(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
