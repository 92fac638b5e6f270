"""The tracer that sees everything, at a price: strace, stopping by a seccomp filter at calls with paths only.

It runs the launcher, from which on it follows every process; the launcher asks for a marker right before the
command is executed, and what comes before it is dropped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from pathlib import Path

from tradewind.audit.tracing.backends.tracer import Launch, Told, View
from tradewind.audit.tracing.events import Operation
from tradewind.audit.tracing.strace_text import CALLS, StraceText
from tradewind.errors import Misuse

OLDEST = (5, 3)
"""The first version with --seccomp-bpf."""


class Strace:
    """strace >= 5.3: what is opened, executed, asked for, read as a link, written, and missing."""

    name = "strace"
    sees: tuple[Operation, ...] = ("open", "execute", "stat", "readlink", "list", "write")
    view: View | None = None

    def __init__(self) -> None:
        self._file = Path()
        self._marker = f"/.tradewind-{uuid.uuid4().hex}"

    def check(self) -> None:
        """Raise Misuse where strace is absent or too old."""
        program = shutil.which("strace")
        if program is None:
            raise Misuse("strace is not installed", field="backend", fix="Install the package strace.")
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"version (\d+)\.(\d+)", said)
        if version is None or (int(version.group(1)), int(version.group(2))) < OLDEST:
            raise Misuse(
                f"{said.partition(chr(10))[0] or program} is too old",
                field="backend",
                fix="Install strace 5.3 or later, or choose another backend.",
            )

    def prepare(self, room: Path, env: dict[str, str]) -> Launch:
        """The command that runs the launcher."""
        self._file = room / "strace"
        prefix = ("strace", "-f", "--seccomp-bpf", "-qq", "-ttt", "-y", "-s", "1", "-e", "signal=none",
                  "-e", f"trace={CALLS}", "-o", str(self._file))  # fmt: skip
        return Launch(prefix=prefix, marker=self._marker)

    def attach(self, init: int, command: int) -> None:
        """Nothing is left to do: it watches since before the launcher began."""

    def finish(self) -> Told:
        """Read what strace wrote."""
        text = StraceText(self._marker)
        with open(self._file, "rb") as file:
            events = tuple(text.read(file))
        return Told(events, text.lost)

    def close(self) -> None:
        """Nothing is held."""
