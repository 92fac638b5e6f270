"""Traces a workload: chooses the tracer, runs it, and reads what the tracer saw."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tradewind.audit.tracing.backends.access_times import AccessTimes
from tradewind.audit.tracing.backends.audit_hook import AuditHook
from tradewind.audit.tracing.backends.bpftrace import Bpftrace
from tradewind.audit.tracing.backends.confinement import remove_room
from tradewind.audit.tracing.backends.fanotify import Fanotify
from tradewind.audit.tracing.backends.plain import run_plain
from tradewind.audit.tracing.backends.running import run_traced
from tradewind.audit.tracing.backends.strace import Strace
from tradewind.audit.tracing.backends.tracer import Told, Tracer, View
from tradewind.audit.tracing.events import Run, RunHeader
from tradewind.audit.tracing.outcome import Outcome, Recorded
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.workload import Workload
from tradewind.audit.trees import Tree
from tradewind.errors import Misuse

FORMAT = "tradewind-trace-1"
_MAKERS: dict[str, Callable[[], Tracer]] = {
    "fanotify": Fanotify,
    "bpftrace": Bpftrace,
    "strace": Strace,
    "access-times": AccessTimes,
    "audit-hook": AuditHook,
}
BACKENDS = tuple(_MAKERS)
"""The names of all tracers."""
DEFAULT = "auto"
"""fanotify where it works, strace where it does not, the audit hook where neither does."""


def tracer_named(name: str = DEFAULT) -> Tracer:
    """A tracer of that name. Raises Misuse for a name that is none, and where it cannot work here."""
    if name == DEFAULT:
        for each in ("fanotify", "strace"):
            tracer = _MAKERS[each]()
            try:
                tracer.check()
            except Misuse:
                continue
            return tracer
        return AuditHook()
    if name not in _MAKERS:
        raise Misuse(
            f"{name!r} is no tracer", field="backend", fix=f"Choose of {', '.join((DEFAULT, *BACKENDS))}."
        )
    tracer = _MAKERS[name]()
    tracer.check()
    return tracer


def trace(
    root: Path | Sequence[Path],
    tree: Tree,
    workload: Workload,
    *,
    scratch: Path,
    backend: str = DEFAULT,
    digest: str = "",
) -> Recorded:
    """Run a workload confined to `root` under a tracer and tell what it touched of `tree`, the tree there.

    `digest` is the tree's, for the header. `access-times` copies the tree into `scratch` first and runs in
    the copy, because files below an overlay keep their times. Raises Misuse for what the caller can mend,
    Permanent where the kernel refuses a step of the confinement.
    """
    workload.check()
    tracer = tracer_named(backend)
    view: View = tracer.view or "overlay"
    if view != "plain":
        return _recorded(tracer, tree, workload, digest, *_traced(root, workload, scratch, view, tracer))
    if not isinstance(root, Path):
        raise Misuse(f"{tracer.name} reads one directory", field="root", fix="Give one, or another backend.")
    scratch.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix="copy-", dir=scratch))
    try:
        copy_tree(root, room / "tree")
        return _recorded(
            tracer, tree, workload, digest, *_traced(room / "tree", workload, scratch, view, tracer)
        )
    finally:
        remove_room(room)


def trace_plain(tree: Tree, workload: Workload, *, scratch: Path, digest: str = "") -> Recorded:
    """Run a workload as it is, on the machine's own files and unconfined, under the audit hook.

    For a virtual environment, or where the kernel lets us confine nothing. `tree` is of the machine's root or
    of a part of it with the paths that it has there. Only Python processes are seen, and only what passes
    through the interpreter.
    """
    workload.check()
    hook = AuditHook()
    return _recorded(hook, tree, workload, digest, *run_plain(workload, hook, scratch=scratch))


def _traced(
    root: Path | Sequence[Path], workload: Workload, scratch: Path, view: View, tracer: Tracer
) -> tuple[Outcome, Told]:
    return run_traced(root, workload, scratch=scratch, view=view, tracer=tracer)


def _recorded(
    tracer: Tracer, tree: Tree, workload: Workload, digest: str, outcome: Outcome, told: Told
) -> Recorded:
    header = RunHeader(
        format=FORMAT,
        name=workload.name,
        backend=tracer.name,
        command=workload.command,
        tree=digest,
        exit_code=outcome.exit_code,
        seconds=round(outcome.seconds, 6),
        sees=tracer.sees,
        lost=told.lost,
    )
    touched = read_events(told.events, tree, (each.path for each in outcome.written))
    return Recorded(Run(header, touched), outcome, told.events)


def copy_tree(source: Path, target: Path) -> None:
    """A copy of a tree with its links, modes, owners, times and attributes; hard links stay one file.

    Devices and pipes are left out: a confined workload gets its own.
    """
    target.mkdir()
    known: dict[tuple[int, int], Path] = {}
    for folder, folders, files in os.walk(source):
        here = target / os.path.relpath(folder, source)
        for name in [*folders, *files]:
            _copy_one(Path(folder) / name, here / name, known)
    for folder, _, _ in os.walk(source, topdown=False):
        here = target / os.path.relpath(folder, source)
        shutil.copystat(folder, here)
        _own(Path(folder), here)


def _copy_one(source: Path, target: Path, known: dict[tuple[int, int], Path]) -> None:
    shape = os.lstat(source)
    if source.is_symlink():
        os.symlink(os.readlink(source), target)
        _own(source, target)
    elif source.is_dir():
        target.mkdir()
    elif source.is_file():
        first = known.get((shape.st_dev, shape.st_ino)) if shape.st_nlink > 1 else None
        if first is not None:
            os.link(first, target)
            return
        known[shape.st_dev, shape.st_ino] = target
        shutil.copyfile(source, target)
        _own(source, target)
        shutil.copystat(source, target)


def _own(source: Path, target: Path) -> None:
    if os.geteuid() == 0:
        shape = os.lstat(source)
        os.lchown(target, shape.st_uid, shape.st_gid)
