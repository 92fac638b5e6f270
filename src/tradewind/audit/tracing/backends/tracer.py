"""What every tracer can do: ask for how the workload is launched, watch it, and tell what it touched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from tradewind.audit.tracing.events import Event, Operation

View = Literal["overlay", "read-only", "plain"]
"""How a workload sees its tree: below a layer that takes what it writes; as it is, not to be written; or as
it is, to be written, for copies."""


class Bind(Struct, frozen=True):
    """A file or directory of the machine put at a path inside."""

    source: str
    path: str
    writable: bool = False


class Launch(Struct, frozen=True):
    """What a tracer asks of a launch."""

    prefix: tuple[str, ...] = ()
    """A command that runs the launcher."""
    env: tuple[tuple[str, str], ...] = ()
    binds: tuple[Bind, ...] = ()
    marker: str = ""
    """A path that the command's process asks for right before it is executed."""


class Told(Struct, frozen=True):
    """What a tracer saw."""

    events: tuple[Event, ...] = ()
    lost: int = 0


class Tracer(Protocol):
    """A way to see what a workload touches. One object traces one run."""

    name: str
    sees: tuple[Operation, ...]
    view: View | None
    """The view that it works with; None for any."""

    def check(self) -> None:
        """Raise Misuse, saying what is missing, where it cannot work on this machine."""
        ...

    def prepare(self, room: Path, env: dict[str, str]) -> Launch:
        """Begin, before anything is launched, in a directory of its own; `env` is the workload's."""
        ...

    def attach(self, init: int, command: int) -> None:
        """The command waits to be executed; both pids are as the machine numbers them."""
        ...

    def finish(self) -> Told:
        """All processes have ended: tell what was touched."""
        ...

    def close(self) -> None:
        """Let go of everything; called always, after a failure too."""
        ...


def unseen(events: Iterable[Event], hidden: tuple[str, ...]) -> tuple[Event, ...]:
    """The events but for those at or below the `hidden` paths, which are ours, not the workload's."""
    return tuple(e for e in events if not any(e.path == h or e.path.startswith(h + "/") for h in hidden))
