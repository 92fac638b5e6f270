"""Tracers beside each other on one workload, the choice between them, and the hook that needs no rights."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from confined_tree import needs_root, small_root, tree_at

from tradewind.audit.tracing.backends.audit_hook import AuditHook
from tradewind.audit.tracing.backends.bpftrace import Bpftrace
from tradewind.audit.tracing.backends.fanotify import Fanotify
from tradewind.audit.tracing.backends.hooked import FILE
from tradewind.audit.tracing.backends.recording import BACKENDS, copy_tree, trace, trace_plain, tracer_named
from tradewind.audit.tracing.backends.strace import Strace
from tradewind.audit.tracing.workload import Ready, Request, Workload
from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse

LINE = "cat /srv/link; cd srv && ls > /tmp/listed; cat ../etc/none; test -e index.html; echo x >> /etc/group"
OPENED = {"bin/busybox", "etc/motd"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    needs_root()
    return small_root(tmp_path_factory.mktemp("traced") / "root")


@pytest.fixture
def traced(root, tmp_path):
    """Trace a workload in the tree by a backend."""

    def run(backend: str, work: Workload | None = None):
        work = work or Workload("line", ("sh", "-c", LINE), limit=60.0)
        return trace(
            root, tree_at(root), work, scratch=tmp_path / "scratch", backend=backend, digest="sha256:1"
        )

    return run


def strace_or_skip() -> None:
    if shutil.which("strace") is None:
        pytest.skip("the package strace is not installed")


@pytest.mark.root
def test_fanotify_and_access_times_and_strace_tell_the_same_opened_files(traced):
    strace_or_skip()
    runs = {name: traced(name) for name in ("strace", "fanotify", "access-times")}
    for name, told in runs.items():
        touched = told.run.touched
        assert (told.outcome.exit_code, told.run.header.lost) == (0, 0), name
        # fanotify cannot tell an open to read from one to append, and counts both: rather too much than not.
        assert touched.opened - {"etc/group"} == OPENED, name
        assert "srv" in touched.listed, name
        assert {"tmp/listed", "etc/group"} <= touched.written, name
    full = runs["strace"].run.touched
    assert {"srv/index.html", "etc/group"} <= full.probed and "/etc/none" in {
        os.path.normpath(p) for p in full.missed
    }
    assert {"srv/link", "bin/sh"} <= full.hops
    header = runs["strace"].run.header
    assert (header.backend, header.tree, header.name) == ("strace", "sha256:1", "line")
    assert "stat" in header.sees and "stat" not in runs["fanotify"].run.header.sees


@pytest.mark.root
def test_strace_drops_what_comes_before_the_command(traced):
    strace_or_skip()
    events = traced("strace", Workload("one", ("true",))).events
    assert (events[0].op, events[0].path, events[0].exe) == ("execute", "/bin/true", "/bin/true")
    assert not any(".tradewind" in event.path or "python" in event.path for event in events)


@pytest.mark.root
def test_fanotify_knows_the_program_of_each_touch_and_misses_no_burst(traced):
    line = "i=0; while [ $i -lt 300 ]; do : < /etc/motd; cat /etc/passwd > /dev/null; i=$((i+100)); done"
    events = traced("fanotify", Workload("burst", ("sh", "-c", line))).events
    assert {e.exe for e in events} == {"/bin/busybox"}
    assert sum(e.path == "/etc/passwd" and e.op == "open" for e in events) == 3


@pytest.mark.root
def test_a_service_is_traced_while_it_is_asked(traced):
    work = Workload(
        "web", ("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/srv"), long_running=True,
        ready=Ready(port=8080), requests=(Request("/index.html"),),
    )  # fmt: skip
    told = traced("fanotify", work)
    assert told.outcome.answers[0].body == b"<p>it works</p>\n"
    assert told.run.touched.opened >= {"bin/busybox", "srv/index.html"}


@pytest.mark.root
def test_a_tracer_that_fails_leaves_nothing(traced, tmp_path, monkeypatch):
    def broken(self, init, command):
        raise RuntimeError("refused")

    monkeypatch.setattr(Fanotify, "attach", broken)
    with pytest.raises(RuntimeError, match="refused"):
        traced("fanotify", Workload("x", ("sleep", "3055")))
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not subprocess.run(["pgrep", "-f", "sleep 3055"], capture_output=True, check=False).stdout


def test_a_name_that_is_no_tracers_is_refused_with_the_names():
    with pytest.raises(Misuse, match=", ".join(BACKENDS)):
        tracer_named("dtrace")


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Misuse, match="Install the package strace"):
        Strace().check()
    with pytest.raises(Misuse, match="bpftrace cannot be used"):
        Bpftrace().check()


def test_the_choice_falls_back_to_what_works(monkeypatch):
    def refuse(self):
        raise Misuse("no")

    monkeypatch.setattr(Fanotify, "check", refuse)
    monkeypatch.setattr(Strace, "check", refuse)
    monkeypatch.setattr(Bpftrace, "check", refuse)
    assert tracer_named().name == "audit-hook"


PROGRAM = """
import json, os, subprocess, sys
try:
    import not_to_be_found
