r"""Reads what strace writes: lines of system calls with paths, of many processes, into events.

It is strace's format with `-f -ttt -y`: `PID TIME call("path", ...) = result`, in which a descriptor stands
with its path, `3</usr/lib>` or `AT_FDCWD</srv>`, a call that another process interrupts is told in two lines,
`<unfinished ...>` and `<... call resumed>`, and bytes outside of ASCII are escaped as in C.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from tradewind.audit.tracing.events import Event, Operation

CALLS = "%file,fchdir,clone,?clone3,?fork,?vfork"
"""What strace is to tell: whatever takes a path, and what decides where a relative one begins."""

_PATH: dict[str, Operation] = {
    **dict.fromkeys(("stat", "lstat", "stat64", "lstat64", "access", "statfs", "statfs64", "chdir"), "stat"),
    **dict.fromkeys(("getxattr", "lgetxattr", "listxattr", "llistxattr", "uselib"), "stat"),
    **dict.fromkeys(("mkdir", "mknod", "unlink", "rmdir", "chmod", "chown", "lchown", "truncate"), "write"),
    **dict.fromkeys(("utime", "utimes", "setxattr", "lsetxattr", "removexattr", "lremovexattr"), "write"),
    "readlink": "readlink",
    "execve": "execute",
}  # fmt: skip
_AT: dict[str, Operation] = {
    **dict.fromkeys(("newfstatat", "fstatat64", "statx", "faccessat", "faccessat2"), "stat"),
    "name_to_handle_at": "stat",
    **dict.fromkeys(("mkdirat", "mknodat", "unlinkat", "fchmodat", "fchownat", "utimensat"), "write"),
    "futimesat": "write",
    "inotify_add_watch": "stat",
    "readlinkat": "readlink",
    "execveat": "execute",
}  # fmt: skip
_OPENS = {"open": False, "creat": False, "openat": True, "openat2": True}
_FORKS = ("clone", "clone3", "fork", "vfork")

_LINE = re.compile(rb"(?:\[pid\s+)?(\d{1,10})\]?\s+(\d{1,20}\.\d{1,20}) (.*)")
_RESUMED = re.compile(rb"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_CALL = re.compile(rb"(\w+)\((.*)\)\s+= (.*)", re.DOTALL)
_CUT = re.compile(rb"(\w+)\((.*?)(?:\)\s+= \?.*)?", re.DOTALL)
_SUPERSEDED = re.compile(rb"\+\+\+ superseded by execve in pid (\d{1,10}) \+\+\+")
_TEXT = rb'"((?:[^"\\]|\\.)*)"'
_FOLDER = rb"(?:AT_FDCWD|-?\d{1,10})(?:<((?:[^<>\\]|\\.)*)>)?"
_ONE = re.compile(_TEXT)
_ONE_AT = re.compile(_FOLDER + rb"(?:\(deleted\))?, " + _TEXT)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_NAMED = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"v": b"\v",
    b"f": b"\f",
    b"a": b"\a",
    b"b": b"\b",
    b"e": b"\x1b",
}
_UNFINISHED = b" <unfinished ...>"


def unescaped(text: bytes) -> str:
    r"""A path as strace writes it, as Python has it.

    >>> unescaped(rb"caf\303\251 \"x\"\n")
    'café "x"\n'
    """

    def one(match: re.Match[bytes]) -> bytes:
        code = match.group(1)
        if code[:1] == b"x" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        if code[:1] in b"01234567":
            return bytes([int(code, 8) & 0xFF])
        return _NAMED.get(code, code)

    return os.fsdecode(_ESCAPE.sub(one, text) if b"\\" in text else text)


class StraceText:
    """Lines in, events out. `lost` counts lines about a path that could not be understood."""

    def __init__(self, marker: str = "") -> None:
        self.lost = 0
        self._marker = marker
        """A path: what comes before it is asked for, and of processes seen before but the asking one, is not
        the workload's. Without one, everything is."""
        self._began: float | None = None
        self._foreign: set[int] = set()
        self._seen: set[int] = set()
        self._folders: dict[int, str | None] = {}
        self._programs: dict[int, str] = {}
        self._pending: dict[int, tuple[float, bytes]] = {}

    def read(self, lines: Iterable[bytes]) -> Iterator[Event]:
        """The events that the lines tell."""
        for line in lines:
            yield from self._line(line.rstrip(b"\n"))
        for pid, (moment, text) in list(self._pending.items()):
            # Ended by a signal inside the call: it was asked for, and how it went is not known.
            yield from self._call(pid, moment, text + b") = ?")
        self._pending.clear()

    def _line(self, line: bytes) -> Iterator[Event]:
        match = _LINE.match(line)
        if match is None:
            if line.strip():
                self.lost += 1
            return
        pid, moment, rest = int(match.group(1)), float(match.group(2)), match.group(3)
        self._meet(pid)
        if rest.startswith((b"---", b"+++")):
            superseded = _SUPERSEDED.match(rest)
            if superseded and int(superseded.group(1)) in self._pending:
                self._pending[pid] = self._pending.pop(int(superseded.group(1)))
            return
        if rest.endswith(_UNFINISHED):
            self._pending[pid] = (moment, rest[: -len(_UNFINISHED)])
            return
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            began, text = self._pending.pop(pid, (moment, b""))
            if not text.startswith(resumed.group(1) + b"("):
                self.lost += resumed.group(1).decode() not in _FORKS
                return
            moment, rest = began, text + resumed.group(2)
        yield from self._call(pid, moment, rest)

    def _meet(self, pid: int) -> None:
        """A process that was never seen is the child of one that is just making one."""
        if pid in self._seen:
            return
        self._seen.add(pid)
        makers = [
            p for p, (_, text) in self._pending.items() if text.partition(b"(")[0].decode("latin-1") in _FORKS
        ]
        folders = {self._folders.get(p) for p in makers} or {self._folders.get(pid)}
        self._folders.setdefault(pid, folders.pop() if len(folders) == 1 else None)
        programs = {self._programs.get(p, "") for p in makers}
        if len(programs) == 1:
            self._programs.setdefault(pid, programs.pop())

    def _call(self, pid: int, moment: float, text: bytes) -> Iterator[Event]:
        match = _CALL.fullmatch(text) or _CUT.fullmatch(text)
        if match is None:
            self.lost += 1
            return
        name, arguments = match.group(1).decode(), match.group(2)
        result = match.group(3) if match.re is _CALL else b"?"
        ok = not result.startswith(b"-")
        if name in _FORKS:
            self._forked(pid, result)
            return
        if name == "fchdir":
            folder = re.match(_FOLDER, arguments)
            if ok and folder is not None and folder.group(1) is not None:
                self._folders[pid] = unescaped(folder.group(1))
            return
        paths = self._paths(name, arguments, pid)
        if paths is None:
            return
        if self._marker and self._began is None and self._marker in paths:
            self._began = moment
            self._foreign = self._seen - {pid}
            return
        for path in paths:
            yield from self._told(pid, moment, name, path, ok, arguments)
        if ok and paths and name == "chdir":
            self._folders[pid] = paths[0]
        if ok and paths and name in ("execve", "execveat"):
            self._programs[pid] = paths[0]

    def _forked(self, pid: int, result: bytes) -> None:
        number = re.match(rb"\d{1,10}", result)
        if number is None or not int(number.group()):
            return
        child = int(number.group())
        if child not in self._seen or self._folders.get(child) is None:
            self._folders[child] = self._folders.get(pid)
        self._programs.setdefault(child, self._programs.get(pid, ""))

    def _told(
        self, pid: int, moment: float, name: str, path: str, ok: bool, arguments: bytes
    ) -> Iterator[Event]:
        if pid in self._foreign or (self._marker and self._began is None):
            return
        if self._began is None:
            self._began = moment
        op: Operation
        ops: tuple[Operation, ...]
        if name in _OPENS:
            ops = _opened(name, arguments)
        else:
            op = _PATH.get(name) or _AT.get(name) or "write"
            ops = (op,)
        program = path if name == "execve" and ok else self._programs.get(pid, "")
        for op in ops:
            yield Event(round(moment - self._began, 6), pid, op, path, ok, program)

    def _paths(self, name: str, arguments: bytes, pid: int) -> list[str] | None:
        """The absolute paths that a call names; None, and counted as lost, if one cannot be told."""
        found: list[tuple[bytes | None, bytes]] = []
        if name in _PATH or name in ("open", "creat"):
            match = _ONE.match(arguments)
            found = [] if match is None else [(None, match.group(1))]
        elif name in _AT or name in ("openat", "openat2"):
            match = _ONE_AT.match(arguments)
            found = [] if match is None else [(match.group(1), match.group(2))]
        elif name in ("rename", "link"):
            found = [(None, text) for text in _ONE.findall(arguments)[:2]]
        elif name in ("renameat", "renameat2", "linkat"):
            found = list(_ONE_AT.findall(arguments)[:2])
        elif name == "symlink":
            found = [(None, text) for text in _ONE.findall(arguments)[1:2]]
        elif name == "symlinkat":
            found = list(_ONE_AT.findall(arguments)[:1])
        else:
            return None
        if not found:
            # A null or unreadable address names nothing; the kernel refused it too.
            self.lost += b'"' in arguments
            return None
        paths = []
        for folder, text in found:
            if arguments.startswith(b"AT_FDCWD<") and folder is not None:
                self._folders[pid] = unescaped(folder)
            if not text:
                continue  # AT_EMPTY_PATH: of a descriptor, which was told when it was opened
            path = unescaped(text)
            if not path.startswith("/"):
                above = unescaped(folder) if folder else self._folders.get(pid)
                if above is None or not above.startswith("/"):
                    self.lost += 1
                    return None
                path = f"{above.rstrip('/')}/{path}"
            paths.append(path)
        return paths


def _opened(name: str, arguments: bytes) -> tuple[Operation, ...]:
    """What an open is for, by its flags: to read, to write, or both."""
    if name == "creat":
        return ("write",)
    flags = arguments.rpartition(b'"')[2]
    if b"O_PATH" in flags:
        return ("stat",)
    if b"O_RDWR" in flags and b"O_TRUNC" not in flags:
        return ("open", "write")
    if any(flag in flags for flag in (b"O_WRONLY", b"O_RDWR", b"O_TRUNC")):
        return ("write",)
    # O_CREAT to read makes what is not there, and reads what is.
    return ("open", "write") if b"O_CREAT" in flags else ("open",)
