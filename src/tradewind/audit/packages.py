"""What a tree holds as packages: which manager brought each, what files it owns, and what it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct

from tradewind.audit.trees import Tree

Manager = Literal["apt", "pip", "conda"]
Category = Literal["ML", "GPU", "generic"]


class Requirement(Struct, frozen=True):
    """One thing a package asks for: any of the alternatives will do, the first being preferred."""

    alternatives: tuple[str, ...]
    """Names as the manager normalises them, without versions; virtual names among them."""
    kind: str = "depends"
    """`depends`, `pre-depends`, or `extra:NAME` for what only an extra of a Python package asks for."""


class Package(Struct, frozen=True):
    """One installed package."""

    manager: Manager
    name: str
    """As the manager normalises it: PEP 503 for pip, lower case for the others."""
    version: str
    files: tuple[str, ...] = ()
    """Its paths in the tree, links on the way resolved, in order; only what exists, no directories."""
    records: tuple[str, ...] = ()
    """What of its files and the manager's database only tells of it: dist-info, lists, licences, docs."""
    requires: tuple[Requirement, ...] = ()
    provides: tuple[str, ...] = ()
    """Virtual names that it stands in for."""
    category: Category = "generic"
    asked_for: bool = False
    """Whether somebody asked for it by name, as far as the manager's database tells."""
    architecture: str = ""
    source: str = ""
    """The source package that it was built from, where the manager knows one."""
    summary: str = ""
    license: str = ""
    source_version: str = ""
    """The version of the source package, which need not be the package's own."""
    folder: str = ""
    """Where it was installed: the site-packages of a Python package, the prefix of conda; empty for apt."""
    hashes: tuple[tuple[str, str], ...] = ()
    """Digests of the archive that it came from, as its manager recorded them: method and hexadecimal."""
    carries: tuple[str, ...] = ()
    """Packages of another manager, or copied in whole, with records among its files: `pip:numpy==1.24.2`.

    They are no packages of their own: their files are this one's.
    """

    @property
    def key(self) -> str:
        """What tells it from all others of a tree: `apt:libc6`."""
        return f"{self.manager}:{self.name}"


class Inventory:
    """The packages of a tree, and who owns each file.

    A file that several packages claim belongs to the first in order of manager and name; a file that has
    several names belongs to the owner of its first name. So the packages' bytes and the unowned ones sum to
    the tree's. Two installations of one package in one tree (two environments, say) have keys that end in `@`
    and the folder.
    """

    def __init__(
        self,
        tree: Tree,
        packages: Mapping[str, Package],
        notes: Iterable[str] = (),
        system: Mapping[str, str] | None = None,
    ) -> None:
        self.tree = tree
        self.packages = dict(sorted(packages.items()))
        self.notes = tuple(notes)
        """What was seen and not taken into account, in sentences: other managers' databases, damage."""
        self.system = dict(system or {})
        """What the tree's `os-release` says, by its keys: `ID`, `VERSION_ID`, ...; empty without one."""

    @cached_property
    def owners(self) -> dict[str, str]:
        """The key of the package that owns each owned file, by path."""
        found: dict[str, str] = {}
        for key, package in self.packages.items():
            for path in package.files:
                found.setdefault(path, key)
        for paths in self.tree.names.values():
            owner = next((found[path] for path in paths if path in found), None)
            if owner is not None:
                found.update(dict.fromkeys(paths, owner))
        return found

    @cached_property
    def owned(self) -> dict[str, tuple[str, ...]]:
        """The paths that each package owns, by its key, without what it claims but is another's."""
        found: dict[str, list[str]] = {key: [] for key in self.packages}
        for path, key in sorted(self.owners.items()):
            found[key].append(path)
        return {key: tuple(paths) for key, paths in found.items()}

    @cached_property
    def unowned(self) -> tuple[str, ...]:
        """The files and links that no package owns, in order."""
        return tuple(e.path for e in self.tree if e.kind != "directory" and e.path not in self.owners)

    def by_name(self, name: str) -> tuple[Package, ...]:
        """The packages that are meant by `name`: a key, or a bare name under any manager."""
        return tuple(p for key, p in self.packages.items() if name in (key, p.key, p.name))

    def bytes_of(self, key: str, kept: Iterable[str] | None = None) -> int:
        """Bytes of what a package owns, or of what of it is among `kept`; hard links counted once."""
        mine = self.owned[key]
        return self.tree.bytes_of(mine if kept is None else set(mine).intersection(kept))
