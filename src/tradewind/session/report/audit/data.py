"""All that the report of an audit tells, as plain rows; whoever audits fills in the sections that it has.

Sizes are bytes, moments seconds since the epoch, degrees follow from bytes. A section that is None, and a
table without rows, is not on the page.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tradewind.session.report.data import Source

Mark = Literal["good", "bad", "unsure", ""]
"""How a row is meant: as it should be, not as it should be, not known, or neither."""
VulnerabilityState = Literal["present-loaded", "present-untouched", "metadata-only", "removed", "unknown"]
STATES: tuple[VulnerabilityState, ...] = (
    "present-loaded",
    "present-untouched",
    "unknown",
    "metadata-only",
    "removed",
)
"""Of a vulnerable package, the worst first."""


class Subject(Struct, frozen=True):
    """What was audited."""

    name: str
    kind: str
    """`directory`, `OCI layout`, `docker archive`, `virtual environment`, ..."""
    digest: str = ""
    bytes: int = 0
    files: int = 0
    links: int = 0
    facts: tuple[tuple[str, str], ...] = ()
    """Whatever else identifies it: architecture, system, command, size as compressed."""


class ShareLine(Struct, frozen=True):
    """A part of the tree before and after."""

    name: str
    bytes: int
    kept_bytes: int
    files: int = 0
    kept_files: int = 0
    packages: int = 0
    bloated: int = 0
    """Packages of which nothing is kept."""

    @property
    def degree(self) -> float:
        """The share of the bytes that is removed, from 0 to 1."""
        if self.bytes:
            return (self.bytes - self.kept_bytes) / self.bytes
        return (self.files - self.kept_files) / self.files if self.files else 0.0


class PackageLine(Struct, frozen=True):
    """A package; without a run, `kept_bytes` equals `bytes` and the state is empty."""

    key: str
    version: str
    category: str
    bytes: int
    kept_bytes: int
    state: Literal["used", "reachable", "unreachable", ""] = ""
    metadata_only: bool = False
    depth: int | None = None
    needs: int = 0
    needed_by: int = 0
    chain: tuple[str, ...] = ()

    @property
    def degree(self) -> float:
        """The package's bloat degree, from 0 to 1."""
        if self.bytes:
            return (self.bytes - self.kept_bytes) / self.bytes
        return 0.0 if self.state in ("used", "") else 1.0


class FileLine(Struct, frozen=True):
    """A file in a table."""

    path: str
    bytes: int
    owner: str = ""
    note: str = ""


class LayerLine(Struct, frozen=True):
    """A layer of an image."""

    digest: str
    bytes: int
    compressed: int = 0
    made_by: str = ""
    kept: bool | None = None
    """Whether the slim image has it as it is; None where nothing was slimmed."""


class DietLine(Struct, frozen=True):
    """What a package carries that no run of it needs: tests, headers, static libraries, ..."""

    package: str
    kind: str
    files: int
    bytes: int
    caution: str = ""
    """Why it may be needed after all; such lines are not in the sum."""


class GpuLine(Struct, frozen=True):
    """Code for one GPU architecture in a file, or in all."""

    architecture: str
    kind: str
    """`cubin` or `ptx`."""
    files: int
    bytes: int
    needed: bool | None = None
    """Whether the device that was asked about runs it; None if none was named."""


class InventorySection(Struct, frozen=True, kw_only=True):
    """What is in the tree."""

    packages: tuple[PackageLine, ...] = ()
    unowned_bytes: int = 0
    unowned: tuple[FileLine, ...] = ()
    """The biggest."""
    layers: tuple[LayerLine, ...] = ()
    diet: tuple[DietLine, ...] = ()
    duplicates: tuple[FileLine, ...] = ()
    """Libraries of which there are several; the note says of which file each is a copy."""
    gpu: tuple[GpuLine, ...] = ()
    target: str = ""
    """The GPU that was asked about, as `sm_90`."""
    notes: tuple[str, ...] = ()


class EdgeLine(Struct, frozen=True):
    """One package needs another; the root is called `app`."""

    user: str
    used: str
    kind: str = "depends"


class PageLine(Struct, frozen=True):
    """Kept files of a kind or package, or one kept file, and how much of them was ever touched."""

    name: str
    files: int
    bytes: int
    touched: int


class CostLine(Struct, frozen=True):
    """Something that an image costs, before and after, as intervals."""

    what: str
    unit: Literal["seconds", "dollars"]
    before: tuple[float, float]
    after: tuple[float, float]
    given: str = ""
    """What it was computed from, in words."""


class BloatSection(Struct, frozen=True, kw_only=True):
    """How much of the tree is needed."""

    whole: ShareLine
    managers: tuple[ShareLine, ...] = ()
    categories: tuple[ShareLine, ...] = ()
    layers: tuple[ShareLine, ...] = ()
    states: tuple[ShareLine, ...] = ()
    packages: tuple[PackageLine, ...] = ()
    unowned: ShareLine | None = None
    edges: tuple[EdgeLine, ...] = ()
    removed: tuple[FileLine, ...] = ()
    """The biggest removed files."""
    survivors: tuple[FileLine, ...] = ()
    """The biggest kept files."""
    unmet: tuple[str, ...] = ()
    """Requirements that nothing in the tree meets, in words."""
    pages: tuple[PageLine, ...] = ()
    """All kept files, then by kind, then the files of which the most was not touched."""
    page_packages: tuple[PageLine, ...] = ()
    """By package; they sum to all."""
    page_note: str = ""
    costs: tuple[CostLine, ...] = ()
    cost_notes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RunLine(Struct, frozen=True):
    """A recorded run."""

    name: str
    backend: str
    command: str
    seconds: float
    exit_code: int | None
    files: int
    """Files that it needed."""
    bytes: int
    new_files: int
    """Of those, the ones that no run before it needed."""
    new_bytes: int
    lost: int = 0
    sees: tuple[str, ...] = ()


