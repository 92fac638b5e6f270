"""What bpftrace prints, read, and the program it is given."""

import pytest
from confined_tree import needs_root, small_root, tree_at

from tradewind.audit.tracing.backends.bpftrace import Bpftrace
from tradewind.audit.tracing.backends.recording import trace
from tradewind.audit.tracing.bpftrace_text import BpftraceText, program
from tradewind.audit.tracing.workload import Workload
from tradewind.errors import Misuse

OPENAT, NEWFSTATAT, CHDIR, EXECVE, FCHDIR, FORK = 1, 5, 13, 14, 16, 17
BEGUN = 1 << 40


def told(*records: str) -> tuple[list[tuple], int]:
    reader = BpftraceText("/srv")
    lines = (
        "".join(f"{each}\n" for each in ["tradewind is watching", "", *records])
        .encode()
        .splitlines(keepends=True)
    )
    return [(e.pid, e.op, e.path, e.ok) for e in reader.read(lines)], reader.lost


def test_calls_are_told_with_absolute_paths():
    events, lost = told(
        f"1000000000 5 5 {EXECVE} -100 0 {BEGUN} /bin/sh|",
        f"1000000001 5 5 {EXECVE} 0 0 0 -|",
        f"1000000002 5 5 {OPENAT} -100 0 3 lib|",
        f"1000000003 5 5 {NEWFSTATAT} 3 0 0 x|",
        f"1000000004 5 5 {NEWFSTATAT} 3 0 0 |",
        f"1000000005 5 5 {NEWFSTATAT} 9 0 0 of-a-descriptor-never-seen|",
        f"1000000006 5 5 {FORK} 0 0 6 -|",
        f"1000000007 6 6 {NEWFSTATAT} 3 0 -2 y|",
        f"1000000008 6 6 {FCHDIR} 3 0 0 -|",
        f"1000000009 6 7 {OPENAT} -100 577 4 new\nline|",
        f"1000000010 5 5 {CHDIR} -100 0 0 /usr|",
        f"1000000011 5 5 {OPENAT} -100 2 4 both|",
    )
    assert events == [
        (5, "execute", "/bin/sh", True),
        (5, "open", "/srv/lib", True),
        (5, "stat", "/srv/lib/x", True),
        (6, "stat", "/srv/lib/y", False),
        (6, "write", "/srv/lib/new\nline", True),
        (5, "stat", "/usr", True),
        (5, "open", "/usr/both", True),
        (5, "write", "/usr/both", True),
    ]
    assert lost == 1


def test_cut_paths_and_events_that_bpftrace_lost_are_counted():
    assert told(f"1 5 5 {OPENAT} -100 0 3 /{'x' * 198}|") == ([], 1)
    assert told("Lost 12 events") == ([], 12)
    assert told(f"1 5 5 {OPENAT} -100 0 3 /cut short") == ([], 1)


def test_the_program_asks_only_for_tracepoints_that_there_are():
    text = program(["sys_enter_openat", "sys_exit_openat", "sys_enter_execve"], 4026531836)
    assert "sys_enter_openat" in text and "sys_enter_statx" not in text and "ns.inum == 4026531836" in text
    assert text.count("{") == text.count("}")


@pytest.mark.root
def test_bpftrace_tells_what_strace_tells(tmp_path):
    needs_root()
    try:
        Bpftrace().check()
    except Misuse as missing:
        pytest.skip(str(missing))
    root = small_root(tmp_path / "root")
    work = Workload("b", ("sh", "-c", "cd /srv; cat ../etc/motd; test -e index.html; cat /none; true"))
    found = trace(root, tree_at(root), work, scratch=tmp_path / "scratch", backend="bpftrace").run
    expected = trace(root, tree_at(root), work, scratch=tmp_path / "scratch", backend="strace").run
    assert found.touched == expected.touched and found.header.lost == 0


@pytest.mark.parametrize(
    "forged", [f"9 9 9 {FORK + 1} 0 0 0 x|", f"9 9 9 {'1' * 5000} 0 0 0 x|"], ids=["call", "number"]
)
def test_a_path_that_holds_lines_like_records_does_not_stop_the_reading(forged):
    events, lost = told(
        f"1000000000 5 5 {OPENAT} -100 0 3 /a|", forged, f"1000000002 5 5 {OPENAT} -100 0 3 /b|"
    )
    assert [path for _, _, path, _ in events][0::1] == ["/a", "/b"]
    assert lost == (len(forged) < 100)
