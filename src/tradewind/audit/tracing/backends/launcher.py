"""The program that confines a command to a tree and waits for it: `python -I -m ...launcher FD`.

FD is one end of a pair of sockets. The other end's holder sends one JSON object, gets `ready` when the
command waits to be executed inside, says `go`, and gets `ended`; it may ask for `term`, `kill`, or for a
connection to a port inside. When that end is closed, for whatever reason, everything inside is killed.

Three processes: this one, which only holds the namespaces and the sockets; the first of the new pid
namespace, which mounts, pivots and reaps; and the command. The mounts exist in the private mount namespace
alone and end with it, so nothing is left behind even if all three are killed at once. All that is
imported is imported before the root changes.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

from tradewind.audit.tracing.backends.mounting import enter
from tradewind.audit.tracing.backends.rights import drop, forbid, identity
from tradewind.audit.tracing.backends.system_calls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    PR_SET_PDEATHSIG,
    Failed,
    checked,
    libc,
    prctl,
)


def up(interface: bytes = b"lo") -> None:
    """Bring the loopback interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        fcntl.ioctl(endpoint, 0x8914, struct.pack("16sH14x", interface, 0x1 | 0x40))


def found(command: str, path: str) -> str:
    """The program that `command` names, looked for before the tracing begins, as a shell would have."""
    if "/" in command:
        return command
    for folder in path.split(":"):
        where = os.path.join(folder or ".", command)
        if os.path.isfile(where) and os.access(where, os.X_OK):
            return where
    return command


def execute(spec: dict[str, Any], who: tuple[int, int, str], go: int) -> NoReturn:
    """In the command's process: give up what it may not have, wait for the word, become the command."""
    code = 126
    try:
        os.setsid()
        for name, value in spec["limits"].items():
            kind = getattr(resource, f"RLIMIT_{name.upper()}")
            hard = resource.getrlimit(kind)[1]
            least = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (least, least))
        uid, gid, home = who
        env = {"PATH": spec["path"], "HOME": home, "HOSTNAME": "tradewind", **spec["env"]}
        drop(uid, gid, spec["capabilities"], mapped=spec["mapped"])
        os.umask(0o022)
        os.chdir(spec["workdir"])
        program = found(spec["command"][0], env["PATH"])
        for number, held in enumerate(spec["streams"]):
            os.dup2(held, number)
        for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.read(go, 1)
        os.closerange(3, 1 << 16)
        forbid()
        if spec["marker"]:
            os.access(spec["marker"], os.F_OK)
        code = 127
        os.execve(program, spec["command"], env)
    except (OSError, Failed) as error:
        if isinstance(error, PermissionError):
            code = 126
        os.write(2, f"tradewind: {spec['command'][0]} cannot be run: {error}\n".encode(errors="replace"))
    os._exit(code)


def first(spec: dict[str, Any], told: int, go: int) -> NoReturn:
    """The first process of the pid namespace: builds the root, runs the command, reaps, says how it ended."""

    def say(message: dict[str, Any]) -> None:
        os.write(told, json.dumps(message).encode() + b"\n")

    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")
        orphaned = select.poll()
        orphaned.register(told, 0)
        if orphaned.poll(0):  # the launcher died before it could be asked to tell
            os._exit(1)
        socket.sethostname("tradewind")
        if spec["apart"]:
            up()
        new = enter(spec)
        who = identity(spec["user"])
        if spec["mapped"] and who[:2] != (0, 0):
            raise Failed("to run as another user", 1)
        child = os.fork()
        if not child:
            execute(spec, who, go)
        os.close(go)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
        drop(0, 0, ("KILL",), mapped=spec["mapped"])
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")
        for held in spec["streams"]:
            os.close(held)
        say({"at": "ready", "made": new})
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                break
        code = os.waitstatus_to_exitcode(status)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        say({"at": "ended", "code": code if code >= 0 else 128 - code,
             "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024})  # fmt: skip
    except Failed as error:
        say({"at": "failed", "step": error.step, "errno": error.number})
    except OSError as error:
        say({"at": "failed", "step": error.filename or "an ordinary call", "errno": error.errno or 0})
    os._exit(0)


# The launcher itself -----------------------------------------------------------------------------------


def separate(spec: dict[str, Any]) -> None:
    """Leave the machine's namespaces, by way of a user namespace where we are not root."""
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP
    if spec["apart"]:
        flags |= CLONE_NEWNET
    if spec["mapped"]:
        user, group = os.geteuid(), os.getegid()
        checked(libc.unshare(CLONE_NEWUSER), "unshare of the user namespace")
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
    checked(libc.unshare(flags), "unshare")


def received(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The first message and the descriptors that came with it: the three streams of the command."""
    data, held, _, _ = socket.recv_fds(control, 1 << 20, 3)
    while not data.endswith(b"\n"):
        more = control.recv(1 << 20)
        if not more:
            raise SystemExit(1)
        data += more
    return json.loads(data), list(held)


def obey(control: socket.socket, init: int, go: int) -> bool:
    """Do what one message asks for; False if the other end is gone."""
    data = control.recv(4096)
    if not data:
        return False
    for line in data.splitlines():
        order = line.split()
        if order[0] == b"go":
            os.write(go, b"g")
        elif order[0] == b"term":
            os.kill(init, signal.SIGTERM)
        elif order[0] == b"kill":
            return False
        elif order[0] == b"connect":
            connect(control, int(order[1]))
    return True


def connect(control: socket.socket, port: int) -> None:
    """Connect to a port inside, where only this process is beside the command, and hand the socket over."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as endpoint:
        endpoint.settimeout(5)
        try:
            endpoint.connect(("127.0.0.1", port))
        except OSError as error:
            control.sendall(json.dumps({"at": "refused", "errno": error.errno or 110}).encode() + b"\n")
            return
        socket.send_fds(control, [b'{"at": "connected"}\n'], [endpoint.fileno()])


def main() -> int:
    """Confine, wait, tell. The exit status is no news: the messages are."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    spec, spec_streams = received(control)
    spec["streams"] = spec_streams
    try:
        separate(spec)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")
    except (Failed, OSError) as error:
        number = error.number if isinstance(error, Failed) else error.errno
        step = error.step if isinstance(error, Failed) else "writing the maps of the user namespace"
        control.sendall(json.dumps({"at": "failed", "step": step, "errno": number}).encode() + b"\n")
        return 1
    heard, told = os.pipe()
    go_read, go_write = os.pipe()
    init = os.fork()
    if not init:
        control.close()
        os.close(heard)
        os.close(go_write)
        first(spec, told, go_read)
    os.close(told)
    os.close(go_read)
    for held in spec_streams:
        os.close(held)
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    waiting.register(heard, select.POLLIN)
    while True:
        for number, _ in waiting.poll():
            if number == control.fileno():
                if not obey(control, init, go_write):
                    os.kill(init, signal.SIGKILL)
                    os.waitpid(init, 0)
                    return 1
                continue
            news = os.read(heard, 1 << 16)
            if not news:
                os.waitpid(init, 0)
                return 0
            for line in news.splitlines():
                control.sendall(json.dumps({**json.loads(line), "init": init}).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
