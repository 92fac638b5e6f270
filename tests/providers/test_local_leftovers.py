import os
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind.clock import stopwatch
from tradewind.providers import local_leftovers
from tradewind.providers.local_leftovers import end, leftovers, marked

STUBBORN = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "os.fork()\n"
    "os.setsid() if os.getpgrp() != os.getpid() else None\n"
    "sys.stdout.write('here\\n'); sys.stdout.flush()\n"
    "signal.pause()\n"
)


@pytest.fixture
def started():
    running = []

    def start(environment):
        process = subprocess.Popen(
            [sys.executable, "-c", STUBBORN], env=environment, stdout=subprocess.PIPE, start_new_session=True
        )
        running.append(process)
        assert process.stdout.readline() == process.stdout.readline() == b"here\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def test_only_what_bears_the_mark_is_ended(started, tmp_path):
    ours, other = tmp_path / "a" / "logs", tmp_path / "b" / "logs"
    process = started(marked(os.environ, ours, "lease-1"))
    stranger = started(marked(os.environ, other, "lease-1"))
    bystander = started(dict(os.environ))
    found = leftovers(ours)
    # The child left the group by a session of its own; a kill of the group would not reach it.
    assert len(found) == 2 and process.pid in {each.pid for each in found}
    assert {each.lease for each in found} == {"lease-1"} and STUBBORN[:9] in found[0].command
    assert {each.pid for each in end(ours)} == {each.pid for each in found}
    assert leftovers(ours) == [] and end(ours) == []
    assert process.wait(5) == -9
    assert len(leftovers(other)) == 2 and stranger.poll() is None and bystander.poll() is None
    end(other)


def test_a_number_that_went_to_a_stranger_kills_nobody(started, tmp_path, monkeypatch):
    stranger = started(dict(os.environ))
    looks = []

    def first_then_not(pid, directory):
        looks.append(pid)
        return None

    monkeypatch.setattr(local_leftovers, "_lease_of", first_then_not)
    assert not local_leftovers._kill(stranger.pid, tmp_path)
    assert looks == [stranger.pid] and stranger.poll() is None


def test_a_zombie_is_nothing_left(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""], env=marked(os.environ, tmp_path, "lease-1"))
    passed = stopwatch()
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert passed() < 20
    assert leftovers(tmp_path) == []
    process.wait()
