"""The sockets of this process on a port: gRPC hands out none of its own, and closes all or nothing.

A server that drains must stop listening before it stops answering, for gRPC cancels the calls that arrive
while it stops.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator

_OPEN = "/dev/fd"
"""The descriptors that this process has open, on Linux and macOS."""


def listeners(port: int) -> frozenset[int]:
    """The descriptors of the sockets that listen on `port`."""
    found = set()
    for descriptor, it in _sockets(port):
        with contextlib.suppress(OSError):
            if it.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.add(descriptor)
    return frozenset(found)


def is_connected(port: int) -> bool:
    """Whether any connection to `port` is open on this side of it."""
    for _, it in _sockets(port):
        with contextlib.suppress(OSError):
            it.getpeername()
            return True
    return False


def stop_listening(descriptors: frozenset[int], port: int) -> None:
    """Have these sockets accept no further connection; those that do not listen on `port` are let alone."""
    for descriptor, it in _sockets(port):
        if descriptor in descriptors:
            with contextlib.suppress(OSError):
                if it.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    it.shutdown(socket.SHUT_RDWR)


def _sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """This process's sockets bound to `port`, each as another handle on the same socket."""
    for name in os.listdir(_OPEN):
        with contextlib.suppress(OSError):  # closed meanwhile
            descriptor = int(name)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as it:
                if it.family in (socket.AF_INET, socket.AF_INET6) and it.getsockname()[1] == port:
                    yield descriptor, it
