"""Each of the five states has its proof, and what cannot be proved is unknown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.tracing.events import Run, RunHeader, Touched
from tradewind.audit.trees import Entry, Tree
from tradewind.audit.vulnerabilities.advisories import Advisory, Event, Import, Range
from tradewind.audit.vulnerabilities.evidence import Evidence, Finding, blind, module_names, report, source_of
from tradewind.audit.vulnerabilities.matching import match
from tradewind.audit.vulnerabilities.sources import Database, Source

SITE = "usr/lib/python3/site-packages"
INIT = f"{SITE}/PIL/__init__.py"
TWIN = f"{SITE}/PIL/__pycache__/__init__.cpython-311.pyc"
READER = f"{SITE}/PIL/PdfParser.py"
LIBRARY = f"{SITE}/pillow.libs/libjpeg.so.62"
METADATA = f"{SITE}/pillow-9.5.0.dist-info/METADATA"
EXPAT, EXPAT_LINK = "usr/lib/libexpat.so.1.8", "usr/lib/libexpat.so.1"
COPYRIGHT = "usr/share/doc/libexpat1/copyright"
OTHER = "app/predict.py"
ALL = (INIT, TWIN, READER, LIBRARY, METADATA, EXPAT, COPYRIGHT, OTHER)


def tree() -> Tree:
    folders = {"/".join(path.split("/")[:at]) for path in ALL for at in range(1, path.count("/") + 1)}
    return Tree(
        [
            *(Entry(folder, "directory") for folder in folders),
            *(Entry(path, "file", 10) for path in ALL),
            Entry(EXPAT_LINK, "link", target="libexpat.so.1.8"),
        ]
    )


PILLOW = Package("pip", "pillow", "9.5.0", files=(INIT, READER, LIBRARY, METADATA), records=(METADATA,))
LIBEXPAT = Package("apt", "libexpat1", "2.5.0-1", files=(EXPAT_LINK, EXPAT, COPYRIGHT), records=(COPYRIGHT,))
INVENTORY = Inventory(tree(), {each.key: each for each in (PILLOW, LIBEXPAT)})


def advisory(name: str = "pillow", *modules: str, kind: str = "ECOSYSTEM") -> Advisory:
    imports = (Import(modules),) if modules else ()
    ranges = (Range((Event("introduced", "0"),), kind),)
    return Advisory("A-1", "PyPI" if name == "pillow" else "Debian:12", name, ranges=ranges, imports=imports)


def run(*opened: str, backend: str = "strace", lost: int = 0, modules: tuple[str, ...] = ()) -> Run:
    header = RunHeader("tradewind-trace-1", "predict", backend, ("python3",), "tree", lost=lost)
    return Run(header, Touched(opened=frozenset(opened), modules=frozenset(modules)))


def found(
    about: Advisory, kept: tuple[str, ...] | None = None, runs: tuple[Run, ...] = (), package: str = ""
) -> Finding:
    database = Database([(Source(name="s", as_of="2026-01-01", covers=("PyPI", "Debian")), [about])])
    matching = match(INVENTORY, database, 1.77e9, "Debian:12", 1e6)
    (finding,) = report(Evidence(INVENTORY, kept, runs), matching).findings
    assert finding.package == (package or finding.package)
    return finding


def test_without_a_run_what_is_there_is_unknown() -> None:
    finding = found(advisory())
    assert (finding.before, finding.after, finding.state) == ("unknown", None, "unknown")
    assert "no run is recorded" in finding.why
    assert set(finding.paths) == {INIT, TWIN, READER, LIBRARY}


@pytest.mark.parametrize("opened", [INIT, TWIN, LIBRARY])
def test_what_a_run_opened_is_loaded(opened: str) -> None:
    finding = found(advisory(), None, (run(opened),))
    assert finding.state == "present-loaded"
    assert finding.paths == (opened,)


def test_what_no_run_opened_is_untouched() -> None:
    finding = found(advisory(), None, (run(OTHER),))
    assert finding.state == "present-untouched"
    assert finding.files == 4


def test_an_import_that_a_hook_saw_is_loaded() -> None:
    finding = found(advisory(), None, (run(modules=("PIL",), backend="audit-hook"),))
    assert finding.state == "present-loaded"
    assert set(finding.paths) == {INIT, TWIN}


@pytest.mark.parametrize("seen", [run(OTHER, backend="audit-hook"), run(OTHER, lost=3)], ids=["hook", "lost"])
def test_a_tracer_that_does_not_see_all_proves_no_absence(seen: Run) -> None:
    assert found(advisory(), None, (run(OTHER), seen)).state == "unknown"
    assert blind((run(OTHER),)) == ""


def test_before_and_after_slimming() -> None:
    gone = found(advisory(), (OTHER,), (run(OTHER),))
    assert (gone.before, gone.after, gone.paths) == ("present-untouched", "removed", ())
    told = found(advisory(), (OTHER, METADATA), (run(OTHER),))
    assert (told.after, told.paths) == ("metadata-only", (METADATA,))
    left = found(advisory(), (OTHER, METADATA, LIBRARY), (run(OTHER),))
    assert (left.after, left.paths) == ("present-untouched", (LIBRARY,))
    used = found(advisory(), (INIT, TWIN), (run(TWIN),))
    assert (used.before, used.after) == ("present-loaded", "present-loaded")


def test_a_compiled_module_without_its_source_is_code() -> None:
    assert found(advisory(), (TWIN,), (run(OTHER),)).after == "present-untouched"


def test_a_link_is_no_code_but_the_library_is() -> None:
    expat = advisory("libexpat1")
    assert found(expat, (EXPAT_LINK,), (run(OTHER),)).after == "removed"
    assert found(expat, (EXPAT,), (run(EXPAT),)).after == "present-loaded"


def test_the_modules_that_an_advisory_names_are_what_counts() -> None:
    reader = advisory("pillow", "PIL.PdfParser")
    untouched = found(reader, None, (run(INIT, TWIN),))
    assert (untouched.scope, untouched.state, untouched.paths) == ("modules", "present-untouched", (READER,))
    assert found(reader, None, (run(READER),)).state == "present-loaded"
    removed = found(reader, (INIT, TWIN, LIBRARY), (run(TWIN),))
    assert (removed.before, removed.after) == ("present-untouched", "removed")
    assert "modules" in removed.why


def test_modules_that_are_not_in_the_package_prove_nothing() -> None:
    elsewhere = advisory("pillow", "PIL.PdfParser", "PIL.Gone")
    finding = found(elsewhere, (INIT,), (run(INIT),))
    assert (finding.scope, finding.after) == ("package", "present-loaded")


def test_doubt_about_the_version_stays_until_the_package_is_gone() -> None:
    doubt = advisory("pillow", kind="GIT")
    assert found(doubt, None, (run(INIT),)).state == "unknown"
    assert found(doubt, (OTHER,), (run(OTHER),)).after == "removed"


def test_who_is_cleared_by_nobody_is_unknown_until_it_is_gone() -> None:
    matching = match(INVENTORY, Database([]), 1.77e9, "Debian:12")
    whole = report(Evidence(INVENTORY), matching)
    assert [each.state for each in whole.unanswered] == ["unknown", "unknown"]
    slim = report(Evidence(INVENTORY, (METADATA, EXPAT)), matching)
    assert {each.package: each.state for each in slim.unanswered} == {
        "apt:libexpat1": "unknown",
        "pip:pillow": "metadata-only",
    }


def test_another_name_of_a_file_keeps_it() -> None:
    entries = [Entry("a", "file", 5, node=7), Entry("b", "file", 5, node=7), Entry("c", "file", 1)]
    inventory = Inventory(Tree(entries), {"apt:x": Package("apt", "x", "1", files=("a",))})
    assert Evidence(inventory, ("b",)).retained() == ("apt:x",)
    assert Evidence(inventory, ("c",)).retained() == ()


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(ALL)), st.sets(st.sampled_from(ALL)))
def test_keeping_less_never_finds_more(kept: set[str], fewer: set[str]) -> None:
    more, less = Evidence(INVENTORY, kept), Evidence(INVENTORY, kept & fewer)
    assert set(less.retained()) <= set(more.retained())
    for key in INVENTORY.packages:
        assert set(less.remains(key).code) <= set(more.remains(key).code) <= kept
        assert bool(set(less.remains(key).code)) == (key in less.retained())


def test_names_of_modules() -> None:
    assert module_names(INIT) == {"PIL"}
    assert module_names(TWIN) == {"PIL"}
    assert module_names(f"{SITE}/PIL/_imaging.cpython-311-x86_64-linux-gnu.so") == {"PIL._imaging"}
    assert module_names(f"{SITE}/six.py") == {"six"}
    assert module_names("usr/lib/python3.11/json/decoder.py") >= {"json.decoder", "decoder"}
    assert module_names(LIBRARY) == frozenset()
    assert module_names(METADATA) == frozenset()


def test_sources_of_compiled_modules() -> None:
    assert source_of(TWIN) == INIT
    assert source_of("__pycache__/x.cpython-313.opt-2.pyc") == "x.py"
    assert source_of("x.pyc") is None
    assert source_of(INIT) is None
