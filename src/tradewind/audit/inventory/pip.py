"""Python packages by their records: pip, uv, poetry, eggs, in any number of environments of one tree.

A record that another manager's package owns (Debian's python3-numpy brings numpy's dist-info) is no package
of its own: that package *carries* it, and provides it as `pip:numpy` where imports find it. The same holds
for what a Python package has copied into itself, record and all, and for wheels that lie inside a package.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from msgspec import structs

from tradewind.audit.inventory.categories import category_of
from tradewind.audit.inventory.markers import Asked, asked, environment, with_extras
from tradewind.audit.inventory.places import Places, readable, text_of
from tradewind.audit.inventory.python_records import PythonRecord, claimed_by, guessed, python_records
from tradewind.audit.inventory.stanzas import first
from tradewind.audit.packages import Package
from tradewind.audit.trees import Files, Tree

PYTHON = "3.12"
"""The version that markers are judged by where the tree does not tell."""
IMPORTED = ("site-packages", "dist-packages")
_VERSIONED = re.compile(r"(?:^|/)python(\d+\.\d+)(?:/|$)")
_WHEEL = re.compile(r"^([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl$")


def pip_packages(
    files: Files, places: Places, others: list[Package], machine: str
) -> tuple[list[Package], list[Package], list[str]]:
    """Python packages; the packages of other managers with what they carry; and what could not be read.

    `machine` is the processor that markers are judged by.
    """
    notes: list[str] = []
    records = python_records(files, notes)
    owner_of = {path: at for at, package in enumerate(others) for path in package.files}
    carried: dict[int, list[PythonRecord]] = {}
    mine = []
    for record in records:
        at = owner_of.get(record.metadata)
        if at is None:
            mine.append(record)
        else:
            carried.setdefault(at, []).append(record)
    packages = _packages(files, places, mine, owner_of, machine, notes)
    carriers = [
        _carrying(package, carried[at]) if at in carried else package for at, package in enumerate(others)
    ]
    return packages, [_with_wheels(each) for each in carriers], notes


def _packages(
    files: Files,
    places: Places,
    records: list[PythonRecord],
    taken: Mapping[str, int],
    machine: str,
    notes: list[str],
) -> list[Package]:
    claims = [claimed_by(record, places) for record in records]
    inside = _copied(records, claims)
    listed = set(taken).union(*(claims[at] for at in range(len(records)) if at not in inside))
    versions = _Pythons(files)
    environments: dict[str, dict[str, str]] = {}
    found: list[Package] = []
    asked_by: dict[int, list[Asked]] = {}
    for at, record in enumerate(records):
        if at in inside:
            continue
        claimed = claims[at]
        if record.listed is None:
            more = guessed(record, files, listed)
            notes.append(f"{record.path} lists no files: {len(more)} are told by the names of its modules")
            claimed = claimed | more
        if record.editable:
            notes.append(
                f"{record.name} is installed editable: its code lies at {record.url}, not among its files"
            )
        if record.folder not in environments:
            environments[record.folder] = environment(versions.of(record.folder), machine)
        asked_by[len(found)], bad = asked(record.fields.get("requires-dist", ()), environments[record.folder])
        notes += [f"{record.metadata} asks for {readable(line)!r}, which is no requirement" for line in bad]
        package = Package(
            manager="pip",
            name=record.name,
            version=record.version,
            files=tuple(sorted(claimed)),
            records=tuple(sorted(path for path in claimed if _tells(path, record))),
            category=category_of("pip", record.name),
            asked_for=record.requested,
            source=readable(record.url),
            summary=readable(first(record.fields, "summary").partition("\n")[0]),
            license=_license(record.fields),
            folder=record.folder,
            hashes=record.hashes,
        )
        copied = [records[each] for each, carrier in inside.items() if carrier == at]
        found.append(_with_wheels(_carrying(package, copied)))
    return with_extras(found, asked_by)


def _copied(records: list[PythonRecord], claims: list[set[str]]) -> dict[int, int]:
    """Whose each record is that lies deeper inside of another package, and is among its files."""
    by_metadata = {record.metadata: at for at, record in enumerate(records)}
    found: dict[int, int] = {}
    for at, claimed in enumerate(claims):
        for path in sorted(by_metadata.keys() & claimed):
            other = by_metadata[path]
            above = f"{records[at].folder}/" if records[at].folder else ""
            if (
                other != at
                and records[other].folder.startswith(above)
                and records[other].folder != records[at].folder
            ):
                found[other] = at
    for other, carrier in sorted(found.items()):
        while carrier in found:
            carrier = found[carrier]
        found[other] = carrier
    return found


def _tells(path: str, record: PythonRecord) -> bool:
    return path == record.metadata or path.startswith(record.path + "/")


def _carrying(package: Package, records: Iterable[PythonRecord]) -> Package:
    """The package with what it carries, and with what of that it provides to imports."""
    records = list(records)
    provided = [
        f"pip:{each.name}"
        for each in records
        if package.manager != "pip" and posixpath.basename(each.folder) in IMPORTED
    ]
    if not records:
        return package
    telling = {path for path in package.files for each in records if _tells(path, each)}
    return structs.replace(
        package,
        carries=tuple(sorted({*package.carries, *(f"pip:{each.name}=={each.version}" for each in records)})),
        provides=tuple(dict.fromkeys([*package.provides, *provided])),
        records=tuple(sorted({*package.records, *telling})) if package.manager != "pip" else package.records,
    )


def _with_wheels(package: Package) -> Package:
    """The package with the wheels that are among its files, by their names."""
    names = [posixpath.basename(path) for path in package.files if path.endswith(".whl")]
    told = {
        f"pip:{re.sub(r'[-_.]+', '-', match[1]).lower()}=={match[2]}"
        for name in names
        if (match := _WHEEL.match(name))
    }
    return structs.replace(package, carries=tuple(sorted({*package.carries, *told}))) if told else package


def _license(fields: dict[str, list[str]]) -> str:
    """The licence: an SPDX expression, else the free field's first line, else the classifiers.

    A free field that holds a licence's whole text counts only if it begins with a name.
    """
    told = first(fields, "license-expression")
    if told:
        return readable(told)
    told = first(fields, "license").partition("\n")[0].strip()
    if told in ("", "UNKNOWN") or len(told) > 100 or told.lower().startswith("copyright"):
        classifiers = [c for c in fields.get("classifier", ()) if c.startswith("License ::")]
        told = ", ".join(c.rpartition("::")[2].strip() for c in classifiers)
    return readable(told)


class _Pythons:
    """Which Python each folder of packages belongs to."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def of(self, folder: str) -> str:
        """The version by the environment's word, the folder's name, the tree's python3, or else PYTHON."""
        parts = folder.split("/")
        for up in range(len(parts), -1, -1):
            told = text_of(self.files, "/".join([*parts[:up], "pyvenv.cfg"]), 1 << 16)
            if told is not None:
                match = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+(?:\.\d+)?)", told, re.MULTILINE)
                if match:
                    return match[1]
        named = _VERSIONED.search(folder)
        return named[1] if named else self._of_tree(self.files.tree)

    def _of_tree(self, tree: Tree) -> str:
        for path in ("usr/bin/python3", "usr/local/bin/python3", "bin/python3"):
            where, hops = tree.resolve(path)
            for each in (where or "", *(tree.entries[hop].target for hop in hops)):
                match = re.search(r"python(\d+\.\d+)$", each)
                if match:
                    return match[1]
        folders = [path for path in tree.children.get("usr/lib", ()) if _VERSIONED.search(path)]
        return _VERSIONED.search(folders[-1])[1] if folders else PYTHON  # type: ignore[index]
