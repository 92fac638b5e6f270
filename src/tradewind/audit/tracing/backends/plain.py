"""Runs a workload as it is, unconfined, on the machine's own files: where nothing else is allowed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tradewind.audit.tracing.backends.audit_hook import AuditHook
from tradewind.audit.tracing.backends.confinement import Ended
from tradewind.audit.tracing.backends.services import drive
from tradewind.audit.tracing.backends.tracer import Told, unseen
from tradewind.audit.tracing.outcome import Answer, Outcome
from tradewind.audit.tracing.workload import Workload
from tradewind.clock import stopwatch
from tradewind.errors import Misuse

LARGEST_KEPT = 64 << 20


class Plain:
    """One unconfined command, with the face of a confined one."""

    def __init__(self, process: subprocess.Popen[bytes], room: Path) -> None:
        self._process = process
        self.room = room

    def connect(self, port: int) -> socket.socket | Ended | None:
        """A connection to a port of the machine; None if it is refused, how the command ended if it has."""
        ended = self.wait(0)
        if ended is not None:
            return ended
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            return None

    def terminate(self) -> None:
        """Send the command SIGTERM."""
        self._process.terminate()

    def wait(self, seconds: float) -> Ended | None:
        """How the command ended; None if it has not within `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return Ended(code if code >= 0 else 128 - code, 0.0, 0)


def run_plain(workload: Workload, hook: AuditHook, *, scratch: Path) -> tuple[Outcome, Told]:
    """Run a workload unconfined under the audit hook: how it ended and what the hook saw.

    Its files and variables are the user's, and nothing of what it writes is undone; `inputs`, `user`,
    `capabilities` and `outputs` are for confined ones and refused with Misuse.
    """
    for name in ("inputs", "user", "capabilities", "outputs"):
        if getattr(workload, name):
            raise Misuse(
                "an unconfined run has the machine's", source=workload.name, field=name, fix="Leave it out."
            )
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch) as made:
        # Where the hook lies must be absolute: the interpreter makes it so, and must know it again.
        room = Path(made).absolute()
        own = room / "tracer"
        own.mkdir()
        env = {**os.environ, **workload.env}
        env.update(hook.hooks(own, env, str(own)))
        try:
            outcome = _run(workload, env, room)
            told = hook.finish()
        finally:
            hook.close()
        return outcome, Told(unseen(told.events, (str(own),)), told.lost)


def _run(workload: Workload, env: dict[str, str], room: Path) -> Outcome:
    answers: tuple[Answer, ...] = ()
    problem = ""
    (room / "in").write_text(workload.stdin)
    with open(room / "in", "rb") as given, open(room / "out", "wb") as out, open(room / "err", "wb") as err:
        elapsed = stopwatch()
        try:
            process = subprocess.Popen(
                workload.command,
                stdin=given,
                stdout=out,
                stderr=err,
                env=env,
                cwd=workload.workdir,
                start_new_session=True,
            )
        except OSError as error:
            code = 126 if isinstance(error, PermissionError) else 127
            return Outcome(code, b"", f"tradewind: {workload.command[0]} cannot be run: {error}\n".encode())
    plain = Plain(process, room)
    try:
        if workload.long_running:
            answers, ended, problem = drive(plain, workload)
        else:
            ended = plain.wait(workload.limit)
            problem = "" if ended else f"killed at its limit of {workload.limit:g} s"
        seconds = elapsed()
    finally:
        # The whole session, so that nothing of it outlives the run.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    ended = ended or Ended(137, 0.0, 0)
    with open(room / "out", "rb") as out, open(room / "err", "rb") as err:
        said, complained = out.read(LARGEST_KEPT), err.read(LARGEST_KEPT)
    return Outcome(ended.code, said, complained, answers, seconds=seconds, problem=problem)
