"""The first task on a lease: read the data once, so that a worker that moves there starts in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tradewind.data.streams import open_data
from tradewind.training.job import Job


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Read the job's data into the cache that the instance's tasks share."""
    del leaving  # it takes no longer than the notice
    job = msgspec.convert(arguments["job"], Job)
    open_data(**job.data, cache=arguments["cache"])
