"""A process that has done the imports of a function's layer, and forks environments from itself on demand.

Orders come as datagrams of JSON; one to start brings the socket of the new environment with it:

    {"do": "start", "id": ID}          with one descriptor
    {"do": "kill", "id": ID}
    {"tells": "ready", "left_out": [...]} | {"tells": "unfit", "reason": TEXT}
    {"tells": "born", "id": ID, "pid": PID} | {"tells": "ended", "id": ID, "status": STATUS}

It starts, kills and reaps the environments, so that no number is ever that of a stranger. It holds no thread
of Python's: where importing the layer started one, which no fork would have, it says so and is not used.
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
import warnings
from collections.abc import Sequence
from typing import Any

from tradewind.runtimes.functions.host.confinement import die_with
from tradewind.runtimes.functions.host.inside import live

_LONGEST = 1 << 16


def warmed(modules: Sequence[str]) -> list[str]:
    """Import what can be; the names of what cannot. A function that needs those says so itself."""
    left_out = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            try:
                importlib.import_module(name)
            except Exception:
                left_out.append(name)
    return left_out


def serve(control: socket.socket) -> int:
    """Fork environments until the host is gone; returns, with its exit status, in each environment too."""
    children: dict[int, str] = {}
    woken, waker = os.pipe()
    for descriptor in (woken, waker):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        _reap(control, children)
        if control not in ready:
            continue
        text, descriptors, _, _ = socket.recv_fds(control, _LONGEST, 1)
        if not text:
            return 0
        order = json.loads(text)
        if order["do"] == "kill":
            for pid, name in children.items():
                if name == order["id"]:
                    _kill(pid)
            continue
        ours = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            selector.close()
            control.close()
            os.close(woken)
            os.close(waker)
            os.setsid()
            die_with(ours)
            with socket.socket(fileno=descriptors[0]) as connection:
                return live(connection, forked=True)
        os.close(descriptors[0])
        children[pid] = order["id"]
        _tell(control, {"tells": "born", "id": order["id"], "pid": pid})


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)  # it is ours until it is reaped
    with contextlib.suppress(ProcessLookupError):  # it had no group of its own yet
        os.killpg(pid, signal.SIGKILL)


def _reap(control: socket.socket, children: dict[int, str]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # whatever it started itself
        name = children.pop(pid, None)
        if name is not None:
            told = {"tells": "ended", "id": name, "status": os.waitstatus_to_exitcode(status)}
            _tell(control, told)


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        control.send(json.dumps(message).encode())


def main() -> int:
    """The control socket's number and the parent's come as arguments, the modules on standard input."""
    number, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    modules = json.loads(sys.stdin.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    control = socket.socket(fileno=number)
    left_out = warmed(modules)
    if threading.active_count() > 1:
        names = ", ".join(each.name for each in threading.enumerate()[1:])
        _tell(control, {"tells": "unfit", "reason": f"importing the layer started threads: {names}"})
        return 1
    gc.collect()
    gc.freeze()
    _tell(control, {"tells": "ready", "left_out": left_out[:100]})
    return serve(control)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
