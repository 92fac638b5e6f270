"""Sampled counts of instances as JSON: `{"metadata": {"gap_seconds"}, "data": [...], "prices": [...]}`.

So skypilot-org/spot-traces publishes them, with the pool and the day in the file's name; `prices` may be
absent.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tradewind.errors import Misuse, suggestion
from tradewind.market.histories import CapacityHistory, PriceHistory
from tradewind.market.instances import Pool

ACCELERATORS = {
    ("v100", 1): "p3.2xlarge",
    ("v100", 4): "p3.8xlarge",
    ("v100", 8): "p3.16xlarge",
    ("k80", 1): "p2.xlarge",
    ("t4", 1): "g4dn.xlarge",
    ("intel", 64): "m6i.16xlarge",
}
"""The instance type that a file's name stands for. That `intel_64` is an m6i.16xlarge is assumed: the trace
says only that it has 64 vCPUs."""

_NAME = re.compile(r"-(\d\d-\d\d-\d{4})_([a-z]{2}-[a-z]+-\d[a-z])_([a-z0-9]+)_(\d+)\.json(?:\.gz)?$")


def counts_of_json(
    source: str, name: str, document: dict[str, Any], *, pools: tuple[Pool, ...], start: float | None
) -> tuple[PriceHistory | None, CapacityHistory]:
    """The capacity, and where they are there the prices, of the pool that the file counts.

    The pool and the start are the ones given, else those that `name` says; a day starts at 00:00 UTC. A
    count holds until the next. Raises Misuse that names `source` and the field.
    """
    unknown = document.keys() - {"metadata", "data", "prices"}
    if unknown:
        raise Misuse(
            "unknown key",
            source=source,
            field=min(unknown),
            fix=suggestion(min(unknown), ("metadata", "data", "prices")),
        )
    metadata = document.get("metadata")
    gap = metadata.get("gap_seconds") if isinstance(metadata, dict) else None
    if not isinstance(gap, int | float) or isinstance(gap, bool) or not 0 < gap < math.inf:
        raise Misuse(
            f"{gap!r} is no gap between samples",
            source=source,
            field="metadata.gap_seconds",
            fix="Give seconds.",
        )
    counts = document["data"]
    if not isinstance(counts, list) or not counts:
        raise Misuse("no samples", source=source, field="data", fix="Give a list of counts.")
    for k, count in enumerate(counts):
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise Misuse(
                f"{count!r} is no count", source=source, field=f"data[{k}]", fix="Give whole numbers from 0."
            )
    pool, began = _where_and_when(source, name, pools, start)
    times = began + gap * np.arange(len(counts))
    end = began + gap * len(counts)
    capacity = CapacityHistory.from_counts(pool, times, np.asarray(counts), end=end)
    if "prices" not in document:
        return None, capacity
    prices = document["prices"]
    if not isinstance(prices, list) or len(prices) != len(counts):
        raise Misuse("not one price for each sample", source=source, field="prices", fix="Give one each.")
    for k, price in enumerate(prices):
        if not isinstance(price, int | float) or isinstance(price, bool) or not 0 < price < math.inf:
            raise Misuse(
                f"{price!r} is no price",
                source=source,
                field=f"prices[{k}]",
                fix="Give dollars an hour, above 0.",
            )
    return PriceHistory(pool, times, prices, end=end), capacity


def _where_and_when(
    source: str, name: str, pools: tuple[Pool, ...], start: float | None
) -> tuple[Pool, float]:
    """Which pool a file of counts is about and when it begins: as told, else as its name says."""
    if len(pools) > 1:
        raise Misuse(f"{len(pools)} pools", source=source, field="pools", fix="Give the one that it counts.")
    if pools and start is not None:
        return pools[0], start
    named = _NAME.search(name)
    if named is None:
        raise Misuse(
            "the name does not say which pool it counts and when",
            source=source,
            field="start" if pools else "pools",
            fix="Keep the publisher's name (..._aws-MM-DD-YYYY_ZONE_KIND_N.json), or give pools and start.",
        )
    day, zone, kind, number = named.groups()
    if not pools and (kind, int(number)) not in ACCELERATORS:
        raise Misuse(
            f"unknown kind {kind}_{number}",
            source=source,
            field="name",
            fix="Give pools=(Pool(type, zone),).",
        )
    pool = pools[0] if pools else Pool(ACCELERATORS[kind, int(number)], zone)
    if start is not None:
        return pool, start
    try:
        return pool, datetime.strptime(day, "%m-%d-%Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Misuse(
            f"{day!r} is no day", source=source, field="name", fix="Write it as 04-19-2023."
        ) from None
