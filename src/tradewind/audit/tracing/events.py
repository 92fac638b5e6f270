"""What tracers tell: events, the header of a run, and what a run's events come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Operation = Literal["open", "execute", "stat", "readlink", "list", "write", "import", "map"]
"""How a path was touched. `stat` covers access and the like: the name was asked for, the content was not."""


class Event(Struct, frozen=True, omit_defaults=True):
    """One touch of one path by one process. As JSON, one a line."""

    ts: float
    """Seconds since the run began."""
    pid: int
    op: Operation
    path: str
    """Absolute, as the workload sees it, whose root is the tree's; `import` names a module instead."""
    ok: bool = True
    """Whether it succeeded; a failed one tells what was looked for and is not there."""
    exe: str = ""
    """The program that the process runs, where the tracer knows it."""


class RunHeader(Struct, frozen=True):
    """What a recorded run was: the first line of its file, before its events."""

    format: str
    """`tradewind-trace-1`."""
    name: str
    backend: str
    command: tuple[str, ...]
    tree: str
    """The digest of the tree that it ran on."""
    exit_code: int | None = None
    seconds: float = 0.0
    sees: tuple[Operation, ...] = ("open", "execute")
    """What the tracer can see at all: without `stat`, what was only asked for is not known."""
    lost: int = 0
    """Events that the tracer knows it lost; a run with any is not complete."""


class Touched(Struct, frozen=True):
    """What a run's events come to, as paths in the tree, links resolved; each set is in order."""

    opened: frozenset[str] = frozenset()
    """Files whose content was opened or that were executed, in which the links on the way are told apart."""
    probed: frozenset[str] = frozenset()
    """What was only asked for (stat, access, readlink) and exists."""
    listed: frozenset[str] = frozenset()
    """Directories whose names were read."""
    written: frozenset[str] = frozenset()
    """Paths that the run made or changed: its output, not the image's content."""
    hops: frozenset[str] = frozenset()
    """Symbolic links that were followed on the way to any of these."""
    missed: frozenset[str] = frozenset()
    """Absolute paths that were looked for and are not there."""
    modules: frozenset[str] = frozenset()
    """Python modules that were imported, by their dotted names."""

    def joined(self, other: Touched) -> Touched:
        """What either touched; what one only probed and the other opened counts as opened."""
        opened, written = self.opened | other.opened, self.written | other.written
        return Touched(
            opened=opened,
            probed=(self.probed | other.probed) - opened,
            listed=self.listed | other.listed,
            written=written,
            hops=self.hops | other.hops,
            missed=self.missed | other.missed,
            modules=self.modules | other.modules,
        )


class Run(Struct, frozen=True):
    """A recorded run: its header and what it touched."""

    header: RunHeader
    touched: Touched


def joined(runs: Iterable[Run]) -> Touched:
    """What all runs together touched."""
    total = Touched()
    for run in runs:
        total = total.joined(run.touched)
    return total
