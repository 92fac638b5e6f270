"""From advisories, model files, wheels and GPU code, as they were found, to the rows of the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tradewind.audit.inventory.gpu_code import GpuCode
from tradewind.audit.inventory.wheel_diet import Diet
from tradewind.audit.packages import Inventory
from tradewind.audit.vulnerabilities import evidence
from tradewind.data.model_files.findings import Scan
from tradewind.session.report.audit.data import (
    AdvisorySource,
    DietLine,
    FileLine,
    FindingLine,
    GpuLine,
    ModelLine,
    ModelsSection,
    VulnerabilitiesSection,
    VulnerabilityLine,
    sized,
)


def vulnerabilities_section(found: evidence.Report, notes: Iterable[str] = ()) -> VulnerabilitiesSection:
    """What is proved about every advisory; packages that nobody can clear are counted by the reason."""
    lines = tuple(
        VulnerabilityLine(
            package=each.package,
            version=each.version,
            advisory=", ".join(each.names[:3]) or each.id,
            state=each.state,
            before=each.before if each.after is not None else None,
            severity=each.severity,
            summary=each.summary or each.why,
            fixed_in=", ".join(each.fixed),
            evidence=each.paths,
            manager=each.manager,
        )
        for each in found.findings
    )
    reasons: dict[tuple[str, str], int] = {}
    for one in found.unanswered:
        if one.state == "unknown":
            reason = (one.package.partition(":")[0], one.why)
            reasons[reason] = reasons.get(reason, 0) + 1
    sources = tuple(
        AdvisorySource(each.name, each.as_of[:10] or "no date", each.records, not each.trouble, each.trouble)
        for each in found.matching.sources
    )
    unknown = tuple((manager, count, why) for (manager, why), count in sorted(reasons.items()))
    return VulnerabilitiesSection(found=lines, sources=sources, unknown=unknown, notes=tuple(notes))


def models_section(scans: Iterable[Scan], notes: Iterable[str] = ()) -> ModelsSection:
    """What the scanner said of each file."""
    return ModelsSection(
        tuple(
            ModelLine(
                scan.path,
                scan.format,
                scan.size,
                scan.verdict,
                scan.digest,
                tuple(
                    FindingLine(each.rule, each.level, each.message, each.where, each.offset, each.name)
                    for each in scan.findings
                ),
            )
            for scan in scans
        ),
        tuple(notes),
    )


def diet_lines(diet: Diet) -> tuple[DietLine, ...]:
    """What packages carry that no run needs."""
    return tuple(
        DietLine(each.package, each.what, len(each.paths), each.bytes, each.caution) for each in diet.unneeded
    )


def duplicate_lines(diet: Diet, inventory: Inventory) -> tuple[FileLine, ...]:
    """Each library that is there more than once, with its copies, the most wasteful first."""
    order = sorted(diet.duplicates, key=lambda each: (-each.beyond_one, each.name))
    return tuple(
        FileLine(
            each.name,
            each.bytes,
            ", ".join(dict.fromkeys(inventory.owners.get(path, "unowned") for path in each.paths)),
            f"{len(each.paths)} copies, alike in {each.alike}, {sized(each.beyond_one)} beyond the largest",
        )
        for each in order
    )


def gpu_lines(codes: Mapping[str, GpuCode], target: int | None = None) -> tuple[GpuLine, ...]:
    """Bytes of GPU code by architecture and kind over all files; `target` is an SM version such as 90."""
    count: dict[tuple[str, str, bool | None], list[int]] = {}
    for code in codes.values():
        idle = {id(each) for each in code.unneeded(target)} if target is not None else set()
        seen: set[tuple[str, str, bool | None]] = set()
        for region in code.regions:
            for each in region.elements:
                needed = None if target is None else id(each) not in idle
                key = (f"sm_{each.sm}", each.kind, needed)
                entry = count.setdefault(key, [0, 0])
                entry[1] += each.bytes
                if key not in seen:
                    seen.add(key)
                    entry[0] += 1
    return tuple(
        GpuLine(architecture, kind, files, size, needed)
        for (architecture, kind, needed), (files, size) in sorted(
            count.items(), key=lambda item: str(item[0])
        )
    )
