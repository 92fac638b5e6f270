"""The tracer that needs no rights: Python's own audit events, by a hook that every Python process runs first.

It sees what the interpreter opens, imports and lists, with the names of the modules; not what C libraries do,
what is only asked for, or a Python that ignores its environment (`-I`, `-E`) or its site (`-S`).
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import BinaryIO, cast, get_args

from tradewind.audit.tracing.backends import hooked
from tradewind.audit.tracing.backends.tracer import Bind, Launch, Told, View
from tradewind.audit.tracing.events import Event, Operation

INSIDE = "/.tradewind-hook"
"""Where a confined workload finds the hook."""


class AuditHook:
    """sys.addaudithook of Python 3.8 or later."""

    name = "audit-hook"
    sees: tuple[Operation, ...] = ("open", "execute", "list", "import", "map", "write")
    view: View | None = "overlay"

    def __init__(self) -> None:
        self._file: BinaryIO | None = None

    def check(self) -> None:
        """It works wherever Python does."""

    def prepare(self, room: Path, env: dict[str, str]) -> Launch:
        """The directory with the hook, put first on the path of modules of a confined workload."""
        env_of_hook = self.hooks(room, env, INSIDE)
        return Launch(
            env=env_of_hook,
            binds=(
                Bind(source=str(room), path=INSIDE),
                Bind(source=str(room / hooked.FILE), path=f"{INSIDE}/{hooked.FILE}", writable=True),
            ),
        )

    def hooks(self, room: Path, env: dict[str, str], seen_at: str) -> tuple[tuple[str, str], ...]:
        """Lay the hook into `room`, which the workload sees at another path: the variables to set."""
        shutil.copyfile(hooked.__file__, room / "sitecustomize.py")
        # Held open, so that what is read in the end is this file, whatever the workload puts in its place.
        self._file = open(room / hooked.FILE, "w+b")  # noqa: SIM115 -- closed by close()
        # The workload's user is anyone.
        os.chmod(room / hooked.FILE, 0o666)
        os.chmod(room, 0o755)
        path = os.pathsep.join(each for each in (seen_at, env.get("PYTHONPATH", "")) if each)
        return (("PYTHONPATH", path), (hooked.FOLDER, seen_at))

    def attach(self, init: int, command: int) -> None:
        """The hook comes with the environment."""

    def finish(self) -> Told:
        """Read what the processes told; without a line none of them was hooked, which counts as a loss."""
        events: list[Event] = []
        lost, began = 0, None
        assert self._file is not None
        self._file.seek(0)
        for line in self._file:
            try:
                moment, pid, op, path, ok, program = json.loads(line)
                # The workload can write here whatever it likes.
                if op not in get_args(Operation) or not math.isfinite(moment) or not 0 <= int(pid) < 1 << 31:
                    raise ValueError(op)
                began = float(moment) if began is None else began
                ts = round(max(0.0, float(moment) - began), 2)
                events.append(Event(ts, int(pid), cast(Operation, op), str(path), bool(ok), str(program)))
            except (ValueError, TypeError, OverflowError, RecursionError):
                lost += 1
        return Told(tuple(events), lost if events else lost + 1)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
