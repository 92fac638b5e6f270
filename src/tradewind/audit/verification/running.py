"""Runs the invocations of a verification on both trees, and tries what happens without a kept file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tradewind.audit.slimming.kept import Kept
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.outcome import Outcome
from tradewind.audit.tracing.workload import Workload
from tradewind.audit.verification.comparing import Bounds, differences
from tradewind.audit.verification.proof import Check, Missed, side
from tradewind.errors import Misuse

Roots = Sequence[Path]
"""Directories that lie one over the other, the first on top."""


def check_both(
    original: Roots,
    slim: Roots,
    workloads: Sequence[Workload],
    *,
    scratch: Path,
    bounds: Bounds | None = None,
    repetitions: int = 1,
    told: Callable[[Check], None] = lambda _: None,
) -> tuple[Check, ...]:
    """Run each workload on both trees, one after the other, `repetitions` times, and compare.

    The original is also run twice at the first, and what differs between its own two runs is told as Misuse:
    a workload that does not repeat itself proves nothing until its bounds say what may differ.
    """
    if repetitions < 1:
        raise Misuse(f"{repetitions} repetitions", field="repetitions", fix="Give 1 or more.")
    bounds = bounds or Bounds()
    bounds.check("bounds")
    found = []
    for workload in workloads:
        workload.check()
        first = run_confined(list(original), workload, scratch=scratch)
        again = run_confined(list(original), workload, scratch=scratch)
        apart = differences(first, again, bounds, service=workload.long_running)
        if apart:
            raise Misuse(
                f"the original itself differs from run to run, at {apart[0].where}: "
                f"{apart[0].original!r} and {apart[0].other!r}", source=workload.name, field="bounds",
                fix="Say in the bounds what may differ, or give the workload a seed.",
            )  # fmt: skip
        for repetition in range(repetitions):
            if repetition:
                first = run_confined(list(original), workload, scratch=scratch)
            other = run_confined(list(slim), workload, scratch=scratch)
            check = _check(workload, repetition, first, other, bounds)
            told(check)
            found.append(check)
    return tuple(found)


def _check(workload: Workload, repetition: int, first: Outcome, other: Outcome, bounds: Bounds) -> Check:
    return Check(
        workload.name, workload.command, repetition, side(first), side(other),
        differences(first, other, bounds, workload),
    )  # fmt: skip


def leave_out(
    original: Roots,
    slim: Roots,
    kept: Kept,
    workloads: Sequence[Workload],
    *,
    scratch: Path,
    samples: int,
    seed: int,
    owners: Mapping[str, str] | None = None,
    bounds: Bounds | None = None,
    told: Callable[[Missed], None] = lambda _: None,
) -> tuple[Missed, ...]:
    """Hide kept files, one at a time, and see whether a check notices: the negative test.

    Files are drawn by chance from `seed`, evenly by their bytes over the packages that `owners` names (see
    `drawn`). One that nothing notices is told with the rule that keeps it:
    traced files that only speed a program up (bytecode beside its source, say), or what a rule keeps for runs
    that were not recorded. Needs root, to make the hole (an overlay's whiteout); Misuse without it.
    """
    if os.geteuid() != 0:
        raise Misuse("the negative test needs root", field="negative", fix="Run it as root, or leave it out.")
    sizes = {path: e.size for path in kept if (e := kept.tree.get(path)) is not None and e.kind == "file"}
    chosen = drawn(sizes, owners or {}, samples, seed)
    bounds = bounds or Bounds()
    expected = [run_confined(list(original), workload, scratch=scratch) for workload in workloads]
    found = []
    for path in chosen:
        with tempfile.TemporaryDirectory(prefix="hole-", dir=scratch) as hole:
            above = Path(hole) / path
            above.parent.mkdir(parents=True)
            os.mknod(above, 0o600 | 0o020000, os.makedev(0, 0))
            noticed = any(
                differences(
                    wanted,
                    run_confined([Path(hole), *slim], workload, scratch=scratch),
                    bounds,
                    service=workload.long_running,
                )
                for workload, wanted in zip(workloads, expected, strict=True)
            )
        reason = kept.reasons[path]
        because = f" for {reason.because}" if reason.because else ""
        missed = Missed(path, noticed, "" if noticed else f"kept by {reason.rule}{because}")
        told(missed)
        found.append(missed)
    return tuple(found)


def drawn(sizes: Mapping[str, int], owners: Mapping[str, str], samples: int, seed: int) -> list[str]:
    """So many different paths of `sizes`, in order, drawn evenly by bytes over packages.

    Systematic sampling with probability proportional to size (Madow 1949) of the files in the order of their
    packages: a package of a tenth of the bytes has about a tenth of the draws, however many files it has. A
    file as large as a whole step is drawn for certain; one without content counts as one byte.
    """
    left = {path: max(size, 1) for path, size in sizes.items()}
    certain: list[str] = []
    wanted = min(samples, len(left))
    while wanted:
        step = sum(left.values()) / wanted
        large = [path for path, size in left.items() if size >= step]
        if not large:
            break
        large = sorted(large, key=lambda path: (-left[path], path))[:wanted]
        certain += large
        wanted -= len(large)
        for path in large:
            del left[path]
    if not wanted:
        return sorted(certain)
    order = sorted(left, key=lambda path: (owners.get(path, ""), path))
    ends = np.cumsum([left[path] for path in order])
    step = ends[-1] / wanted
    marks = (np.random.default_rng(seed).random() + np.arange(wanted)) * step
    places = np.searchsorted(ends, np.minimum(marks, ends[-1] - 1), side="right").tolist()
    return sorted([*certain, *(order[place] for place in places)])
