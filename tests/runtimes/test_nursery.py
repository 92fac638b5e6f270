import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradewind.runtimes.wire import Inbox, line

PROGRAM = """
import socket, sys
from tradewind.runtimes.nursery import live, nurse
control = socket.socket(fileno=int(sys.argv[1]))
sys.exit(live(nurse(control, [], None)))
"""

TASKS = """
import os, subprocess, sys
def main(arguments, leaving):
    print("out"); print("err", file=sys.stderr)
    match arguments["do"]:
        case "vanish":
            os._exit(3)
        case "exit":
            sys.exit(arguments.get("code"))
        case "shout":
            raise ValueError("ä" * 100_000 + " at the end")
        case "child":
            subprocess.Popen(["sleep", "30"])
            os.write(1, b"left a child\\n")
        case "leave":
            while not leaving(): pass
        case "stay":
            while True: pass
"""


class Nursery:
    def __init__(self, folder: Path) -> None:
        (folder / "nursery_tasks.py").write_text(TASKS)
        self.log = folder / "log"
        self.control, theirs = socket.socketpair()
        self.control.settimeout(20)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        theirs.close()
        self.inbox = Inbox()
        self.heard: list[dict] = []
        assert self.hear() == {"tells": "ready", "method": "none"}

    def start(self, task: str, do: str, log: str | None = None, **arguments) -> None:
        order = {"do": "start", "task": task, "module": "nursery_tasks", "arguments": {"do": do, **arguments}}
        self.control.sendall(line({**order, "log": str(self.log) if log is None else log}))

    def hear(self) -> dict:
        while not self.heard:
            received = self.control.recv(1 << 16)
            assert received
            self.heard += self.inbox.feed(received)
        return self.heard.pop(0)

    def ended(self, task: str) -> tuple[str, str]:
        message = self.hear()
        assert (message["tells"], message["task"]) == ("ended", task)
        return message["state"], message["reason"]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    one = Nursery(tmp_path)
    yield one
    os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()
    one.control.close()


@pytest.mark.parametrize(
    ("task", "state", "reason"),
    [
        ({"do": "vanish"}, "failed", "left with exit status 3 and no report"),
        ({"do": "exit"}, "done", ""),
        ({"do": "exit", "code": 0}, "done", ""),
        ({"do": "exit", "code": 4}, "failed", "left with 4"),
        ({"do": "exit", "code": "no space"}, "failed", "left with 'no space'"),
    ],
)
def test_how_a_task_ended_is_told(nursery: Nursery, task, state: str, reason: str) -> None:
    nursery.start("t", **task)
    assert nursery.ended("t") == (state, reason)


def test_the_end_of_a_long_reason_is_told_and_all_of_it_logged(nursery: Nursery) -> None:
    nursery.start("t", "shout")
    state, reason = nursery.ended("t")
    assert state == "failed" and len(reason) <= 4000 and reason.endswith(" at the end\n")
    log = nursery.log.read_text()
    assert "err\n" in log and "out\n" in log and log.count("ä") >= 100_000


def test_a_task_has_ended_although_a_child_of_its_own_lives_on(nursery: Nursery) -> None:
    nursery.start("t", "child")
    assert nursery.ended("t") == ("done", "")


def test_a_log_that_cannot_be_written_fails_the_task(nursery: Nursery) -> None:
    nursery.start("t", "exit", log="/no/such/folder/log")
    state, reason = nursery.ended("t")
    assert state == "failed" and "FileNotFoundError" in reason


def test_a_task_that_outlasts_its_grace_is_killed_and_one_without_grace_at_once(nursery: Nursery) -> None:
    for task, grace in (("a", 0.1), ("b", 0)):
        nursery.start(task, "stay")
        nursery.control.sendall(line({"do": "stop", "task": task, "grace": grace}))
        assert nursery.ended(task) == ("failed", f"killed: it outlasted its grace of {grace:g} s")


def test_a_notice_reaches_tasks_before_during_and_after_it(nursery: Nursery) -> None:
    for n in range(6):
        nursery.start(f"t{n}", "leave")
        if n == 2:
            os.killpg(nursery.process.pid, signal.SIGTERM)
    assert {nursery.hear()["task"] for _ in range(6)} == {f"t{n}" for n in range(6)}


def test_it_kills_its_group_when_the_agent_is_gone(nursery: Nursery) -> None:
    nursery.start("t", "stay")
    nursery.control.shutdown(socket.SHUT_RDWR)
    assert nursery.process.wait(20) == -signal.SIGKILL
