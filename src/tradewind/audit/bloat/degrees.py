"""How much of a tree is bloat: Definitions 3.1 to 3.3 of MMLB (POMACS 8(1), 2024), in bytes.

Bloat (3.1) is what the observed runs of a workload do not need. The container's degree (3.2) is the share of
the tree's bytes that is removed, a package's degree (3.3) the share of its own. Where the original adds up
rounded kilobytes of every name, here each file counts once, in bytes, however many names it has: so the parts
sum to the whole. Degrees are of the tree as it is seen; bytes that an upper layer hides are the layers' own
matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Literal

from msgspec import Struct

from tradewind.audit.bloat.graph import DependencyGraph, dependency_graph
from tradewind.audit.packages import Category, Inventory, Manager
from tradewind.audit.slimming.kept import Kept
from tradewind.audit.tracing.events import Touched
from tradewind.audit.trees import Entry, Tree

State = Literal["used", "reachable", "unreachable"]
"""Of a package: something of it is needed; nothing is, but one that is used asks for it; or nobody does."""
UNOWNED = "unowned"
"""The name under which what no package owns is told beside managers and categories."""


class Share(Struct, frozen=True):
    """Files and bytes, and how much of them is kept; a file of several names counts once."""

    bytes: int = 0
    kept_bytes: int = 0
    files: int = 0
    kept_files: int = 0

    @property
    def removed_bytes(self) -> int:
        """Bytes that are not kept."""
        return self.bytes - self.kept_bytes

    @property
    def removed_files(self) -> int:
        """Files that are not kept."""
        return self.files - self.kept_files

    @property
    def degree(self) -> float:
        """The share of the bytes that is not kept, from 0 to 1; of files where there is no byte, 0 of
        nothing."""
        if self.bytes:
            return self.removed_bytes / self.bytes
        return self.removed_files / self.files if self.files else 0.0

    def plus(self, other: Share) -> Share:
        """Both together, if no file is in both."""
        return Share(
            self.bytes + other.bytes,
            self.kept_bytes + other.kept_bytes,
            self.files + other.files,
            self.kept_files + other.kept_files,
        )


class PackageBloat(Struct, frozen=True):
    """A package, and how much of it is needed."""

    key: str
    manager: Manager
    name: str
    version: str
    category: Category
    share: Share
    state: State
    metadata_only: bool
    """Nothing of it is kept but what tells of it: such a package is not used, whatever its degree."""
    depth: int | None
    """Steps from the root of the graph, 1 for a direct one; None where nobody asked for it in any way."""

    @property
    def bloated(self) -> bool:
        """Whether nothing of it is needed."""
        return self.state != "used"

    @property
    def direct(self) -> bool:
        """Whether it was asked for itself, and not through another package."""
        return self.depth == 1


class Bloat(Struct, frozen=True):
    """A tree measured: the same bytes, split in several ways, each of which sums to the whole."""

    whole: Share
    """Its degree is the container bloat degree."""
    packages: tuple[PackageBloat, ...]
    """In the order of their keys."""
    unowned: Share
    managers: dict[str, Share]
    """By manager, with `unowned`."""
    categories: dict[str, Share]
    """By category, with `unowned`."""
    layers: dict[int, Share]
    """By the layer that a file comes from: that of its first name."""
    states: dict[str, Share]
    """By the state of the package, with `unowned`."""
    removed_direct: Share
    """Of bloated packages that were asked for themselves."""
    removed_transitive: Share
    """Of bloated packages that came with others, or that nobody asked for."""

    @property
    def degree(self) -> float:
        """The container bloat degree (Definition 3.2), from 0 to 1."""
        return self.whole.degree

    def package(self, key: str) -> PackageBloat:
        """The package of that key; KeyError if there is none."""
        for each in self.packages:
            if each.key == key:
                return each
        raise KeyError(key)


def needed_paths(what: Kept | Touched, *, probed: bool = False) -> frozenset[str]:
    """The paths that count as needed: all that is kept, or what was opened and the links on the way there.

    What was only asked for (stat) is no access to the content and counts with `probed` alone; what a run
    wrote is its output.
    """
    if isinstance(what, Kept):
        return what.paths
    return what.opened | what.hops | (what.probed if probed else frozenset())


def accessed_packages(inventory: Inventory, needed: Iterable[str]) -> frozenset[str]:
    """The keys of the packages of which something is needed besides what only tells of them.

    Looking for plug-ins opens the records of every Python package there is; that does not make them used.
    """
    files = {name for path in needed for name in _names(inventory.tree, path)}
    return frozenset(
        key
        for key, paths in inventory.owned.items()
        if not files.isdisjoint(set(paths).difference(inventory.packages[key].records))
    )


def measured(
    inventory: Inventory, what: Kept | Touched, *, probed: bool = False
) -> tuple[Bloat, DependencyGraph]:
    """The bloat of a tree, given what is kept of it or what runs touched, and the graph that explains it.

    `probed` is as `needed_paths` has it. Cost: once over the tree and once over the graph.
    """
    tree = inventory.tree
    needed = needed_paths(what, probed=probed)
    accessed = accessed_packages(inventory, needed)
    graph = dependency_graph(inventory, accessed)
    by_owner: dict[str, _Count] = {key: _Count() for key in (*inventory.packages, UNOWNED)}
    by_layer: dict[int, _Count] = {}
    for entry in tree:
        names = _names(tree, entry.path)
        if entry.kind != "file" or entry.path != names[0]:
            continue
        kept = any(name in needed for name in names)
        by_owner[inventory.owners.get(entry.path, UNOWNED)].add(entry, kept)
        by_layer.setdefault(entry.layer, _Count()).add(entry, kept)
    packages = []
    for key, package in inventory.packages.items():
        share = by_owner[key].share
        state: State = "used" if key in accessed else "reachable" if key in graph.reachable else "unreachable"
        packages.append(
            PackageBloat(
                key,
                package.manager,
                package.name,
                package.version,
                package.category,
                share,
                state,
                share.kept_files > 0 and key not in accessed,
                graph.depth.get(key),
            )
        )
    unowned = by_owner[UNOWNED].share
    bloated = [each for each in packages if each.bloated]
    found = Bloat(
        whole=reduce(Share.plus, (count.share for count in by_owner.values()), Share()),
        packages=tuple(packages),
        unowned=unowned,
        managers=_split([(each.manager, each.share) for each in packages], unowned),
        categories=_split([(each.category, each.share) for each in packages], unowned),
        layers={layer: by_layer[layer].share for layer in sorted(by_layer)},
        states=_split([(each.state, each.share) for each in packages], unowned),
        removed_direct=reduce(Share.plus, (each.share for each in bloated if each.direct), Share()),
        removed_transitive=reduce(Share.plus, (each.share for each in bloated if not each.direct), Share()),
    )
    return found, graph


class _Count:
    """A share under way."""

    def __init__(self) -> None:
        self._numbers = [0, 0, 0, 0]

    def add(self, entry: Entry, kept: bool) -> None:
        self._numbers[0] += entry.size
        self._numbers[2] += 1
        if kept:
            self._numbers[1] += entry.size
            self._numbers[3] += 1

    @property
    def share(self) -> Share:
        return Share(*self._numbers)


def _names(tree: Tree, path: str) -> tuple[str, ...]:
    """All names of the file at `path`, in order; of a link, directory or missing path only that one."""
    entry = tree.get(path)
    return tree.names[entry.node] if entry is not None and entry.node else (path,)


def _split(parts: Iterable[tuple[str, Share]], unowned: Share) -> dict[str, Share]:
    found: dict[str, Share] = {}
    for name, share in parts:
        found[name] = found.get(name, Share()).plus(share)
    return {**{name: found[name] for name in sorted(found)}, UNOWNED: unowned}
