"""The program on an instance: it runs tasks for whoever connects, as long as its starter lives.

    python -m tradewind.runtimes.agent --listen unix:/path [--cpu-share 0.5] [--warm MODULE,MODULE]

The agent is the leader of a process group, which is the instance: SIGTERM to the group is the notice that the
instance will end, and SIGKILL to the group is the end. On the notice every task is asked to leave by the
signal itself; the agent stays, and goes on answering. Its standard input is a lifeline: when that closes,
because whoever started it is gone, however suddenly, it kills its own group. Tasks are forked from a nursery
that has imported the modules given by `--warm`, all of whose tasks together get `--cpu-share` cores.

It listens on a Unix socket, for processes of the same user only. The protocol is JSON lines:

    to the agent    {"do": "start", "task": ID, "module": M, "arguments": {...}, "log": PATH}
                    {"do": "stop", "task": ID, "grace": SECONDS}
                    {"do": "status"}
    from it         {"event": "accepted", "task": ID}
                    {"event": "refused", "task": ID, "reason": TEXT}
                    {"event": "ended", "task": ID, "state": "done" | "failed", "reason": TEXT}
                    {"event": "notice"}
                    {"event": "status", "pid": N, "tasks": [ID, ...], "ready": BOOL, "noticed": BOOL,
                     "cpu_share": SHARE | null, "cpu_method": "cgroup" | "duty_cycle" | "none" | null}

A task belongs to the connection that it was started on, is told of there only, and is killed when that
connection breaks: nobody could stop it any more. A line that is no message ends its connection.

Whatever breaks the agent or the nursery ends the instance: a half-living one would be worse than none.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tradewind.runtimes.nursery import end_group, live, nurse, quiet_stdin
from tradewind.runtimes.wire import Garbled, Inbox, Message, line

_SINGLE = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""One thread each, unless the user says otherwise: an instance is a share of this machine, not the whole."""


class _Client:
    """One connection: what it sent so far, and what waits to be sent to it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.inbox = Inbox()
        self.outbox = bytearray()

    def fileno(self) -> int:
        return self.connection.fileno()


class _Agent:
    def __init__(
        self, listener: socket.socket, path: Path, nursery: socket.socket, share: float | None
    ) -> None:
        self._listener = listener
        self._path = path
        self._nursery = nursery
        self._nursery_inbox = Inbox()
        self._share = share
        self._method: str | None = None
        self._noticed = False
        self._owners: dict[str, _Client] = {}
        """Task to connection, for every task that has not ended."""
        self._clients: set[_Client] = set()
        self._woken, waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waker, False)
        self._selector = selectors.DefaultSelector()
        for source in (listener, nursery, self._woken, 0):
            self._selector.register(source, selectors.EVENT_READ)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def serve(self) -> NoReturn:
        while True:
            for key, events in self._selector.select():
                source = key.fileobj
                if isinstance(source, _Client):
                    if source in self._clients and events & selectors.EVENT_READ:
                        self._hear(source)
                    if source in self._clients and events & selectors.EVENT_WRITE:
                        self._send(source)
                elif source is self._listener:
                    self._accept()
                elif source is self._nursery:
                    self._hear_nursery()
                elif source == self._woken:
                    self._heed_notice()
                elif not os.read(0, 4096):
                    self._remove_socket()
                    end_group()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if not _same_user(connection):
            connection.close()
            return
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ)

    def _hear(self, client: _Client) -> None:
        try:
            received = client.connection.recv(1 << 16)
            messages = client.inbox.feed(received)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, Garbled):
            self._drop(client)
            return
        for message in messages:
            try:
                self._obey(client, message)
            except (KeyError, TypeError, ValueError):
                self._drop(client)
                return
        if not received:
            self._drop(client)

    def _obey(self, client: _Client, message: Message) -> None:
        """Do what a message asks. Raises KeyError, TypeError or ValueError if it is none of ours."""
        match message["do"]:
            case "start":
                self._start(client, message)
            case "stop":
                task, grace = str(message["task"]), float(message["grace"])
                if self._owners.get(task) is client:
                    self._order({"do": "stop", "task": task, "grace": grace})
            case "status":
                self._tell(client, self._status())
            case other:
                raise ValueError(f"{other!r} is nothing to do")

    def _start(self, client: _Client, message: Message) -> None:
        task = message["task"]
        order = {"do": "start", "task": task}
        for field, kind in (("module", str), ("arguments", dict), ("log", str)):
            if not isinstance(message[field], kind):
                raise TypeError(field)
            order[field] = message[field]
        if task in self._owners:
            reason = "a task of that name runs here"
            self._tell(client, {"event": "refused", "task": task, "reason": reason})
            return
        self._owners[task] = client
        self._order(order)
        self._tell(client, {"event": "accepted", "task": task})

    def _status(self) -> Message:
        return {
            "event": "status",
            "pid": os.getpid(),
            "tasks": list(self._owners),
            "ready": self._method is not None,
            "noticed": self._noticed,
            "cpu_share": self._share,
            "cpu_method": self._method,
        }

    def _order(self, order: Message) -> None:
        try:
            self._nursery.sendall(line(order))
        except OSError:
            end_group()

    def _hear_nursery(self) -> None:
        try:
            received = self._nursery.recv(1 << 16)
        except OSError:
            received = b""
        if not received:
            end_group()
        for message in self._nursery_inbox.feed(received):
            if message["tells"] == "ready":
                self._method = message["method"]
            else:
                client = self._owners.pop(message["task"])
                event = {"event": "ended", **{key: message[key] for key in ("task", "state", "reason")}}
                self._tell(client, event)

    def _heed_notice(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if signal.SIGTERM in os.read(self._woken, 4096):
                self._noticed = True
                self._order({"do": "notice"})
                for client in list(self._clients):
                    self._tell(client, {"event": "notice"})

    def _tell(self, client: _Client, message: Message) -> None:
        if client in self._clients:
            client.outbox += line(message)
            self._send(client)

    def _send(self, client: _Client) -> None:
        """Send what its connection takes now; the rest when it takes more."""
        try:
            sent = client.connection.send(client.outbox)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._drop(client)
            return
        del client.outbox[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.outbox else 0)
        self._selector.modify(client, wanted)

    def _drop(self, client: _Client) -> None:
        """Forget a connection that broke, and kill its tasks."""
        self._clients.discard(client)
        self._selector.unregister(client)
        client.connection.close()
        for task, owner in self._owners.items():
            if owner is client:
                self._order({"do": "stop", "task": task, "grace": 0})

    def _remove_socket(self) -> None:
        """Leave nothing in the file system; nobody else is there to clear up."""
        with contextlib.suppress(OSError):
            self._path.unlink()
            self._path.parent.rmdir()  # only if this was the last file in it


def _same_user(connection: socket.socket) -> bool:
    """Whether the other end is a process of our own user; the socket's folder should see to that already."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


