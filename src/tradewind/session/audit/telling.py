"""All that is known of an image as one report: each section that there is something for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from tradewind import __version__, clock
from tradewind.audit.bloat.degrees import measured
from tradewind.audit.inventory.gpu_code import gpu_code_of
from tradewind.audit.inventory.wheel_diet import wheel_diet
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.misses import Miss
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.verification.proof import Check, Proof
from tradewind.audit.vulnerabilities import evidence
from tradewind.audit.why import WORDS
from tradewind.data.model_files.findings import Scan
from tradewind.session.audit.environment import PARTIAL
from tradewind.session.audit.moving import Moving
from tradewind.session.audit.paging import pages_of
from tradewind.session.audit.slim_folder import SlimFolder
from tradewind.session.audit.subject import Subject, facts_of
from tradewind.session.report.audit.data import (
    AuditReport,
    CheckLine,
    FileLine,
    HealedLine,
    LayerLine,
    RuleLine,
    SlimSection,
    VerificationSection,
)
from tradewind.session.report.audit.findings import (
    diet_lines,
    duplicate_lines,
    gpu_lines,
    models_section,
    vulnerabilities_section,
)
from tradewind.session.report.audit.reading import (
    bloat_section,
    inventory_section,
    runs_section,
    subject_of,
)

COMPUTED = (
    "Seconds of a pull are computed of bytes, stated bandwidths and the measured unpacking, dollars of the "
    "prices that were given."
)
_MOST = 40
"""Files of a list that are told."""


def audit_report(
    subject: Subject,
    *,
    found: evidence.Report | None = None,
    models: Iterable[Scan] = (),
    moving: Moving | None = None,
    slimmed: SlimFolder | None = None,
    target_sm: int | None = None,
    gate: Sequence[CheckLine] = (),
) -> AuditReport:
    """The report of an image: what it holds and, with recorded runs, what is needed and what is proven.

    `slimmed` is what was written of it, whose healed files are told. `target_sm` is a GPU's capability, as
    90, against which GPU code is told.
    """
    inventory, image = subject.inventory, subject.image
    profile = subject.profile
    digest = profile.about.tree if profile else image.digest
    told = subject_of(inventory, image.source, image.kind, digest)
    diet = wheel_diet(subject.files, inventory)
    parts = inventory_section(inventory)
    parts = replace(
        parts,
        layers=tuple(LayerLine(e.digest, e.bytes, e.packed, e.created_by) for e in image.layers),
        diet=diet_lines(diet),
        duplicates=duplicate_lines(diet, inventory),
        gpu=gpu_lines(gpu_code_of(subject.files), target_sm),
        target=f"sm_{target_sm}" if target_sm else "",
        notes=inventory.notes,
    )
    report = AuditReport(
        title=f"Audit of {Path(image.source).name}",
        version=__version__,
        made=clock.wall(),
        subject=replace(told, facts=tuple(facts_of(subject))),
        inventory=parts,
        vulnerabilities=vulnerabilities_section(found) if found else None,
        models=models_section(scans) if (scans := tuple(models)) else None,
        gate=tuple(gate),
        real=("Sizes are of files, each counted once however many names it has.",),
    )
    if not subject.runs:
        return report
    closure = subject.closure
    bloat, graph = measured(inventory, closure.kept)
    proof = profile.proof() if profile else None
    statements = (proof.coverage.words,) if proof else ()
    section = bloat_section(inventory, bloat, graph, closure.kept.paths, pages_of(subject))
    if profile is not None and profile.about.environment:
        # Nothing can be slimmed or proved by what was seen in part.
        return replace(
            report,
            bloat=replace(section, notes=(PARTIAL,)),
            runs=runs_section(inventory, subject.runs, (PARTIAL,)),
            real=(*report.real, "What runs touched was recorded while they ran, unconfined, and in part."),
        )
    if moving is not None:
        section = replace(section, costs=moving.lines, cost_notes=moving.notes)
    policy = profile.about.policy if profile else Policy()
    healed = slimmed.healed() if slimmed is not None else ()
    return replace(
        report,
        bloat=section,
        runs=runs_section(inventory, subject.runs, statements),
        slim=slim_section(inventory, closure, policy, healed),
        verification=verification_section(proof) if proof else None,
        real=(
            *report.real,
            "What runs touched was recorded while they ran, confined, in the image itself.",
        ),
        modelled=(COMPUTED,) if moving is not None else (),
    )


def slim_section(
    inventory: Inventory, closure: Closure, policy: Policy, healed: Iterable[Miss] = ()
) -> SlimSection:
    """What is kept and by which rule; what was only asked for; what the policy says otherwise than usual."""
    tree = inventory.tree
    rules: dict[str, list[str]] = {}
    for path, reason in closure.kept.reasons.items():
        rules.setdefault(reason.rule, []).append(path)
    usual = Policy()
    chosen = [(name, getattr(policy, name), getattr(usual, name)) for name in policy.__struct_fields__]
    switches = [(name, str(value)) for name, value, default in chosen if value != default]
    lacking = closure.unresolved[:_MOST]
    notes = [f"{path} is linked with {name}, which the image has not." for path, name in lacking]
    notes += [f"The policy dropped {path}, which a run touched." for path in closure.dropped[:_MOST]]
    stands_in = closure.placeholders
    return SlimSection(
        kept_bytes=closure.kept.bytes,
        removed_bytes=tree.bytes - closure.kept.bytes,
        rules=tuple(
            RuleLine(rule, WORDS.get(rule, "").format(because="a path"), len(paths), tree.bytes_of(paths))
            for rule, paths in sorted(rules.items(), key=lambda pair: (-tree.bytes_of(pair[1]), pair[0]))
        ),
        facts=tuple((f"policy: {name}", value) for name, value in switches),
        probed=tuple(
            FileLine(
                path,
                tree.entries[path].size,
                inventory.owners.get(path, "unowned"),
                "an empty file" if path in stands_in else "kept" if path in closure.kept else "removed",
            )
            for path in closure.only_probed[:_MOST]
        ),
        healed=tuple(
            HealedLine(each.path, each.size, each.package or "unowned", each.run, each.opened)
            for each in healed
        ),
        notes=tuple(notes),
    )


def verification_section(proof: Proof) -> VerificationSection:
    """What was checked, and what the checks prove."""
    lines = [_check_line(check, "") for check in proof.checks]
    lines += [_check_line(check, " (beside, with the side-car)") for check in proof.beside]
    lines += [
        CheckLine(
            f"without {missed.path}", "a difference", "noticed" if missed.noticed else "not noticed",
            "good" if missed.noticed else "unsure", missed.explained,
        )
        for missed in proof.negative
    ]  # fmt: skip
    return VerificationSection(
        passed=proof.holds,
        checks=tuple(lines),
        facts=(
            ("made", proof.made),
            ("original", proof.original),
            ("slim", proof.slim),
            ("side-car", proof.removed),
            ("policy", proof.policy),
            ("seal", proof.seal),
        ),
        statements=(
            proof.coverage.words,
            "It proves that the recorded invocations do the same on both; of others it proves nothing.",
        ),
    )


def _check_line(check: Check, more: str) -> CheckLine:
    first = check.differences[0] if check.differences else None
    told = f"{first.where}: {first.original} / {first.other}" if first else ""
    if len(check.differences) > 1:
        told += f"; and {len(check.differences) - 1} more"
    sides = (check.original, check.slim)
    before, after = (f"exit code {each.exit_code}, {each.seconds:.2f} s" for each in sides)
    return CheckLine(f"{check.workload}{more}", before, after, "good" if check.equal else "bad", told)
