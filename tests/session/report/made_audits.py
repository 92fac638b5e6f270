"""An audit with every section in it, small enough to read."""

from tradewind.session.report.audit.data import (
    AdvisorySource,
    AuditReport,
    BloatSection,
    CheckLine,
    CostLine,
    DietLine,
    EdgeLine,
    FileLine,
    FindingLine,
    GpuLine,
    GrowthLine,
    GrowthSection,
    HealedLine,
    InventorySection,
    LayerLine,
    ModelLine,
    ModelsSection,
    PackageLine,
    PageLine,
    ReleaseLine,
    RuleLine,
    RunLine,
    RunsSection,
    ShareLine,
    SlimSection,
    Subject,
    VerificationSection,
    VulnerabilitiesSection,
    VulnerabilityLine,
)
from tradewind.session.report.data import Source

DAY = 86400.0


def packages():
    return (
        PackageLine("pip:model", "1.0", "ML", 600_000, 300_000, "used", depth=1, needs=1,
                    chain=("pip:model",)),
        PackageLine("pip:evil<&>", "0.1", "generic", 100_000, 0, "reachable", depth=2, needed_by=1,
                    chain=("pip:model", "pip:evil<&>")),
        PackageLine("apt:shell", "5", "generic", 200_000, 50_000, "used", depth=1, needs=1,
                    chain=("apt:shell",)),
        PackageLine("apt:libs", "2", "generic", 50_000, 0, "unreachable", depth=2, needed_by=1,
                    chain=("apt:shell", "apt:mid", "apt:libs")),
        PackageLine("apt:lost", "2", "GPU", 40_000, 0, "unreachable", metadata_only=True),
    )  # fmt: skip


def bloat():
    apt, pip = ShareLine("apt", 290_000, 50_000, 9, 2, 3, 2), ShareLine("pip", 700_000, 300_000, 20, 8, 2, 1)
    rest = ShareLine("unowned", 10_000, 0, 1, 0)
    return BloatSection(
        whole=ShareLine("whole tree", 1_000_000, 350_000, 30, 10),
        managers=(apt, pip, rest),
        packages=packages(),
        unowned=rest,
        edges=(EdgeLine("app", "pip:model", "accessed"), EdgeLine("pip:model", "pip:evil<&>"),
               EdgeLine("apt:shell", "apt:libs"), EdgeLine("apt:libs", "apt:shell")),
        removed=(FileLine("lib/a.so", 90_000, "pip:model"), FileLine("3 others", 10)),
        survivors=(FileLine("lib/b.so", 90_000, "pip:model", "2 names"),),
        unmet=("pip:model asks for gone",),
        pages=(PageLine("kept", 10, 350_000, 90_000), PageLine("lib/b.so", 1, 90_000, 4096)),
        page_packages=(PageLine("pip:model", 8, 300_000, 60_000), PageLine("apt:shell", 2, 50_000, 30_000)),
        page_note="Read-ahead was off.",
        costs=(CostLine("a pull", "seconds", (20.0, 24.0), (8.0, 10.0), "100 Mbit/s"),
               CostLine("a month", "dollars", (9.0, 9.0), (4.0, 4.0), "given prices")),
    )  # fmt: skip


def report():
    return AuditReport(
        title="Audit of <web>",
        version="0.0",
        made=1.8e9,
        subject=Subject("web", "OCI layout", "sha256:" + "ab" * 32, 1_000_000, 30, 4,
                        (("architecture", "amd64"),)),
        inventory=InventorySection(
            packages=packages(),
            unowned_bytes=10_000,
            unowned=(FileLine("var/cache", 10_000),),
            layers=(LayerLine("sha256:12", 900_000, 300_000, "RUN <x>"), LayerLine("sha256:34", 100_000)),
            diet=(DietLine("pip:model", "tests", 7, 70_000),
                  DietLine("pip:model", "headers", 1, 9, "compiles")),
            duplicates=(FileLine("OpenBLAS", 68_000, "pip:model", "2 copies"),),
            gpu=(GpuLine("sm_70", "cubin", 1, 2_000_000, False),
                 GpuLine("sm_90", "ptx", 1, 1_000_000, True)),
            target="sm_90",
        ),
        bloat=bloat(),
        runs=RunsSection(
            (RunLine("first", "strace", "python3 <app>", 1.5, 0, 8, 300_000, 8, 300_000,
                     sees=("open", "stat")),
             RunLine("second", "fanotify", "python3 -V", 0.1, None, 4, 90_000, 2, 50_000, lost=3)),
            ("Nobody asked for the other half.",),
        ),
        slim=SlimSection(
            kept_bytes=350_000,
            removed_bytes=650_000,
            rules=(RuleLine("traced", "a run opened it", 10, 350_000),),
            facts=(("slim image", "sha256:aa"),),
            layers=(LayerLine("sha256:12", 300_000, kept=False), LayerLine("sha256:34", 50_000, kept=True)),
            probed=(FileLine("bin/manager", 10, note="placeholder"),),
            healed=(HealedLine("lib/plugin.so", 5_000, "pip:model", "canary", True),),
        ),
        verification=VerificationSection(
            passed=False,
            checks=(CheckLine("predict", "exit 0", "exit 139", "bad", "the outputs differ"),),
            facts=(("proof", "sha256:bb"),),
            statements=("Only what was run is proven.",),
        ),
        vulnerabilities=VulnerabilitiesSection(
            found=(
                VulnerabilityLine("pip:model", "1.0", "CVE-2026-1", "present-loaded", "present-loaded",
                                  "high",
                                  "It does <bad> things.", "1.1", ("lib/evil.py", "b", "c", "d", "e"), "pip"),
                VulnerabilityLine("apt:libs", "2", "CVE-2026-2", "removed", "present-untouched",
                                  manager="apt"),
            ),
            sources=(AdvisorySource("embedded", "2024-10-10", 2661),
                     AdvisorySource("feed", "", usable=False, told="the feed did not answer")),
            unknown=(("apt", 3, "no source tells"),),
        ),
        models=ModelsSection((
            ModelLine("ok.safetensors", "safetensors", 10, "clean"),
            ModelLine("bad.pkl", "pickle", 60, "blocked", "cd" * 32,
                      (FindingLine("pickle-call", "blocked", "It calls.", "data.pkl", 12, "os.system"),)),
        )),
        growth=GrowthSection(
            repository="ours",
            moments=tuple(1.5e9 + k * 40 * DAY for k in range(20)),
            cohorts=(GrowthLine("2017", tuple(100.0 for _ in range(20))),
                     GrowthLine("2018", tuple(10.0 * k for k in range(20)))),
            survival=((0.0, 1.0), (1.0, 0.8), (2.0, 0.7)),
            releases=(ReleaseLine("model", 1.5e9, 1_000_000),
                      ReleaseLine("model", 1.6e9, 3_000_000, 9_000_000)),
        ),
        gate=(CheckLine("--fail-on bloat", "0.5", "0.650", "bad"),),
        sources=(Source("advisories", "somewhere", "CC BY 4.0"),),
        real=("It was run.",),
        modelled=("It was computed.",),
        notes=("Mind <this>.",),
    )  # fmt: skip
