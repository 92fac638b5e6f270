"""The verbs of one image's life, in their order, on a small root that runs; each as text and as JSON."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest

from audited_root import runnable_root
from tradewind.cli.main import main
from tradewind.clock import stopwatch
from tradewind.data.durable_files import TEMPORARY

pytestmark = pytest.mark.root


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys):
    """Call a verb in a folder of its own, in which there is a root; its code, its text, its errors."""
    runnable_root(tmp_path / "root")
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        code = main(["audit", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def said(told):
    """What a verb told with --json."""
    code, out, _ = told
    return code, json.loads(out)


def test_the_whole_life_of_an_image(audit, tmp_path):
    code, out, _ = audit("trace", "root", "--run", "cat /srv/link", "--name", "cat")
    assert code == 0 and "cat: 0.0" in out and "2 files opened" in out and "Profile: audit-profile" in out
    code, told = said(audit("trace", "root", "--run", "cat /srv/index.html", "--json"))
    assert code == 0 and [run["name"] for run in told["runs"]] == ["cat", "run-1"]
    assert [run["new_files"] for run in told["runs"]] == [2, 1]

    code, out, _ = audit("bloat")
    assert code == 0 and "apt:waste" in out and "no package asks for it" in out
    code, told = said(audit("bloat", "--json"))
    assert f"Container bloat degree {told['degree']:.3f}" in out and 0 < told["degree"] < 1
    degrees = {each["key"]: each["share"] for each in told["bloat"]["packages"]}
    assert degrees["apt:waste"]["kept_bytes"] == 0 < degrees["apt:greeting"]["kept_bytes"]

    code, out, _ = audit("slim", "--to", "s")
    assert code == 0 and "container bloat degree 0." in out and "Written: s" in out
    code, told = said(audit("slim", "--to", "s2", "--form", "folders", "--json"))
    assert code == 0 and told["bytes"] < told["original_bytes"] and 0 < told["degree"] < 1
    assert (tmp_path / "s2/slim/etc/motd").is_file()
    code, _, err = audit("slim", "--to", "s")
    assert code == 2 and "is there already. Name a new folder" in err

    code, out, _ = audit("verify", "--slim", "s", "--negative", "1", "--seed", "1")
    assert code == 0 and "cat: equal" in out and "without " in out and "It holds" in out
    code, told = said(audit("verify", "--slim", "s2", "--json"))
    assert code == 0 and told["holds"] and told["coverage"] in out
    assert json.loads(Path("audit-profile/proof.json").read_text()) == told["proof"]

    code, out, _ = audit("why", "/etc/motd")
    assert code == 0 and "apt:greeting 2.0" in out and "Run cat opened it" in out and "It is kept" in out
    code, told = said(audit("why", "waste", "--json"))
    assert code == 0 and any("Nothing of it is kept" in each for each in told["why"])
    code, out, _ = audit("why", "tools", "--image", "root")
    assert code == 0 and "apt:greeting asks for it" in out
    assert audit("why", "wast")[0] == 2


def test_a_spec_says_what_is_run_and_what_may_differ(audit, tmp_path):
    spec = tmp_path / "audit.toml"
    text = 'image = "root"\n[[run]]\nname = "clock"\ncommand = "sh -c \'cat /proc/uptime\'"\n'
    spec.write_text(text)
    assert audit("slim", "--spec", "audit.toml", "--to", "s")[0] == 0
    code, _, err = audit("verify", "--slim", "s")
    assert code == 2 and "the original itself differs from run to run, at stdout" in err
    spec.write_text(f'{text}[bounds]\nignore = [{{pattern = "[0-9.]+"}}]\n')
    assert audit("verify", "--slim", "s", "--spec", "audit.toml")[0] == 0
    spec.write_text('[policy]\nwhole = ["apt:waste"]\n')
    assert audit("slim", "--spec", "audit.toml", "--to", "s2", "--form", "folders")[0] == 0
    assert (tmp_path / "s2/slim/usr/share/waste/pile").exists()


def test_a_difference_is_told_and_fails(audit, tmp_path):
    audit("slim", "root", "--run", "cat /srv/link", "--to", "s", "--form", "folders")
    (tmp_path / "s/slim/etc/motd").write_text("hullo\n")
    code, out, _ = audit("verify", "--slim", "s")
    assert code == 1 and "run-1: different" in out and "stdout" in out and "It does not hold" in out
    code, told = said(audit("verify", "--slim", "s", "--json"))
    assert code == 1 and not told["holds"]


def test_misuse_and_failure_are_told_in_one_line(audit, tmp_path):
    for words, code, part in (
        (["trace", "root"], 2, "nothing to run"),
        (["trace", "none", "--run", "true"], 2, "none"),
        (["trace", "--run", "true"], 2, "IMAGE"),
        (["trace", "root", "--run", "a 'b"], 2, "quot"),
        (["trace", "root", "--run", "true", "--backend", "fanotif"], 2, "backend"),
        (["trace", "root", "--run", "true", "--spec", "x.toml"], 2, "Leave one out"),
        (["trace", "root", "--run", "sh -c 'exit 7'"], 1, "exit code 7"),
        (["bloat"], 2, "no run is recorded"),
        (["bloat", "--profile", "elsewhere"], 2, "there is no profile here"),
        (["verify", "--slim", "s"], 2, "no run is recorded"),
        (["why", "tools", "--profile", "elsewhere"], 2, "there is no profile here"),
    ):
        found, out, err = audit(*words)
        assert found == code and part in err and len(err.strip().splitlines()) == 1, (words, found, out, err)
    code, told = said(audit("bloat", "--profile", "elsewhere", "--json"))
    assert code == 2 and told["error"]["field"] == "profile"


def processes(word: str) -> list[str]:
    """The processes of this machine with that word among their arguments."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in each.read_bytes().decode(errors="replace").split("\0"):
                found.append(each.parent.name)
        except OSError:
            continue
    return found


