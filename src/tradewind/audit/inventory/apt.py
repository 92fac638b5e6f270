"""Packages of dpkg and apt: the status database or `status.d`, lists of files, diversions, who was asked for.

Files are those that `dpkg -L` tells, where they lie in a system whose `/bin` and `/lib` are links. A package
that is removed but for its configuration is not installed. Records are its documents and its part of the
database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tradewind.audit.inventory.categories import category_of
from tradewind.audit.inventory.places import Places, below, readable, text_of
from tradewind.audit.inventory.stanzas import first, stanzas
from tradewind.audit.packages import Package, Requirement
from tradewind.audit.trees import Files

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d"
LISTS = "var/lib/dpkg/info"
DIVERSIONS = "var/lib/dpkg/diversions"
ASKED = "var/lib/apt/extended_states"
TELLING = (
    "usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/doc-base/", "usr/share/lintian/",
    "usr/share/bug/",
)  # fmt: skip
"""Folders whose files only tell of a package."""
GONE = {"config-files", "not-installed"}
"""States in which a package's files are not there."""
_RESTRICTIONS = re.compile(r"\([^)]*\)|\[[^\]]*\]|<[^>]*>")
_LICENSE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)


def apt_packages(files: Files, places: Places) -> tuple[list[Package], list[str]]:
    """The installed packages, in the database's order, and what could not be read, in sentences.

    None and nothing where the tree has no dpkg database.
    """
    notes: list[str] = []
    records = _by_package(files)
    diverted = _diversions(files)
    automatic = _automatic(files)
    found = []
    listless = 0
    for fields, where in _installed(files, notes):
        name = first(fields, "package").lower()
        version, architecture = first(fields, "version"), first(fields, "architecture")
        mine = [
            *([where] if where != STATUS else []),
            *(records.get(f"{name}:{architecture}") or records.get(name, [])),
        ]
        listed = _listed(files, mine)
        if listed is None:
            listless += 1
        moved = diverted.get(name, diverted[""])
        claimed = places.files(moved.get(path, path) for path in listed or ())
        source, _, source_version = first(fields, "source").partition(" ")
        found.append(
            Package(
                manager="apt",
                name=name,
                version=version,
                files=tuple(sorted(claimed)),
                records=tuple(sorted({*mine, *(path for path in claimed if path.startswith(TELLING))})),
                requires=tuple(_required(fields)),
                provides=tuple(dict.fromkeys(_names(first(fields, "provides")))),
                category=category_of("apt", name),
                asked_for=automatic is not None and (name, architecture) not in automatic,
                architecture=architecture,
                source=source or name,
                source_version=source_version.strip("() ") or version,
                summary=readable(first(fields, "description").partition("\n")[0]),
                license=_license(files, name),
            )
        )
    if listless:
        notes.append(
            f"dpkg's database lists no files for {listless} of {len(found)} packages: they own nothing here"
        )
    return found, notes


def _installed(files: Files, notes: list[str]) -> Iterator[tuple[dict[str, list[str]], str]]:
    """The fields of each installed package, and the file that holds them."""
    seen = set()
    parts = [path for path in below(files.tree, STATUS_FOLDER) if not path.endswith(".md5sums")]
    for path in ([STATUS] if files.tree.resolve(STATUS)[0] else []) + parts:
        text = text_of(files, path)
        if text is None:
            notes.append(f"{path} could not be read: the packages that it names are not told")
            continue
        for fields in stanzas(readable(text)):
            state = first(fields, "status").split()
            who = (first(fields, "package"), first(fields, "architecture"))
            if not who[0] or who in seen or (state and state[-1] in GONE):
                continue
            seen.add(who)
            yield fields, path


def _by_package(files: Files) -> dict[str, list[str]]:
    """The database's files about each package, by its name, or `name:architecture` where they have that."""
    found: dict[str, list[str]] = {}
    for database in (LISTS, STATUS_FOLDER):
        for path in below(files.tree, database):
            stem, dot, kind = path.rpartition("/")[2].rpartition(".")
            if dot and (database == LISTS or kind == "md5sums"):
                found.setdefault(stem, []).append(path)
    return found


def _listed(files: Files, records: Iterable[str]) -> list[str] | None:
    """The paths in a package's list, or in its checksums and settings without one; None without either."""
    by_kind = {path.rpartition(".")[2]: path for path in records}
    if "list" in by_kind:
        text = text_of(files, by_kind["list"])
        if text is not None:
            paths = [line[1:] for line in text.split("\n") if len(line) > 2]
            # A folder that the system has made a link since, as /bin, is no file of any package.
            folders = {path.rpartition("/")[0] for path in paths}
            return [path for path in paths if path not in folders]
    if "md5sums" not in by_kind:
        return None
    sums = text_of(files, by_kind["md5sums"]) or ""
    settings = text_of(files, by_kind["conffiles"]) or "" if "conffiles" in by_kind else ""
    paths = [line.partition("  ")[2] for line in sums.split("\n")]
    paths += [line.split(" ")[-1] for line in settings.split("\n")]
    return [path.removeprefix("./").lstrip("/") for path in paths if path]


def _diversions(files: Files) -> dict[str, dict[str, str]]:
    """Where each diverted path lies instead, by the package that is not concerned; `""` for all others."""
    lines = (text_of(files, DIVERSIONS) or "").split("\n")
    told = [
        (lines[i].lstrip("/"), lines[i + 1].lstrip("/"), lines[i + 2]) for i in range(0, len(lines) - 2, 3)
    ]
    found = {"": {path: instead for path, instead, _ in told}}
    for _, _, who in told:
        if who != ":":
            found[who] = {path: instead for path, instead, other in told if other != who}
    return found


def _automatic(files: Files) -> set[tuple[str, str]] | None:
    """Packages that apt installed for others' sake, by name and architecture; None if it keeps no such list.

    An entry for the machine's own architecture stands for packages of architecture `all` too.
    """
    text = text_of(files, ASKED)
    if text is None:
        return None
    found = set()
    for fields in stanzas(readable(text)):
        if first(fields, "auto-installed") == "1":
            name = first(fields, "package").lower()
            found.update({(name, first(fields, "architecture")), (name, "all")})
    return found


def _required(fields: dict[str, list[str]]) -> Iterator[Requirement]:
    for kind in ("pre-depends", "depends"):
        for clause in first(fields, kind).split(","):
            names = tuple(name for each in clause.split("|") for name in _names(each))
            if names:
                yield Requirement(alternatives=names, kind=kind)


def _names(told: str) -> list[str]:
    """The bare names in a list of packages: no versions, architectures or profiles."""
    found = []
    for each in _RESTRICTIONS.sub("", told).split(","):
        name = each.strip().partition(":")[0].lower()
        if name:
            found.append(name)
    return found


def _license(files: Files, name: str) -> str:
    """The licences that a machine-readable copyright file names, in order of appearance."""
    text = text_of(files, f"usr/share/doc/{name}/copyright", 1 << 20)
    if text is None:
        return ""
    return readable(", ".join(dict.fromkeys(each.strip() for each in _LICENSE.findall(text))))
