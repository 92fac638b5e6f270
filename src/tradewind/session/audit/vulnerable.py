"""What is known to be vulnerable in an image, from the shipped advisories and those that were imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tradewind import clock
from tradewind.audit.vulnerabilities.changelogs import ask_changelogs
from tradewind.audit.vulnerabilities.distributions import distribution
from tradewind.audit.vulnerabilities.evidence import Evidence, Report, report
from tradewind.audit.vulnerabilities.matching import match
from tradewind.audit.vulnerabilities.sources import FRESH_DAYS
from tradewind.audit.vulnerabilities.stored import imported, opened
from tradewind.session.audit.subject import Subject

FOLDER = Path.home() / ".tradewind" / "advisories"
"""Where imported advisories are kept unless told otherwise."""


def vulnerable(
    subject: Subject,
    *,
    folder: Path | None = None,
    files: Sequence[Path] = (),
    complete: Sequence[str] = (),
    changelogs: bool = False,
    most_days: float = FRESH_DAYS,
) -> Report:
    """Every advisory on a package of the image, with what is proved of its code, before and after slimming.

    `files` of other tools are imported into `folder` first; `complete` names the ecosystems that they hold
    all of. With `changelogs` Debian's archive is asked too. An environment, which cannot be slimmed, is told
    as it is. What no fresh source speaks of is unknown, never
    clean.
    """
    home = folder or FOLDER
    for path in files:
        imported(path, home, complete=tuple(complete))
    database = opened(home if folder is not None or home.is_dir() else None)
    system, now = distribution(subject.files), clock.wall()
    if changelogs:
        asked = ask_changelogs(subject.inventory, system, now)
        database = database.with_source(asked.source, asked.advisories)
    partial = subject.profile is not None and subject.profile.about.environment
    evidence = Evidence(subject.inventory, None if partial else subject.kept(), subject.runs)
    return report(evidence, match(subject.inventory, database, now, system, most_days))
