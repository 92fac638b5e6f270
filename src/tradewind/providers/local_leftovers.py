"""Finding and ending what a local provider's driver left running, however it died.

An instance's processes end with their driver by themselves (their standard input is a lifeline); this is for
what hung all the same. They are known by a mark in their environment, which the kernel keeps from the exec on
and hands to every child: unlike a process number that was written down it can name no stranger.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tradewind import clock
from tradewind.errors import Permanent

MARK = "TRADEWIND_LEASE_OF"
"""The variable: the folder of the provider that started the process, and the lease."""
_DEAD = 10.0
"""Seconds of the wall's that killed processes are waited for."""


class Leftover(Struct, frozen=True):
    """A process of a lease."""

    pid: int
    lease: str
    command: str


def marked(environment: Mapping[str, str], directory: Path, lease: str) -> dict[str, str]:
    """The environment of an instance's processes."""
    return {**environment, MARK: f"{directory.resolve()}\n{lease}"}


def leftovers(directory: Path) -> list[Leftover]:
    """The live processes of leases of the local provider that worked in `directory`, by number."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        lease = _lease_of(int(folder.name), directory)
        if lease is not None:
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(Leftover(int(folder.name), lease, command.strip()))
    return sorted(found, key=lambda each: each.pid)


def end(directory: Path) -> list[Leftover]:
    """Kill them all, and look until there are none; those that were there.

    A process is killed through a descriptor that names it for ever, after its mark was read again. Raises
    Permanent if one will not die.
    """
    killed: dict[int, Leftover] = {}
    passed = clock.stopwatch()
    while True:
        here = leftovers(directory)
        if not here:
            return list(killed.values())
        if passed() > _DEAD:
            numbers = ", ".join(str(each.pid) for each in here)
            raise Permanent(f"these processes do not die: {numbers}")
        for each in here:
            if _kill(each.pid, directory):
                killed.setdefault(each.pid, each)


def _kill(pid: int, directory: Path) -> bool:
    """Kill a process of ours and wait for its death; False if it is gone or a stranger."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if _lease_of(pid, directory) is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(1000)
        return True
    finally:
        os.close(descriptor)


def _lease_of(pid: int, directory: Path) -> str | None:
    """The lease of a live process that bears the directory's mark; None for any other."""
    if pid == os.getpid():
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None  # gone, or somebody else's
    if stat.rpartition(")")[2].split()[0] in ("Z", "X"):
        return None
    prefix = f"{MARK}={directory.resolve()}\n".encode()
    for each in environment.split(b"\0"):
        if each.startswith(prefix):
            return each.removeprefix(prefix).decode(errors="replace")
    return None
