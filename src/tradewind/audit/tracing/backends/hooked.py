"""What runs inside a traced Python process: an audit hook that appends a line for each touch to a file.

It is copied into a directory as `sitecustomize.py`, and the directory put first on PYTHONPATH, so every
Python process of the workload runs it before its own program; one that ignores its environment (`-I`, `-E`)
or its site (`-S`) does not. Only the standard library is used, of any Python from 3.8 on. Every line is one
write to a file that is opened to append, so a process that is killed loses nothing of what it has told.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

FOLDER = "TRADEWIND_AUDIT_HOOK"
"""The variable that names the directory; without it nothing is hooked."""
FILE = "events"
SOON = 32
"""Imports that are tried before it is looked which of them have succeeded."""
_WRITES = {
    **dict.fromkeys(
        ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime"), 1
    ),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
}
"""By audit event, how many of its arguments are paths that it writes to."""


class Hook:
    """The hook of one process and of what it forks."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._tried: list[str] = []
        self._busy = False

    def tell(self, op: str, path: str, ok: bool = True) -> None:
        """Append one line: the moment, to a hundredth, the process, what it did, the path, how it went."""
        line = json.dumps([os.times().elapsed, os.getpid(), op, path, ok, sys.executable or ""])
        # The workload may have closed what it does not know: its own affair goes on.
        with suppress(OSError):
            os.write(self._file, line.encode() + b"\n")

    def touch(self, op: str, given: Any, ok: bool | None = None) -> None:
        """Tell of a path as the program gives it; descriptors, which have been told of, are passed over."""
        if isinstance(given, int) or given is None:
            return
        try:
            path = os.fsdecode(given) or "."
            if not path.startswith("/"):
                path = os.path.join(os.getcwd(), path)
            found = ok
            if found is None:
                try:
                    os.stat(path)
                    found = True
                except OSError:
                    found = False
        except (TypeError, ValueError, OSError):
            return
        self.tell(op, path, found)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take one audit event."""
        take = _TAKEN.get(event)
        if take is None or self._busy:
            return
        self._busy = True
        try:
            take(self, event, arguments)
        except Exception:  # whatever is wrong with the hook, the program must not feel it
            pass
        finally:
            self._busy = False

    def opened(self, event: str, arguments: tuple[Any, ...]) -> None:
        """`open` and `os.open`."""
        path, mode, flags = arguments[0], arguments[1], arguments[2] if len(arguments) > 2 else 0
        writes = any(c in mode for c in "wax+") if isinstance(mode, str) else bool(int(flags or 0) & 3)
        reads = any(c in mode for c in "r+") if isinstance(mode, str) else int(flags or 0) & 3 != 1
        if reads:
            self.touch("open", path)
        if writes:
            self.touch("write", path, True)

    def imported(self, event: str, arguments: tuple[Any, ...]) -> None:
        """`import`: of a module, and again with the file for one that is a shared library."""
        name, file = arguments[0], arguments[1]
        if file:
            self.touch("map", file)
        elif name != "sitecustomize":
            self._tried.append(name)
            if len(self._tried) >= SOON:
                self.settle(last=False)

    def settle(self, *, last: bool) -> None:
        """Tell of the imports that have succeeded; at the end, of those too that have not."""
        left = []
        for name in self._tried:
            if name in sys.modules:
                self.tell("import", name)
            elif last:
                self.tell("import", name, False)
            else:
                left.append(name)
        self._tried = left

    def listed(self, event: str, arguments: tuple[Any, ...]) -> None:
        """`os.listdir` and `os.scandir`."""
        self.touch("list", "." if arguments[0] is None else arguments[0])

    def loaded(self, event: str, arguments: tuple[Any, ...]) -> None:
        """`ctypes.dlopen`: by its path, or by a name that the C library looks for, unseen."""
        if isinstance(arguments[0], (str, bytes)) and "/" in os.fsdecode(arguments[0]):
            self.touch("map", arguments[0])

    def started(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Another program is run."""
        self.settle(last=False)
        program = "/bin/sh" if event == "os.system" else arguments[0]
        if event == "subprocess.Popen" and "/" not in os.fsdecode(program):
            # What the search will find; the tries are the system's.
            folders = (f for f in os.environ.get("PATH", os.defpath).split(os.pathsep))
            found = (os.path.join(f, os.fsdecode(program)) for f in folders)
            program = next((path for path in found if os.access(path, os.X_OK)), None)
        self.touch("execute", program)

    def forked(self, event: str, arguments: tuple[Any, ...]) -> None:
        """A copy of the process begins; what is still to be told must be told once."""
        self.settle(last=False)

    def wrote(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Names are made, moved, removed or changed."""
        for given in arguments[: _WRITES[event]]:
            self.touch("write", given, True)


_TAKEN = {
    "open": Hook.opened,
    "import": Hook.imported,
    "os.listdir": Hook.listed,
    "os.scandir": Hook.listed,
    "ctypes.dlopen": Hook.loaded,
    **dict.fromkeys(("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"), Hook.started),
    **dict.fromkeys(("os.fork", "os.forkpty"), Hook.forked),
    **dict.fromkeys(_WRITES, Hook.wrote),
}


def install(folder: str) -> None:
    """Hook this process, which was made to run this file in place of its own `sitecustomize`."""
    hook = Hook(os.path.join(folder, FILE))
    already = list(sys.modules)
    sys.path[:] = [path for path in sys.path if path != folder]
    sys.path_importer_cache.pop(folder, None)
    for name in already:
        file = getattr(sys.modules[name], "__file__", None)
        if name not in ("__main__", "sitecustomize"):
            hook.tell("import", name)
            if isinstance(file, str):
                # Of a module frozen into the interpreter only the existence was asked for, if that.
                frozen = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) == "frozen"
                hook.touch(
                    "stat" if frozen else "open", getattr(sys.modules[name], "__cached__", None) or file
                )
    atexit.register(hook.settle, last=True)
    sys.addaudithook(hook)
    shadowed = PathFinder.find_spec("sitecustomize", sys.path)
    if shadowed is not None and shadowed.loader is not None:
        module = module_from_spec(shadowed)
        sys.modules["sitecustomize"] = module
        shadowed.loader.exec_module(module)


if __name__ == "sitecustomize" and FOLDER in os.environ:
    install(os.environ[FOLDER])
