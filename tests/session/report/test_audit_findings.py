"""From advisories, model files, wheels and GPU code to the rows of the report."""

from tradewind.audit.inventory.gpu_code import Element, GpuCode, Region
from tradewind.audit.inventory.wheel_diet import Diet, Duplicate, Unneeded
from tradewind.audit.packages import Inventory, Package
from tradewind.audit.trees import Entry, Tree
from tradewind.audit.vulnerabilities.evidence import Finding as Proven
from tradewind.audit.vulnerabilities.evidence import Report, Unanswered
from tradewind.audit.vulnerabilities.matching import Matching
from tradewind.audit.vulnerabilities.sources import Source
from tradewind.data.model_files.findings import Finding, Scan
from tradewind.session.report.audit.findings import (
    diet_lines,
    duplicate_lines,
    gpu_lines,
    models_section,
    vulnerabilities_section,
)


def proven(after):
    return Proven("pip:a", "a", "1", "pip", "PYSEC-1", ("PYSEC-1", "CVE-1"), "high", None, "present-loaded",
                  after,
                  "package", ("a.py",), 1, "why", "<2", ("2",), ("s",))  # fmt: skip


def test_advisories_keep_their_states_and_what_nobody_knows_is_counted():
    sources = (Source("s", as_of="2024-10-10T00:00:00Z", records=7), Source("t", trouble="404"))
    unknown = tuple(Unanswered(f"apt:{k}", "no source", "unknown", state) for k, state in
                    enumerate((None, "unknown", "removed", "metadata-only")))  # fmt: skip
    report = Report((proven("removed"), proven(None)), unknown, 0, Matching((), {}, {}, sources))
    section = vulnerabilities_section(report)
    assert [(line.before, line.state) for line in section.found] == [
        ("present-loaded", "removed"), (None, "present-loaded"),
    ]  # fmt: skip
    assert section.found[0].advisory == "PYSEC-1, CVE-1" and section.found[0].fixed_in == "2"
    assert section.unknown == (("apt", 2, "no source"),), "what is gone has no vulnerability, known or not"
    assert [(each.date, each.usable) for each in section.sources] == [
        ("2024-10-10", True),
        ("no date", False),
    ]


def test_scans_keep_their_verdicts():
    scan = Scan(
        "m.pkl", "pickle", 9, "ab", (Finding("r", "blocked", "It calls.", offset=3, name="os.system"),)
    )
    (line,) = models_section([scan]).files
    assert line.verdict == "blocked" and line.findings[0].offset == 3 and line.findings[0].name == "os.system"


def test_a_diet_and_its_copies():
    tree = Tree([Entry("a", "file", 1), Entry("b", "file", 1)])
    inventory = Inventory(tree, {"pip:p": Package("pip", "p", "1", ("a",))})
    diet = Diet(
        (Unneeded("pip:p", "tests", ("a",), 1, "read"),), (Duplicate("blas", ("a", "b"), "name", 9, 4),), ()
    )
    assert [(each.files, each.caution) for each in diet_lines(diet)] == [(1, "read")]
    (line,) = duplicate_lines(diet, inventory)
    assert line.owner == "pip:p, unowned" and "2 copies" in line.note and "4 B" in line.note


def test_gpu_code_is_summed_over_files():
    region = Region(
        0, 60, (Element("cubin", 70, 0, 20), Element("cubin", 90, 20, 30), Element("ptx", 90, 50, 10))
    )
    codes = {"a.so": GpuCode((region, region), 120), "b.so": GpuCode((region,), 60)}
    lines = gpu_lines(codes, 90)
    assert {(each.architecture, each.kind): (each.files, each.bytes, each.needed) for each in lines} == {
        ("sm_70", "cubin"): (2, 60, False), ("sm_90", "cubin"): (2, 90, True),
        ("sm_90", "ptx"): (2, 30, True),
    }  # fmt: skip
    assert sum(each.bytes for each in gpu_lines(codes)) == 180
    assert {each.needed for each in gpu_lines(codes)} == {None}