except ImportError:
    pass
sys.path.insert(0, os.getcwd())
import beside
open("read").read(); open("made", "w").close()
try:
    open("missing")
except OSError:
    pass
os.listdir("folder")
if os.fork() == 0:
    import colorsys
    open("by-a-fork").close()
    os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", "open('by-a-child').close()"])
print("sitecustomize" in sys.modules, "PATHS", any("tracer" in p for p in sys.path))
os.kill(os.getpid(), 9)
"""


def place(tmp_path: Path) -> tuple[Path, Tree]:
    here = tmp_path / "work"
    (here / "folder").mkdir(parents=True)
    for name in ("read", "by-a-fork", "by-a-child", "beside.py"):
        (here / name).write_text("")
    (here / "program.py").write_text(PROGRAM)
    top = [Entry(str(p).strip("/"), "directory") for p in [*here.parents][:-1]]
    return here, Tree([*top, Entry(str(here)[1:], "directory"),
                       *(Entry(f"{here}/{e.path}"[1:], e.kind) for e in tree_at(here))])  # fmt: skip


def test_the_hook_sees_python_with_its_children_and_modules_even_if_it_is_killed(tmp_path):
    here, tree = place(tmp_path)
    work = Workload("p", (sys.executable, "program.py"), workdir=str(here), env={"PATH": os.environ["PATH"]})
    told = trace_plain(tree, work, scratch=tmp_path / "scratch")
    assert told.outcome.exit_code == 137
    touched, prefix = told.run.touched, str(here)[1:]
    names = {Path(path).name for path in touched.opened if path.startswith(prefix)}
    assert names >= {"read", "by-a-fork", "by-a-child"}
    assert f"{prefix}/folder" in touched.listed and f"{prefix}/made" in touched.written
    assert f"/{prefix}/missing" in touched.missed
    assert {"json", "beside", "colorsys"} & touched.modules >= {"json", "beside"}
    assert "not_to_be_found" not in touched.modules
    assert len({e.pid for e in told.events}) >= 3 and told.run.header.lost == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_python_that_ignores_its_environment_is_told_as_a_loss(tmp_path):
    told = trace_plain(Tree([]), Workload("i", (sys.executable, "-I", "-c", "1")), scratch=tmp_path)
    assert told.run.header.lost == 1 and told.events == ()


def test_the_hook_runs_the_sitecustomize_that_it_stands_before(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("import sys; sys.was_run = True\n")
    work = Workload(
        "s",
        (sys.executable, "-c", "import sys; print(sys.was_run)"),
        env={"PYTHONPATH": str(tmp_path / "site")},
    )
    assert trace_plain(Tree([]), work, scratch=tmp_path / "scratch").outcome.stdout == b"True\n"


def test_an_unconfined_run_refuses_what_only_a_confined_one_can_give(tmp_path):
    with pytest.raises(Misuse, match="unconfined"):
        trace_plain(Tree([]), Workload("u", ("true",), user="ann"), scratch=tmp_path)


def test_a_copy_keeps_links_modes_and_times(tmp_path):
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a/one").write_text("1")
    os.link(source / "a/one", source / "two")
    os.symlink("nowhere", source / "link")
    (source / "a/one").chmod(0o4750)
    os.utime(source / "a/one", (1, 2))
    os.mkfifo(source / "pipe")
    (source / "a").chmod(0o700)
    copy_tree(source, tmp_path / "copy")
    copy = tmp_path / "copy"
    assert os.path.samefile(copy / "a/one", copy / "two") and os.readlink(copy / "link") == "nowhere"
    shape = (copy / "two").stat()
    assert (stat.S_IMODE(shape.st_mode), shape.st_mtime) == (0o4750, 2.0)
    assert stat.S_IMODE((copy / "a").stat().st_mode) == 0o700 and not (copy / "pipe").exists()


@pytest.mark.parametrize(
    "line",
    ['[Infinity, 1, "open", "/a", true, ""]', '[1.0, Infinity, "open", "/a", true, ""]',
     '[1.0, 1e30, "open", "/a", true, ""]', '["x", 1, "open", "/a", true, ""]', "[" * 100_000, '{"a": 1}'],
    ids=["moment", "process", "a large process", "words", "deep", "object"],
)  # fmt: skip
def test_what_a_workload_writes_among_the_hooks_lines_is_lost_and_no_more(tmp_path, line):
    hook = AuditHook()
    hook.hooks(tmp_path, {}, "/hook")
    with open(tmp_path / FILE, "a") as file:
        file.write(f'{line}\n[1.0, 2, "open", "/b", true, ""]\n')
    try:
        found = hook.finish()
    finally:
        hook.close()
    assert [event.path for event in found.events] == ["/b"] and found.lost == 1
