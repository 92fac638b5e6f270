from slimming_files import closed, files_of, packages_of, pip, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.rules.touching import beside, listed, probed, traced, written


def test_what_a_run_opened_is_kept_with_the_links_on_the_way_and_its_name():
    files = files_of({"app/main": "x", "app/other": "y", "current": "-> app", "old": "-> app"})
    first = run("predict", opened=["app/main"], hops=["current"])
    found = closed(files, first)
    assert found.kept.reasons["app/main"] == Reason("traced", "predict")
    assert found.kept.reasons["current"] == Reason("hop", "predict")
    assert "app/other" not in found.kept
    assert not closed(files, first, without=traced).kept.paths


def test_what_was_only_asked_for_is_kept_and_listed():
    files = files_of({"torch/bin/manager": b"\x7fELF and more", "torch/x": "x"})
    asked = run(opened=["torch/x"], probed=["torch/bin/manager", "torch/bin"])
    found = closed(files, asked)
    assert found.only_probed == ("torch/bin/manager",)
    assert "torch/bin/manager" in found.kept and not found.placeholders
    assert "torch/bin/manager" not in closed(files, asked, without=probed).kept


def test_an_empty_file_stands_in_for_one_that_was_only_asked_for_but_never_for_a_module():
    files = files_of({"p/manager": "long", "p/m.py": "x = 1", "p/m.so": "c", "p/d/x": "", "l": "-> p/d"})
    asked = run(probed=["p/manager", "p/m.py", "p/d", "l"])
    found = closed(files, asked, probed="placeholder")
    assert found.placeholders == {"p/manager": Reason("probed", "first")}
    assert "p/manager" not in found.kept
    assert {"p/m.py", "p/d", "l"} <= found.kept.paths
    assert found.only_probed == ("p/m.py", "p/manager")


def test_a_folder_that_was_listed_is_kept_though_nothing_in_it_is():
    files = files_of({"plugins/a.conf": "x", "plugins/more/b": "y", "app": "z"})
    seen = run(opened=["app"], listed=["plugins"])
    assert "plugins" in closed(files, seen).kept and "plugins/a.conf" not in closed(files, seen).kept
    assert "plugins" not in closed(files, seen, without=listed).kept


def test_all_names_of_a_listing_can_be_kept():
    files = files_of({"plugins/a.conf": "x", "plugins/m.py": "x", "plugins/more/b": "y", "app": "z"})
    found = closed(files, run(opened=["app"], listed=["plugins"]), listings="names")
    assert set(found.placeholders) == {"plugins/a.conf"}
    assert "plugins/more" in found.kept and "plugins/more/b" not in found.kept


def test_what_a_run_changed_is_kept_and_the_folder_of_what_it_made():
    files = files_of({"var/app/log": "old", "results/old": None, "app": "x"})
    wrote = run(opened=["app"], written=["var/app/log", "results/new/day/out.csv"])
    found = closed(files, wrote)
    assert found.kept.reasons["var/app/log"] == Reason("changed", "first")
    assert found.kept.reasons["results"] == Reason("written", "first")
    assert "results/old" not in found.kept
    assert "results" not in closed(files, wrote, without=written).kept


def test_what_a_canary_missed_is_kept_with_all_that_it_brings():
    files = files_of({"app": "x", "late": "-> data", "data": "y"})
    found = closed(files, run(opened=["app"]), also={"data": Reason("healed", "canary")})
    assert found.kept.reasons["data"] == Reason("healed", "canary")
    assert found.kept.reasons["late"] == Reason("link", "data")
    assert found.kept.chain("late") == (
        ("late", Reason("link", "data")),
        ("data", Reason("healed", "canary")),
    )
    assert closed(files, run(), also={"data": Reason("healed", "canary")}, without=beside).kept.bytes == 0


def test_without_a_tracer_that_sees_questions_names_of_opened_packages_stay_as_empty_files():
    given = {
        "t/m.py": "x",
        "t/lib.so": "l",
        "t/bin/manager": "m",
        "t/inc/x.h": "h",
        "t-1.dist-info/RECORD": "r",
    }
    files = files_of(given | {"other/data": "d"})
    owner = pip("t", ["t/m.py", "t/lib.so", "t/bin/manager", "t/inc/x.h"], ["t-1.dist-info/RECORD"])
    other = pip("other", ["other/data"])
    blind = run(opened=["t/lib.so"], sees=("open", "execute"))
    found = closed(files, blind, packages=(owner, other))
    assert found.placeholders == {"t/bin/manager": Reason("unseen", "pip:t")}
    assert "t/bin/manager" not in found.kept
    assert not closed(files, blind, packages=(owner, other), unseen="nothing").placeholders
    sighted = run("other", opened=["t/lib.so"])
    assert not closed(files, blind, sighted, packages=(owner, other)).placeholders
    assert packages_of(files, owner).owners["t/bin/manager"] == "pip:t"


def test_no_empty_program_lies_where_a_shell_would_run_it():
    programs = ["usr/bin/cat", "venv/bin/pip", "p/bin/manager"]
    files = files_of(dict.fromkeys([*programs, "usr/lib/x", "venv/bin/python3"], "#!x"))
    owner = pip("p", [*programs, "usr/lib/x"])
    asked = run(opened=["usr/lib/x"], probed=programs)
    found = closed(files, asked, packages=(owner,), probed="placeholder")
    assert set(found.placeholders) == {"p/bin/manager"}
    assert {"usr/bin/cat", "venv/bin/pip"} <= found.kept.paths, "asked for, and so kept whole"
    blind = closed(files, run(opened=["usr/lib/x"], sees=("open",)), packages=(owner,))
    assert set(blind.placeholders) == {"p/bin/manager"}
    assert not blind.kept.paths & {"usr/bin/cat", "venv/bin/pip"}
