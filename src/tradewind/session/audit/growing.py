"""The growth of a code base and of a package's releases, as a section of a report and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tradewind.audit.growth.cohorts import Growth, theseus_files
from tradewind.audit.growth.releases import Release
from tradewind.data.durable_files import write_durably
from tradewind.session.report.audit.data import GrowthLine, GrowthSection, ReleaseLine

_YEAR = 365.25 * 86400
_STEPS = 8
"""Points of the survival curve a year."""


def growth_section(
    growth: Growth | None, repository: str = "", releases: Sequence[Release] = (), project: str = ""
) -> GrowthSection:
    """What the page tells of a history, of releases, or of both."""
    notes = []
    if growth is not None:
        notes.append(
            f"{len(growth.samples)} samples along first parents; each line belongs to the year of the commit "
            "that git blame names."
        )  # fmt: skip
    if any(release.chosen.uploaded is None for release in releases):
        notes.append("Releases without a date of upload stand in order of version.")
    return GrowthSection(
        repository=repository,
        moments=tuple(map(float, growth.moments)) if growth else (),
        cohorts=tuple(GrowthLine(c.label, tuple(map(float, c.lines))) for c in growth.curves["cohort"])
        if growth
        else (),
        survival=survival(growth) if growth else (),
        releases=tuple(
            ReleaseLine(
                f"{project} {release.version}".strip(),
                float(release.chosen.uploaded) if release.chosen.uploaded is not None else float(number),
                release.chosen.size,
                release.chosen.unpacked or 0,
            )
            for number, release in enumerate(releases)
        ),
        notes=tuple(notes),
    )


def survival(growth: Growth) -> tuple[tuple[float, float], ...]:
    """Years since lines were first seen, and the share of them that is still there.

    At each age, over all commits whose lines could have reached it by the last sample; the age is counted
    from the first sample with the commit in it.
    """
    if not growth.moments:
        return ()
    last = growth.moments[-1]
    alive: dict[int, int] = {}
    born: dict[int, int] = {}
    for seen in growth.survival.values():
        first, lines = seen[0]
        oldest = int((last - first) / _YEAR * _STEPS)
        at = 0
        for step in range(oldest + 1):
            moment = first + step * _YEAR / _STEPS
            while at + 1 < len(seen) and seen[at + 1][0] <= moment:
                at += 1
            alive[step] = alive.get(step, 0) + seen[at][1]
            born[step] = born.get(step, 0) + lines
    return tuple((step / _STEPS, alive[step] / born[step]) for step in sorted(born) if born[step])


def write_growth_files(growth: Growth, folder: Path) -> list[str]:
    """Write the JSON files of git-of-theseus into `folder`, each whole or not at all; their names."""
    files = theseus_files(growth)
    for name, content in files.items():
        write_durably(folder / name, json.dumps(content).encode())
    return sorted(files)
