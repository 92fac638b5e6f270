"""Confined runs: what they cannot do, what they write, how they end, and that nothing stays behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confined_tree import needs_root, small_root

from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.workload import Input, Ready, Request, Workload
from tradewind.clock import stopwatch
from tradewind.errors import Misuse

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    needs_root()
    return small_root(tmp_path_factory.mktemp("confined") / "root")


@pytest.fixture
def run(root, tmp_path):
    """Run a line of shell in the tree."""

    def shell(line: str, roots: object = None, **changes: object):
        work = Workload(**{"name": "t", "command": ("sh", "-c", line), "limit": 20.0, **changes})
        return run_confined(roots or root, work, scratch=tmp_path / "scratch")

    return shell


def test_it_has_no_powers_no_network_and_only_itself(run):
    told = run(
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ls /proc | grep -c '^[0-9]';"
        "ls /sys/class/net; ls /proc/self/fd; id -u; unshare -U true; mknod /x b 8 0;"
        "echo x > /proc/sys/kernel/core_pattern; echo x > /dev/shm/fine && cat /dev/shm/fine;"
        "nc -w 2 192.0.2.1 80"
    )
    lines = told.stdout.decode().split("\n")
    caps = [line.split()[1] for line in lines if line.startswith("Cap")]
    assert caps == ["0" * 16] * 5 and "NoNewPrivs:\t1" in lines and "Seccomp:\t2" in lines
    assert lines[7] == "4", "its first process, the shell, and the two of the pipe"
    assert lines[8] == "lo"
    assert lines[9:12] == ["0", "1", "2"] and "x" in lines
    said = told.stderr.decode()
    assert said.count("not permitted") == 2 and "Read-only" in said and "unreachable" in said


def test_what_it_writes_is_told_and_never_reaches_the_tree(run, root):
    before = {p: p.lstat().st_mtime_ns for p in root.rglob("*")}
    told = run(
        "echo new > /etc/new; rm /etc/motd; mkdir -p /var/a; ln -s /etc/new /var/a/l;"
        "echo more >> /etc/group; touch /tmp/x",
        outputs=("/etc/new", "/tmp"),
    )
    found = {each.path: each for each in told.written}
    assert {path: each.kind for path, each in found.items()} == {
        "etc/new": "file", "etc/motd": "removed", "var": "directory", "var/a": "directory", "var/a/l": "link",
        "etc/group": "file", "tmp/x": "file",
    }  # fmt: skip
    assert found["var/a/l"].target == "/etc/new" and found["etc/new"].size == 4
    assert [(each.path, each.content) for each in told.outputs] == [("/etc/new", b"new\n"), ("/tmp/x", b"")]
    assert found["etc/new"].digest == told.outputs[0].digest
    assert {p: p.lstat().st_mtime_ns for p in root.rglob("*")} == before


@pytest.mark.parametrize(
    ("line", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)], ids=["exit", "signal", "fine"]
)
def test_its_end_is_told_as_a_shell_tells_it(run, line, code):
    told = run(line)
    assert (told.exit_code, told.problem) == (code, "")


def test_a_program_that_is_not_there_or_cannot_be_run_is_told(run):
    absent, refused = run("", command=("nothing",)), run("", command=("/etc/motd",))
    assert absent.exit_code == 127 and b"nothing cannot be run" in absent.stderr
    assert refused.exit_code == 126


def test_it_is_killed_at_its_limit_with_all_its_children(run):
    told = run("sleep 3071 & sleep 3071", limit=0.3)
    assert told.exit_code == 137 and "limit" in told.problem and told.seconds < 5
    assert not running("3071")


def test_its_user_is_one_of_the_trees(run):
    told = run("id -u; id -g; echo $HOME; cat /proc/self/status | grep Groups", user="ann:web")
    assert told.stdout.split() == [b"1000", b"33", b"/ann", b"Groups:"]
    assert run("id -u; id -g", user="77:78").stdout.split() == [b"77", b"78"]
    with pytest.raises(Misuse, match="nobody-here"):
        run("id", user="nobody-here")


def test_it_keeps_what_it_asks_to_keep_and_no_more(run):
    told = run("grep CapEff /proc/self/status", capabilities=("CHOWN", "NET_BIND_SERVICE"))
    assert int(told.stdout.split()[1], 16) == 1 << 0 | 1 << 10


def test_its_inputs_are_there_and_cannot_be_written(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rows").write_text("1 2\n")
    inputs = (Input(str(tmp_path / "data"), "/in"), Input(str(tmp_path / "data/rows"), "/etc/motd"))
    told = run("cat /in/rows /etc/motd; echo x > /in/y; echo x > /etc/motd", inputs=inputs)
    assert told.stdout == b"1 2\n1 2\n" and told.stderr.count(b"Read-only") == 2
    assert told.written == ()
    with pytest.raises(Misuse, match="absent"):
        run("true", inputs=(Input(str(tmp_path / "absent"), "/in"),))


def test_it_gets_its_input_and_its_environment_and_nothing_else(run, monkeypatch):
    monkeypatch.setenv("SECRET", "of ours")
    told = run("cat; env; cat /proc/1/environ", stdin="given\n", env={"A": "b"}, workdir="/srv")
    assert told.stdout.startswith(b"given\n") and b"A=b" in told.stdout and b"PWD=/srv" in told.stdout
    assert b"of ours" not in told.stdout


def test_roots_lie_one_over_the_other(run, root, tmp_path):
    top = tmp_path / "a:b,c"
    (top / "etc").mkdir(parents=True)
    (top / "etc/motd").write_text("from above\n")
    assert run("cat /etc/motd /srv/index.html", roots=[top, root]).stdout == b"from above\n<p>it works</p>\n"


def test_a_tree_that_points_elsewhere_leads_nowhere(run, root, tmp_path):
    hostile = small_root(tmp_path / "hostile")
    (hostile / "etc/passwd").unlink()
    os.mkfifo(hostile / "etc/passwd")
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, hostile / "dev")
    os.symlink(outside, hostile / "out")
    with pytest.raises(Exception, match=r"cannot be confined|ended before"):
        run("true", roots=hostile)
    (hostile / "dev").unlink()
    told = run("echo x > /out/y; echo done", roots=hostile, outputs=("/out",))
    assert told.stdout == b"done\n" and list(outside.iterdir()) == [] and told.outputs == ()


def running(word: str) -> list[str]:
    """The processes of this machine with that word among their arguments."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in each.read_bytes().decode(errors="replace").split("\0"):
                found.append(each.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_nothing_stays_behind_when_the_tracer_ends(root, tmp_path, number):
    word = f"30{int(number):02}"
    script = (
        "import sys; from pathlib import Path\n"
        "from tradewind.audit.tracing.backends.running import run_traced\n"
        "from tradewind.audit.tracing.backends.fanotify import Fanotify\n"
        "from tradewind.audit.tracing.workload import Workload\n"
        f"run_traced(Path({str(root)!r}), Workload('k', ('sh', '-c', 'sleep {word} & sleep {word}')),"
        f" scratch=Path({str(tmp_path / 'scratch')!r}), tracer=Fanotify())\n"
    )
    mounts = Path("/proc/self/mountinfo").read_text()
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    wait_until(lambda: len(running(word)) == 2)
    process.send_signal(number)
    process.communicate(timeout=30)
    wait_until(lambda: not running(word))
    assert Path("/proc/self/mountinfo").read_text() == mounts
    if number == signal.SIGINT:
        assert list((tmp_path / "scratch").iterdir()) == []


def wait_until(true, seconds: float = 20.0) -> None:
    elapsed, pause = stopwatch(), threading.Event()
    while not true():
        assert elapsed() < seconds, "it has not come to that"
        pause.wait(0.02)


SERVICE = {"command": ("httpd", "-f", "-v", "-p", "127.0.0.1:8080", "-h", "/srv"), "long_running": True}


def test_a_service_is_asked_when_it_is_ready_and_stopped_then(run):
    told = run(
        "",
        **SERVICE,
        ready=Ready(port=8080, path="/index.html"),
        requests=(Request("/link"), Request("/none")),
    )
    assert [(a.status, a.body[:6]) for a in told.answers] == [(200, b"hello\n"), (404, b"<HTML>")]
    assert dict(told.answers[0].headers)["Content-Length"] == "6"
    assert (told.exit_code, told.problem) == (143, ""), "by SIGTERM"


def test_a_service_that_ends_never_answers_or_is_never_ready_is_told(run):
    ended = run("exit 4", long_running=True, ready=Ready(port=8080))
    assert ended.exit_code == 4 and "ended on its own before" in ended.problem
    never = run("", **SERVICE, ready=Ready(log="never said", within=0.3))
    assert "not ready within 0.3 s" in never.problem
    mute = run("", **SERVICE, ready=Ready(port=8080), requests=(Request(port=81),))
    assert mute.answers[0].status == 0 and "refuses" in mute.answers[0].problem
    stubborn = run(
        "trap '' TERM; httpd -p 8080 -h /srv; while true; do sleep 1; done",
        long_running=True, ready=Ready(port=8080), grace=0.3,
    )  # fmt: skip
    assert stubborn.exit_code == 137 and "did not stop" in stubborn.problem


def test_a_service_tells_by_its_log_that_it_is_ready(run):
    told = run("echo now up; exec sleep 60", long_running=True, ready=Ready(log="now u."))
    assert (told.problem, told.stdout) == ("", b"now up\n")
