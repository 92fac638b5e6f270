"""The records that Python's installers leave: `*.dist-info`, `*.egg-info`, eggs, and what each installed.

Read are METADATA or PKG-INFO, RECORD or installed-files.txt, REQUESTED, direct_url.json and, where there is
no list of files, top_level.txt and entry_points.txt. Nothing is imported.
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct
from packaging.utils import canonicalize_name

from tradewind.audit.inventory.places import Places, readable, text_of
from tradewind.audit.inventory.stanzas import first, headers
from tradewind.audit.trees import Files, Tree

ENDINGS = (".dist-info", ".egg-info", "/EGG-INFO")
_FOLDER_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+?)(?:-py\d.*)?\.(?:dist-info|egg-info|egg)$")


class _ArchiveInfo(Struct):
    hashes: dict[str, str] = {}


class _DirInfo(Struct):
    editable: bool = False


class _Origin(Struct):
    """A direct_url.json."""

    url: str = ""
    archive_info: _ArchiveInfo | None = None
    dir_info: _DirInfo | None = None


class PythonRecord(Struct, frozen=True):
    """One record of an installed Python package."""

    path: str
    """The folder, or for distutils the file, that is the record."""
    metadata: str
    """The file that holds its name and version."""
    folder: str
    """What it is installed into: the folder that imports look in."""
    name: str
    version: str
    fields: dict[str, list[str]]
    listed: tuple[str, ...] | None
    """The paths that it says it installed, not yet looked for in the tree; None if it does not say."""
    requested: bool = False
    url: str = ""
    """Where it was installed from, if not from an index."""
    editable: bool = False
    hashes: tuple[tuple[str, str], ...] = ()


def python_records(files: Files, notes: list[str]) -> list[PythonRecord]:
    """All records in the tree, in order of their paths; what could not be read is added to `notes`."""
    found = []
    for path, entry in files.tree.entries.items():
        if path.endswith(ENDINGS) and entry.kind in ("directory", "file"):
            if posixpath.basename(path).startswith("~"):
                notes.append(f"{path} is left of an installation that failed or is half removed")
                continue
            record = _record(files, path, entry.kind == "file", notes)
            if record is not None:
                found.append(record)
    return found


def _record(files: Files, path: str, is_file: bool, notes: list[str]) -> PythonRecord | None:
    tree = files.tree
    inside = () if is_file else tree.children.get(path, ())
    folder, _, last = path.rpartition("/")
    egg = last == "EGG-INFO"
    if egg:
        folder, _, last = folder.rpartition("/")
    metadata = path
    if not is_file:
        metadata = next((p for p in (f"{path}/METADATA", f"{path}/PKG-INFO") if p in tree), "")
    text = text_of(files, metadata) if metadata else None
    fields = headers(readable(text)) if text is not None else {}
    by_name = _FOLDER_NAME.search(last)
    name = first(fields, "name") or (by_name["name"] if by_name else "")
    if not name:
        notes.append(f"{path} names no package: it is not told")
        return None
    if not first(fields, "name"):
        notes.append(f"{path} has no readable metadata: the package is named by its folder")
    origin = (
        _origin(files, f"{path}/direct_url.json", notes) if f"{path}/direct_url.json" in tree else _Origin()
    )
    base = path.rpartition("/")[0]
    listed = None
    if f"{path}/RECORD" in tree:
        listed = _recorded(files, f"{path}/RECORD", base, notes)
    elif f"{path}/installed-files.txt" in tree:
        lines = (text_of(files, f"{path}/installed-files.txt") or "").splitlines()
        listed = tuple(posixpath.normpath(f"{path}/{line}") for line in lines if line)
    elif egg:
        listed = tuple(below_all(tree, base))
    archive = origin.archive_info
    return PythonRecord(
        path=path,
        metadata=metadata or path,
        folder=folder,
        name=str(canonicalize_name(readable(name))),
        version=first(fields, "version") or (readable(by_name["version"]) if by_name else ""),
        fields=fields,
        listed=listed,
        requested=f"{path}/REQUESTED" in inside,
        url=origin.url,
        editable=origin.dir_info is not None and origin.dir_info.editable,
        hashes=tuple(sorted(archive.hashes.items())) if archive is not None else (),
    )


def _origin(files: Files, path: str, notes: list[str]) -> _Origin:
    try:
        return msgspec.json.decode(text_of(files, path) or "", type=_Origin)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        notes.append(f"{path} is damaged: where the package came from is not told")
        return _Origin()


def _recorded(files: Files, path: str, base: str, notes: list[str]) -> tuple[str, ...] | None:
    """The paths that a RECORD lists, from the root of the tree; `..` stays as it is written."""
    text = text_of(files, path)
    if text is None:
        notes.append(f"{path} could not be read: its package's files are guessed")
        return None
    prefix = f"{base}/" if base else ""
    found = []
    try:
        for row in csv.reader(text.splitlines()):
            if row and row[0]:
                found.append(row[0] if row[0].startswith("/") else prefix + row[0])
    except csv.Error as problem:
        notes.append(f"{path} is damaged ({problem}): only what it lists before is taken")
    return tuple(found)


def claimed_by(record: PythonRecord, places: Places) -> set[str]:
    """The files of the tree that a record lists, and all of its own folder.

    `pip install --target` puts scripts below the target and still records them above it; they are found
    there.
    """
    entries = places.tree.entries
    found = set(below_all(places.tree, record.path))
    found.add(record.metadata)
    base = record.path.rpartition("/")[0]
    for path in record.listed or ():
        where = path if path in entries else places.entry(path)
        if where is None and "/../" in path:
            inside = path.removeprefix(base + "/")
            while inside.startswith("../"):
                inside = inside[3:]
            where = places.entry(f"{base}/{inside}")
        if where is not None and entries[where].kind != "directory":
            found.add(where)
    return found


def guessed(record: PythonRecord, files: Files, taken: Iterable[str]) -> set[str]:
    """What a record without a list of files probably installed.

    These are the modules and scripts that it names and that nobody else claims.
    """
    tree = files.tree
    folder = f"{record.folder}/" if record.folder else ""
    modules = (text_of(files, f"{record.path}/top_level.txt") or "").split()
    modules = modules or [record.name.replace("-", "_")]
    found: set[str] = set()
    for module in modules:
        found.update(below_all(tree, folder + module))
        found.update(
            path
            for path in tree.children.get(record.folder, ())
            if path == f"{folder}{module}.py"
            or (path.startswith(f"{folder}{module}.") and path.endswith(".so"))
        )
    prefix = re.sub(r"(^|/)lib(64)?/python[^/]*/(site|dist)-packages$", "", record.folder)
    for script in _scripts(text_of(files, f"{record.path}/entry_points.txt") or ""):
        path = f"{prefix}/bin/{script}".lstrip("/")
        if path in tree:
            found.add(path)
    return found.difference(taken)


def _scripts(text: str) -> Iterator[str]:
    section = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section in ("[console_scripts]", "[gui_scripts]") and "=" in line:
            name = line.partition("=")[0].strip()
            if name and "/" not in name:
                yield name


def below_all(tree: Tree, folder: str) -> Iterator[str]:
    """All paths below a directory that are no directories, in no order; nothing for what is none."""
    waiting = [folder]
    while waiting:
        for path in tree.children.get(waiting.pop(), ()):
            if tree.entries[path].kind == "directory":
                waiting.append(path)
            else:
                yield path
