"""The process of an instance that its tasks are forked from.

It has imported what the tasks need, and holds no thread, no socket but the one to its agent, and no open
file; so a task starts in the time of a fork. It starts, signals, paces and reaps the tasks, and is the only
one to do so: a process that it has not reaped cannot have given its number to a stranger.

Orders from the agent, and what it tells, are JSON lines on a socket pair:

    {"do": "start", "task": ID, "module": M, "arguments": {...}, "log": PATH}
    {"do": "stop", "task": ID, "grace": SECONDS}         SIGTERM now, SIGKILL after the grace
    {"do": "notice"}                                     the group was sent SIGTERM
    {"tells": "ready", "method": "cgroup" | "duty_cycle" | "none"}
    {"tells": "ended", "task": ID, "state": "done" | "failed", "reason": TEXT}

When the agent is gone it kills the group, itself included. The notice of an instance's end is SIGTERM to the
whole group: every task gets it by itself. The nursery only sees to it that none misses it: a task that is
forked while the notice comes, or after it, or after one that came before the nursery was there, is sent it
again.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tradewind.clock import stopwatch
from tradewind.runtimes.cpu_share import pace
from tradewind.runtimes.wire import Inbox, Message, line

_REASON = 4000
"""Characters of a traceback's end that are told. The report must fit a pipe that nobody reads meanwhile."""


@dataclass(frozen=True)
class Birth:
    """What a task's process knows when it begins."""

    module: str
    arguments: dict[str, Any]
    log: str
    report: int
    """The descriptor to write its report to."""


@dataclass
class _Child:
    task: str
    report: int
    killed_at: float | None = None
    """Seconds of the nursery's stopwatch at which its grace is over."""
    outlasted: float | None = None
    """The grace that it outlasted."""


def nurse(control: socket.socket, warm: Sequence[str], share: float | None) -> Birth:
    """Import the modules `warm`, then start tasks until the agent is gone.

    Returns only in a task's process. Exits, with a message on stderr, if a module cannot be imported or has
    started a thread, since a thread does not survive a fork and what it locked stays locked.
    """
    for module in warm:
        importlib.import_module(module)
    if threading.active_count() > 1:
        sys.exit(f"importing {', '.join(warm)} started a thread; nothing that does so can be warmed")
    gc.collect()
    gc.freeze()
    return _Nursery(control, share).serve()


class _Nursery:
    def __init__(self, control: socket.socket, share: float | None) -> None:
        self._control = control
        self._inbox = Inbox()
        self._children: dict[int, _Child] = {}
        self._pace = pace(share)
        self._elapsed = stopwatch()
        self._noticed = False
        self._hurry = False
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._notice)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _notice(self, *_: object) -> None:
        self._noticed = self._hurry = True

    def serve(self) -> Birth:
        self._tell({"tells": "ready", "method": self._pace.method})
        while True:
            self._selector.select(self._wait())
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            if self._hurry:
                self._hurry = False
                self._pace.hurry()
            self._reap()
            self._kill_outlasted()
            for order in self._orders():
                if order["do"] == "start":
                    birth = self._start(order)
                    if birth is not None:
                        return birth
                elif order["do"] == "stop":
                    self._stop(order["task"], float(order["grace"]))
                else:
                    self._notice()
                    for pid in self._children:
                        os.kill(pid, signal.SIGTERM)

    def _wait(self) -> float | None:
        waits = [self._pace.tick()]
        waits += [
            child.killed_at - self._elapsed()
            for child in self._children.values()
            if child.killed_at is not None
        ]
        return max(0.0, min((wait for wait in waits if wait is not None), default=3600.0))

    def _orders(self) -> list[Message]:
        try:
            received = self._control.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            received = b""
        if not received:
            end_group(self._pace.close)
        return self._inbox.feed(received)

    def _start(self, order: Message) -> Birth | None:
        """Fork; returns the birth in the child and None in the nursery."""
        read, write = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
        except OSError as problem:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.close(read)
            os.close(write)
            self._tell(_ended(order["task"], "failed", f"the instance could not fork: {problem}"))
            return None
        if pid == 0:
            self._leave_nursery(read)
            return Birth(order["module"], order["arguments"], order["log"], write)
        os.close(write)
        self._children[pid] = _Child(order["task"], read)
        self._pace.join(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if self._noticed:
            # A notice that came before the fork was the nursery's alone.
            os.kill(pid, signal.SIGTERM)
        return None

    def _leave_nursery(self, read: int) -> None:
        """In the child: keep nothing of the nursery's. SIGTERM stays blocked until `live` can take it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        self._control.close()
        for descriptor in (read, self._woken, self._waker, *(c.report for c in self._children.values())):
            os.close(descriptor)

    def _stop(self, task: str, grace: float) -> None:
        for pid, child in self._children.items():
            if child.task == task:
                os.kill(pid, signal.SIGTERM if grace > 0 else signal.SIGKILL)
                self._pace.hurry()
                child.outlasted = grace
                if grace > 0:
                    due = self._elapsed() + grace
                    child.killed_at = due if child.killed_at is None else min(due, child.killed_at)

    def _kill_outlasted(self) -> None:
        for pid, child in self._children.items():
            if child.killed_at is not None and child.killed_at <= self._elapsed():
                child.killed_at = None
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            self._pace.leave(pid)
            self._tell(_ended(child.task, *_account(child, status)))

    def _tell(self, message: Message) -> None:
        try:
            self._control.sendall(line(message))
        except OSError:
            end_group(self._pace.close)


def _ended(task: str, state: str, reason: str) -> Message:
    return {"tells": "ended", "task": task, "state": state, "reason": reason}


def _account(child: _Child, status: int) -> tuple[str, str]:
    """How a task ended, from its own report if it left one, else from how its process ended."""
    with os.fdopen(child.report, "rb") as pipe:
        os.set_blocking(child.report, False)  # a process that the task started may hold the other end open
        report = pipe.read()
    if report:
        told = json.loads(report)
        return told["state"], told["reason"]
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        if child.outlasted is not None and child.killed_at is None:
            return "failed", f"killed: it outlasted its grace of {child.outlasted:g} s"
        return "failed", f"killed by {name}"
    return "failed", f"left with exit status {os.WEXITSTATUS(status)} and no report"


def live(birth: Birth) -> int:
    """Run a task in the process that was forked for it; returns its exit status."""
    asked = False

    def ask(*_: object) -> None:
        # No lock, not even an Event's: a second signal may interrupt the first one's handler.
        nonlocal asked
        asked = True

    signal.signal(signal.SIGTERM, ask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    state, reason = "done", ""
    try:
        _open_log(birth.log)
        importlib.import_module(birth.module).main(birth.arguments, lambda: asked)
    except SystemExit as left:
        if left.code not in (None, 0):
            state, reason = "failed", f"left with {left.code!r}"
    except BaseException:
        traceback.print_exc()
        state, reason = "failed", traceback.format_exc()[-_REASON:]
    _flush()
    os.write(birth.report, line({"state": state, "reason": reason}))
    return 0 if state == "done" else 1


def _open_log(path: str) -> None:
    descriptor = os.open(path or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def end_group(first: Any = None) -> NoReturn:
    """Kill this process's group, itself included; nobody is left that could tell."""
    if first is not None:
        with contextlib.suppress(Exception):
            first()
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def quiet_stdin() -> None:
    """Take /dev/null as standard input: the lifeline is the agent's to watch, and no task's to read."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.dup2(descriptor, 0)
    os.close(descriptor)
