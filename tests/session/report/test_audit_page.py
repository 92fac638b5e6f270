"""The page of an audit: every section from its data alone, drawn by a real browser without a fetch."""

import base64
import hashlib
import re

import pytest
from made_audits import report
from msgspec.structs import replace

from drawn_pages import CHROMIUM, Outline, browser
from tradewind.session.report.audit.data import (
    AdvisorySource,
    AuditReport,
    ShareLine,
    Subject,
    VulnerabilitiesSection,
    sized,
)
from tradewind.session.report.audit.page import audit_page, write_audit_page

SECTIONS = (
    "What is needed", "Packages and why they are there", "Inventory", "Wheel diet", "GPU code",
    "Runs and what they cover", "The slim tree", "Proof that it still works", "Pages",
    "Time and cost of moving it", "Vulnerabilities", "Model files", "Growth", "Gate", "Notes",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    return report()


def headings(page):
    return re.findall(r'<h2 id="[a-z0-9-]+">(.*?)</h2>', page)


def test_the_page_says_it_all_and_fetches_nothing(whole):
    page, seen = audit_page(whole), Outline()
    seen.feed(page)
    text = " ".join(seen.text)
    assert tuple(headings(page)) == SECTIONS
    assert not seen.fetched and seen.tags.count("script") == 1 and "link" not in seen.tags
    assert len(seen.ids) == len(set(seen.ids)) and all(f'href="#{each}"' in page for each in seen.ids)
    for part in (
        "Audit of <web>", "0.650", "pip:evil<&>", "apt:shell › apt:mid", "sm_90 runs none of 2 MB",
        "python3 <app>", "3 events lost", "differs", "CVE-2026-1", "lib/evil.py", "pickle-call", "os.system",
        "not usable", "the feed did not answer", "asks for gone", "2.0 to 3.0", "blanking them breaks",
        "Pages by package", "lib/plugin.so", "missed by",
    ):  # fmt: skip
        assert part in text, part
    assert audit_page(whole) == page, "equal bytes for equal data"
    for picture in re.findall(r"<svg [^>]*>", page):
        assert 'role="img"' in picture and 'aria-label="' in picture


def test_a_section_without_data_is_not_there(whole):
    bare = AuditReport(title="t", version="1", made=0.0, subject=Subject("x", "directory"))
    assert headings(audit_page(bare)) == []
    for field, gone in (
        (
            "bloat",
            {"What is needed", "Packages and why they are there", "Pages", "Time and cost of moving it"},
        ),
        ("inventory", {"Inventory", "Wheel diet", "GPU code"}),
        ("runs", {"Runs and what they cover"}),
        ("slim", {"The slim tree"}),
        ("verification", {"Proof that it still works"}),
        ("vulnerabilities", {"Vulnerabilities"}),
        ("models", {"Model files"}),
        ("growth", {"Growth"}),
    ):
        left = headings(audit_page(replace(whole, **{field: None})))
        assert set(SECTIONS) - set(left) == gone, field


def test_an_inventory_alone_tells_its_packages(whole):
    page = audit_page(replace(whole, bloat=None))
    assert "no package owns" in page and "pip:model" in page and "packages</span>" in page


def test_parts_that_do_not_sum_are_refused(whole):
    wrong = replace(whole.bloat, managers=(ShareLine("apt", 1, 1),))
    with pytest.raises(ValueError, match="do not sum"):
        audit_page(replace(whole, bloat=wrong))


def test_what_no_source_knows_is_no_pass(whole):
    dead = VulnerabilitiesSection(found=(), sources=(AdvisorySource("feed", "", usable=False, told="404"),))
    page = audit_page(replace(whole, vulnerabilities=dead))
    assert "which is not a pass" in page and "vulnerability not known" in page
    assert "name none of the packages" not in page
    fine = replace(dead, sources=(AdvisorySource("feed", "2026-01-01"),))
    told = audit_page(replace(whole, vulnerabilities=fine))
    assert "name none of the packages" in told and "vulnerability not known" not in told


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_900, "1 MB"),
        (205_800_000, "206 MB"),
        (6.5e12, "6,500 GB"),
    ],
)
def test_bytes_as_people_read_them(amount, words):
    assert sized(amount) == words


def test_a_history_without_a_tree_holds_nothing(whole):
    subject = Subject("pkg", "releases")
    page = audit_page(AuditReport(title="t", version="1", made=0.0, subject=subject, growth=whole.growth))
    assert "in the tree</span>" not in page and "<td>holds</td>" not in page
    page = audit_page(
        AuditReport(title="t", version="1", made=0.0, subject=replace(subject, bytes=5), growth=whole.growth)
    )
    assert "5 B (5 bytes)</code>" in page and "0 files" not in page


CLICKS = """
const found = [...document.querySelectorAll("h3")].find(each => each.innerText === "All packages");
const table = [...document.querySelectorAll("table")].find(
  each => found.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
const column = at => [...table.tBodies[0].rows].map(row => row.cells[at].innerText.split("\\n")[0]).join();
const told = [];
for (const at of [1, 1, 0]) { table.tHead.rows[0].cells[at].click(); told.push(column(at)); }
const shares = document.querySelector("tr.total").closest("table");
shares.tHead.rows[0].cells[1].click();
told.push([...shares.tBodies[0].rows].map(row => row.cells[0].innerText).join());
document.body.innerHTML = "<pre>" + told.join(" | ") + "</pre>";
"""


def test_a_click_on_a_head_sorts_and_the_total_stays_last(tmp_path, whole):
    page = audit_page(whole)
    # The page's own script runs by the page's own policy, to which that of the test is added by its digest.
    digest = base64.b64encode(hashlib.sha256(CLICKS.encode()).digest()).decode()
    assert page.count("script-src 'sha256-") == 1 and "unsafe-inline'; script-src" in page
    page = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    (tmp_path / "page.html").write_text(page.replace("</body>", f"<script>{CLICKS}</script></body>"))
    assert CHROMIUM is not None, "install chromium"
    drawn = browser(tmp_path, "--dump-dom", url=(tmp_path / "page.html").as_uri()).stdout
    sizes = ["600 kB", "200 kB", "100 kB", "50 kB", "40 kB"]
    names = ["apt:libs", "apt:lost", "apt:shell", "pip:evil&lt;&amp;&gt;", "pip:model"]
    told = [",".join(each) for each in (sizes, sizes[::-1], names, ["pip", "apt", "unowned", "total"])]
    assert " | ".join(told) in drawn


def test_a_browser_draws_it_without_a_word_of_complaint(tmp_path, whole):
    write_audit_page(whole, tmp_path / "page.html")
    assert CHROMIUM is not None, "install chromium"
    done = browser(
        tmp_path, "--window-size=1100,3000", "--enable-logging=stderr", "--v=0",
        f"--screenshot={tmp_path / 'page.png'}", url=(tmp_path / "page.html").as_uri(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    assert (tmp_path / "page.png").stat().st_size > 40_000
