"""Which package needs which, over all managers: how deep each lies, and by what chain it came in.

The graph of MMLB (POMACS 8(1), 2024) with its gaps filled: Pre-Depends, alternatives, virtual names, extras,
and ancestors that are followed to the end, where the original's `apply_to_pr` tests the start of its walk
instead of the package it has come to and so sees direct parents only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from msgspec import Struct

from tradewind.audit.inventory.requirements import met_by
from tradewind.audit.packages import Inventory

ROOT = "app"
"""The name of what needs the roots; no package's key, for those have a colon."""
_FIRM = ("depends", "pre-depends")


class Edge(Struct, frozen=True, order=True):
    """One package needs another."""

    user: str
    """The key of the package that asks; `app` for the roots."""
    used: str
    kind: str
    """`depends`, `pre-depends` or `extra:NAME`; of a root `accessed` or `asked for`."""


class Unmet(Struct, frozen=True, order=True):
    """A requirement that nothing in the tree meets."""

    user: str
    names: tuple[str, ...]
    """The alternatives that would do."""


class DependencyGraph:
    """The packages of a tree and what each needs, below a root called `app`.

    `edges` are between packages; `accessed` are those that a run used, `asked` those that somebody named:
    together they are what `app` needs. Cycles are allowed. Raises ValueError for an edge to or from what is
    no package.
    """

    def __init__(
        self,
        keys: Iterable[str],
        edges: Iterable[Edge],
        accessed: Iterable[str] = (),
        asked: Iterable[str] = (),
        unmet: Iterable[Unmet] = (),
    ) -> None:
        self.keys = tuple(sorted(set(keys)))
        self.accessed = frozenset(accessed)
        self.asked = frozenset(asked)
        self.unmet = tuple(sorted(unmet))
        below: dict[str, dict[str, str]] = {key: {} for key in self.keys}
        for edge in sorted(edges):
            if edge.user not in below or edge.used not in below:
                raise ValueError(f"{edge.user!r} needs {edge.used!r}, and one of them is no package")
            if edge.user != edge.used:
                below[edge.user].setdefault(edge.used, edge.kind)
        for root in self.accessed | self.asked:
            if root not in below:
                raise ValueError(f"{root!r} is a root, but no package")
        self._below = below

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """What `app` needs, in order: packages that a run used or that somebody asked for."""
        return tuple(sorted(self.accessed | self.asked))

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges in order, those of `app` first."""
        first = [Edge(ROOT, key, "accessed" if key in self.accessed else "asked for") for key in self.roots]
        rest = [
            Edge(user, used, kind)
            for user, all_used in self._below.items()
            for used, kind in all_used.items()
        ]
        return (*first, *sorted(rest))

    def needs(self, key: str) -> tuple[str, ...]:
        """The packages that it asks for itself, in order."""
        return tuple(self._below[key])

    def needed_by(self, key: str) -> tuple[str, ...]:
        """The packages that ask for it themselves, in order."""
        return tuple(self._above[key])

    def descendants(self, key: str) -> frozenset[str]:
        """PD(n): all packages that it needs, themselves or through others; never itself, cycles or not."""
        return frozenset(_walked([key], self._below)) - {key}

    def ancestors(self, key: str) -> frozenset[str]:
        """PR(n): all packages that need it, themselves or through others; the inverse of `descendants`."""
        return frozenset(_walked([key], self._above)) - {key}

    @cached_property
    def depth(self) -> dict[str, int]:
        """Steps from `app`, by key: 1 for a root. What no root leads to is not in it."""
        return {key: len(chain) for key, chain in self._chains.items()}

    @cached_property
    def reachable(self) -> frozenset[str]:
        """What the packages that a run used need in the end, themselves included."""
        return frozenset(_walked(sorted(self.accessed), self._below))

    def chain(self, key: str) -> tuple[str, ...]:
        """The shortest chain that brought a package in, from a root to itself; empty if no root leads to it.

        Of several as short the first in the order of keys; a root is its own chain.
        """
        return self._chains.get(key, ())

    def chain_from_used(self, key: str) -> tuple[str, ...]:
        """The shortest chain from a package that a run used; empty if none leads to it."""
        return self._used_chains.get(key, ())

    def story(self, key: str) -> tuple[str, ...]:
        """The chain that says most of why a package is there, from its cause to itself; empty if there is
        none.

        From what somebody asked for, if anything of that leads to it; else from what a run used. A package
        that was asked for is its own story, and so is one that is used and that nothing else asks for.
        """
        return self._asked_chains.get(key) or self.chain(key)

    def as_json(self) -> dict[str, object]:
        """The graph as plain values, in the node-link form that graph tools read."""
        nodes: list[dict[str, object]] = [{"id": ROOT, "depth": 0}]
        for key in self.keys:
            node: dict[str, object] = {"id": key, "depth": self.depth.get(key)}
            node |= {"accessed": key in self.accessed, "asked_for": key in self.asked}
            node |= {
                "needs": self.counts[key][0],
                "needed_by": self.counts[key][1],
                "chain": list(self.chain(key)),
            }
            nodes.append(node)
        return {
            "directed": True,
            "multigraph": False,
            "graph": {"root": ROOT},
            "nodes": nodes,
            "links": [{"source": e.user, "target": e.used, "kind": e.kind} for e in self.edges],
            "unmet": [{"user": each.user, "names": list(each.names)} for each in self.unmet],
        }

    @cached_property
    def counts(self) -> dict[str, tuple[int, int]]:
        """How many packages each needs and how many need it, in the end: the sizes of PD and PR, by key."""
        down, up = _reached(self.keys, self._below), _reached(self.keys, self._above)
        return {key: (down[key].bit_count() - 1, up[key].bit_count() - 1) for key in self.keys}

    @cached_property
    def _above(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {key: {} for key in self.keys}
        for user, all_used in self._below.items():
            for used, kind in all_used.items():
                found[used][user] = kind
        return found

    @cached_property
    def _chains(self) -> dict[str, tuple[str, ...]]:
        return _shortest(self.roots, self._below)

    @cached_property
    def _asked_chains(self) -> dict[str, tuple[str, ...]]:
        return _shortest(sorted(self.asked), self._below)

    @cached_property
    def _used_chains(self) -> dict[str, tuple[str, ...]]:
        return _shortest(sorted(self.accessed), self._below)


def dependency_graph(inventory: Inventory, accessed: Collection[str] = ()) -> DependencyGraph:
    """The graph of a tree's packages, in which `accessed` are the keys of those that a run used.

    Who meets a requirement is for `inventory.requirements` to say; of alternatives only the one that is taken
    counts, so that another may be told as installed for nothing. Wheels do not record which extras were asked
    for: an extra counts where all that it asks for is installed, and only for packages that nobody else needs
    and nobody asked for.
    """
    edges: list[Edge] = []
    unmet: list[Unmet] = []
    extras: dict[tuple[str, str], list[str | None]] = {}
    for key, requirements in met_by(inventory).items():
        for requirement, met in requirements:
            if requirement.kind not in _FIRM:
                extras.setdefault((key, requirement.kind), []).append(met)
            elif met is not None:
                edges.append(Edge(key, met, requirement.kind))
            else:
                unmet.append(Unmet(key, requirement.alternatives))
    asked = {key for key, package in inventory.packages.items() if package.asked_for}
    explained = asked | {edge.used for edge in edges if edge.user != edge.used}
    for (key, kind), parts in extras.items():
        if all(parts):
            edges += [Edge(key, met, kind) for met in parts if met and met not in explained]
    return DependencyGraph(inventory.packages, edges, accessed, asked, unmet)


def _walked(starts: Iterable[str], links: Mapping[str, Iterable[str]]) -> set[str]:
    seen = set(starts)
    waiting = list(seen)
    while waiting:
        for each in links[waiting.pop()]:
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return seen


def _shortest(starts: Iterable[str], links: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The first of the shortest chains to each, breadth first; links are in order, so the answer is one."""
    chains: dict[str, tuple[str, ...]] = {start: (start,) for start in starts}
    waiting = deque(chains)
    while waiting:
        here = waiting.popleft()
        for each in links[here]:
            if each not in chains:
                chains[each] = (*chains[here], each)
                waiting.append(each)
    return chains


def _reached(keys: Iterable[str], links: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """What each leads to, itself included, as bits of one number; what goes in circles leads to the same.

    Tarjan's strongly connected components, without recursion: a component is whole after all those it leads
    to.
    """
    bits = {key: 1 << place for place, key in enumerate(keys)}
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    reached: dict[str, int] = {}
    open_ones: list[str] = []
    for start in bits:
        if start in order:
            continue
        order[start] = low[start] = len(order)
        open_ones.append(start)
        walk = [(start, iter(links[start]))]
        while walk:
            here, rest = walk[-1]
            for each in rest:
                if each not in order:
                    order[each] = low[each] = len(order)
                    open_ones.append(each)
                    walk.append((each, iter(links[each])))
                    break
                if each not in reached:
                    low[here] = min(low[here], order[each])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[here])
                if low[here] == order[here]:
                    members = open_ones[open_ones.index(here) :]
                    del open_ones[len(open_ones) - len(members) :]
                    total = 0
                    for member in members:
                        total |= bits[member]
                        for each in links[member]:
                            total |= reached.get(each, 0)
                    reached.update(dict.fromkeys(members, total))
    return reached
