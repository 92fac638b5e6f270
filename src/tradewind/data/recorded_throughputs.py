"""Measured throughputs of training jobs, read from the JSON in which others published them.

`{device: {job: {"null": steps/s, other job: [steps/s, steps/s of the other]}}}`, as
stanford-futuredata/training_on_a_dime and gavel have it; gzip is seen by its content.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

from tradewind.errors import Misuse
from tradewind.market.throughputs import Throughputs

_ALONE = "null"
"""The key under which a job's own throughput stands."""


def throughputs(path: str | Path) -> Throughputs:
    """The throughputs in a file; Misuse that names the file and the field of whatever is wrong."""
    source = str(path)
    document = _document(Path(path), source)
    alone: dict[str, dict[str, float]] = {}
    shared: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}
    for device, jobs in _table(document, source, "").items():
        alone[device], shared[device] = {}, {}
        for job, rates in _table(jobs, source, device).items():
            where = f"{device}.{job}"
            for other, given in _table(rates, source, where).items():
                field = f"{where}.{other}"
                if other == _ALONE:
                    alone[device][job] = _rate(given, source, field)
                    continue
                if not isinstance(given, list) or len(given) != 2:
                    raise Misuse(f"{given!r} is no pair", source=source, field=field, fix="Give two numbers.")
                shared[device][job, other] = _rate(given[0], source, field), _rate(given[1], source, field)
            if job not in alone[device]:
                raise Misuse(
                    "the job's own throughput is missing", source=source, field=where, fix=f"Add {_ALONE!r}."
                )
    return Throughputs(Path(path).name, alone, shared)


def _document(path: Path, source: str) -> Any:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
        return json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError) as problem:
        raise Misuse(f"cannot be read: {problem}", source=source, fix="Give a whole JSON file.") from problem


def _table(value: Any, source: str, field: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise Misuse("no table of measurements", source=source, field=field, fix="Give a JSON object.")
    return value


def _rate(value: Any, source: str, field: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise Misuse(f"{value!r} is no throughput", source=source, field=field, fix="Give steps a second.")
    return float(value)
