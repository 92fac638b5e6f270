import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradewind.clock import stopwatch
from tradewind.runtimes.cpu_share import cpu_seconds
from tradewind.runtimes.wire import Inbox, line

PROGRAM = (sys.executable, "-m", "tradewind.runtimes.agent", "--listen")
CHORES = "tradewind.testing.chores"


def alive(group: int) -> list[int]:
    """The processes of a group that are no zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def until(truth, seconds: float = 15.0) -> bool:
    """Whether `truth()` comes to hold."""
    elapsed = stopwatch()
    waiter = socket.socketpair()
    waiter[0].settimeout(0.01)
    try:
        while elapsed() < seconds:
            if truth():
                return True
            with contextlib.suppress(TimeoutError):
                waiter[0].recv(1)
        return False
    finally:
        for end in waiter:
            end.close()


class Agent:
    """An agent and one connection to it."""

    def __init__(self, folder: Path, *options: str, path: Path | None = None) -> None:
        self.folder = folder
        self.sockets = Path(tempfile.mkdtemp(prefix="tw-"))
        self.address = self.sockets / "a"
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        with (folder / "agent.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tradewind.runtimes.agent",
                    "--listen",
                    f"unix:{self.address}",
                    *options,
                ],
                stdin=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self.connections: list[socket.socket] = []
        self.inbox = Inbox()
        self.heard: list[dict] = []

    def connect(self) -> socket.socket:
        assert until(self.address.exists), (self.folder / "agent.log").read_text()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(15)
        connection.connect(str(self.address))
        self.connections.append(connection)
        return connection

    def ask(self, **message) -> None:
        if not self.connections:
            self.connect()
        self.connections[0].sendall(line(message))

    def start(self, task: str, chore: str, **arguments) -> None:
        arguments = {"chore": chore, "path": str(self.folder / task), **arguments}
        self.ask(do="start", task=task, module=CHORES, arguments=arguments, log=str(self.folder / "log"))

    def hear(self, event: str) -> dict:
        """The next event of that kind."""
        while True:
            for n, message in enumerate(self.heard):
                if message["event"] == event:
                    return self.heard.pop(n)
            received = self.connections[0].recv(1 << 16)
            assert received, "the agent is gone"
            self.heard += self.inbox.feed(received)

    def status(self) -> dict:
        self.ask(do="status")
        return self.hear("status")

    def pid_of(self, task: str) -> int:
        assert until((self.folder / task).exists)
        return int((self.folder / task).read_text())

    def ready(self) -> dict:
        status = {}

        def is_ready() -> bool:
            status.update(self.status())
            return status["ready"]

        assert until(is_ready)
        return status

    def end(self) -> None:
        for connection in self.connections:
            connection.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.address.unlink(missing_ok=True)
        if self.sockets.exists():
            self.sockets.rmdir()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator:
    agents = []

    def make(*options: str) -> Agent:
        agents.append(Agent(tmp_path, *options))
        return agents[-1]

    yield make
    for each in agents:
        each.end()


def test_is_the_leader_of_its_group_with_a_nursery_and_the_tasks(agent) -> None:
    one = agent()
    one.start("t", "wait")
    pid = one.pid_of("t")
    assert os.getpgid(pid) == one.process.pid
    assert len(alive(one.process.pid)) == 3


def test_kills_its_group_when_its_lifeline_closes(agent) -> None:
    one = agent()
    one.start("t", "linger")
    one.pid_of("t")
    one.process.stdin.close()
    assert until(lambda: not alive(one.process.pid))
    assert one.process.wait() == -signal.SIGKILL
    assert not one.sockets.exists()


@pytest.mark.parametrize("victim", ["agent", "nursery"])
def test_a_half_living_instance_ends_whole(agent, victim: str) -> None:
    one = agent()
    one.start("t", "linger")
    task = one.pid_of("t")
    (nursery,) = set(alive(one.process.pid)) - {one.process.pid, task}
    os.kill(one.process.pid if victim == "agent" else nursery, signal.SIGKILL)
    assert until(lambda: not alive(one.process.pid))


def test_a_stopped_instance_can_be_killed(agent) -> None:
    one = agent("--cpu-share", "0.05")
    one.start("t", "burn")
    one.pid_of("t")
    os.killpg(one.process.pid, signal.SIGSTOP)
    os.killpg(one.process.pid, signal.SIGKILL)
    assert until(lambda: not alive(one.process.pid))


def test_tasks_find_the_warmed_modules_loaded(agent) -> None:
    one = agent("--warm", "colorsys,wave")
    assert one.ready()["tasks"] == []
    for task, module in (("t", "wave"), ("u", "colorsys"), ("v", "xdrlib")):
        one.start(task, "loaded", module=module)
        assert one.hear("ended") == {"event": "ended", "task": task, "state": "done", "reason": ""}
    assert [(one.folder / task).read_text() for task in "tuv"] == ["True", "True", "False"]


@pytest.mark.parametrize(
    ("module", "says"), [("no_such_module", "no_such_module"), ("threaded", "started a thread")]
)
def test_what_cannot_be_warmed_ends_the_instance_with_a_message(agent, tmp_path, module, says) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    one = agent("--warm", module)
    assert one.process.wait(15) == -signal.SIGKILL
    assert says in (tmp_path / "agent.log").read_text()


def test_a_notice_is_told_and_survived(agent) -> None:
    one = agent()
    one.start("t", "wait")
    one.pid_of("t")
    os.killpg(one.process.pid, signal.SIGTERM)
    one.hear("notice")
    assert one.hear("ended")["state"] == "done"
    assert one.status()["noticed"] is True
    one.start("late", "wait")
    assert one.hear("ended") == {"event": "ended", "task": "late", "state": "done", "reason": ""}


def test_what_is_no_message_ends_its_connection_only(agent) -> None:
    one = agent()
    one.start("t", "wait")
    pid = one.pid_of("t")
    good = {"do": "start", "task": "u", "module": "m", "arguments": {}, "log": ""}
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"[1, 2]\n",
        b'{"do": "dance"}\n',
        b"{}\n",
        b'{"do": "stop", "task": "t", "grace": "soon"}\n',
        *(json.dumps({**good, key: 5}).encode() + b"\n" for key in ("module", "arguments", "log")),
    ):
        rude = one.connect()
        rude.sendall(garbage)
        assert rude.recv(100) == b"", garbage
    assert one.status()["tasks"] == ["t"]
    os.kill(pid, 0)


def test_a_task_is_heard_and_stopped_on_its_own_connection_only(agent) -> None:
    one = agent()
    one.start("t", "wait")
    pid = one.pid_of("t")
    other = one.connect()
    other.sendall(line({"do": "stop", "task": "t", "grace": 0}) + line({"do": "status"}))
    assert b'"tasks":["t"]' in other.recv(1 << 16)
    other.sendall(line({"do": "start", "task": "t", "module": CHORES, "arguments": {}, "log": ""}))
    assert b"refused" in other.recv(1 << 16)
    os.kill(pid, 0)
    one.connections[0].close()

    def is_idle() -> bool:
        other.sendall(line({"do": "status"}))
        return b'"tasks":[]' in other.recv(1 << 16)

    assert until(is_idle)
    assert len(alive(one.process.pid)) == 2


def test_events_wait_for_a_listener_that_is_slow(agent) -> None:
    one = agent()
    for n in range(60):
        one.start(f"t{n}", "raise", text="x" * 20_000)
    assert until(lambda: one.folder.joinpath("log").exists())
    assert until(lambda: len(alive(one.process.pid)) == 2)
    ends = [one.hear("ended") for _ in range(60)]
    assert {end["task"] for end in ends} == {f"t{n}" for n in range(60)}
    assert all(end["reason"].endswith("xxx\n") for end in ends)


def test_a_share_of_a_processor_is_kept(agent) -> None:
    one = agent("--cpu-share", "0.25")
    status = one.ready()
    assert status["cpu_share"] == 0.25
    assert status["cpu_method"] in ("duty_cycle", "cgroup")
    one.start("t", "burn")
    one.start("u", "burn")
    pids = [one.pid_of("t"), one.pid_of("u")]
    before, elapsed = sum(map(cpu_seconds, pids)), stopwatch()
    until(lambda: False, 2.0)
    used = (sum(map(cpu_seconds, pids)) - before) / elapsed()
    assert 0.05 < used < 0.5
    one.ask(do="stop", task="t", grace=20)
    assert one.hear("ended") == {"event": "ended", "task": "t", "state": "done", "reason": ""}


def test_without_a_share_nobody_is_held_back(agent) -> None:
    one = agent()
    assert (one.ready()["cpu_share"], one.ready()["cpu_method"]) == (None, "none")


@pytest.mark.parametrize("share", ["0", "-1", "nan", "half"])
def test_a_wrong_share_is_misuse(share: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tradewind.runtimes.agent",
            "--listen",
            str(tmp_path / "a"),
            "--cpu-share",
            share,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--cpu-share" in done.stderr


def test_a_standard_input_that_is_no_lifeline_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        done = subprocess.run(
            [*PROGRAM, str(tmp_path / "a")], stdin=file, capture_output=True, text=True, check=False
        )
    assert done.returncode != 0
    assert "pipe as standard input" in done.stderr