def _listen(path: Path) -> socket.socket:
    """A socket at `path`, there only once it answers."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(path.name + "~")
    listener.bind(str(fresh))
    fresh.chmod(0o600)
    listener.listen(64)
    fresh.rename(path)
    listener.setblocking(False)
    return listener


def _split() -> tuple[int, socket.socket]:
    """Fork the nursery: 0 and its end in it, its process number and the agent's end in the agent."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    (ours if pid == 0 else theirs).close()
    return pid, theirs if pid == 0 else ours


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an agent, its nursery or, after a fork, a task; returns the exit status of the last."""
    parser = argparse.ArgumentParser(prog="python -m tradewind.runtimes.agent", description=__doc__)
    parser.add_argument("--listen", required=True, help="where to listen: unix:/path")
    parser.add_argument("--cpu-share", type=float, default=None, help="cores for all tasks together")
    parser.add_argument("--warm", default="", help="modules to import before the first task, comma-separated")
    options = parser.parse_args(arguments)
    if options.cpu_share is not None and not options.cpu_share > 0:
        parser.error("--cpu-share: give a number of cores above 0, such as 0.5")
    path = Path(options.listen.removeprefix("unix:"))
    # What comes now is kept until each process can take it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # or the end of this instance would be the end of its starter
    for name in _SINGLE:
        os.environ.setdefault(name, "1")
    pid, channel = _split()
    if pid == 0:
        quiet_stdin()
        return live(nurse(channel, [name for name in options.warm.split(",") if name], options.cpu_share))
    try:
        agent = _Agent(_listen(path), path, channel, options.cpu_share)
    except OSError as problem:
        # PermissionError too: a standard input that is no pipe cannot be watched, so it is no lifeline.
        sys.stderr.write(f"cannot listen at {path} with a pipe as standard input: {problem}\n")
        end_group()
    agent.serve()


if __name__ == "__main__":
    sys.exit(main())