class RunsSection(Struct, frozen=True):
    """What the workload was seen to do."""

    runs: tuple[RunLine, ...]
    statements: tuple[str, ...] = ()
    """What the runs cover and what they do not."""


class RuleLine(Struct, frozen=True):
    """What a rule of the closure kept."""

    rule: str
    meaning: str
    files: int
    bytes: int


class HealedLine(Struct, frozen=True):
    """A path that a canary run took from the side-car, and that a later version of the slim image has."""

    path: str
    bytes: int
    owner: str
    run: str
    opened: bool
    """Else it was only asked for."""


class SlimSection(Struct, frozen=True, kw_only=True):
    """What was made of the tree."""

    kept_bytes: int
    removed_bytes: int
    rules: tuple[RuleLine, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    """Digests of the slim image and of the side-car, switches of the policy, ..."""
    layers: tuple[LayerLine, ...] = ()
    probed: tuple[FileLine, ...] = ()
    """Files that were only asked for, and what was done with them."""
    healed: tuple[HealedLine, ...] = ()
    notes: tuple[str, ...] = ()


class CheckLine(Struct, frozen=True):
    """One thing that was checked on both."""

    what: str
    before: str
    after: str
    mark: Mark
    told: str = ""


class VerificationSection(Struct, frozen=True, kw_only=True):
    """Whether it still works."""

    passed: bool | None
    """None if it could not be decided."""
    checks: tuple[CheckLine, ...]
    facts: tuple[tuple[str, str], ...] = ()
    """Digests of the proof, where it lies, ..."""
    statements: tuple[str, ...] = ()
    """What this proves and what it does not."""


class AdvisorySource(Struct, frozen=True):
    """Where advisories come from."""

    name: str
    date: str
    records: int | None = None
    usable: bool = True
    told: str = ""


class VulnerabilityLine(Struct, frozen=True):
    """An advisory on a package of the tree."""

    package: str
    version: str
    advisory: str
    state: VulnerabilityState
    """Where it stands in the end: after slimming, if there was any."""
    before: VulnerabilityState | None = None
    """Where it stood before slimming; None where nothing was slimmed."""
    severity: str = ""
    summary: str = ""
    fixed_in: str = ""
    evidence: tuple[str, ...] = ()
    """Files and modules."""
    manager: str = ""


class VulnerabilitiesSection(Struct, frozen=True, kw_only=True):
    """What is known to be vulnerable."""

    found: tuple[VulnerabilityLine, ...]
    sources: tuple[AdvisorySource, ...] = ()
    unknown: tuple[tuple[str, int, str], ...] = ()
    """Groups of packages that no usable source knows: name, packages, why."""
    notes: tuple[str, ...] = ()


class FindingLine(Struct, frozen=True):
    """A finding in a model file."""

    rule: str
    level: str
    message: str
    where: str = ""
    offset: int | None = None
    name: str = ""


class ModelLine(Struct, frozen=True):
    """A model file."""

    path: str
    format: str
    bytes: int
    verdict: Literal["clean", "blocked", "undecided"]
    digest: str = ""
    findings: tuple[FindingLine, ...] = ()


class ModelsSection(Struct, frozen=True):
    """What the scanner of model files says."""

    files: tuple[ModelLine, ...]
    notes: tuple[str, ...] = ()


class GrowthLine(Struct, frozen=True):
    """One cohort over the moments of its history."""

    name: str
    values: tuple[float, ...]


class ReleaseLine(Struct, frozen=True):
    """One release of a package."""

    name: str
    moment: float
    bytes: int
    unpacked: int = 0


class GrowthSection(Struct, frozen=True, kw_only=True):
    """How code and releases grew."""

    repository: str = ""
    moments: tuple[float, ...] = ()
    cohorts: tuple[GrowthLine, ...] = ()
    """Lines by year of origin, oldest first, a value for each moment."""
    survival: tuple[tuple[float, float], ...] = ()
    """Years since a line was written, and the share of lines that are still there."""
    releases: tuple[ReleaseLine, ...] = ()
    notes: tuple[str, ...] = ()


class AuditReport(Struct, frozen=True, kw_only=True):
    """An audit, told."""

    title: str
    version: str
    """Of Tradewind."""
    made: float
    subject: Subject
    inventory: InventorySection | None = None
    bloat: BloatSection | None = None
    runs: RunsSection | None = None
    slim: SlimSection | None = None
    verification: VerificationSection | None = None
    vulnerabilities: VulnerabilitiesSection | None = None
    models: ModelsSection | None = None
    growth: GrowthSection | None = None
    gate: tuple[CheckLine, ...] = ()
    """What the caller asked to fail on, and whether it does."""
    sources: tuple[Source, ...] = ()
    real: tuple[str, ...] = ()
    """Sentences on what was measured."""
    modelled: tuple[str, ...] = ()
    """Sentences on what was computed or assumed."""
    notes: tuple[str, ...] = ()


def sized(amount: float) -> str:
    """Bytes as people read them, decimal."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(amount) >= 0.9995 * factor:
            value = amount / factor
            return f"{value:,.0f} {unit}" if abs(value) >= 999.5 else f"{value:.3g} {unit}"
    return f"{amount:,.0f} B"
