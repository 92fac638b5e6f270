"""The inventory of a tree: all managers' packages, whose each file is, and what was seen and not read."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import structs

from tradewind.audit.inventory.apt import apt_packages
from tradewind.audit.inventory.conda import conda_packages
from tradewind.audit.inventory.pip import pip_packages
from tradewind.audit.inventory.places import Places, readable, text_of
from tradewind.audit.packages import Inventory, Package
from tradewind.audit.trees import Files, Tree

UNREAD = {
    "rpm": ("var/lib/rpm", "usr/lib/sysimage/rpm"),
    "apk": ("lib/apk/db/installed", "usr/lib/apk/db/installed"),
    "pacman": ("var/lib/pacman/local",),
    "snap": ("var/lib/snapd/state.json",),
    "chisel": ("var/lib/chisel/manifest.wall",),
    "nix": ("nix/var/nix/db/db.sqlite",),
}
"""Databases of managers that are not read, by manager: where they lie."""
_COMPILED = re.compile(
    r"(?P<folder>.*)__pycache__/(?P<module>[^/]+?)\.(?:cpython|pypy)[^/.]*(?:\.opt-\d)?\.pyc$"
)
_NPM = re.compile(r"(^|/)node_modules/(@[^/]+/)?[^/@]+/package\.json$")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "armhf": "armv7l", "ppc64el": "ppc64le"}
"""Processors as markers name them, by Debian's names."""


def take_inventory(files: Files) -> Inventory:
    """The packages of apt, pip and conda in a tree, with their files.

    Compiled modules that nobody lists belong to the package of their source. What is damaged is passed over
    and told in the inventory's notes; Misuse comes only from `files` itself.
    """
    places = Places(files.tree)
    apt, apt_notes = apt_packages(files, places)
    conda, conda_notes = conda_packages(files, places)
    system = _system(files)
    pip, others, pip_notes = pip_packages(files, places, [*apt, *conda], _machine(apt, conda))
    packages = _with_compiled(files.tree, [*others, *pip])
    keyed, key_notes = _keyed(packages)
    notes = [*apt_notes, *conda_notes, *pip_notes, *key_notes, *_unread(files.tree)]
    return Inventory(files.tree, keyed, [readable(note) for note in notes], system)


def _with_compiled(tree: Tree, packages: list[Package]) -> list[Package]:
    """The packages with the compiled modules of their sources that no package lists."""
    owner_of: dict[str, int] = {}
    for at, package in enumerate(packages):
        for path in package.files:
            owner_of.setdefault(path, at)
    more: dict[int, list[str]] = {}
    for path, entry in tree.entries.items():
        if path.endswith(".pyc") and path not in owner_of and entry.kind == "file":
            match = _COMPILED.match(path)
            owner = owner_of.get(f"{match['folder']}{match['module']}.py") if match else None
            if owner is not None:
                more.setdefault(owner, []).append(path)
    return [
        structs.replace(package, files=tuple(sorted([*package.files, *more[at]]))) if at in more else package
        for at, package in enumerate(packages)
    ]


def _keyed(packages: Iterable[Package]) -> tuple[dict[str, Package], list[str]]:
    """The packages by their keys; with folder or architecture where a name is there more than once."""
    packages = list(packages)
    names = Counter(package.key for package in packages)
    found: dict[str, Package] = {}
    notes = []
    for package in packages:
        key = package.key
        if names[key] > 1:
            key = f"{key}@{package.architecture if package.manager == 'apt' else package.folder}"
        if key in found:
            notes.append(f"{key} is recorded twice: versions {found[key].version} and {package.version}")
            key = f"{key}#{package.version}"
            count = 2
            while key in found:
                key = f"{key.partition('~')[0]}~{count}"
                count += 1
        found[key] = package
    return found, notes


def _system(files: Files) -> dict[str, str]:
    """What `os-release` says."""
    text = text_of(files, "etc/os-release", 1 << 16) or text_of(files, "usr/lib/os-release", 1 << 16) or ""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[A-Z0-9_]+", name):
            try:
                found[name] = readable("".join(shlex.split(value)))
            except ValueError:
                found[name] = readable(value)
    return found


def _machine(apt: list[Package], conda: list[Package]) -> str:
    """The processor of the tree, as markers name it; x86_64 if no manager tells."""
    for package in (*apt, *conda):
        told = package.architecture.removeprefix("linux-")
        if told not in ("", "all", "noarch"):
            return _MACHINES.get(told, "x86_64" if told == "64" else told)
    return "x86_64"


def _unread(tree: Tree) -> Iterator[str]:
    """Sentences about what other managers brought, which is among the unowned files."""
    for manager, paths in UNREAD.items():
        for path in paths:
            if tree.resolve(path)[0] is not None:
                yield f"{path} is a database of {manager}, which is not read: its packages' files are unowned"
    told = [path for path in tree.entries if path.endswith(("/package.json", ".jar", ".gemspec"))]
    modules = sum(bool(_NPM.search(path)) for path in told)
    jars = sum(path.endswith(".jar") for path in told)
    gems = sum(path.endswith(".gemspec") and "/specifications/" in path for path in told)
    for count, what in ((modules, "packages of npm"), (jars, "Java archives"), (gems, "Ruby gems")):
        if count:
            yield f"{count} {what} are seen and not read"
