"""The program that bpftrace runs for us, and what it prints, read into events.

One record a line: nanoseconds, process, thread, call, folder descriptor, flags, result, path, and a bar,
because a path may hold the end of a line and then goes on in the next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from tradewind.audit.tracing.events import Event, Operation

LONGEST = 200
"""Bytes of a string that bpftrace can hold, its end included; a longer path is cut, and counts as lost."""

_CALLS: dict[str, tuple[Operation, str, str, str]] = {
    "open": ("open", "", "filename", "flags"),
    "openat": ("open", "dfd", "filename", "flags"),
    "openat2": ("open", "dfd", "filename", ""),
    "newstat": ("stat", "", "filename", ""),
    "newlstat": ("stat", "", "filename", ""),
    "newfstatat": ("stat", "dfd", "filename", ""),
    "statx": ("stat", "dfd", "filename", ""),
    "access": ("stat", "", "filename", ""),
    "faccessat": ("stat", "dfd", "filename", ""),
    "faccessat2": ("stat", "dfd", "filename", ""),
    "statfs": ("stat", "", "pathname", ""),
    "readlink": ("readlink", "", "path", ""),
    "readlinkat": ("readlink", "dfd", "pathname", ""),
    "chdir": ("stat", "", "filename", ""),
    "execve": ("execute", "", "filename", ""),
    "execveat": ("execute", "fd", "filename", ""),
}
"""By call: what it does, and its tracepoint's names of the folder's descriptor, the path and the flags."""
_NUMBERS = {name: number for number, name in enumerate(_CALLS)}
_FCHDIR, _FORK = len(_CALLS), len(_CALLS) + 1
AT_FDCWD = -100
_BEGUN = 1 << 40
"""What stands for the result of a call that has only begun."""
READY = b"tradewind is watching"
_RECORD = re.compile(
    rb"(\d{1,20}) (\d{1,10}) (\d{1,10}) (\d{1,10}) (-?\d{1,20}) (-?\d{1,20}) (-?\d{1,20}) (.*)\|\n", re.DOTALL
)
_BEGINS = re.compile(rb"\d{1,20} \d{1,10} \d{1,10} \d{1,10} -?\d{1,20} -?\d{1,20} -?\d{1,20} ")
_LOST = re.compile(rb"[Ll]ost (\d{1,18}) events|skipped (\d{1,18}) events")


def program(available: Iterable[str], namespace: int) -> str:
    """What bpftrace is to run: all calls of which there is a tracepoint, in one pid namespace."""
    known = set(available)
    ours = f"((struct task_struct *)curtask)->nsproxy->pid_ns_for_children->ns.inum == {namespace}"
    parts = [f'BEGIN {{ printf("{READY.decode()}\\n"); }}']
    for name, (_, folder, path, flags) in _CALLS.items():
        if f"sys_enter_{name}" not in known:
            continue
        number = _NUMBERS[name]
        line = f"{number} %lld %lld %lld %s|\\n"
        begin = f"tracepoint:syscalls:sys_enter_{name} /{ours}/ {{"
        end = f"tracepoint:syscalls:sys_exit_{name} /@in[tid] == {number + 1}/ {{"
        where = f"(int64)(int32)args->{folder}" if folder else str(AT_FDCWD)
        if name.startswith("exec"):
            # The path is in memory that is gone when the call has succeeded, so it is told before.
            parts.append(
                f'{begin} @in[tid] = {number + 1}; printf("%lld %d %d {line}", nsecs, pid, tid, {where},'
                f" (int64)0, (int64){_BEGUN}, str(args->{path})); }}\n"
                f'{end} printf("%lld %d %d {line}", nsecs, pid, tid, (int64)0, (int64)0,'
                f' (int64)args->ret, "-"); delete(@in[tid]); }}'
            )
            continue
        parts.append(
            f"{begin} @p{number}[tid] = args->{path}; @d[tid] = {where};"
            f" @f[tid] = {f'(int64)args->{flags}' if flags else '(int64)0'}; @in[tid] = {number + 1}; }}\n"
            f'{end} printf("%lld %d %d {line}", nsecs, pid, tid, @d[tid], @f[tid], (int64)args->ret,'
            f" str(@p{number}[tid])); delete(@p{number}[tid]); delete(@d[tid]); delete(@f[tid]);"
            f" delete(@in[tid]); }}"
        )
    if "sys_enter_fchdir" in known:
        parts.append(
            f"tracepoint:syscalls:sys_enter_fchdir /{ours}/ {{"
            f' printf("%lld %d %d {_FCHDIR} %lld 0 0 -|\\n", nsecs, pid, tid, (int64)(int32)args->fd); }}'
        )
    parts.append(
        f"tracepoint:sched:sched_process_fork /{ours}/ {{"
        f' printf("%lld %d %d {_FORK} 0 0 %d -|\\n", nsecs, pid, tid, args->child_pid); }}'
    )
    # What is in the maps at the end is of no interest.
    cleared = "".join(
        f" clear(@p{_NUMBERS[n]});" for n in _CALLS if f"sys_enter_{n}" in known and n[:4] != "exec"
    )
    parts.append(f"END {{{cleared} clear(@d); clear(@f); clear(@in); }}")
    return "\n".join(parts)


class BpftraceText:
    """Lines in, events out, of a command that begins in `folder`. `lost` counts what cannot be told."""

    def __init__(self, folder: str = "/") -> None:
        self.lost = 0
        self._first = folder
        self._folders: dict[int, str] = {}
        self._held: dict[tuple[int, int], str] = {}
        self._programs: dict[int, str] = {}
        self._began: int | None = None
        self._executing: dict[int, tuple[int, bytes]] = {}
        self._names = list(_CALLS)

    def read(self, lines: Iterable[bytes]) -> Iterator[Event]:
        """The events that the lines tell."""
        record = b""
        for line in lines:
            if not record and _BEGINS.match(line) is None:
                lost = _LOST.search(line)
                self.lost += int(lost.group(1) or lost.group(2)) if lost is not None else 0
                continue
            record += line
            if record.endswith(b"|\n"):
                yield from self._record(record)
                record = b""
        self.lost += bool(record)

    def _record(self, record: bytes) -> Iterator[Event]:
        match = _RECORD.fullmatch(record)
        if match is None:
            return
        moment, pid, thread, call, folder, flags, result = (int(match.group(at)) for at in range(1, 8))
        if call > _FORK:
            # A path may hold lines that look like records.
            self.lost += 1
            return
        self._began = moment if self._began is None else self._began
        here = self._folders.setdefault(pid, self._first)
        if call == _FORK:
            self._folders[result] = here
            self._programs[result] = self._programs.get(pid, "")
            for (owner, number), path in list(self._held.items()):
                if owner == pid:
                    self._held[result, number] = path
            return
        if call == _FCHDIR:
            self._folders[pid] = self._held.get((pid, folder), here)
            return
        text = match.group(8)
        if result == _BEGUN:
            self._executing[thread] = (folder, text)
            return
        if self._names[call].startswith("exec"):
            # A thread that executes becomes the first of its process.
            folder, text = self._executing.pop(thread, self._executing.pop(pid, (folder, b"")))
        if not text:
            return  # of a descriptor, which was told when it was opened; or unreadable, for the kernel too
        if len(text) >= LONGEST - 1:
            self.lost += 1
            return
        path = os.fsdecode(text)
        if not path.startswith("/"):
            above = here if folder == AT_FDCWD else self._held.get((pid, folder))
            if above is None:
                self.lost += 1
                return
            path = f"{above.rstrip('/')}/{path}"
        yield from self._told(moment, pid, self._names[call], flags, result, path)

    def _told(self, moment: int, pid: int, name: str, flags: int, result: int, path: str) -> Iterator[Event]:
        ok = result >= 0
        op = _CALLS[name][0]
        if op == "open" and ok:
            self._held[pid, result] = path
        if name == "chdir" and ok:
            self._folders[pid] = path
        if op == "execute" and ok:
            self._programs[pid] = path
        ts = round((moment - (self._began or moment)) / 1e9, 6)
        program = self._programs.get(pid, "")
        if op == "open" and flags & os.O_PATH:
            op = "stat"
        writes = op == "open" and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if op != "open" or not flags & (os.O_WRONLY | os.O_TRUNC):
            yield Event(ts, pid, op, path, ok, program)
        if writes:
            yield Event(ts, pid, "write", path, ok, program)
