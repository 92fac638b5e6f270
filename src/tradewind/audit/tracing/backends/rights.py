"""What a confined command may do: whose rights it has, by the tree's accounts; the others are given up."""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
from collections.abc import Sequence

from tradewind.audit.tracing.backends.system_calls import (
    CLONE_NEWUSER,
    PR_CAP_AMBIENT,
    PR_CAPBSET_DROP,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
    Failed,
    checked,
    libc,
    prctl,
)

CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "NET_BIND_SERVICE": 10, "SYS_CHROOT": 18,
}  # fmt: skip
"""What a workload may ask to keep: nothing of it reaches out of its namespaces."""

FORBIDDEN = {
    "x86_64": (0xC000003E, (
        103, 156, 163, 167, 168, 169, 172, 173, 175, 176, 179, 180, 212, 246, 248, 249, 250, 298, 304, 313,
        320, 321, 323,
    )),
    "aarch64": (0xC00000B7, (
        18, 60, 89, 104, 105, 106, 116, 142, 217, 218, 219, 224, 225, 241, 265, 273, 280, 282, 294,
    )),
}  # fmt: skip
"""By machine: its audit architecture, and the calls that are answered EPERM. They reach what no namespace
holds apart (keyrings, modules, BPF, performance counters, swap, reboot, files by handle), and no workload
that is to be packed into an image needs them."""
UNSHARE = {"x86_64": (272, 56), "aarch64": (97, 220)}
CLONE3 = 435


def accounts(path: str) -> list[list[str]]:
    """The lines of the tree's passwd or group file, apart.

    Read by hand: the C library's own functions would load the tree's name service modules into this process,
    which still has all capabilities.
    """
    try:
        held = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(held, "rb") as file:
        text = file.read(1 << 20) if stat.S_ISREG(os.fstat(held).st_mode) else b""
    return [line.split(":") for line in text.decode("utf-8", "replace").splitlines() if line.count(":") >= 3]


def identity(user: str) -> tuple[int, int, str]:
    """The user's and group's numbers and the home, by the tree's own accounts: `name`, `uid`, `uid:gid`."""
    name, _, group = user.partition(":")
    name = name or "0"
    fields = (each for each in accounts("/etc/passwd") if len(each) > 5 and name in (each[0], each[2]))
    known = next(fields, None)
    if known is None and not name.isdigit():
        raise Failed(f"looking for the user {name} in the tree's /etc/passwd", 2)
    uid, gid, home = (int(known[2]), int(known[3]), known[5]) if known else (int(name), 0, "/")
    if group.isdigit():
        gid = int(group)
    elif group:
        numbers = [int(each[2]) for each in accounts("/etc/group") if each[0] == group]
        if not numbers:
            raise Failed(f"looking for the group {group} in the tree's /etc/group", 2)
        gid = numbers[0]
    return uid, gid, home


def drop(uid: int, gid: int, kept: Sequence[str], *, mapped: bool) -> None:
    """Give up every capability but those in `kept`, for good."""
    mask = sum(1 << CAPABILITIES[name] for name in kept)
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for number in range(last + 1):
        if not mask >> number & 1:
            prctl(PR_CAPBSET_DROP, number, "PR_CAPBSET_DROP")
    if not mapped:
        os.setgroups([])
    if (os.getuid(), os.getgid()) != (uid, gid):
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    checked(libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(4), 0, 0, 0), "PR_CAP_AMBIENT")
    if uid:
        mask = 0
    header = struct.pack("Ii", 0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    checked(libc.capset(header, struct.pack("6I", low, low, low, high, high, high)), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def forbid() -> None:
    """Answer EPERM to calls that reach what no namespace holds apart; see FORBIDDEN."""
    machine = platform.machine()
    if machine not in FORBIDDEN:
        return
    architecture, numbers = FORBIDDEN[machine]

    def jump(code: int, value: int, yes: int, no: int) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    load, equal, least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse, allow = struct.pack("HBBI", answer, 0, 0, 0x50001), struct.pack("HBBI", answer, 0, 0, 0x7FFF0000)
    absent = struct.pack("HBBI", answer, 0, 0, 0x50000 | 38)
    # x86's x32 calls are the same ones by other numbers.
    body = [jump(load, 0, 0, 0), jump(least, 0x40000000, 0, 1), refuse]
    for number in numbers:
        body += [jump(equal, number, 0, 1), refuse]
    # A user namespace would give its maker all capabilities in it; clone3 hides its flags, and the C library
    # falls back on clone where it is absent.
    body += [jump(equal, CLONE3, 0, 1), absent]
    for number in UNSHARE[machine]:
        body += [
            jump(equal, number, 0, 4),
            jump(load, 16, 0, 0),
            jump(any_bit, CLONE_NEWUSER, 0, 1),
            refuse,
            allow,
        ]
    body.append(allow)
    # Another architecture's calls have other numbers: none is let through.
    program = b"".join([jump(load, 4, 0, 0), jump(equal, architecture, 1, 0), refuse, *body])
    held = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    given = Program(len(program) // 8, ctypes.addressof(held))
    checked(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(given), 0, 0), "PR_SET_SECCOMP")
