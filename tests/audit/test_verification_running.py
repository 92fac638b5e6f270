"""Both trees run and are compared; a needed file left out is noticed, and a harmless one explained."""

import os
import shutil
from pathlib import Path

import pytest
from confined_tree import needs_root, small_root, tree_at
from hypothesis import given
from hypothesis import strategies as st

from tradewind.audit.slimming.kept import Kept, Reason
from tradewind.audit.tracing.workload import Ready, Request, Workload
from tradewind.audit.verification.comparing import Bounds, Replacement
from tradewind.audit.verification.running import check_both, drawn, leave_out
from tradewind.errors import Misuse

pytestmark = pytest.mark.root
CAT = Workload("cat", ("cat", "/srv/link"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    needs_root()
    return small_root(tmp_path_factory.mktemp("verified") / "root")


@pytest.fixture
def both(root, tmp_path):
    """The root, and a copy without its page, with what was removed beside."""
    small, rest = tmp_path / "small", tmp_path / "rest"
    shutil.copytree(root, small, symlinks=True)
    (rest / "srv").mkdir(parents=True)
    shutil.move(small / "srv/index.html", rest / "srv/index.html")
    return root, small, rest


def test_the_same_is_equal_each_time(both, tmp_path):
    root, small, _ = both
    heard = []
    checks = check_both([root], [small], [CAT], scratch=tmp_path / "s", repetitions=2, told=heard.append)
    assert [(each.workload, each.repetition, each.equal) for each in checks] == [
        ("cat", 0, True), ("cat", 1, True),
    ]  # fmt: skip
    assert heard == list(checks) and checks[0].original.stdout == checks[0].slim.stdout
    assert list((tmp_path / "s").iterdir()) == []


def test_what_is_missing_is_a_difference_and_the_side_car_mends_it(both, tmp_path):
    root, small, rest = both
    work = Workload("page", ("cat", "/srv/index.html"))
    (check,) = check_both([root], [small], [work], scratch=tmp_path / "s")
    assert [each.where for each in check.differences] == ["exit code", "stdout, byte 0"]
    assert check_both([root], [rest, small], [work], scratch=tmp_path / "s")[0].equal


def test_a_service_is_asked_on_both_sides(both, tmp_path):
    root, small, _ = both
    work = Workload(
        "web", ("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/srv"), long_running=True,
        ready=Ready(port=8080), requests=(Request("/link", status=200), Request("/index.html")),
    )  # fmt: skip
    (check,) = check_both([root], [small], [work], scratch=tmp_path / "s")
    assert check.differences[0].where == "request 2: status"
    assert check.original.answers[0] == check.slim.answers[0]


def test_a_workload_that_does_not_repeat_itself_proves_nothing(both, tmp_path):
    root, small, _ = both
    work = Workload("clock", ("sh", "-c", "sleep 0.02; cat /proc/uptime"))
    with pytest.raises(Misuse, match="the original itself differs from run to run, at stdout") as told:
        check_both([root], [small], [work], scratch=tmp_path / "s")
    assert told.value.source == "clock" and told.value.field == "bounds"
    bounds = Bounds(ignore=(Replacement(r"[0-9.]+"),))
    assert check_both([root], [small], [work], scratch=tmp_path / "s", bounds=bounds)[0].equal
    with pytest.raises(Misuse, match="0 repetitions"):
        check_both([root], [small], [CAT], scratch=tmp_path / "s", repetitions=0)


def test_a_needed_file_is_noticed_and_a_harmless_one_is_explained(root, tmp_path):
    reasons = {
        "bin/busybox": Reason("traced", "cat"),
        "bin/cat": Reason("hop", "cat"),
        "etc/motd": Reason("traced", "cat"),
        "etc/group": Reason("system", "accounts"),
        "etc": Reason("parent"),
    }
    kept = Kept(tree_at(root), reasons)
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    found = leave_out([root], [root], kept, [CAT], scratch=tmp_path / "s", samples=9, seed=1)
    assert {each.path: each.noticed for each in found} == {
        "bin/busybox": True, "etc/group": False, "etc/motd": True,
    }  # fmt: skip
    assert {each.path: each.explained for each in found}["etc/group"] == "kept by system for accounts"
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before
    assert list(Path(tmp_path / "s").iterdir()) == []


def test_files_are_drawn_evenly_by_bytes_over_packages():
    zones = {f"zone/{number}": 1000 for number in range(500)}
    sizes = {"a/lib": 2_000_000, **{f"{name}/{n}": 500_000 for name in "bcd" for n in (0, 1)}, **zones}
    owners = {path: path.partition("/")[0] for path in sizes}
    for seed in range(20):
        packages = [owners[path] for path in drawn(sizes, owners, 6, seed)]
        assert packages.count("a") == 1 and packages.count("zone") <= 1 and {"b", "c", "d"} <= {*packages}
    assert drawn(sizes, owners, 6, 3) == drawn(sizes, owners, 6, 3)
    assert len({tuple(drawn(sizes, owners, 6, seed)) for seed in range(9)}) > 1


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 15), st.integers(0, 3))
def test_drawn_files_are_different_and_as_many_as_there_can_be(found, samples, seed):
    sizes = {str(number): size for number, size in enumerate(found)}
    chosen = drawn(sizes, {}, samples, seed)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(samples, len(sizes))


def test_without_root_no_hole_can_be_made(root, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Misuse, match="needs root"):
        leave_out([root], [root], Kept(tree_at(root), {}), [CAT], scratch=tmp_path, samples=1, seed=0)
