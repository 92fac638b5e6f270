"""Canary mode: a workload runs on the slim half with its side-car, and what it takes from there is healed.

Watching for files that are not found is not enough: Python's importer trusts a listing and never asks. With
the side-car in place the workload succeeds, and what it opens beyond the slim half is seen and told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.databases import made_files
from tradewind.audit.slimming.misses import Miss, healed, misses
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.slimming.writing import Part, SlimImage, slim_image
from tradewind.audit.tracing.backends.recording import DEFAULT, trace
from tradewind.audit.tracing.outcome import Recorded
from tradewind.audit.tracing.workload import Workload


class Canary(Struct, frozen=True):
    """One run on the slim half with its side-car."""

    recorded: Recorded
    misses: tuple[Miss, ...]


class Healed(Struct, frozen=True):
    """What canary runs came to."""

    canaries: tuple[Canary, ...]
    part: Part
    """The image with the grown closure and the runs that it rests on now; as it was where nothing was
    missed.
    """
    written: SlimImage | None
    """The new version; None where nothing was missed, for the old one is right."""

    @property
    def misses(self) -> tuple[Miss, ...]:
        """All misses, in the order of the runs; one that several runs missed is told for each."""
        return tuple(miss for canary in self.canaries for miss in canary.misses)


def canary(
    part: Part,
    workload: Workload,
    roots: Path | Sequence[Path],
    *,
    scratch: Path,
    backend: str = DEFAULT,
) -> Canary:
    """Run a workload on the whole image, confined, and tell what of it the slim half has not.

    `roots` are the folders of the slim half and the side-car, the side-car first, or one folder with the
    original. Raises what tracing raises; the workload's own failure is in the outcome.
    """
    recorded = trace(roots, part.image.files.tree, workload, scratch=scratch, backend=backend)
    return Canary(recorded, misses(recorded.run, part.closure, part.inventory))


def heal(
    part: Part,
    workloads: Sequence[Workload],
    roots: Path | Sequence[Path],
    target: Path,
    *,
    scratch: Path,
    policy: Policy | None = None,
    backend: str = DEFAULT,
    made: Callable[[Closure], Mapping[str, bytes]] | None = None,
    write: Callable[[Part, Path], SlimImage] = slim_image,
) -> Healed:
    """Run each workload as a canary, and write the next version of the slim image where one missed something.

    `made` makes the files of our own for the grown closure, the filtered databases and the note without it;
    `write` chooses form and packing. The old version stays as it is.
    """
    runs = tuple(canary(part, each, roots, scratch=scratch, backend=backend) for each in workloads)
    if not any(each.misses for each in runs):
        return Healed(runs, part, None)
    files, traced = part.image.files, [each.recorded.run for each in runs]
    grown = healed(files, part.closure, part.runs, traced, part.inventory, policy)
    ours = made(grown) if made is not None else made_files(files, part.inventory, grown, policy)
    part = replace(part, closure=grown, runs=(*part.runs, *traced), made=ours)
    return Healed(runs, part, write(part, target))