def wait_until(true, pause: float = 0.002) -> None:
    elapsed, paused = stopwatch(), threading.Event()
    while not true():
        assert elapsed() < 30, "it has not come to that"
        paused.wait(pause)


def running(word: str) -> None:
    wait_until(lambda: processes(word), pause=0.02)


def gone(word: str) -> None:
    wait_until(lambda: not processes(word), pause=0.02)


def started(*words):
    """A process that calls a verb in this folder; a fork, because loading the program anew takes seconds."""

    def call() -> None:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.exit(main(["audit", *words]))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def ended(process, number: int = signal.SIGKILL) -> int:
    """The exit code of a process that was sent a signal, negative where the signal ended it."""
    os.kill(process.pid, number)
    process.join(30)
    return process.exitcode


@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGKILL, "3171"), (signal.SIGINT, "3172")],
    ids=["killed", "interrupted"],
)
def test_a_trace_that_is_ended_leaves_nothing_that_runs_or_is_mounted(audit, tmp_path, number, word):
    profile = tmp_path / "audit-profile"
    moments = {"in the middle": lambda: running(word), "at once": lambda: wait_until(profile.exists)}
    if number == signal.SIGINT:
        del moments["at once"]
    for name, moment in moments.items():
        shutil.rmtree(profile, ignore_errors=True)
        process = started("trace", "root", "--run", f"sleep {word}")
        moment()
        assert ended(process, number) not in (None, 0), name
        gone(word)
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(), name
    assert not list(profile.glob("runs/*"))
    assert audit("trace", "root", "--run", "cat /etc/motd")[0] == 0, "the next one goes on"
    assert [p.name for p in profile.rglob("*") if TEMPORARY in p.name] == []
    assert audit("bloat")[0] == 0


def test_a_slimming_that_is_killed_leaves_nothing_half_written(audit, tmp_path):
    (tmp_path / "root/srv/large").write_bytes(os.urandom(12_000_000))
    audit("trace", "root", "--run", "cat /srv/large")
    target, room = tmp_path / "s", tmp_path / f"{TEMPORARY}s"
    for moment in (room.exists, lambda: list(room.rglob("blobs/sha256/*"))):
        process = started("slim", "--to", "s")
        wait_until(moment)
        assert ended(process) == -signal.SIGKILL
        assert not target.exists() and room.exists()
    assert audit("slim", "--to", "s")[0] == 0
    assert not room.exists() and audit("verify", "--slim", "s")[0] == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["audit-profile", "root", "s"]


def test_one_at_a_time_works_in_a_profile(audit, tmp_path):
    word = "3173"
    process = started("trace", "root", "--run", f"sleep {word}")
    try:
        running(word)
        code, _, err = audit("trace", "root", "--run", "true")
        assert code == 2 and "another process works here" in err
    finally:
        ended(process)
    gone(word)
