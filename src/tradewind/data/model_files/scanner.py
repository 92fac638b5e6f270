"""Judge a model file before anything loads it: clean, blocked, or undecided, and never clean by default.

Serving and training call this before they load what came from outside; `tradewind audit model` shows all of
it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from msgspec.structs import replace

from tradewind.data.model_files.findings import Finding, Rule, Scan
from tradewind.data.model_files.formats.repositories import RULES as FOLDER_RULES
from tradewind.data.model_files.formats.repositories import inspect_folder, raw_files
from tradewind.data.model_files.identification import OWN_RULES, UNKNOWN, every_reading
from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.scanning import Scanning
from tradewind.errors import Misuse

LINK = Rule(
    "folder-link", "blocked",
    "A link in the folder: what it leads to is read in the file's place, and may be anything.",
    "Copy the file itself into the folder.",
)  # fmt: skip
SPECIAL = Rule(
    "folder-special", "blocked",
    "A device, socket or pipe in the folder: it is no file and cannot be scanned.",
    "Remove it.",
)  # fmt: skip
CHANGED = Rule(
    "file-changed", "undecided",
    "The file was changed while it was scanned, or cannot be read.",
    "Scan it again when nothing writes to it.",
)  # fmt: skip
_SMALL = 64 << 20
_PIECE = 1 << 20


def every_rule() -> dict[str, Rule]:
    """All the rules that a scan may tell, by identifier."""
    rules = {rule.id: rule for rule in (LINK, SPECIAL, CHANGED)} | OWN_RULES
    rules |= FOLDER_RULES
    for reading in every_reading():
        rules |= reading.rules
    return dict(sorted(rules.items()))


def scan_bytes(
    content: bytes, name: str = "", *, allowed: Allowed | None = None, budget: Budget | None = None
) -> Scan:
    """The verdict on bytes; `name` is shown and not looked at."""
    scanning = Scanning(allowed, budget or Budget())
    found = scanning.inspect(Source(content))
    return Scan(name, found, len(content), hashlib.sha256(content).hexdigest(), tuple(scanning.findings))


def scan_file(
    path: str | os.PathLike[str], *, allowed: Allowed | None = None, budget: Budget | None = None
) -> Scan:
    """The verdict on a file, by its bytes alone. Misuse where there is none.

    Of a large file only the structure and the pickles are read into memory; the digest is of every byte.
    """
    where = Path(path)
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Misuse(
            f"the file cannot be read ({error.strerror})", source=str(path), fix="Name a file that is there."
        ) from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise Misuse("this is no file", source=str(path), fix="Name a file, or scan the folder.")
    with os.fdopen(descriptor, "rb") as file:
        if about.st_size <= _SMALL:
            return scan_bytes(file.read(), str(path), allowed=allowed, budget=budget)
        digest = _digest(file)
        scanning = Scanning(allowed, budget or Budget())
        source = Source(file)
        found = scanning.inspect(source)
        after = os.fstat(file.fileno())
        if (after.st_size, after.st_mtime_ns) != (about.st_size, about.st_mtime_ns):
            scanning.found(CHANGED, "the file changed while it was scanned", source=source)
        return Scan(str(path), found, about.st_size, digest, tuple(scanning.findings))


def _digest(file: object) -> str:
    digest = hashlib.sha256()
    read = file.read  # type: ignore[attr-defined]
    while piece := read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def scan_folder(
    path: str | os.PathLike[str], *, allowed: Allowed | None = None, budget: Budget | None = None
) -> tuple[Scan, ...]:
    """The verdicts on every file below a folder, by path, and last on what only the folder as a whole shows.

    Links and what is no file are blocked, not followed. Bytes of no format pass where a model beside them
    says
    that they are its numbers. Misuse where there is no folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise Misuse("there is no folder here", source=str(path), fix="Name a folder, or scan the file.")
    whole = Scanning(allowed, budget or Budget())
    numbers = whole.guarded(lambda: raw_files(root, whole)) or frozenset()
    whole.guarded(lambda: inspect_folder(root, whole))
    scans = []
    for where in _below(root):
        kind = where.lstat().st_mode
        if stat.S_ISLNK(kind):
            scans.append(_refused(where, LINK, f"a link to {os.readlink(where)!r}"))
        elif stat.S_ISREG(kind):
            try:
                scan = scan_file(where, allowed=allowed, budget=budget)
            except Misuse as error:
                scan = _refused(where, CHANGED, str(error))
            if where in numbers and [each.rule for each in scan.findings] == [UNKNOWN.id]:
                scan = replace(scan, format="numbers", findings=())
            scans.append(scan)
        else:
            scans.append(_refused(where, SPECIAL, "no plain file"))
    if whole.findings:
        scans.append(Scan(str(root), "folder", 0, hashlib.sha256(b"").hexdigest(), tuple(whole.findings)))
    return tuple(scans)


def _below(root: Path) -> list[Path]:
    """Everything below a folder that is no folder itself, sorted; no link is followed."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root, followlinks=False):
        found += [Path(folder, name) for name in files]
        found += [Path(folder, name) for name in folders if Path(folder, name).is_symlink()]
    return sorted(found)


def _refused(where: Path, rule: Rule, message: str) -> Scan:
    finding = Finding(rule.id, rule.level, message)
    return Scan(str(where), "unknown", 0, hashlib.sha256(b"").hexdigest(), (finding,))
