"""Canary mode: a workload runs on the slim half with its side-car, and what it takes from there is told.

Watching for files that are not found is not enough: Python's importer trusts a listing and never asks. With
the side-car in place the workload succeeds, and what it opens beyond the slim half is seen; the next version
of the slim image has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.misses import Lacking, Miss, misses
from tradewind.audit.tracing.backends.recording import DEFAULT, trace
from tradewind.audit.tracing.outcome import Recorded
from tradewind.audit.tracing.workload import Workload


class Canary(Struct, frozen=True):
    """One run on the slim half with its side-car."""

    recorded: Recorded
    misses: tuple[Miss, ...]


def canary(
    inventory: Inventory,
    absent: Lacking,
    workload: Workload,
    roots: Path | Sequence[Path],
    *,
    scratch: Path,
    backend: str = DEFAULT,
    digest: str = "",
) -> Canary:
    """Run a workload on the whole image, confined, and tell what of it the slim half has not.

    `roots` are the folders of the slim half and the side-car, the side-car first, or one folder with the
    original; `inventory` and `digest` are the original's. Raises what tracing raises; the workload's own
    failure is in the outcome.
    """
    recorded = trace(roots, inventory.tree, workload, scratch=scratch, backend=backend, digest=digest)
    return Canary(recorded, misses(recorded.run, absent, inventory))
