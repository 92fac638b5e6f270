"""Runs a workload confined to its tree, with or without a tracer, and tells what came of it."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tradewind.audit.tracing.backends.confinement import Confined, Ended, check_confinement, remove_room
from tradewind.audit.tracing.backends.services import drive
from tradewind.audit.tracing.backends.tracer import Launch, Told, Tracer, View, unseen
from tradewind.audit.tracing.outcome import Answer, Outcome, Output, Written
from tradewind.audit.tracing.workload import Workload
from tradewind.clock import stopwatch
from tradewind.errors import Misuse

LARGEST_KEPT = 64 << 20
"""Bytes of one stream or output that are kept in memory."""


def run_confined(
    root: Path | Sequence[Path], workload: Workload, *, scratch: Path, view: View = "overlay"
) -> Outcome:
    """Run a workload with `root` as its root and tell how it ended.

    Several roots lie one over the other, the first on top: `[slim, removed]` is an image with its side-car.
    Nothing it writes reaches them, but for the view `plain`, which is for copies. `scratch` is a directory,
    on a file system that an overlay can write to (not itself an overlay), in which a room is made for the run
    and removed after it. Raises Misuse for what the caller can mend, Permanent where the kernel refuses.
    """
    return run_traced(root, workload, scratch=scratch, view=view, tracer=None)[0]


def run_traced(
    root: Path | Sequence[Path],
    workload: Workload,
    *,
    scratch: Path,
    view: View = "overlay",
    tracer: Tracer | None,
) -> tuple[Outcome, Told]:
    """The same with a tracer: how it ended and what the tracer saw of it."""
    workload.check()
    check_confinement()
    roots = [root] if isinstance(root, Path) else list(root)
    for each in roots:
        if not each.is_dir():
            raise Misuse(f"{each} is no directory", field="root", fix="Unpack the image first.")
    if len(roots) > 1 and view != "overlay":
        raise Misuse("several roots make one tree only in an overlay", field="view", fix="Leave it out.")
    with _room(scratch) as room:
        launch = Launch()
        if tracer is not None:
            tracer.check()
            if tracer.view is not None and tracer.view != view:
                raise Misuse(
                    f"{tracer.name} needs the view {tracer.view}", field="view", fix="Give that one."
                )
        before = _state(roots[0]) if view == "plain" else {}
        try:
            if tracer is not None:
                own = room / "tracer"
                own.mkdir()
                launch = tracer.prepare(own, dict(workload.env))
            outcome, made = _run(roots, workload, room, view, launch, tracer)
            told = Told() if tracer is None else tracer.finish()
        finally:
            if tracer is not None:
                tracer.close()
        if view == "plain":
            changed = tuple(each for each in _changed(roots[0], before) if each.path not in made)
            outcome = _with_outputs(outcome, changed, roots[0], workload)
        hidden = tuple(each.path for each in launch.binds) + ((launch.marker,) if launch.marker else ())
        return outcome, Told(unseen(told.events, hidden), told.lost)


def _run(
    roots: Sequence[Path], workload: Workload, room: Path, view: View, launch: Launch, tracer: Tracer | None
) -> tuple[Outcome, set[str]]:
    """How the command ended, and the paths that were made for our own mounts."""
    answers: tuple[Answer, ...] = ()
    problem = ""
    with Confined(roots, workload, room, view=view, launch=launch) as confined:
        if tracer is not None:
            tracer.attach(confined.init, confined.command)
        elapsed = stopwatch()
        confined.go()
        ended: Ended | None
        if workload.long_running:
            answers, ended, problem = drive(confined, workload)
            if ended is None:
                problem = problem or f"killed: it did not stop within {workload.grace:g} s"
        else:
            ended = confined.wait(workload.limit)
            if ended is None:
                problem = f"killed at its limit of {workload.limit:g} s"
        seconds = elapsed()
        made = {path.strip("/") for path in confined.made}
    ended = ended or Ended(137, 0.0, 0)
    outcome = Outcome(
        exit_code=ended.code,
        stdout=_beginning(room / "out"),
        stderr=_beginning(room / "err"),
        answers=answers,
        seconds=seconds,
        cpu_seconds=ended.cpu,
        peak_bytes=ended.peak,
        problem=problem,
    )
    if view != "overlay":
        return outcome, made
    written = tuple(_written(room / "upper", roots, made))
    return _with_outputs(outcome, written, room / "upper", workload), made


@contextmanager
def _room(scratch: Path) -> Iterator[Path]:
    """A directory for one run, removed at its end."""
    scratch.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
    # The workload's user must be able to pass to nothing in here but by its own mounts.
    room.chmod(0o700)
    try:
        yield room
    finally:
        remove_room(room)


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST_KEPT)


def _digest(path: Path) -> tuple[str, int]:
    """The digest and size of a regular file that a workload made; no link is followed."""
    held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(held, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", os.fstat(held).st_size


def _below(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """What lies below a directory, relative paths with what lstat says, directories before what they hold."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda each: each.name)
    except PermissionError:
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda each: each.name)
    for each in found:
        shape = each.stat(follow_symlinks=False)
        yield prefix + each.name, shape
        if stat.S_ISDIR(shape.st_mode):
            yield from _below(folder / each.name, f"{prefix}{each.name}/")


