"""What the process of an environment may not do, set by itself before the function's code is loaded.

- Memory: twice the function's size may be asked for (RLIMIT_DATA); the host looks at what is really held, and
  kills what holds more than the size.
- No inbound connections: a seccomp filter refuses `listen` with EPERM, to the process and all that it starts,
  on x86-64 and ARM64 of Linux. Outbound connections are free, as on Lambda.
- It dies with whoever started it.

Not held back: reading what its user may read, `/tmp` itself (TMPDIR is a folder of its own), other processes
of the same user. A host is for functions of its own user.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys

_SET_PDEATHSIG, _SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 1, 38, 22, 2
_MACHINES = {"x86_64": (0xC000003E, 50), "aarch64": (0xC00000B7, 201)}
"""AUDIT_ARCH and the number of listen(2), by machine."""
_IO_URING_SETUP, _X32 = 425, 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
_ASKED_FOR = 2
"""Memory that may be asked for, against what may be held: libraries reserve what they never touch."""


def die_with(parent: int) -> None:
    """Be killed when the parent ends; at once if it has ended already, and this process has another."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def limit_memory(megabytes: int) -> None:
    """No allocation beyond twice the size succeeds; it raises MemoryError, or the like."""
    most = _ASKED_FOR * megabytes << 20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def refuse_inbound() -> bool:
    """Let nobody connect to this process; False where this machine cannot be made to."""
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return False
    architecture, listen = machine
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, 0),
        (_EQUAL, 3, 0, listen),
        (_EQUAL, 2, 0, _IO_URING_SETUP),  # which could listen without the call
        (_AT_LEAST, 1, 0, _X32),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    return (
        _prctl(_SET_NO_NEW_PRIVILEGES, 1) == 0
        and _prctl(_SET_SECCOMP, _FILTER, ctypes.addressof(described)) == 0
    )


def _prctl(option: int, first: int, second: int = 0) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), 0, 0))
