"""Runs in an environment of Python, which is no image: unconfined, and seen through Python's audit hook.

A virtual environment has no root file system to be confined to: its interpreter and the standard library are
the machine's. What the hook tells of files in it is kept; what C libraries open is not seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from tradewind.audit.images.opening import Image
from tradewind.audit.tracing.backends.recording import DEFAULT, trace_plain
from tradewind.audit.tracing.events import Event, Run
from tradewind.audit.tracing.outcome import Recorded
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.workload import SEARCHED, Workload
from tradewind.audit.trees import Tree
from tradewind.errors import Misuse, Permanent
from tradewind.session.audit.spec import AuditSpec

HOOK = "audit-hook"
PARTIAL = (
    "Runs in an environment are unconfined and seen in part: what Python opens, imports and lists, not what "
    "C libraries open, so that more may be needed than is told."
)


def is_environment(image: Image) -> bool:
    """Whether a directory is a virtual environment, or one of conda."""
    folder = Path(image.source)
    return image.kind == "directory" and (
        (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir()
    )


def check_environment(spec: AuditSpec) -> None:
    """Misuse if the spec asks for what only a confined run can have."""
    if spec.backend not in (DEFAULT, HOOK):
        raise Misuse(
            f"{spec.backend} watches confined runs, and those of an environment are not", field="backend",
            fix=f"Leave it out, or give {HOOK}.",
        )  # fmt: skip


def seen_in_part(source: object) -> Misuse:
    """What is wrong with slimming an environment, or with verifying a slim one."""
    return Misuse(
        "an environment's runs are unconfined and only Python seen, which is too little to remove files by",
        source=str(source), fix="Trace an image in which the environment is installed.",
    )  # fmt: skip


def trace_environment(
    folder: Path, tree: Tree, workload: Workload, *, scratch: Path, digest: str
) -> Recorded:
    """Run a workload with the environment at `folder` activated, and tell what it touched of it.

    It runs as the user, unconfined, with the user's variables, and leaves no compiled modules in the
    environment. Events are those of files in the environment, whose paths are as in `tree`. Permanent if no
    Python was seen.
    """
    path = os.pathsep.join((str(folder / "bin"), os.environ.get("PATH", SEARCHED)))
    kind = "VIRTUAL_ENV" if (folder / "pyvenv.cfg").is_file() else "CONDA_PREFIX"
    active = {"PATH": path, kind: str(folder), "PYTHONDONTWRITEBYTECODE": "1", **workload.env}
    done = trace_plain(Tree([]), replace(workload, env=active), scratch=scratch, digest=digest)
    if not done.events and not done.outcome.exit_code:
        raise Permanent(
            f"{workload.name}: no Python was seen; only Python is traced here, and not with -I, -E or -S"
        )
    events = tuple(_inside(done.events, folder))
    return Recorded(Run(done.run.header, read_events(events, tree)), done.outcome, events)


def _inside(events: Iterable[Event], folder: Path) -> Iterator[Event]:
    """The events of files in a folder, with their paths from there; and the imports."""
    names = {f"{folder}/", f"{folder.resolve()}/"}
    for event in events:
        if event.op == "import":
            yield event
            continue
        for path in (event.path, os.path.realpath(event.path)):
            name = next((each for each in names if path.startswith(each)), None)
            if name is not None:
                yield replace(event, path=path[len(name) - 1 :])
                break