def _told(path: str, where: Path, shape: os.stat_result) -> Written:
    mode = stat.S_IMODE(shape.st_mode)
    if stat.S_ISREG(shape.st_mode):
        try:
            digest, size = _digest(where)
        except PermissionError:
            os.chmod(where, 0o600)
            digest, size = _digest(where)
        return Written(path, "file", size=size, mode=mode, digest=digest)
    if stat.S_ISLNK(shape.st_mode):
        return Written(path, "link", mode=mode, target=os.readlink(where))
    if stat.S_ISCHR(shape.st_mode) and shape.st_rdev == 0:
        return Written(path, "removed")
    return Written(path, "directory" if stat.S_ISDIR(shape.st_mode) else "other", mode=mode)


def _written(upper: Path, roots: Sequence[Path], made: set[str]) -> Iterator[Written]:
    """What an overlay's upper layer holds, without the directories that only lead to it."""
    for path, shape in _below(upper):
        if path in made:
            continue
        where = upper / path
        leads = stat.S_ISDIR(shape.st_mode) and any(
            (root / path).is_dir() and not (root / path).is_symlink() for root in roots
        )
        if leads and _same_shape(shape, next(root / path for root in roots if (root / path).is_dir())):
            continue
        yield _told(path, where, shape)


def _same_shape(shape: os.stat_result, lower: Path) -> bool:
    """Whether a directory has the mode and the owner of the one that it lies over."""
    below = os.lstat(lower)
    return (shape.st_mode, shape.st_uid, shape.st_gid) == (below.st_mode, below.st_uid, below.st_gid)


State = dict[str, tuple[int, int, int, int]]


def _state(root: Path) -> State:
    """What tells whether anything below `root` has changed: node, mode, size, and when it last did."""
    return {
        path: (shape.st_ino, shape.st_mode, shape.st_size if not stat.S_ISDIR(shape.st_mode) else 0,
               shape.st_mtime_ns if not stat.S_ISDIR(shape.st_mode) else 0)
        for path, shape in _below(root)
    }  # fmt: skip


def _changed(root: Path, before: State) -> tuple[Written, ...]:
    after = _state(root)
    found = [
        _told(path, root / path, os.lstat(root / path)) for path in after if after[path] != before.get(path)
    ]
    found += [Written(path, "removed") for path in before if path not in after]
    return tuple(sorted(found, key=lambda each: each.path))


def _with_outputs(outcome: Outcome, written: tuple[Written, ...], base: Path, workload: Workload) -> Outcome:
    """The outcome with what it wrote, and the content of what it was to produce."""
    wanted = [path.strip("/") for path in workload.outputs]
    outputs = []
    for each in written:
        if each.kind == "file" and any(
            not w or each.path == w or each.path.startswith(w + "/") for w in wanted
        ):
            content = _beginning(base / each.path) if each.size <= LARGEST_KEPT else None
            outputs.append(Output(f"/{each.path}", each.size, each.digest, content))
    return Outcome(
        exit_code=outcome.exit_code,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        answers=outcome.answers,
        written=written,
        outputs=tuple(outputs),
        seconds=outcome.seconds,
        cpu_seconds=outcome.cpu_seconds,
        peak_bytes=outcome.peak_bytes,
        problem=outcome.problem,
    )
