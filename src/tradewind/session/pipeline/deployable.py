"""What is deployed, audited first: every file of the model, and the packages of the environment that serves.

The packages are this interpreter's unless the spec names others. What the scanner of model files does not
call clean is never served; of known vulnerabilities the spec says from which severity on they stop the
pipeline.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tradewind import clock
from tradewind.audit.vulnerabilities.evidence import Report
from tradewind.audit.vulnerabilities.gate import fails, threshold, undecided
from tradewind.data.model_files.findings import Scan
from tradewind.data.model_files.scanner import scan_folder
from tradewind.session.audit.subject import open_subject
from tradewind.session.audit.vulnerable import vulnerable
from tradewind.session.pipeline.record import AuditedStep
from tradewind.session.pipeline.spec import AuditTable

PASSED, REFUSED, UNDECIDED = "passed", "refused", "undecided"


def audit_deployable(model: Path, asked: AuditTable) -> AuditedStep:
    """The verdict on the model's folder and on the packages that serve it.

    Nothing is imported or loaded from either.
    """
    scans = scan_folder(model)
    with open_subject(asked.environment or sysconfig.get_path("purelib"), attributes=False) as subject:
        packages = len(subject.inventory.packages)
        found = vulnerable(subject, folder=Path(asked.advisories) if asked.advisories else None)
    blocked = [_told(scan) for scan in scans if scan.verdict == "blocked"]
    doubtful = [_told(scan) for scan in scans if scan.verdict == "undecided"]
    if not scans:
        doubtful = [f"{model}: there is no file of a model"]
    if asked.fail_on:
        blocked += [
            f"{each.package}: {each.id}, {each.severity}: {each.why}"
            for each in fails(found.findings, threshold(asked.fail_on))
        ]
    if asked.strict:
        doubtful += undecided(found)
    return AuditedStep(
        verdict=REFUSED if blocked else UNDECIDED if doubtful else PASSED,
        moment=clock.wall(),
        model_files=len(scans),
        packages=packages,
        known=len(found.findings),
        unanswered=len(found.unanswered),
        reasons=(*blocked, *doubtful),
        sources=_sources(found),
    )


def _told(scan: Scan) -> str:
    finding = next(each for each in scan.findings if each.level != "note")
    return f"{scan.path}: {finding.message} ({finding.rule})"


def _sources(found: Report) -> tuple[str, ...]:
    now = found.matching.now
    told = []
    for source in found.matching.sources:
        age = source.days(now)
        told.append(
            f"{source.name}, {source.trouble or ('without a date' if age is None else f'{age:.0f} days old')}"
        )
    return tuple(told)
